"""What a study says of how each site's table is read, as far as it can be told wrong without the tables."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from medfl.spec.data import Data
from medfl.spec.finding import Finding, closest
from medfl.spec.harmonising import Translation
from medfl.spec.lines import KeyPath
from medfl.spec.study import Study


def harmonising(study: Study, *, known: Collection[str] | None) -> Iterator[Finding]:
    """Find sites, columns and units that cannot be meant.

    Parameters
    ----------
    study
        The study.
    known
        Columns that the study speaks of; None where it learns from all there are.
    """
    data = study.data
    if data.harmonise is None:
        return
    if data.simulate is not None:
        what = "rows are dealt out from one table here, which names and writes its columns in one way"
        yield Finding(("data", "harmonise"), what, "leave harmonise out, or give each site its own table in data.sites")
    for site, table in data.harmonise.items():
        path: KeyPath = ("data", "harmonise", site)
        if data.sites is not None and site not in data.sites:
            meant = closest(site, data.sites)
            remedy = f"did you mean {meant}?" if meant else f"the sites are {', '.join(list(data.sites)[:10])}"
            yield Finding(path, f"there is no site {site}", remedy)
        for name, one in table.columns.items():
            yield from _column(study, (*path, "columns", name), one, known)


def _column(study: Study, path: KeyPath, one: Translation, known: Collection[str] | None) -> Iterator[Finding]:
    name = str(path[-1])
    if known is not None and name not in known:
        meant = closest(name, known)
        remedy = f"did you mean {meant}?" if meant else "add it to data.features, or leave it out"
        yield Finding(path, f"the study has no column {name}", remedy)
    if name in _identifying(study) and (one.codes is not None or one.is_scaled):
        what = f"{name} tells patients apart: it can have another name at a site, but is not converted"
        yield Finding(path, what, "keep called only")
    if one.codes is not None and name in study.data.units:
        what = f"{name} has codes here, and a unit in data.units"
        yield Finding((*path, "codes"), what, "convert it with factor and offset, or take it out of data.units")
    yield from _unit(study.data, path, one)


def _unit(data: Data, path: KeyPath, one: Translation) -> Iterator[Finding]:
    unit = data.units.get(str(path[-1]))
    if one.unit is not None and unit is not None and one.unit != unit and not one.is_scaled:
        what = f"its unit is {one.unit} there and {unit} in data.units, and nothing converts it"
        yield Finding((*path, "unit"), what, "add factor: what a number there is multiplied by")


def _identifying(study: Study) -> set[str | None]:
    dp = study.privacy.dp
    return {study.evaluation.id_column, None if dp is None else dp.patient_id} - {None}
