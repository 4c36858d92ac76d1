"""Whether a study fits what sites have told of their data sets: names, columns, kinds and units, before any run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medfl.errors import Complaint, did_you_mean, listed
from medfl.hub.told import Told
from medfl.spec.study import Study

Entry = Mapping[str, Any]


def misfits(study: Study, told: Mapping[str, Told]) -> list[Complaint]:
    """Return what of a study cannot be, by what its sites have told; of what they have not told nothing is said.

    Parameters
    ----------
    study
        The study; each of its arms counts.
    told
        What each site has told, by name.
    """
    complaints: dict[Complaint, None] = {}
    for arm in study.arms.values():
        entries: dict[str, Entry] = {}
        for site, dataset in sorted((arm.data.sites or {}).items()):
            known = told.get(site, Told())
            if known.known and dataset not in known.datasets:
                complaints[_no_such(site, dataset, known)] = None
            elif "columns" in known.datasets.get(dataset, {}):
                entries[site] = known.datasets[dataset]
        complaints |= dict.fromkeys(_missing(arm, entries))
        complaints |= dict.fromkeys(_unlike(arm, entries))
    return list(complaints)


def untold(study: Study, told: Mapping[str, Told]) -> list[str]:
    """Return the sites of a study that have told nothing of the data set that it names, sorted."""
    asked = {(site, name) for arm in study.arms.values() for site, name in (arm.data.sites or {}).items()}
    return sorted({site for site, name in asked if "columns" not in told.get(site, Told()).datasets.get(name, {})})


def _no_such(site: str, dataset: str, told: Told) -> Complaint:
    there = listed(sorted(told.datasets), 20)
    return Complaint(
        "the site has no such data set",
        f"[data.sites] {site}",
        repr(dataset),
        did_you_mean(dataset, told.datasets) or f"by its own word there are: {there}",
    )


def _missing(arm: Study, entries: Mapping[str, Entry]) -> Iterator[Complaint]:
    """Complain of columns that are not there, or that the site's policy does not let a study know of."""
    for site, entry in entries.items():
        names = [*(column["name"] for column in entry["columns"]), *entry["other_columns"], entry["target"]]
        if entry.get("left_out"):
            continue
        for name in dict.fromkeys([arm.data.target, *(arm.data.features or ())]):
            if name not in names:
                hint = did_you_mean(name, names) or f"its columns are {listed(map(repr, names), 20)}"
                yield Complaint("the data set has no such column for studies", f"site {site}", repr(name), hint)


def _unlike(arm: Study, entries: Mapping[str, Entry]) -> Iterator[Complaint]:
    """Complain of columns that are of one kind, or in one unit, here and of another there."""
    asked = arm.data.features
    seen: dict[str, dict[str, Entry]] = {}
    for site, entry in entries.items():
        for column in entry["columns"]:
            if asked is None or column["name"] in asked:
                seen.setdefault(column["name"], {})[site] = column
    for name, columns in seen.items():
        if name not in arm.data.categorical and name != arm.data.target:
            yield from _different(name, columns, "kind", f'write it in [data] categorical = ["{name}"] if it is codes')
        yield from _different(
            name, _with_unit(arm, columns), "unit", "convert the values to one unit; MEDfl never does"
        )


def _with_unit(arm: Study, columns: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the columns whose unit is known, and the study's own word on it."""
    known = {site: column for site, column in columns.items() if column.get("unit")}
    for name in {column["name"] for column in known.values()} & set(arm.data.units):
        known["the study"] = {"unit": arm.data.units[name]}
    return known


def _different(name: str, columns: Mapping[str, Entry], what: str, remedy: str) -> Iterator[Complaint]:
    by_word: dict[str, Sequence[str]] = {}
    for site, column in columns.items():
        if what == "kind" and not (column.get("categories") or "minimum" in column or column["kind"] == "numeric"):
            continue  # Nothing is known of what is in it.
        by_word[str(column[what])] = [*by_word.get(str(column[what]), ()), site]
    if len(by_word) > 1:
        said = "; ".join(f"{word} at {listed(sites, 20)}" for word, sites in sorted(by_word.items()))
        yield Complaint(f"its {what} differs", f"column {name!r}", said, remedy)
