"""What the parts of a study must agree on, as far as it can be said without data."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

from medfl.spec.checks_of_judging import grouped, judging, regrouped
from medfl.spec.checks_of_privacy import guarding
from medfl.spec.checks_of_secrecy import secrecy
from medfl.spec.checks_of_tables import harmonising
from medfl.spec.data import ByColumn, Data, Dirichlet, Quantiles
from medfl.spec.examine import examined, refusal
from medfl.spec.finding import Finding, closest
from medfl.spec.lines import KeyPath
from medfl.spec.merging import merge
from medfl.spec.model import Linear, Logistic
from medfl.spec.study import Study

DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
"""What may be the name of a data set that several hospitals have; with a full stop or a slash it is a file."""
SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
COMPARISON = re.compile(r"\s*(?:[<>]=?|[=!]?=)(.*)")


def check(study: Study) -> None:
    """Refuse a study whose parts contradict each other; for studies that were built in Python.

    Raises
    ------
    SpecError
        With everything that is wrong at once.
    """
    if found := contradictions(study):
        raise refusal(found, study.model_dump(mode="json", exclude_none=True))


def contradictions(study: Study) -> list[Finding]:
    """Return what the parts of a study disagree on, in any of its arms.

    What is wrong in every arm is told once, of the study; what an arm brings in is told of the arm.
    """
    base = study.model_dump(mode="json", exclude_none=True)
    by_arm: list[list[Finding]] = []
    for arm in study.arm:
        variant, found = examined(merge(base, arm.overrides))
        by_arm.append([*found, *(_findings(variant, study) if variant else ())])
    shared = [finding for finding in _findings(study, study) if all(finding in found for found in by_arm)]
    own = [
        replace(finding, path=("arm", position, *finding.path))
        for position, found in enumerate(by_arm)
        for finding in found
        if finding not in shared
    ]
    return [*_arms(study), *regrouped(study), *shared, *own]


def _findings(study: Study, whole: Study) -> list[Finding]:
    """Return what is wrong with one arm; `whole` is the study with all its arms."""
    checks = (
        _twice(study),
        _columns(study, whole),
        _target(study),
        _outcome(study),
        _sites(study),
        _dealing(study),
        harmonising(study, known=_speaking(study, whole)),
        _test_rows(study),
        judging(study, sites=_site_count(study.data)),
        guarding(study, whole, sites=_site_count(study.data)),
        secrecy(study, sites=_site_count(study.data)),
        _rule(study),
    )
    return list(chain.from_iterable(checks))


def _arms(study: Study) -> Iterator[Finding]:
    for position, arm in enumerate(study.arm):
        if arm.name in study.evaluation.baselines:
            what = f"{arm.name} is the name of a baseline of this study"
            yield Finding(("arm", position, "name"), what, "give the arm another name")


def _twice(study: Study) -> Iterator[Finding]:
    """Find names that a list has twice."""
    simulate = study.data.simulate
    lists: dict[KeyPath, Sequence[str]] = {
        ("data", "features"): study.data.features or (),
        ("data", "categorical"): study.data.categorical,
        ("data", "columns"): study.data.columns or (),
        ("data", "missing"): study.data.missing,
        ("data", "simulate", "names"): (simulate.names if simulate else None) or (),
        ("evaluation", "baselines"): study.evaluation.baselines,
    }
    for path, names in lists.items():
        for position, name in enumerate(names):
            if name in names[:position]:
                yield Finding((*path, position), f"{path[-1]} has {name} twice", "keep one of them")


def _columns(study: Study, whole: Study) -> Iterator[Finding]:
    """Find names of columns that no table will have."""
    data = study.data
    speaking = list(_column_names(study))
    known: tuple[str, ...]
    if data.columns is not None:
        renamed = [name for table in (data.harmonise or {}).values() for name in table.columns]
        known, there = (*data.columns, *renamed), "data.columns"
    elif data.features is not None:
        # An arm may learn from fewer features; what it does not use any more may stay marked as categorical.
        known, there = (*data.features, *(whole.data.features or ()), data.target), "data.features"
        speaking = [(path, name) for path, name in speaking if path[:2] in (("data", "categorical"), ("data", "units"))]
    else:
        return
    for path, name in speaking:
        if name not in known:
            meant = closest(name, known)
            remedy = f"did you mean {meant}?" if meant else f"add it to {there}, or leave it out"
            yield Finding(path, f"there is no column {name} in {there}", remedy)


def _speaking(study: Study, whole: Study) -> set[str] | None:
    """Return the columns that a study speaks of; None where it learns from all there are."""
    if study.data.features is None:
        return None
    return {*(name for _, name in _column_names(study)), *(whole.data.features or ())}


def _column_names(study: Study) -> Iterator[tuple[KeyPath, str]]:
    """Yield every name of a column that a study speaks of, with its key."""
    data = study.data
    yield ("data", "target"), data.target
    for key, names in (("features", data.features or ()), ("categorical", data.categorical)):
        yield from ((("data", key, position), name) for position, name in enumerate(names))
    yield from ((("data", "units", name), name) for name in data.units)
    if data.simulate and isinstance(data.simulate.partition, ByColumn | Quantiles):
        yield ("data", "simulate", "partition", "column"), data.simulate.partition.column
    if study.evaluation.id_column is not None:
        yield ("evaluation", "id_column"), study.evaluation.id_column
    yield from grouped(study)
    if study.privacy.dp is not None:
        named = {key: getattr(study.privacy.dp, key) for key in ("ranges", "categories")}
        yield from ((("privacy", "dp", key, name), name) for key, names in named.items() for name in names)
        if study.privacy.dp.patient_id is not None:
            yield ("privacy", "dp", "patient_id"), study.privacy.dp.patient_id


def _target(study: Study) -> Iterator[Finding]:
    """Find columns that play two parts of which one gives the other away."""
    data, features = study.data, study.data.features or ()
    if data.target in features:
        path = ("data", "features", features.index(data.target))
        what = f"the target {data.target} is among the features, which would give the answer away"
        yield Finding(path, what, "take it out of the features")
    identifier = study.evaluation.id_column
    if identifier is not None and identifier in (data.target, *features):
        role = "the target" if identifier == data.target else "a feature"
        what = f"{identifier} identifies rows and is {role} as well"
        yield Finding(("evaluation", "id_column"), what, "name another column, or take it out there")
    partition = data.simulate.partition if data.simulate else None
    if isinstance(partition, ByColumn) and partition.column in features:
        path = ("data", "features", features.index(partition.column))
        what = f"{partition.column} deals the rows: all rows of a site have the same, so it cannot be a feature"
        yield Finding(path, what, "take it out of the features")
    by_target = isinstance(partition, ByColumn | Quantiles) and partition.column == data.target
    if by_target and not (isinstance(partition, Quantiles) and _is_regression(study)):
        what = f"rows are dealt by the target {data.target}: a site would have one outcome only"
        remedy = 'name another column; for sites that differ in outcome choose { kind = "dirichlet", alpha = 0.5 }'
        yield Finding(("data", "simulate", "partition", "column"), what, remedy)


def _outcome(study: Study) -> Iterator[Finding]:
    """Find what does not fit the kind of outcome."""
    data, linear = study.data, isinstance(study.model, Linear)
    if linear and data.outcome in ("binary", "multiclass"):
        what = f"a linear model predicts numbers; the outcome is {data.outcome}"
        yield Finding(("model", "kind"), what, 'choose kind = "logistic" or "mlp"')
    if isinstance(study.model, Logistic) and data.outcome == "regression":
        what = "a logistic model predicts classes; the outcome is a number"
        yield Finding(("model", "kind"), what, 'choose kind = "linear" or "mlp"')
    if data.positive is not None:
        yield from _positive(study, data.positive)
    if _is_regression(study):
        yield from _needs_classes(study)
    if data.outcome == "multiclass" and study.evaluation.threshold != 0.5:
        what = "a threshold divides two classes; the outcome is multiclass"
        yield Finding(("evaluation", "threshold"), what, "leave threshold out")


def _positive(study: Study, positive: str) -> Iterator[Finding]:
    path = ("data", "positive")
    if study.data.outcome in ("multiclass", "regression") or isinstance(study.model, Linear):
        kind = study.data.outcome or "regression"
        what = f"positive makes a yes or no of the target; the outcome is {kind}"
        yield Finding(path, what, 'leave positive out, or set outcome = "binary" and choose a model for it')
    comparison = COMPARISON.fullmatch(positive)
    if not positive.strip() or (comparison and not _is_number(comparison[1])):
        what = "a comparison needs a number behind its sign"
        yield Finding(path, what, 'write a comparison such as "> 0", or the positive value alone, such as "yes"')


def _needs_classes(study: Study) -> Iterator[Finding]:
    """Find what only makes sense for classes in a study whose outcome is a number."""
    if study.training.class_weight is not None:
        what = "class_weight weighs classes; the outcome is a number"
        yield Finding(("training", "class_weight"), what, "leave class_weight out")
    if study.evaluation.threshold != 0.5:
        what = "a threshold divides classes; the outcome is a number"
        yield Finding(("evaluation", "threshold"), what, "leave threshold out")


def _is_regression(study: Study) -> bool:
    return study.data.outcome == "regression" or isinstance(study.model, Linear)


def _sites(study: Study) -> Iterator[Finding]:
    """Find names of sites that cannot be used, and sites that are asked for but do not exist."""
    for path, name in _named_sites(study.data):
        if not SITE.fullmatch(name):
            plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:80]
            remedy = f"use letters, digits, dots, dashes and underscores only{f', such as {plain}' if plain else ''}"
            yield Finding(path, f"the site name {name!r} would become part of file names and cannot be used", remedy)
    count = _site_count(study.data)
    for key, otherwise in (("min_sites", "all must answer"), ("min_asked", "the fraction alone counts")):
        least = getattr(study.algorithm, key)
        if count is not None and least is not None and least > count:
            what = f"{key} asks for {least} sites; there are {count}"
            yield Finding(("algorithm", key), what, f"write {count} at most, or leave it out: {otherwise}")
    yield from _same_file(("data", "sites"), study.data.sites or {})
    yield from _same_file(("evaluation", "test_ids"), study.evaluation.test_ids or {})


def _named_sites(data: Data) -> list[tuple[KeyPath, str]]:
    if data.sites is not None:
        return [(("data", "sites", name), name) for name in data.sites]
    names = (data.simulate.names if data.simulate else None) or ()
    return [(("data", "simulate", "names", position), name) for position, name in enumerate(names)]


def _site_count(data: Data) -> int | None:
    """Return how many sites there are; None where it follows from data that are not at hand."""
    if named := _named_sites(data):
        return len(named)
    by_value = data.simulate is not None and isinstance(data.simulate.partition, ByColumn)
    return data.simulate.sites if data.simulate is not None and not by_value else None


def _same_file(path: KeyPath, files: dict[str, str]) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for name, file in files.items():
        if not file.strip():
            yield Finding((*path, name), f"{name} has no file", "write the file's path, relative to the study")
        elif file in first and not (DATASET.fullmatch(file) and path[0] == "data"):
            what = f"{name} reads the same file as {first[file]}: the same people would count twice"
            yield Finding((*path, name), what, f"give {name} its own file")
        first.setdefault(file, name)


def _dealing(study: Study) -> Iterator[Finding]:
    """Find what does not fit the way in which one table is dealt out."""
    data, simulate = study.data, study.data.simulate
    if simulate is None:
        return
    partition = simulate.partition
    if simulate.bundled is not None and data.columns is not None:
        what = f"the bundled data set {simulate.bundled} has column names of its own"
        yield Finding(("data", "columns"), what, "leave columns out")
    if isinstance(partition, Quantiles) and partition.column in data.categorical:
        what = f"{partition.column} is categorical; quantiles need a column of quantities"
        remedy = f'name another column, or write partition = {{ kind = "column", column = "{partition.column}" }}'
        yield Finding(("data", "simulate", "partition", "column"), what, remedy)
    if simulate.table is not None and not simulate.table.strip():
        yield Finding(("data", "simulate", "table"), "table names no file", "write its path, relative to the study")
    if isinstance(partition, Dirichlet):
        yield from _smallest_site(study, partition.min_rows)


def _smallest_site(study: Study, rows: int) -> Iterator[Finding]:
    share = study.evaluation.test_fraction
    if study.evaluation.test_ids is None and rows - math.ceil(share * rows) < 1:
        what = f"of a site's {rows} rows, which min_rows allows, test_fraction = {share:g} leaves none to train on"
        yield Finding(("evaluation", "test_fraction"), what, "lower test_fraction, or raise min_rows of the partition")


def _test_rows(study: Study) -> Iterator[Finding]:
    """Find lists of test rows that cannot be matched to rows or sites."""
    evaluation, names = study.evaluation, [name for _, name in _named_sites(study.data)]
    if evaluation.test_ids is None:
        return
    if evaluation.id_column is None:
        what = "test_ids lists the IDs of test rows, but no column is said to hold them"
        yield Finding(("evaluation", "test_ids"), what, 'name the column: id_column = "…"')
    for name in evaluation.test_ids:
        if names and name not in names:
            meant = closest(name, names)
            remedy = f"did you mean {meant}?" if meant else f"the sites are {', '.join(names[:10])}"
            yield Finding(("evaluation", "test_ids", name), f"there is no site {name}", remedy)
    if missing := [name for name in names if name not in evaluation.test_ids]:
        what = f"test_ids has no list for {', '.join(missing[:10])}{'…' if len(missing) > 10 else ''}"
        remedy = f'add {missing[0]} = "FILE" with one ID a line, for every site'
        yield Finding(("evaluation", "test_ids"), what, remedy)


def _rule(study: Study) -> Iterator[Finding]:
    """Find what an aggregation rule is not made for."""
    rule, count = study.algorithm, _site_count(study.data)
    if rule.min_asked is not None and rule.fraction is None:
        what = "min_asked is the least that a fraction of the sites may be; without fraction every round asks all"
        yield Finding(("algorithm", "min_asked"), what, "set fraction as well, such as fraction = 0.5, or leave it out")
    for key, what, remedy in rule.misfits(study.training):
        yield Finding(("training", key), what, remedy)
    short = None if count is None else rule.shortfall(rule.asked(count))
    if count is not None and short is not None:
        asked = rule.asked(count)
        remedy = short[1] if asked == count else f"raise fraction or min_asked, {short[1]}"
        yield Finding(("algorithm", "kind"), f"{short[0]}; {_asked(asked, count)}", remedy)


def _asked(asked: int, sites: int) -> str:
    return f"there are {sites} sites" if asked == sites else f"{asked} of {sites} sites are asked"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
