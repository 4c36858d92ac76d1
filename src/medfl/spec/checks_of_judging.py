"""What a study says of how its models are judged and compared, checked against the rest of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

from medfl.spec.data import ByColumn
from medfl.spec.finding import Finding
from medfl.spec.lines import KeyPath
from medfl.spec.study import Arm, Study

_SPLIT = ("test_fraction", "split_seed", "test_ids", "id_column")
_ROWS = ("target", "positive", "missing", "columns", "sites")


def judging(study: Study, *, sites: int | None) -> Iterator[Finding]:
    """Find what cannot be judged or compared as asked; `sites` is their number, where it is known."""
    return chain(_margin(study), _subgroups(study), _contributions(study, sites))


def grouped(study: Study) -> Iterator[tuple[KeyPath, str]]:
    """Yield the column of each grouping, with its key."""
    for name, how in (study.evaluation.subgroups or {}).items():
        yield ("evaluation", "subgroups", name, "column"), how.column


def regrouped(study: Study) -> Iterator[Finding]:
    """Find arms that group patients in another way, or other test rows: what differs in a few could be subtracted."""
    for position, arm in enumerate(study.arm):
        for part, key in _grouping(study, arm):
            what = f"{key} is the same for all arms, as comparing them could give a small group away"
            yield Finding(("arm", position, part, key), what, f"move it to [{part}] of the study")


def _grouping(study: Study, arm: Arm) -> Iterator[tuple[str, str]]:
    """Yield what an arm changes that decides which test rows there are and how they are grouped."""
    keys: dict[str, tuple[str, ...]] = {"evaluation": ("subgroups", "smallest_group")}
    if study.evaluation.subgroups is not None:
        keys = {"evaluation": (*keys["evaluation"], *_SPLIT), "data": _ROWS}
        changed = arm.preprocess if isinstance(arm.preprocess, Mapping) else {}
        before, after = study.preprocess.impute, changed.get("impute", study.preprocess.impute)
        if "drop" in (before, after):
            keys |= {"data": (*_ROWS, "features"), "preprocess": () if before == after else ("impute",)}
    for part, names in keys.items():
        change = getattr(arm, part)
        yield from ((part, name) for name in names if isinstance(change, Mapping) and name in change)


def _margin(study: Study) -> Iterator[Finding]:
    if study.evaluation.margin is not None and "centralised" not in study.evaluation.baselines:
        what = "margin compares the federation with all rows in one place, which is not among the baselines"
        yield Finding(("evaluation", "margin"), what, 'add "centralised" to baselines, or leave margin out')


def _subgroups(study: Study) -> Iterator[Finding]:
    evaluation, data = study.evaluation, study.data
    if evaluation.subgroups is None and evaluation.smallest_group is not None:
        what = "smallest_group is about subgroups, and there are none"
        yield Finding(("evaluation", "smallest_group"), what, "add [evaluation.subgroups], or leave it out")
    dealt = data.simulate.partition if data.simulate else None
    first: dict[str, str] = {}
    for path, column in grouped(study):
        name = str(path[-2])
        if not name.strip() or not name.isprintable():
            what = "the name of a grouping becomes a heading of tables, and this one cannot be read there"
            yield Finding(path[:-1], what, f'write for example "{column}"')
        elif name == "site":
            yield Finding(path[:-1], "every site is a group already, called so", "leave it out, or choose another name")
        elif column == data.target:
            what = f"the target {column} cannot group patients: each group would have one outcome only"
            yield Finding(path, what, "name another column")
        elif column == evaluation.id_column:
            yield Finding(path, f"{column} identifies rows: each group would be one of them", "name another column")
        elif isinstance(dealt, ByColumn) and column == dealt.column:
            what = f"{column} deals the rows: it says the same as the site, which always is a group"
            yield Finding(path, what, "leave it out")
        elif column in first:
            what = f"{column} is grouped twice, as {first[column]} and as {name}: a small group could be found by"
            yield Finding(path, f"{what} comparing them", "keep one of them")
        first.setdefault(column, name)


def _contributions(study: Study, sites: int | None) -> Iterator[Finding]:
    if study.evaluation.contributions is not None and getattr(study.model, "batch_norm", None) == "local":
        what = "a site that is left out has no batch normalisation of its own to judge the others' model with"
        yield Finding(("evaluation", "contributions"), what, 'leave contributions out, or batch_norm = "local"')
    if study.evaluation.contributions is not None and sites == 1:
        what = "the contribution of a site is measured by leaving it out; there is one site only"
        yield Finding(("evaluation", "contributions"), what, "leave contributions out")
