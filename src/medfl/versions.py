"""Which versions hub and site speak, and which is the newest that both do.

Each end says so wherever the two meet: with every question to the hub, and when a WebSocket is opened. What they
cannot agree on is refused by whoever notices first, with what to upgrade.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from types import MappingProxyType
from typing import Any, Self

from medfl.errors import Complaint, VersionError, WireError

MESSAGES: Mapping[str, str] = MappingProxyType(
    {
        "wire": "the format of requests and replies",
        "study": "the language of studies",
        "channel": "what is said over the WebSocket",
    }
)
"""What has a version, by the name that it has on the wire."""
SPOKEN: Mapping[str, tuple[int, int]] = MappingProxyType({"wire": (1, 1), "study": (1, 1), "channel": (1, 3)})
"""The oldest and the newest version of each that is spoken here. Over a channel of version 1 the hub only wakes."""
TELLS = 2
"""The version of the channel from which on a site tells its hub how it is."""
DECIDES = 3
"""The version of the channel from which on a site is asked before a study begins, and tells what it decides."""


@dataclass(frozen=True, slots=True)
class Speaks:
    """What one end speaks.

    Parameters
    ----------
    medfl
        The version of MEDfl that runs there.
    spoken
        The oldest and the newest version of each kind of message.
    """

    medfl: str
    spoken: Mapping[str, tuple[int, int]]

    @classmethod
    def read(cls, said: object) -> Self:
        """Read what the other end said; nothing is what an end says that is older than these words.

        Raises
        ------
        WireError
            If it is something else.
        """
        if said is None:
            return cls("an older version", dict.fromkeys(MESSAGES, (1, 1)))
        if not isinstance(said, Mapping) or not isinstance(said.get("medfl"), str):
            raise _unreadable()
        return cls(_plain(said["medfl"]), {name: _range(said.get(name)) for name in MESSAGES})

    def to_json(self) -> dict[str, Any]:
        """Return it as it travels."""
        return {"medfl": self.medfl, **{name: list(ends) for name, ends in self.spoken.items()}}


def here() -> Speaks:
    """Return what is spoken here."""
    return Speaks(version("medfl"), SPOKEN)


def agreed(hub: Speaks, site: Speaks) -> dict[str, int]:
    """Return the newest version of each kind of message that both ends speak.

    Raises
    ------
    VersionError
        With each kind of which they speak none in common, and what to upgrade.
    """
    complaints = [_complaint(name, hub, site) for name in MESSAGES if _newest(name, hub, site) is None]
    if complaints:
        raise VersionError.of(complaints)
    return {name: _newest(name, hub, site) or 0 for name in MESSAGES}


def _newest(name: str, hub: Speaks, site: Speaks) -> int | None:
    ends = (hub.spoken[name], site.spoken[name])
    newest = min(end[1] for end in ends)
    return newest if newest >= max(end[0] for end in ends) else None


def _complaint(name: str, hub: Speaks, site: Speaks) -> Complaint:
    behind, newer = ("hub", site) if hub.spoken[name][1] < site.spoken[name][1] else ("site", hub)
    return Complaint(
        f"hub and site have no version in common of {MESSAGES[name]}",
        received=f"{_said(name, hub)} at the hub, which runs MEDfl {hub.medfl}; {_said(name, site)} at the site, which "
        f"runs MEDfl {site.medfl}",
        remedy=f"upgrade MEDfl at the {behind}, to {newer.medfl} for instance: pip install --upgrade medfl",
    )


def _said(name: str, end: Speaks) -> str:
    oldest, newest = end.spoken[name]
    return f"version {newest}" if oldest == newest else f"versions {oldest} to {newest}"


def _range(said: object) -> tuple[int, int]:
    if not isinstance(said, list) or len(said) != 2 or any(type(end) is not int for end in said):
        raise _unreadable()
    oldest, newest = said
    if not 0 < oldest <= newest < 10**6:
        raise _unreadable()
    return oldest, newest


def _plain(text: str) -> str:
    return "".join(letter for letter in text[:40] if letter.isprintable())


def _unreadable() -> WireError:
    return WireError(
        "what the other end says of its versions cannot be read",
        received="something other than a name and pairs of numbers",
        remedy="check the address, and that hub and site run the same version of MEDfl",
    )
