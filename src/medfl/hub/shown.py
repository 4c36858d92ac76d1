"""What people and programs are told of a site."""

from __future__ import annotations

import time
from typing import Any

from medfl.hub.register import Record


def shown(record: Record) -> dict[str, Any]:
    """Return a site's name, title, status, fingerprint, and since when, in UTC."""
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.since))
    keys = {"name": record.name, "title": record.title, "status": record.status}
    return keys | {"fingerprint": record.fingerprint, "since": since}
