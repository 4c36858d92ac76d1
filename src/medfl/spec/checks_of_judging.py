"""What a study says of how its models are judged and compared, checked against the rest of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

from medfl.spec.data import ByColumn
from medfl.spec.finding import Finding
from medfl.spec.lines import KeyPath
from medfl.spec.study import Study


def judging(study: Study, *, sites: int | None) -> Iterator[Finding]:
    """Find what cannot be judged or compared as asked; `sites` is their number, where it is known."""
    return chain(_margin(study), _subgroups(study), _contributions(study, sites))


def grouped(study: Study) -> Iterator[tuple[KeyPath, str]]:
    """Yield the column of each grouping, with its key."""
    for name, how in (study.evaluation.subgroups or {}).items():
        yield ("evaluation", "subgroups", name, "column"), how.column


def regrouped(study: Study) -> Iterator[Finding]:
    """Find arms that group patients in another way: two ways of cutting the same rows could be subtracted."""
    for position, arm in enumerate(study.arm):
        change = arm.evaluation if isinstance(arm.evaluation, Mapping) else {}
        for key in ("subgroups", "smallest_group"):
            if key in change:
                what = f"{key} is the same for all arms, as comparing them could give a small group away"
                yield Finding(("arm", position, "evaluation", key), what, "move it to [evaluation] of the study")


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
        if name == "site":
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
