"""Says in plain language what a policy lets leave a site, and what never does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

from medfl.errors import listed
from medfl.site.rules import ANY, CountRules, Rules


@dataclass(frozen=True, slots=True)
class Said:
    """Sentences under a heading."""

    title: str
    sentences: tuple[str, ...]


def explained(rules: Rules) -> tuple[Said, ...]:
    """Return what the policy says, as sections of sentences."""
    return (
        Said("Who is answered", tuple(_answered(rules))),
        Said("What leaves", tuple(_leaves(rules))),
        Said("How counts of patients are protected", tuple(_counts(rules.counts))),
        Said("What does not leave", tuple(_stays(rules))),
        Said("What this policy cannot prevent", _CANNOT),
    )


def _answered(rules: Rules) -> Iterator[str]:
    accepts = rules.accepts
    yield f"Studies: {_names(accepts.studies)}. Models: {_names(accepts.models)}. Rules: {_names(accepts.algorithms)}."
    others = "" if accepts.columns == ANY else "; for it, there are no others"
    yield f"Columns that a study may know of: {_names(accepts.columns)}{others}."
    yield (
        f"The site takes part only with {accepts.minimum_rows} rows or more, also after a study has dropped rows, and "
        f"in studies of up to {accepts.maximum_rounds} rounds."
    )
    yield _APPROVAL[rules.approval.mode]
    lists = "may name" if accepts.test_lists else "may not name"
    yield f"A study {lists} a file with the IDs of its test rows; it is read only inside the study's folder."
    may = "may" if accepts.harmonise else "may not"
    yield f"A study {may} have columns read under other names, in other units or with other codes than they have here."
    if accepts.patient_id is None:
        yield "Studies that protect patients of several rows are not answered: no column is named to tell them apart."
    else:
        yield f"Patients are told apart by the column {accepts.patient_id}, and by no other."
    if rules.requires.secure_aggregation:
        yield "Sums leave only where the hub sees nothing but their total over the sites (secure aggregation)."
    else:
        yield "Sums may leave in clear: whoever runs the hub sees this site's own."
    most = {} if rules.requires.epsilon is None else rules.requires.epsilon.model_dump(exclude_none=True)
    if rules.requires.epsilon is None:
        yield "A study need not be differentially private."
    else:
        bounds = [f"{value:g} where the unit is one {unit}" for unit, value in most.items()]
        yield (
            f"A study must be differentially private, with an ε of at most {listed(bounds)}, and a δ of at most "
            f"{rules.requires.delta:g}. Noise that only the hub adds does not count."
        )
    if rules.budget is not None:
        yield (
            f"All studies of this table together may spend ε = {rules.budget.epsilon:g} and δ = {rules.budget.delta:g}."
        )


def _leaves(rules: Rules) -> Iterator[str]:
    releases = rules.releases
    yield "The study's columns by name, type and unit."
    yield from (_STATISTICS[name] for name in releases.statistics)
    yield from (_DETAILS[name] for name in releases.details)
    if "metrics" in releases.details:
        yield f"Of the metrics: {_names(releases.metrics)}. One that gives a small count away stays."
    yield _RANGES[releases.ranges]
    yield _CATEGORIES[releases.categories]
    if releases.errors == "details":
        yield "Of a failure, the sentence: it may name columns and say how many cells are wrong, and never a value."
    else:
        yield "Of a failure, only at which stage it happened and of which kind it is."
    if releases.catalogue:
        yield (
            "Without any study: of each data set the columns that studies can use, with what is said above of types, "
            "units, rows, missing values, ranges and categories."
        )
    yield from _beforehand(rules)
    yield "Of a rule's no, the rule and its reason; how long the site worked; what the policy held back, in words."


def _beforehand(rules: Rules) -> Iterator[str]:
    """Yield what else leaves without any study, where the policy says so."""
    counts, releases = rules.counts, rules.releases
    if releases.label_balance:
        yield (
            "With it: about which share of the rows each class of the outcome has, in tenths, or in coarser parts "
            f"where the table is small. Nothing of it where a class has fewer than {counts.minimum} rows. It is "
            "rounded, and no differential privacy."
        )
    if releases.catalogue:
        yield _again(rules)
    if releases.hardware:
        yield (
            "Without any study: how many cores the site's machine has, about how much memory, and whether there is a "
            "GPU."
        )


def _again(rules: Rules) -> str:
    """Return how what is told of a data set changes while its patients do."""
    many, patient = rules.counts.minimum_difference, rules.accepts.patient_id
    if many == 1:
        return (
            "What is told of a data set follows each row: what is told before and after one patient came, or that "
            "something is told at all, can give that patient's outcome away."
        )
    if patient is not None:
        return (
            f"What is told of a data set, also that nothing is, stays the same to the last word until {many} of the "
            f"patients with an outcome are others, by the column {patient} (by all cells of a row, where a table has "
            "none), in any data set with an outcome of that name."
        )
    return (
        f"What is told of a data set, also that nothing is, stays the same to the last word until {many} of the rows "
        "with an outcome have changed. A row is known by all its cells: where a column comes or goes, or other cells "
        "change at the same time, all are new, and a single patient's outcome may show. Name the column that tells "
        "patients apart (patient_id in [accepts]) to prevent that."
    )


def _counts(counts: CountRules) -> Iterator[str]:
    match counts.treatment:
        case "suppress":
            yield f"Counts from 1 to {counts.minimum - 1} are left out, and others from which they would follow."
        case "round":
            how = "up or down at random so that the mean stays" if counts.unbiased else "to the nearest"
            yield f"Counts are rounded to multiples of {counts.base}, {how}."
        case "noise":
            yield f"Counts are blurred by about {counts.noise:g}; this is no differential privacy."
    yield f"Histograms are coarsened until each bin has nobody or {counts.minimum} patients of each outcome."
    yield (
        f"An outcome that fewer than {counts.minimum} patients have keeps the site out; groups of patients leave from "
        f"{counts.minimum} on; a model is judged on {counts.minimum_test_rows} test rows or more."
    )
    yield "What the hub sees only added up over sites is exact, as nothing else could be added up."
    if counts.minimum_difference > 1:
        yield (
            f"The site remembers whom it told something about, and refuses what is about nearly the same patients: all "
            f"but {counts.minimum_difference - 1} of them or fewer."
        )


def _stays(rules: Rules) -> Iterator[str]:
    yield "A row, a patient's ID, the score of a single patient, the site's log."
    named = {*rules.releases.statistics, *rules.releases.details}
    stays = [name for name in (*_STATISTICS, *_DETAILS) if name not in named]
    untold = [_UNTOLD[key] for key in _UNTOLD if not getattr(rules.releases, key)]
    if untold:
        yield f"Without a study that was let in: {listed(untold, 20)}."
    if stays:
        yield f"Because the policy does not name it: {listed(stays, 20)}."


_APPROVAL = MappingProxyType(
    {
        "each": "At an enrolled site a person approves each study, by its digest; that is as good as naming it above.",
        "within-policy": "At an enrolled site a study that all these rules accept needs no person to approve it.",
    }
)
_STATISTICS = MappingProxyType(
    {
        "sums": "Sums and counts over the training rows, from which columns are brought to one scale.",
        "update": "Each round, how the model changed, times the number of training rows, and that number.",
        "evaluation": "How many test patients with and without the outcome got which score, and sums of errors.",
        "subgroups": "The same for groups of patients that are large enough.",
        "importance": "The same with one feature shuffled.",
    }
)
_DETAILS = MappingProxyType(
    {
        "rows": "How many rows the table has, and how many are for training and for testing.",
        "classes": "How many of these have which outcome.",
        "missing": "How many values of each column are missing.",
        "other-columns": "The names of columns that the study does not use.",
        "loss": "The loss in training, each round.",
        "metrics": "The site's own metrics.",
        "intervals": "Their intervals.",
    }
)
_RANGES = MappingProxyType(
    {
        "exact": "The smallest and largest value of each column: values of single patients, without saying whose.",
        "rounded": "The range of each column, widened to round numbers.",
        "withheld": "No range of a column, unless the study itself declares it: others cannot run.",
    }
)
_CATEGORIES = MappingProxyType(
    {
        "all": "The name of every category, also of one that a single patient has.",
        "pooled": "The names of categories; rare ones together, as (other).",
        "withheld": "The names of categories; rare ones are taken as missing values.",
    }
)
_UNTOLD = MappingProxyType(
    {
        "catalogue": "what the data sets are like",
        "label_balance": "how the classes of an outcome are balanced",
        "hardware": "what the site's machine is like",
    }
)
_CANNOT = (
    "Three or more answers that only together single out a patient; two tables that hold the same patients under other "
    "policies; what somebody knows already. Differential privacy bounds these, and only it does.",
    "That a study is refused because few patients have an outcome, and answered when one more has it: its no tells of "
    "that patient, to whoever knows the others.",
    "Learning from updates seen in clear whether a known patient took part: require secure aggregation.",
)


def _names(names: tuple[str, ...] | str) -> str:
    return "any" if names == ANY else listed(names, 20)
