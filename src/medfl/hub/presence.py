"""Which sites are connected: written down by the hub's service, read by whoever asks the hub's folder."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medfl.enrolment import json_of
from medfl.errors import WireError
from medfl.private import write_private

NAME = "presence.json"
EVERY = 10.0
"""Seconds after which it is written down again that a site is still connected."""
STALE = 3 * EVERY
"""Seconds for which that is believed; a hub that was killed had no time to take it back."""


@dataclass(slots=True)
class Presence:
    """When each site was last connected, in seconds since 1970, and which still are.

    Parameters
    ----------
    seen
        The moment at which each site was last known to be connected.
    connected
        The sites that did not leave since.
    """

    seen: dict[str, float] = field(default_factory=dict)
    connected: set[str] = field(default_factory=set)

    @classmethod
    def at(cls, folder: Path) -> Presence:
        """Return what a hub's folder says; nobody was seen where it says nothing that can be read."""
        try:
            said = json_of((folder / NAME).read_bytes())
            seen, connected = said["seen"], said["connected"]
            return cls({str(name): float(moment) for name, moment in seen.items()}, {str(name) for name in connected})
        except (OSError, WireError, KeyError, TypeError, ValueError, AttributeError):
            return cls()

    def keep(self, folder: Path, sites: set[str]) -> None:
        """Write down that these sites are connected now, and no others.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        now = time.time()
        self.seen |= dict.fromkeys(self.connected | sites, now)
        self.connected = set(sites)
        said = {"seen": dict(sorted(self.seen.items())), "connected": sorted(sites)}
        write_private(folder / NAME, (json.dumps(said, indent=2) + "\n").encode())

    def of(self, site: str) -> Mapping[str, Any]:
        """Return whether a site is connected, and when it was last, in UTC; None where it never was."""
        seen = self.seen.get(site)
        there = seen is not None and site in self.connected and time.time() - seen < STALE
        moment = None if seen is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seen))
        return {"connected": there, "seen": moment}
