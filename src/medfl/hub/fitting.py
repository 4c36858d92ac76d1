"""Whether a study fits what sites have told of their data sets, before any run; see :mod:`medfl.readiness.check`."""

from __future__ import annotations

from collections.abc import Mapping

from medfl.errors import Complaint, did_you_mean, listed
from medfl.hub.told import Told
from medfl.readiness.check import gaps
from medfl.readiness.gap import Gap
from medfl.readiness.tables import Known, SeenTable, told
from medfl.spec.data import Data
from medfl.spec.study import Study


def misfits(study: Study, said: Mapping[str, Told]) -> list[Complaint]:
    """Return what of a study cannot be, by what its sites have told; of what they have not told nothing is said.

    Parameters
    ----------
    study
        The study; each of its arms counts.
    said
        What each site has told, by name.
    """
    complaints: dict[Complaint, None] = {}
    for arm in study.arms.values():
        known = tables(arm.data, said)
        complaints |= dict.fromkeys(known.unread.values())
        complaints |= dict.fromkeys(gap.complaint for gap in gaps(arm.data, known.tables) if gap.blocks)
    return list(complaints)


def doubts(study: Study, said: Mapping[str, Told]) -> list[Gap]:
    """Return what does not forbid a run but should be looked at: codes, ranges and missing values that differ."""
    found: dict[str, Gap] = {}
    for arm in study.arms.values():
        for gap in gaps(arm.data, tables(arm.data, said).tables):
            if not gap.blocks:
                found.setdefault(gap.says, gap)
    return list(found.values())


def tables(data: Data, said: Mapping[str, Told]) -> Known:
    """Return what the sites of a study have told of the data sets that it names.

    Parameters
    ----------
    data
        What the study says of its tables.
    said
        What each site has told, by name.
    """
    seen: dict[str, SeenTable] = {}
    unread: dict[str, Complaint] = {}
    for site, dataset in sorted((data.sites or {}).items()):
        known = said.get(site, Told())
        if known.known and dataset not in known.datasets:
            unread[site] = _no_such(site, dataset, known)
            continue
        table = told(known.datasets.get(dataset, {}))
        if table is not None:
            seen[site] = table
    return Known(tables=seen, unread=unread)


def untold(study: Study, said: Mapping[str, Told]) -> list[str]:
    """Return the sites of a study that have told nothing of the data set that it names, sorted."""
    asked = {(site, name) for arm in study.arms.values() for site, name in (arm.data.sites or {}).items()}
    return sorted({site for site, name in asked if "columns" not in said.get(site, Told()).datasets.get(name, {})})


def _no_such(site: str, dataset: str, known: Told) -> Complaint:
    there = listed(sorted(known.datasets), 20)
    return Complaint(
        "the site has no such data set",
        f"[data.sites] {site}",
        repr(dataset),
        did_you_mean(dataset, known.datasets) or f"by its own word there are: {there}",
    )
