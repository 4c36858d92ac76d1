"""The sites of a hub: how far each one's enrolment has come, how it is, and what it tells of itself."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from typing import Any

from medfl.channel import Hardware
from medfl.errors import EnrolmentError, RefusedError
from medfl.hub.place import HubPlace
from medfl.hub.presence import Presence
from medfl.hub.register import Record, Status
from medfl.hub.shown import utc
from medfl.hub.told import Told
from medfl.readiness import balance
from medfl.readiness.balance import Share

LINES = 50
"""Lines of a site's log on its page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteLine:
    """One site, as a line of the list.

    Parameters
    ----------
    name, title
        What studies and what people call it.
    status, since
        How far its enrolment has come, and since when; UTC, ISO 8601.
    expires
        Of an invitation: until when it holds.
    fingerprint
        The digits that were compared; empty while it waits, so that nobody compares them with the page itself.
    connected, seen
        Whether it is connected now, and when it was last; empty where it never was.
    doing, version
        What it does, and which MEDfl runs there, by its own word.
    trouble
        Why its last connection was refused; empty where it was not.
    datasets
        How many data sets it tells of; None where it tells nothing.
    hardware
        What its machine is like; None where it does not tell that.
    """

    name: str
    title: str
    status: Status
    since: str
    expires: str = ""
    fingerprint: str = ""
    connected: bool = False
    seen: str = ""
    doing: str = ""
    version: str = ""
    trouble: str = ""
    datasets: int | None = None
    hardware: Hardware | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SitesPage:
    """All sites of a hub.

    Parameters
    ----------
    enrolled, waiting, invited, revoked
        The sites, by how far they have come.
    wrong
        What stood against the last thing that was asked for here; the site that it was about; what was typed.
    """

    enrolled: tuple[SiteLine, ...]
    waiting: tuple[SiteLine, ...]
    invited: tuple[SiteLine, ...]
    revoked: tuple[SiteLine, ...]
    wrong: str = ""
    about: str = ""
    typed: str = ""


@dataclass(frozen=True, slots=True)
class ColumnTold:
    """A column of a data set, as its site tells it: what its policy holds back is empty."""

    name: str
    kind: str
    unit: str
    values: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetTold:
    """A data set, as its site tells it.

    Parameters
    ----------
    name, target, rows
        What it is called, what it would predict, and how many rows it has; None where that may not be told.
    balance
        What share of its rows each class of the outcome has, as coarsely as that is told.
    columns, others, left_out
        Its columns, those of which only the name is told, and how many more there are.
    held_back
        What the site's policy has changed or left out, in its words.
    withheld
        Why nothing of it is told; empty where something is.
    """

    name: str
    target: str = ""
    rows: int | None = None
    balance: tuple[Share, ...] = ()
    columns: tuple[ColumnTold, ...] = ()
    others: tuple[str, ...] = ()
    left_out: int = 0
    held_back: tuple[str, ...] = ()
    withheld: str = ""


@dataclass(frozen=True, slots=True)
class LogLine:
    """What a site did, by its own word: names, stages and counts of rounds, never a value."""

    at: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePage:
    """One site.

    Parameters
    ----------
    site
        How it stands.
    datasets
        What it tells of its data sets.
    log
        Its last lines, oldest first, for those who may read them.
    wrong
        What stood against the last thing that was asked for here.
    """

    site: SiteLine
    datasets: tuple[DatasetTold, ...] = ()
    log: tuple[LogLine, ...] = ()
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class InvitedPage:
    """An invitation, on the only page that ever shows it."""

    site: str
    title: str
    invitation: str
    expires: str


def sites_page(hub: HubPlace, *, wrong: str = "", about: str = "", typed: str = "") -> SitesPage:
    """Return all sites, by name."""
    presence = Presence.at(hub.folder)
    lines = [_line(record, presence, Told.at(hub.folder, record.name)) for record in hub.register.sites()]
    of = {status: tuple(line for line in lines if line.status == status) for status in {one.status for one in lines}}
    return SitesPage(
        enrolled=of.get("approved", ()),
        waiting=of.get("waiting", ()),
        invited=of.get("invited", ()),
        revoked=of.get("revoked", ()),
        wrong=wrong,
        about=about,
        typed=typed,
    )


def site_page(hub: HubPlace, name: str, *, log: bool, wrong: str = "") -> SitePage:
    """Return one site; with its log where its reader may see that.

    Raises
    ------
    EnrolmentError
        If there is none of this name.
    """
    record = hub.register.named(name)
    told = Told.at(hub.folder, record.name)
    lines = tuple(LogLine(utc(line["at"]), line["text"]) for line in told.lines[-LINES:]) if log else ()
    datasets = tuple(_dataset(name, entry) for name, entry in sorted(told.datasets.items()))
    line = _line(record, Presence.at(hub.folder), told)
    return SitePage(site=line, datasets=datasets, log=lines, wrong=wrong)


def invited(hub: HubPlace, title: str, *, days: int) -> InvitedPage:
    """Invite a site.

    Raises
    ------
    EnrolmentError
        If there is such a site, or it cannot be called so.
    """
    if not title.strip():
        raise EnrolmentError("the hospital has no name yet", where="name", remedy="write what people call it")
    invitation = hub.register.invite(" ".join(title.split()), hub.invitation, seconds=days * 86400.0)
    return InvitedPage(invitation.site, title, str(invitation), utc(float(invitation.expires)))


def approved(hub: HubPlace, name: str, *, digits: str) -> Record:
    """Enrol a site that waits, if somebody has typed the digits that its people have read out.

    The authority's key is read from the hub's folder for this alone, and let go again.

    Raises
    ------
    RefusedError
        If these are other digits than those of the keys that came.
    EnrolmentError
        If the site does not wait.
    """
    record = hub.register.named(name)
    if record.status == "waiting" and not hmac.compare_digest(_only(digits), _only(record.fingerprint)):
        raise RefusedError(
            "these are not the digits of the keys that came",
            where=record.name,
            remedy="have all thirty read out again, by a number that you knew before; if they differ once more, do not "
            "enrol this site: somebody else has used its invitation",
        )
    return hub.register.approve(record.name, hub.authority)


def revoked(hub: HubPlace, name: str, *, typed: str) -> Record:
    """Put a site out, if its name was typed as a sign that this is meant.

    Raises
    ------
    RefusedError
        If something else was typed.
    """
    record = hub.register.named(name)
    if typed.strip() != record.name:
        raise RefusedError("the name of the site was not typed", where=record.name, remedy=f"type {record.name}")
    return hub.revoke(record.name)


def _line(record: Record, presence: Presence, told: Told) -> SiteLine:
    there = presence.of(record.name)
    enrolled = record.status == "approved"
    return SiteLine(
        name=record.name,
        title=record.title,
        status=record.status,
        since=utc(record.since),
        expires=utc(float(record.expires)) if record.status == "invited" else "",
        fingerprint=record.fingerprint if enrolled else "",
        connected=enrolled and there["connected"],
        seen=there["seen"] or "",
        doing=str(told.state) if enrolled and there["connected"] and told.state is not None else "",
        version=told.speaks.medfl if told.speaks is not None else "",
        trouble=told.trouble,
        datasets=len(told.datasets) if told.known else None,
        hardware=told.hardware,
    )


def _dataset(name: str, entry: dict[str, Any]) -> DatasetTold:
    if "withheld" in entry:
        return DatasetTold(name=name, withheld=entry["withheld"])
    return DatasetTold(
        name=name,
        target=entry["target"],
        rows=entry.get("rows"),
        balance=balance.told(entry.get("balance")),
        columns=tuple(map(_column, entry["columns"])),
        others=tuple(entry["other_columns"]),
        left_out=entry.get("left_out", 0),
        held_back=tuple(entry.get("policy", ())),
    )


def _column(column: dict[str, Any]) -> ColumnTold:
    between = f"{column['minimum']:g} – {column['maximum']:g}" if {"minimum", "maximum"} <= column.keys() else ""
    codes = column.get("codes", {})
    named = [f"{code} = {codes[code]}" if code in codes else code for code in column["categories"]]
    values = between or ", ".join(named)
    return ColumnTold(column["name"], column["kind"], column.get("unit", ""), values, column.get("description", ""))


def _only(digits: str) -> bytes:
    """Return the digits alone, however they were grouped."""
    return re.sub(r"[^0-9]", "", digits[:200]).encode()
