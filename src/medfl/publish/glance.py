"""A study in one glance: a few numbers and sentences in plain words, and what they do not show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from medfl.publish.ways import Mark, Way, arms, mark_of, ways
from medfl.publish.wording import (
    counted,
    difference,
    in_sentence,
    interval,
    label,
    limits_of,
    listed,
    metric_of,
    number,
    p_value,
    sentence,
    shortened,
    whole,
    with_interval,
)
from medfl.store.comparison import Comparison, Estimate, across, comparisons
from medfl.store.results import headline, worst_site
from medfl.store.views import ExecutionView

SIGNIFICANT = 0.05
FEW_ROWS = 200
"""With fewer test rows than this, an interval of an AUC is wider than most differences one looks for."""

_FEW = 3
"""Comparisons of one kind that are told one by one."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One number to remember.

    Parameters
    ----------
    value, note
        The number as text, and in small what belongs to it.
    """

    mark: Mark
    title: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Glance:
    """Tiles, what the numbers say, and what they do not show."""

    metric: str
    tiles: tuple[Tile, ...] = ()
    says: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()


def glance(execution: ExecutionView) -> Glance:
    """Return the study in one glance; without tiles and sentences where nothing was judged yet."""
    metric = next(iter(headline(execution)), "")
    judged = [way for way in ways(execution) if way.finished]
    if not metric or not judged:
        return Glance(metric)
    results = comparisons(execution, metric)
    says = (
        *_together(execution, metric),
        *_alone(execution, metric),
        *_versus(execution, results, metric),
        *_worst(execution, metric),
    )
    return Glance(metric, tuple(_tiles(judged, metric)), says, tuple(_cautions(execution, metric)))


def _tiles(judged: Sequence[Way], metric: str) -> Iterator[Tile]:
    for way in judged:
        if way.mark.role == "local-only":
            found = [estimate for _, estimate in _by_site(way, metric)]
            if found:
                ends = (min(each.mean for each in found), max(each.mean for each in found))
                value = (
                    number(ends[0], metric=metric)
                    if ends[0] == ends[1]
                    else "–".join(number(end, metric=metric) for end in ends)
                )
                yield Tile(
                    way.mark,
                    "Each site alone",
                    value,
                    "lowest and highest site" if len(found) > 1 else "its own test rows",
                )
            continue
        pooled = across(way.finished, metric)
        if pooled is not None:
            title = "All rows in one place" if way.mark.role == "centralised" else _titled(way.mark)
            yield Tile(way.mark, title, number(pooled.mean, metric=metric), _interval_note(pooled, metric))


def _titled(mark: Mark) -> str:
    return "Federated" if mark.label == "federated" else f"Federated, {shortened(mark.label, 20)}"


def _interval_note(estimate: Estimate, metric: str) -> str:
    limits = limits_of(estimate, metric=metric)
    if limits is None:
        return "one run, no interval"
    return f"95 %: {interval(*limits, metric=metric)}"


def _together(execution: ExecutionView, metric: str) -> Iterator[str]:
    federated = [(way, found) for way in arms(execution) if (found := across(way.finished, metric))]
    if not federated:
        return
    run = federated[0][0].finished[0]
    rows = sum(site.test_rows or 0 for site in run.sites.values())
    who = f"the {counted(len(run.sites), 'site')}" if len(run.sites) > 1 else "the one site"
    name = _article(metric)
    if len(federated) > 3:
        ends = [min(federated, key=lambda pair: pair[1].mean), max(federated, key=lambda pair: pair[1].mean)]
        told = " and ".join(f"{with_interval(found, metric=metric)} with {way.mark.label}" for way, found in ends)
        told = f"between {told}"
    else:
        several = len(federated) > 1
        told = listed(
            with_interval(found, metric=metric) + (f" with {way.mark.label}" if several else "")
            for way, found in federated
        )
    yield sentence(
        f"Together, {who} reach{'es' if len(run.sites) == 1 else ''} {name} of {told}, measured on {whole(rows)} test rows "
        f"that were kept out of training{'; in parentheses the 95 % interval' if federated[0][1].low is not None else ''}"
    )


def _article(metric: str) -> str:
    text = in_sentence(metric)
    return f"an {text}" if text[0] in "aeioAEFHILMNORSX" and not text.startswith("one") else f"a {text}"


def _alone(execution: ExecutionView, metric: str) -> Iterator[str]:
    every = {way.mark.role: way for way in reversed(ways(execution)) if way.finished}
    alone, federated = every.get("local-only"), every.get("arm")
    if alone is None:
        return
    own = dict(_by_site(alone, metric))
    if not own:
        return
    text = f"Alone, each site reaches {_range(own, metric)} on its own test rows"
    if federated is None or len(own) < 2:
        yield sentence(text)
        return
    shared = {site: found for site, found in _by_site(federated, metric) if site in own}
    better = metric_of(metric).higher_is_better
    gains = [
        site
        for site in shared
        if better is not None and (shared[site].mean > own[site].mean) == better and shared[site].mean != own[site].mean
    ]
    clear = [site for site in gains if _apart(shared[site], own[site], metric)]
    name = "the federated model" if federated.mark.label == "federated" else f"the model of {federated.mark.label}"
    yield sentence(
        f"{text}; {name} reaches {_range(shared, metric)} on the same rows and is better at {len(gains)} of {len(shared)} sites"
    )
    if shared:
        yield sentence(
            f"At {len(clear)} of {len(shared)} sites the two intervals do not even overlap"
            if clear
            else "At every site the two intervals overlap, so a gain at any single site is not shown by these numbers"
        )


def _range(by_site: dict[str, Estimate], metric: str) -> str:
    low, high = (chosen(by_site.items(), key=lambda pair: pair[1].mean) for chosen in (min, max))
    if low[0] == high[0]:
        return with_interval(low[1], metric=metric)
    ends = [f"{number(found.mean, metric=metric)} ({shortened(site)})" for site, found in (low, high)]
    return f"between {ends[0]} and {ends[1]}"


_FAMILIES = {"": "the other arms", "centralised": "all rows in one place", "local-only": "training alone"}


def _versus(execution: ExecutionView, results: Sequence[Comparison], metric: str) -> Iterator[str]:
    """Tell one comparison of a kind in full, a few in short, and of many only how many are clear."""
    for baseline, name in _FAMILIES.items():
        family = [
            result
            for result in results
            if result.difference is not None and (result.second if result.second in _FAMILIES else "") == baseline
        ]
        if len(family) == 1:
            yield sentence(_verdict(execution, family[0], metric))
        elif family:
            yield sentence(_in_short(family, name, metric))


def _in_short(family: Sequence[Comparison], name: str, metric: str) -> str:
    tested = [result for result in family if result.p_holm is not None]
    clear = [result.first for result in tested if (result.p_holm or 0.0) < SIGNIFICANT]
    if not tested:
        verdict = "without a test, which takes more than one repeat"
    elif len(family) > _FEW:
        return f"Of {len(family)} differences to {name}, {len(clear)} are more than chance would explain, after Holm's correction"
    else:
        verdict = _who_differs(clear, len(family))
    told = ", ".join(f"{result.first} {_gap(result, metric)}{_maybe_p(result)}" for result in family[:_FEW])
    rest = f" and {len(family) - _FEW} more" if len(family) > _FEW else ""
    over = (
        f"mean {in_sentence(metric)} over the sites" if family[0].scope == "average of sites" else in_sentence(metric)
    )
    return f"Difference in {over} to {name}: {told}{rest}; {verdict}"


def _who_differs(clear: Sequence[str], count: int) -> str:
    if not clear:
        return "none more than chance would explain"
    return f"{'each' if len(clear) == count else f'only {listed(clear)}'} more than chance would explain"


def _gap(result: Comparison, metric: str) -> str:
    found = result.difference
    return number(found.mean if found else None, metric=metric)


def _maybe_p(result: Comparison) -> str:
    return f" ({p_value(result.p_holm)})" if result.p_holm is not None else ""


def _verdict(execution: ExecutionView, result: Comparison, metric: str) -> str:
    first, second = (mark_of(execution, name) for name in (result.first, result.second))
    told = _difference(first, second, result, metric)
    if result.p_holm is not None:
        known = "more than chance would explain" if result.p_holm < SIGNIFICANT else "which chance alone could explain"
        return f"{told}, {known} ({p_value(result.p_holm)}, {result.n} repeats)"
    pair = [across(way.finished, metric) for way in ways(execution) if way.mark in (first, second)]
    if result.n != 1 or result.scope != "pooled" or any(found is None or found.low is None for found in pair):
        return f"{told}; {result.reason}" if result.reason else told
    if _apart(*(found for found in pair if found), metric):
        return (
            f"{told}; the intervals do not overlap, but with one repeat the chance of training itself was not measured"
        )
    return f"{told}; the intervals overlap, so this run does not show that one is better than the other"


def _difference(first: Mark, second: Mark, result: Comparison, metric: str) -> str:
    """Return "The AUC of the federation is 0.004 lower than that of all rows in one place"."""
    found = result.difference
    if found is None:
        return ""
    gap = number(abs(found.mean), metric=metric)
    way = "as high as" if found.mean == 0 else f"{gap} {'higher' if found.mean > 0 else 'lower'} than"
    over = "mean " if result.scope == "average of sites" else ""
    sites = " over the sites" if over else ""
    limits = "" if found.low is None or found.high is None else f" (difference {difference(found, metric=metric)})"
    return f"The {over}{in_sentence(metric)}{sites} of {_spoken(first)} is {way} that of {_spoken(second)}{limits}"


def _spoken(mark: Mark) -> str:
    names = {"local-only": "training alone", "centralised": "all rows in one place"}
    return names.get(mark.role) or ("the federation" if mark.label == "federated" else f"arm {mark.label}")


def _worst(execution: ExecutionView, metric: str) -> Iterator[str]:
    for way in arms(execution)[:1]:
        found = worst_site(way.finished, metric)
        if found is not None and len(way.finished[0].sites) > 1:
            name = "The federated model" if way.mark.label == "federated" else f"The model of {way.mark.label}"
            yield sentence(
                f"{name} serves {shortened(found[0], 40)} worst: {label(metric)} {with_interval(found[1], metric=metric)}"
            )


def _cautions(execution: ExecutionView, metric: str) -> Iterator[str]:
    every = [way for way in ways(execution) if way.finished]
    run = every[0].finished[0]
    missing = [site for site in run.sites if all(across(way.finished, metric, site=site) is None for way in every)]
    if missing:
        yield sentence(
            f"{label(metric)} is not defined at {listed(missing, at_most=4)}: its test rows do not have both outcomes"
        )
    if max(len(way.finished) for way in every) == 1:
        yield "Everything ran once: the intervals speak of the test rows only, not of the chance in training; set repeats in [study]."
    rows = sum(site.test_rows or 0 for site in run.sites.values())
    if 0 < rows < FEW_ROWS:
        yield sentence(f"There are only {whole(rows)} test rows in all, too few to tell small differences")
    if not execution.baselines:
        yield "Nothing was compared with: without baselines this does not say what federating gains."
    if execution.spec.get("data", {}).get("simulate"):
        yield "This is a simulation: real sites differ in more ways than a table that is dealt out."
    yield "Whether the model holds at sites that took no part was not tested."


def _by_site(way: Way, metric: str) -> Iterator[tuple[str, Estimate]]:
    for site in way.finished[0].sites if way.finished else ():
        found = across(way.finished, metric, site=site)
        if found is not None:
            yield site, found


def _apart(one: Estimate, other: Estimate, metric: str) -> bool:
    """Say whether two intervals have no point in common; False where one of them is not known."""
    first, second = limits_of(one, metric=metric), limits_of(other, metric=metric)
    return first is not None and second is not None and (first[1] < second[0] or second[1] < first[0])
