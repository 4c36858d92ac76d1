"""What people and programs are told of sites."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from medfl.hub.presence import Presence
from medfl.hub.register import Record
from medfl.hub.told import Told

if TYPE_CHECKING:
    from medfl.hub.place import HubPlace


def everything(hub: HubPlace) -> list[dict[str, Any]]:
    """Return of each site how it is enrolled, whether it is connected, and what it does and runs by its own word."""
    presence = Presence.at(hub.folder)
    return [_whole(hub, record, presence) for record in hub.register.sites()]


def shown(record: Record) -> dict[str, Any]:
    """Return a site's name, title, status, fingerprint, and since when, in UTC."""
    keys = {"name": record.name, "title": record.title, "status": record.status}
    return keys | {"fingerprint": record.fingerprint, "since": utc(record.since)}


def utc(seconds: float) -> str:
    """Return seconds since 1970 as UTC, ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _whole(hub: HubPlace, record: Record, presence: Presence) -> dict[str, Any]:
    there, told = presence.of(record.name), Told.at(hub.folder, record.name).shown()
    if not there["connected"]:
        # What it did when it was last heard of is not what it does.
        told |= {"doing": "", "state": None}
    return {**shown(record), **there, **told}
