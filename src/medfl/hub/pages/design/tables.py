"""The sites' tables on the design page: what is in them, what of them does not fit, and how each is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from medfl.channel import Hardware
from medfl.errors import Complaint
from medfl.hub.pages.bench import Bench
from medfl.readiness import balance
from medfl.readiness.balance import Share
from medfl.readiness.check import gaps
from medfl.readiness.gap import Gap
from medfl.readiness.repair import Repair
from medfl.readiness.tables import Known, Seen, SeenTable
from medfl.spec.data import Data
from medfl.spec.harmonising import Translation

MOST_TICKS = 60
"""More columns than this are not ticked but named."""
MOST_SHOWN = 200
_CODES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnShown:
    """One column of a site's table.

    Parameters
    ----------
    name, kind
        As it is there.
    between
        Smallest and largest value; empty where not known.
    codes
        Its categories with the rows of each; None where those are few, or not told.
    more
        How many categories are not shown.
    missing
        Share of rows without a value; None where not told.
    wrong
        Why no study can use it.
    """

    name: str
    kind: str
    between: tuple[float, float] | None
    codes: tuple[tuple[str, int | None], ...]
    more: int
    missing: float | None
    wrong: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableShown:
    """One site's table.

    Parameters
    ----------
    site, rows
        Whose; how many rows, where that is told.
    columns
        What is in it.
    others
        Names of columns of which no more is known.
    outcome
        The outcome's classes as they are there, with the rows of each.
    balance
        What share of the rows each of them has, as far as that is told.
    hardware
        What the site's machine is like, where that is told.
    missing
        Why there is none.
    spare
        Columns that are read as they are, and may be read otherwise.
    written
        How its file is written, in sentences, where that is not plain.
    """

    site: str
    rows: int | None = None
    columns: tuple[ColumnShown, ...] = ()
    others: tuple[str, ...] = ()
    outcome: tuple[tuple[str, int | None], ...] = ()
    balance: tuple[Share, ...] = ()
    hardware: Hardware | None = None
    missing: Complaint | None = None
    spare: tuple[str, ...] = ()
    written: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """How one column is read at one site, as it can be edited."""

    site: str
    column: str
    called: str
    factor: str
    offset: str
    unit: str
    codes: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A data set of an enrolled site that the study does not use yet; its rows, balance and machine where told."""

    site: str
    dataset: str
    target: str
    rows: int | None
    balance: tuple[Share, ...] = ()
    hardware: Hardware | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """What the page says of tables.

    Parameters
    ----------
    every
        The sites' tables.
    dealt
        Whether it is one table that is dealt out.
    columns
        Every column that a study may name, by the study's names, with how many of the tables have it.
    classes
        Values that the outcome has.
    ticks
        Whether columns are few enough to be ticked.
    names, there, target
        Their names; how many tables are known; the outcome.
    gaps
        What does not fit.
    hindering, repairs
        How many of them hinder a run, and how many can be repaired by a click.
    read
        How columns are read.
    lost
        Whether no table has the outcome; then that is not told of each.
    nowhere
        Whether the study does not say yet where its rows are.
    unread
        The sites whose tables are on this machine and cannot be read.
    sends
        Whether a table may be sent from here.
    offers
        Data sets of a consortium's sites that have no part in the study yet.
    """

    every: tuple[TableShown, ...] = ()
    dealt: bool = False
    columns: tuple[tuple[str, int], ...] = ()
    classes: tuple[str, ...] = ()
    ticks: bool = False
    names: tuple[str, ...] = ()
    there: int = 0
    target: str = ""
    gaps: tuple[Gap, ...] = ()
    hindering: int = 0
    repairs: int = 0
    read: tuple[Read, ...] = ()
    lost: bool = False
    nowhere: bool = False
    unread: tuple[str, ...] = ()
    sends: bool = False
    offers: tuple[Offer, ...] = ()


def tables_of(bench: Bench, words: Mapping[str, Any]) -> Tables:
    """Return what is known of the tables that a draft names, however broken the rest of it is."""
    data = asked(words)
    sends = bench.uploads is not None
    if data is None:
        return Tables(nowhere=True, sends=sends, offers=tuple(_offers(bench, {})))
    known = bench.sees(data)
    found = () if known.dealt else gaps(data, known.tables)
    machines = {site: told.hardware for site, told in bench.hub.told().items()} if bench.hub is not None else {}
    seen = {site: table.read_as(data.translations(site)) for site, table in known.tables.items()}
    columns = _columns(seen)
    lost = bool(seen) and data.target not in columns and all(table.whole for table in seen.values())
    if lost:
        found = tuple(gap for gap in found if gap.column != data.target)
    return Tables(
        every=tuple(_shown(data, known, machines)),
        dealt=known.dealt,
        columns=tuple(columns.items()),
        classes=_classes(data, seen),
        names=tuple(columns),
        there=len(seen),
        target=data.target,
        ticks=0 < len(columns) <= MOST_TICKS,
        gaps=found,
        hindering=sum(gap.blocks for gap in found) + lost,
        repairs=sum(gap.repair is not None for gap in found),
        read=tuple(_read(words, known)),
        lost=lost,
        nowhere=_nowhere(data),
        unread=tuple(known.unread) if bench.hub is None else (),
        sends=sends,
        offers=tuple(_offers(bench, data.sites or {})),
    )


def repairs(bench: Bench, words: Mapping[str, Any], *, site: str, column: str) -> Iterator[tuple[Repair, Data]]:
    """Yield the repairs of one column, or of all where none is named."""
    data = asked(words)
    if data is None:
        return
    for gap in gaps(data, bench.sees(data).tables):
        if gap.repair is not None and (not site or (gap.site, gap.column) == (site, column)):
            yield gap.repair, data


def asked(words: Mapping[str, Any]) -> Data | None:
    """Return what a draft says of its tables, without what it says wrongly; None where that is nothing."""
    said = words.get("data")
    if not isinstance(said, Mapping):
        return None
    kept = {"target": " ", **said}
    for _ in range(len(kept) + 1):
        try:
            return Data.model_validate(kept)
        except ValidationError as error:
            wrong = {str(detail["loc"][0]) for detail in error.errors() if detail["loc"]} or {"simulate"}
            kept = {name: value for name, value in kept.items() if name not in wrong}
            kept.setdefault("target", " ")
    return None


def _nowhere(data: Data) -> bool:
    """Whether a study names neither a table of a site, nor one that is dealt out."""
    dealt = data.simulate
    return not data.sites and (dealt is None or (dealt.table is None and dealt.bundled is None))


def _offers(bench: Bench, used: Mapping[str, str]) -> Iterator[Offer]:
    """Yield the data sets that enrolled sites have told of, of the sites that have no part yet."""
    for site, told in sorted(bench.hub.told().items()) if bench.hub is not None else ():
        for name, entry in told.datasets.items() if site not in used else ():
            if "columns" in entry:
                yield Offer(
                    site=site,
                    dataset=name,
                    target=str(entry.get("target", "")),
                    rows=entry.get("rows"),
                    balance=balance.told(entry.get("balance")),
                    hardware=told.hardware,
                )


def _columns(seen: Mapping[str, SeenTable]) -> dict[str, int]:
    names = [name for table in seen.values() for name in table.every]
    return {name: names.count(name) for name in dict.fromkeys(names)}


def _classes(data: Data, seen: Mapping[str, SeenTable]) -> tuple[str, ...]:
    found = [one.columns[data.target].categories for one in seen.values() if data.target in one.columns]
    return tuple(dict.fromkeys(text for codes in found for text in codes))


def _shown(data: Data, known: Known, machines: Mapping[str, Hardware | None]) -> Iterator[TableShown]:
    for site in sorted({*known.tables, *known.unread}):
        table = known.tables.get(site)
        if table is None:
            yield TableShown(site=site, missing=known.unread[site])
            continue
        translations = data.translations(site)
        read = table.read_as(translations)
        target = read.columns.get(data.target)
        taken = {*translations, *(one.called for one in translations.values())}
        yield TableShown(
            site=site,
            rows=table.rows,
            columns=tuple(_column(one, table.rows) for one in [*table.columns.values()][:MOST_SHOWN]),
            others=table.names,
            outcome=tuple((text, target.counts.get(text)) for text in target.categories) if target else (),
            balance=read.shares(data.target),
            hardware=machines.get(site),
            spare=tuple(name for name in (data.features or table.every) if name not in taken),
            written=table.written,
        )


def _column(one: Seen, rows: int | None) -> ColumnShown:
    ends = None if one.minimum is None or one.maximum is None else (one.minimum, one.maximum)
    codes = tuple((text, one.counts.get(text)) for text in one.categories[:_CODES])
    return ColumnShown(
        name=one.name,
        kind=one.kind,
        between=ends,
        codes=codes,
        more=len(one.categories) - len(codes),
        missing=one.missing / rows if one.missing is not None and rows else None,
        wrong=one.wrong,
    )


def _read(words: Mapping[str, Any], known: Known) -> Iterator[Read]:
    """Yield how columns are read as it is written, also where it is written wrongly."""
    for site, table in _table(_table(words.get("data")).get("harmonise")).items():
        names = known.tables[site].every if site in known.tables else ()
        for column, one in _table(_table(table).get("columns")).items():
            said = _table(one)
            texts = {key: _spelled(said.get(key)) for key in ("called", "factor", "offset", "unit")}
            codes = "\n".join(f"{code} = {text}" for code, text in _table(said.get("codes")).items())
            yield Read(site=site, column=column, **texts, codes=codes, names=names)


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _spelled(value: object) -> str:
    return "" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)


def keys_of(repair: Repair, data: Data) -> dict[str, Any]:
    """Return what a repair writes, on top of what a draft says of the column already."""
    before: Translation | None = data.translations(repair.site).get(repair.column)
    return repair.keys(before)
