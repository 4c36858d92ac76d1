"""Where the classes of an outcome are missing at a site, or so few that it learns and judges little of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from medfl.errors import listed
from medfl.readiness.gap import Gap
from medfl.readiness.tables import SMALL, Seen, SeenTable
from medfl.spec.data import Data

FEW = 20
"""Fewer rows of a class than this are told: what is measured on a part of them has wide intervals."""


def of_classes(data: Data, read: Mapping[str, SeenTable]) -> Iterator[Gap]:
    """Yield what is amiss with the outcome's classes at each site; only one class at all hinders a run.

    Parameters
    ----------
    data
        What the study says of its tables.
    read
        What is known of each site's table, as the study has it.
    """
    seen = {site: table.columns[data.target] for site, table in read.items() if data.target in table.columns}
    known = {site: one for site, one in seen.items() if one.categories and not one.wrong}
    if data.outcome == "regression" or not _are_classes(known):
        return
    labels = list(dict.fromkeys(label for one in known.values() for label in one.categories))
    # What a comparison such as "> 0" makes of the values is not known from what is told; one of them as it is, is.
    for site, one in known.items():
        for label in labels if data.positive is None else [label for label in labels if label == data.positive]:
            if label not in one.categories:
                yield from _missing(data, site, label, known)
            elif one.counts:
                yield from _counted(data, site, label, one)
            else:
                yield from _told(data, site, label, read)


def _are_classes(known: Mapping[str, Seen]) -> bool:
    """Say whether the sites write their classes alike; where they do not, that is told, and no class is missing."""
    sets = [{*one.categories} for one in known.values()]
    return bool(sets) and all(one & other for one in sets for other in sets)


def _missing(data: Data, site: str, label: str, known: Mapping[str, Seen]) -> Iterator[Gap]:
    having = [other for other, one in known.items() if label in one.categories]
    only = len(known[site].categories) == 1
    yield Gap(
        site=site,
        column=data.target,
        kind="classes",
        expected=f"{data.target} = {label}",
        found=", ".join(known[site].categories),
        says=f"{site} has no row with {data.target} = {label!r}, which there is at {listed(having)}",
        remedy="check whether it writes this class otherwise, or leave the site out"
        + ('; data.one_class = "keep" has it take part all the same' if only else ""),
        blocks=only and data.one_class != "keep",
    )


def _counted(data: Data, site: str, label: str, one: Seen) -> Iterator[Gap]:
    rows = one.counts.get(label)
    if rows is None or rows < FEW:
        many = f"fewer than {SMALL}" if rows is None else f"only {rows}"
        yield _few(data, site, label, found=f"{many} rows")


def _told(data: Data, site: str, label: str, read: Mapping[str, SeenTable]) -> Iterator[Gap]:
    """Find a class that a site has told to be much rarer than it is where others have told theirs."""
    shares = {
        other: share
        for other, table in read.items()
        if table.outcome == data.target
        for share in table.balance
        if share.label == label
    }
    own = shares.get(site)
    others = [share for other, share in shares.items() if other != site]
    # A class that is rare everywhere is how the disease is, and nothing of this site.
    if own is None or own.how != "under" or not others or not all(one.figure >= 2 * own.most for one in others):
        return
    found = f"under {own.most:.0%} of the rows"
    yield _few(data, site, label, found=found, beside="; at the others it is more frequent")


def _few(data: Data, site: str, label: str, *, found: str, beside: str = "") -> Gap:
    return Gap(
        site=site,
        column=data.target,
        kind="few",
        expected=f"{data.target} = {label}",
        found=found,
        says=f"{site} has {found} with {data.target} = {label!r}{beside}",
        remedy="what it learns and measures of this class will be uncertain; look at its intervals, or pool more years",
    )
