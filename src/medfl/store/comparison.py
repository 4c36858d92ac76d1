"""Estimates over repeats, and paired comparisons between arms and with the baselines.

Only runs whose last model was judged count. Repeats are paired by their seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean, stdev
from typing import Literal

from scipy.special import stdtr, stdtrit

from medfl.store.views import ExecutionView, RunView

How = Literal["t over repeats", "bootstrap", "single value", "orders of sites", "shufflings"]
Scope = Literal["pooled", "average of sites"]
CONFIDENCE = 0.95
NOT_ALIKE = "a site was left out of one of them: they were not judged on the same patients"
"""The reason why two ways of learning are not compared, where sites left one of them only."""
ROUNDING = 1e-9
"""Spread relative to the difference below which it is the computer's rounding, and no spread."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its 95 % interval.

    Parameters
    ----------
    mean
        Mean over the repeats.
    low, high
        The interval's ends; None where there is one value only and no bootstrap behind it. A t-interval may leave the
        metric's range.
    n
        Repeats behind it.
    how
        Where the interval comes from.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    how: How


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two ways of learning, over the same seeds.

    Parameters
    ----------
    first, second
        Names: of arms, of arms with ", fine-tuned" behind, "centralised" or "local-only".
    metric, scope
        What was compared: the metric over all sites' test rows, or its unweighted mean over the sites.
    first_mean, second_mean
        Means over the shared repeats.
    difference
        First minus second, with its 95 % interval by the same test; None without a shared repeat.
    p, p_holm
        Two-sided p-value, as it is and after Holm's correction over the family it was tested in.
    test
        The test's name.
    n
        Shared repeats.
    reason
        Why there is no p-value; empty when there is one.
    """

    first: str
    second: str
    metric: str
    scope: Scope
    first_mean: float | None = None
    second_mean: float | None = None
    difference: Estimate | None = None
    p: float | None = None
    p_holm: float | None = None
    test: Literal["corrected resampled t-test", "paired t-test"] = "paired t-test"
    n: int = 0
    reason: str = ""


def comparisons(execution: ExecutionView, metric: str) -> tuple[Comparison, ...]:
    """Compare each arm with each later arm and with each baseline, with Holm's correction over all of these.

    Against "local-only", which has no one model, the unweighted means over the sites are compared; and so is what each
    site made of an arm's model by fine-tuning it, with that model and with "local-only".
    """
    arms = tuple(execution.arms.values())
    centralised, alone = execution.baseline("centralised"), execution.baseline("local-only")
    pairs: list[tuple[Sequence[RunView], Sequence[RunView], Scope]] = [
        (*pair, "pooled") for pair in combinations(arms, 2)
    ]
    pairs += [(arm, centralised, "pooled") for arm in arms if centralised]
    pairs += [(arm, alone, "average of sites") for arm in arms if alone]
    for tuned in execution.fine_tuned.values():
        before = execution.arms[tuned[0].arm]
        pairs += [(tuned, other, "average of sites") for other in (before, alone) if other]
    return holm(paired_test(first, second, metric=metric, scope=scope) for first, second, scope in pairs)


def paired_test(
    first: Sequence[RunView], second: Sequence[RunView], *, metric: str, scope: Scope = "pooled"
) -> Comparison:
    """Compare two sets of runs (at least one each), paired by seed.

    Where all repeats share one split, this is the paired t-test: it speaks of the randomness of training on these very
    rows. Where each repeat draws its own split, the training sets overlap and the repeats are not independent: the
    variance of the mean is then s² (1/n + n_test/n_train) instead of s²/n (Nadeau & Bengio 2003, eq. 9).
    """
    ours, theirs = _by_seed(first, metric, scope), _by_seed(second, metric, scope)
    shared = ours.keys() & theirs.keys()
    seeds = sorted(shared & _judged_alike(first, second))
    fixed = all(map(_has_one_split, (first[0], second[0])))
    result = Comparison(
        first=first[0].way,
        second=second[0].way,
        metric=metric,
        scope=scope,
        test="paired t-test" if fixed else "corrected resampled t-test",
        n=len(seeds),
    )
    if not shared:
        return replace(result, reason="no two finished runs share a seed and have this metric")
    if not seeds:
        return replace(result, reason=NOT_ALIKE)
    result = replace(
        result, first_mean=fmean(ours[seed] for seed in seeds), second_mean=fmean(theirs[seed] for seed in seeds)
    )
    differences = [ours[seed] - theirs[seed] for seed in seeds]
    return _tested(result, differences, overlap=0.0 if fixed else _test_to_train(first))


def holm(family: Iterable[Comparison]) -> tuple[Comparison, ...]:
    """Correct the p-values of a family (Holm 1979): the smallest times m, the next times m − 1…, never falling."""
    results = list(family)
    order = sorted((i for i, result in enumerate(results) if result.p is not None), key=lambda i: results[i].p or 0.0)
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * (results[i].p or 0.0)))
        results[i] = replace(results[i], p_holm=highest)
    return tuple(results)


def across(runs: Sequence[RunView], metric: str, *, site: str | None = None) -> Estimate | None:
    """Estimate a metric (pooled, or at one site) over repeats; None where no run has it.

    One run alone takes its bootstrap interval.
    """
    found = [(run, value) for run in runs if (value := _value(run, metric, site)) is not None]
    if len(found) != 1:
        return estimate([value for _, value in found])
    (run, value), *_ = found
    interval = _interval(run, metric, site)
    return Estimate(value, *interval, 1, "bootstrap") if interval else estimate([value])


def average_across(runs: Sequence[RunView], metric: str) -> Estimate | None:
    """Estimate the unweighted mean over the sites, over repeats; None where no run has it."""
    return estimate([value for run in runs if (value := average_of_sites(run, metric)) is not None])


def average_of_sites(run: RunView, metric: str) -> float | None:
    """Return the unweighted mean over the sites where the metric is defined; None where it is nowhere."""
    judged = run.final.sites.values() if run.final else ()
    values = [value for metrics in judged if (value := metrics.get(metric)) is not None]
    return fmean(values) if values else None


def estimate(values: Sequence[float]) -> Estimate | None:
    """Return mean and 95 % t-interval of repeats; None of none."""
    if not values:
        return None
    if len(values) == 1:
        return Estimate(values[0], None, None, 1, "single value")
    return _t_interval(values, overlap=0.0)


def over_repeats(differences: Sequence[float], runs: Sequence[RunView]) -> Estimate:
    """Estimate a difference between models of the same repeats, with the interval of :func:`paired_test`.

    Parameters
    ----------
    differences
        One a repeat, at least one.
    runs
        Runs that read as those that are compared, for how their rows were split.
    """
    if len(differences) == 1:
        return Estimate(differences[0], None, None, 1, "single value")
    return _t_interval(differences, overlap=_overlap(runs))


def over_draws(values: Sequence[float], *, how: How) -> Estimate:
    """Estimate the mean of independent draws, such as orders of sites, with its 95 % t-interval."""
    if len(values) == 1:
        return Estimate(values[0], None, None, 1, "single value")
    return replace(_t_interval(values, overlap=0.0), how=how)


def _overlap(runs: Sequence[RunView]) -> float:
    return 0.0 if _has_one_split(runs[0]) else _test_to_train(runs)


def _tested(result: Comparison, differences: Sequence[float], *, overlap: float) -> Comparison:
    n = len(differences)
    if n < 2:
        difference = Estimate(differences[0], None, None, 1, "single value")
        return replace(result, difference=difference, reason="one repeat cannot tell chance from effect: set repeats")
    result = replace(result, difference=_t_interval(differences, overlap=overlap))
    error = _standard_error(differences, overlap)
    if error <= ROUNDING * max(map(abs, differences)):
        return replace(result, reason="the difference is the same in every repeat: nothing to test it against")
    return replace(result, p=float(2.0 * stdtr(n - 1, -abs(fmean(differences)) / error)))


def _t_interval(values: Sequence[float], *, overlap: float) -> Estimate:
    n, mean = len(values), fmean(values)
    half = float(stdtrit(n - 1, (1.0 + CONFIDENCE) / 2.0)) * _standard_error(values, overlap)
    return Estimate(mean, mean - half, mean + half, n, "t over repeats")


def _standard_error(values: Sequence[float], overlap: float) -> float:
    return float(stdev(values) * (1.0 / len(values) + overlap) ** 0.5)


def _judged_alike(first: Sequence[RunView], second: Sequence[RunView]) -> set[int]:
    """Return the seeds of which both were judged without the same sites."""
    ours, theirs = ({run.seed: run.dropped.keys() for run in runs} for runs in (first, second))
    return {seed for seed in ours.keys() & theirs.keys() if ours[seed] == theirs[seed]}


def _by_seed(runs: Sequence[RunView], metric: str, scope: Scope) -> Mapping[int, float]:
    measured = {run.seed: _value(run, metric) if scope == "pooled" else average_of_sites(run, metric) for run in runs}
    return {seed: value for seed, value in measured.items() if value is not None}


def _value(run: RunView, metric: str, site: str | None = None) -> float | None:
    if run.final is None:
        return None
    return (run.final.pooled if site is None else run.final.sites.get(site, {})).get(metric)


def _interval(run: RunView, metric: str, site: str | None) -> tuple[float, float] | None:
    if run.final is None:
        return None
    intervals = run.final.pooled_intervals if site is None else (run.final.site_intervals or {}).get(site)
    low, high = (intervals or {}).get(metric, (None, None))
    return None if low is None or high is None else (low, high)


def _has_one_split(run: RunView) -> bool:
    evaluation = run.asked("evaluation")
    return evaluation.get("split_seed") is not None or evaluation.get("test_ids") is not None


def _test_to_train(runs: Sequence[RunView]) -> float:
    """Return the ratio of test rows to training rows; what the spec asks for where no rows were counted."""
    sites = [site for run in runs for site in run.sites.values()]
    train = sum(site.train_rows or 0 for site in sites)
    if train:
        return sum(site.test_rows or 0 for site in sites) / train
    share = float(runs[0].asked("evaluation").get("test_fraction", 0.2))
    return share / (1.0 - share)
