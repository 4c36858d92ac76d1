"""A hospital's home for taking part through a stock Flower SuperNode: made, introduced to others, and told."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from medfl.errors import PlanError
from medfl.policing import write as write_policy
from medfl.privacy.secure.identity import Identity
from medfl.site import peers
from medfl.site.supernode import IDENTITY, POLICY, Place
from medfl.spec.checks import SITE
from medfl.spec.privacy import FEWEST


@dataclass(frozen=True, slots=True)
class Member:
    """One hospital, as it is told to others.

    Parameters
    ----------
    site
        Its name.
    identity
        Its public identity.
    """

    site: str
    identity: bytes

    @property
    def card(self) -> str:
        """Name and key in one word."""
        return peers.card(self.site, self.identity)

    @property
    def fingerprint(self) -> str:
        """Digits to compare by telephone."""
        return peers.fingerprint(self.site, self.identity)


@dataclass(frozen=True, slots=True)
class Made:
    """A hospital's home.

    Parameters
    ----------
    place
        What the node config says.
    me
        The hospital.
    others
        Those that it knows.
    """

    place: Place
    me: Member
    others: tuple[Member, ...]

    @property
    def node_config(self) -> str:
        """What ``flower-supernode --node-config`` is to be given, quoted for a shell."""
        words = {"site": self.place.site, "data": self.place.data, "home": self.place.home}
        return shlex.quote(" ".join(f'{key}="{value}"' for key, value in words.items()))


def settle(site: str, data: Path, home: Path) -> Made:
    """Make a hospital's home, with its identity and a policy to start from; what is there already stays.

    Raises
    ------
    PlanError
        If the site cannot be called so, or a path cannot be written into a node config, or there is no such table.
    StoreError
        If the home cannot be written.
    """
    if not SITE.fullmatch(site):
        raise PlanError(
            "a site cannot be called so",
            where="NAME",
            received=repr(site[:80]),
            remedy="use up to 80 letters, digits, dots, dashes and underscores, beginning with a letter or digit",
        )
    place = Place(site, data.expanduser().absolute(), home.expanduser().absolute())
    for path in (place.data, place.home):
        if any(mark in str(path) for mark in "\"'\\\n"):
            raise PlanError(
                "a path with quotes or backslashes cannot be written into a node config",
                where=str(path),
                remedy="choose another place, or make a link to it",
            )
    identity = Identity.at(place.home / IDENTITY)
    place.home.chmod(0o700)
    place.require()
    (place.home / "studies").mkdir(mode=0o700, exist_ok=True)
    if not (place.home / POLICY).exists():
        write_policy(place.home / POLICY)
    return Made(place, Member(site, identity.public), _others(place.home))


def introduce(card: str, home: Path, *, replace: bool = False) -> tuple[Member, tuple[Member, ...]]:
    """Keep another hospital's identity; return it, and all others that are known now.

    Raises
    ------
    PlanError
        If there is no home, the card is none, or the hospital is known by another key.
    """
    folder = home.expanduser().absolute()
    if not (folder / IDENTITY).is_file():
        raise PlanError(
            "there is no site's home there",
            where="--home",
            received=str(folder),
            remedy="make it first: medfl flower site NAME --data TABLE.csv --home HOME",
        )
    site, identity = peers.read(card)
    if identity == Identity.at(folder / IDENTITY).public:
        raise PlanError("this is the site's own card", where=f"site {site}", remedy="add those of the others")
    peers.keep(folder, site, identity, replace=replace)
    return Member(site, identity), _others(folder)


def enough(others: int) -> bool:
    """Say whether so many others are enough for a sum to hide this site."""
    return others + 1 >= FEWEST


def _others(folder: Path) -> tuple[Member, ...]:
    return tuple(Member(site, identity) for site, identity in sorted((peers.known(folder) or {}).items()))
