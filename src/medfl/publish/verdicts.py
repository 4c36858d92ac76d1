"""What a comparison says, in a sentence that claims no more than the test does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from medfl.publish.ways import Mark, mark_of, ways
from medfl.publish.wording import are_equal, in_sentence, limits_of, listed, metric_of, number, p_value, sentence
from medfl.store.comparison import Comparison, Estimate, across
from medfl.store.noninferiority import NonInferiority, Verdict, noninferiority
from medfl.store.views import FINE_TUNED, ExecutionView

SIGNIFICANT = 0.05
_FEW = 3
"""Comparisons of one kind that are told one by one."""
_GLOBAL = "before fine-tuning"
_AGAINST = MappingProxyType(
    {
        "": "the other arms",
        "centralised": "all rows in one place",
        "local-only": "training alone",
        _GLOBAL: "the models before fine-tuning",
    }
)


def verdicts(execution: ExecutionView, results: Sequence[Comparison], *, metric: str) -> Iterator[str]:
    """Yield a sentence for each kind of comparison: one in full, a few in short, of many how many are clear."""
    for baseline, name in _AGAINST.items():
        family = [result for result in results if result.difference is not None and _kind(result) == baseline]
        if len(family) == 1:
            yield sentence(_in_full(execution, family[0], metric))
        elif len(family) > _FEW:
            yield sentence(_in_number(family, name))
        elif family:
            yield sentence(_in_short(execution, family, name=name, metric=metric))


VERDICTS: Mapping[Verdict, str] = MappingProxyType(
    {
        "non-inferior": "non-inferior",
        "inferior": "inferior",
        "not shown": "non-inferiority not shown",
        "not tested": "not tested",
    }
)


def margin_verdicts(execution: ExecutionView, metric: str) -> Iterator[str]:
    """Yield a sentence for each arm that was tested against a margin."""
    every = noninferiority(execution, metric)
    if len(every) > _FEW:
        yield sentence(_margins_in_number(every, metric))
        return
    for found in every:
        yield sentence(_margin_verdict(mark_of(execution, found.comparison.first), found, metric))


def _margins_in_number(every: Sequence[NonInferiority], metric: str) -> str:
    """Tell of many arms who passed, who failed, and of how many nothing is shown."""
    names = {verdict: [one.comparison.first for one in every if one.verdict == verdict] for verdict in VERDICTS}
    told = [f"{VERDICTS[verdict]}: {listed(who)}" for verdict, who in names.items() if who]
    smallest, largest = min(one.margin for one in every), max(one.margin for one in every)
    margin = f"the margin of {number(largest, metric=metric)}" if smallest == largest else "their margins"
    return f"against all rows in one place, by {margin} in {in_sentence(metric)}: {'; '.join(told)}"


def _margin_verdict(mark: Mark, found: NonInferiority, metric: str) -> str:
    who, margin, result = _spoken(mark), number(found.margin, metric=metric), found.comparison
    than = f"than all rows in one place by more than the margin of {margin} in {in_sentence(metric)}"
    gap = result.difference
    if found.verdict == "not tested" or gap is None or gap.low is None or gap.high is None:
        return f"Whether {who} is worse {than} was not tested: {result.reason or 'the metric has no better side'}"
    rising = metric_of(metric).higher_is_better
    edge = number(-found.margin if rising else found.margin, metric=metric)
    low, high = (number(end, metric=metric) for end in (gap.low, gap.high))
    told = f"the 95 % interval of the difference, {low} to {high},"
    split = " of one split, so of the chance in training only" if result.test == "paired t-test" else ""
    behind = f"({result.n} repeats{split}; one-sided test at 2.5 %, {p_value(found.p)})"
    match found.verdict:
        case "non-inferior":
            return f"{who} is not worse {than}: {told} lies wholly on the better side of {edge} {behind}"
        case "inferior":
            return f"{who} is worse {than}: {told} lies wholly on the worse side of {edge} {behind}"
    return f"that {who} is not worse {than} is not shown: {told} reaches across {edge} {behind}"


def apart(one: Estimate, other: Estimate, *, metric: str) -> bool:
    """Say whether two intervals have no point in common; False where one of them is not known."""
    first, second = limits_of(one, metric=metric), limits_of(other, metric=metric)
    return first is not None and second is not None and (first[1] < second[0] or second[1] < first[0])


def _kind(result: Comparison) -> str:
    if result.second in ("centralised", "local-only"):
        return result.second
    return _GLOBAL if result.first == f"{result.second}{FINE_TUNED}" else ""


def _in_full(execution: ExecutionView, result: Comparison, metric: str) -> str:
    first, second = (mark_of(execution, name) for name in (result.first, result.second))
    told = _difference(first, second, result, metric)
    if result.p_holm is not None:
        clear = "more than chance would explain" if result.p_holm < SIGNIFICANT else "which chance alone could explain"
        corrected = f"{p_value(result.p_holm)} after Holm's correction, {result.n} repeats"
        return f"{told}, {clear} ({corrected})"
    pooled = result.n == 1 and result.scope == "pooled"
    pair = [across(way.finished, metric) for way in ways(execution) if pooled and way.mark in (first, second)]
    known = [found for found in pair if found is not None and found.low is not None]
    if len(known) < 2:
        return f"{told}; {result.reason}"
    if apart(known[0], known[1], metric=metric):
        return f"{told}; the intervals do not overlap, but one repeat does not measure the chance in training"
    return f"{told}; the intervals overlap, so this run does not show that one is better than the other"


def _difference(first: Mark, second: Mark, result: Comparison, metric: str) -> str:
    """Return "The AUC of the federation is 0.004 lower than that of all rows in one place"."""
    found = result.difference
    if found is None:
        return ""
    gap = number(abs(found.mean), metric=metric)
    how = "as high as" if found.mean == 0 else f"{gap} {'higher' if found.mean > 0 else 'lower'} than"
    told = f"The {_measured(result, metric)} of {_spoken(first)} is {how} that of {_spoken(second)}"
    if found.low is None or found.high is None:
        return told
    if are_equal(found):
        return told  # That it is the same in every repeat is the reason why there is no test, and is told behind it.
    low, high = (number(end, metric=metric) for end in (found.low, found.high))
    return f"{told} (95 % interval of the difference {low} to {high})"


def _in_short(execution: ExecutionView, family: Sequence[Comparison], *, name: str, metric: str) -> str:
    told = listed(_one(_compared(execution, result), result, metric) for result in family)
    to = f"to {name}" if _kind(family[0]) else "between the arms"
    return f"Difference in {_measured(family[0], metric)} {to}: {told}; {_who_is_clear(execution, family)}"


def _compared(execution: ExecutionView, result: Comparison) -> str:
    """Return whose difference it is: of an arm to what the sentence names, or of one arm to another."""
    first, second = (mark_of(execution, name).label for name in (result.first, result.second))
    return first if _kind(result) else f"{first} vs {second}"


def _one(compared: str, result: Comparison, metric: str) -> str:
    gap = number(result.difference.mean if result.difference else None, metric=metric)
    return f"{compared} {gap}" + (f" ({p_value(result.p_holm)})" if result.p_holm is not None else "")


def _in_number(family: Sequence[Comparison], name: str) -> str:
    tested = [result.p_holm for result in family if result.p_holm is not None]
    if not tested:
        return f"Of {len(family)} differences to {name}, none was tested: that takes more than one repeat"
    clear = sum(p < SIGNIFICANT for p in tested)
    return (
        f"Of {len(family)} differences to {name}, {clear} are more than chance would explain, after Holm's correction"
    )


def _who_is_clear(execution: ExecutionView, family: Sequence[Comparison]) -> str:
    tested = [result for result in family if result.p_holm is not None]
    clear = [_compared(execution, one) for one in tested if one.p_holm is not None and one.p_holm < SIGNIFICANT]
    if not tested:
        return "without a test, which takes more than one repeat"
    if not clear:
        return "none more than chance would explain"
    return f"{'each' if len(clear) == len(family) else f'only {listed(clear)}'} more than chance would explain"


def _measured(result: Comparison, metric: str) -> str:
    name = in_sentence(metric)
    return f"mean {name} over the sites" if result.scope == "average of sites" else name


def _spoken(mark: Mark) -> str:
    if mark.personal:
        return "fine-tuning at each site" if mark.label == "fine-tuned" else f"arm {mark.label}"
    names = {"local-only": "training alone", "centralised": "all rows in one place"}
    return names.get(mark.role) or ("the federation" if mark.label == "federated" else f"arm {mark.label}")
