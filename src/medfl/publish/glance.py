"""A study in one glance: a few numbers and sentences in plain words, and what they do not show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from medfl.publish.dropped import caution_of_dropped, judged_rows, missing_from, present, said_of_dropped
from medfl.publish.parting import in_parts
from medfl.publish.policies import held_back
from medfl.publish.verdicts import apart, margin_verdicts, verdicts
from medfl.publish.ways import Mark, Way, arms, ways
from medfl.publish.wording import (
    EQUAL,
    counted,
    in_brackets,
    in_sentence,
    label,
    listed,
    metric_of,
    number,
    sentence,
    shortened,
    whole,
    with_interval,
)
from medfl.store.comparison import Estimate, across, comparisons
from medfl.store.results import headline, worst_site
from medfl.store.views import ExecutionView, RunView

FEW_ROWS = 200
"""With fewer test rows than this, an interval of an AUC is wider than most differences one looks for."""
FEW_ROWS_AT_A_SITE = 30
_MOST_TOLD = 3


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
    """The metric it speaks of, tiles, what the numbers say, and what they do not show."""

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
    says = (
        *_together(execution, metric),
        *_alone(judged, metric),
        *verdicts(execution, comparisons(execution, metric), metric=metric),
        *margin_verdicts(execution, metric),
        *_worst(execution, metric),
        *in_parts(execution, metric),
    )
    return Glance(metric, tuple(_tiles(judged, metric)), says, tuple(_cautions(execution, judged, metric)))


def _tiles(judged: Sequence[Way], metric: str) -> Iterator[Tile]:
    for way in judged:
        if way.mark.role == "local-only":
            yield from _range_tile(way, metric)
        elif pooled := across(way.finished, metric):
            known = in_brackets(pooled, metric=metric)
            note = EQUAL if known == EQUAL else f"95 %: {known}" if known else "one run, no interval"
            note += f", without {missing}" if (missing := missing_from(way.finished)) else ""
            yield Tile(way.mark, _titled(way.mark), number(pooled.mean, metric=metric), note)


def _range_tile(way: Way, metric: str) -> Iterator[Tile]:
    values = sorted(found.mean for found in _by_site(way, metric).values())
    if values:
        ends = dict.fromkeys(number(value, metric=metric) for value in (values[0], values[-1]))
        note = "lowest and highest site" if len(values) > 1 else "on its own test rows"
        yield Tile(way.mark, "Each site alone", "–".join(ends), note)


def _titled(mark: Mark) -> str:
    if mark.role == "centralised":
        return "All rows in one place"
    return "Federated" if mark.label == "federated" else f"Federated, {shortened(mark.label, 20)}"


def _together(execution: ExecutionView, metric: str) -> Iterator[str]:
    """Tell what all sites reach together: arms that were judged at the same sites in one sentence, others apart."""
    alike: dict[frozenset[frozenset[str]], list[tuple[Way, Estimate]]] = {}
    for way in arms(execution):
        if pooled := across(way.finished, metric):
            gone = frozenset(frozenset(run.dropped) for run in way.finished)
            alike.setdefault(gone, []).append((way, pooled))
    for found in alike.values():
        yield sentence(_reached_together(found, metric, alone=len(alike) == 1))
    if alike:
        yield from said_of_dropped(execution.every)


def _reached_together(found: Sequence[tuple[Way, Estimate]], metric: str, *, alone: bool) -> str:
    run = _fullest(found[0][0])
    count, rows = len(present(run)), judged_rows([run]) or 0
    who = "the one site reaches" if count == 1 else f"the {counted(count, 'site')} reach"
    explained = "; in parentheses the 95 % interval" if found[0][1].low is not None else ""
    if judged_rows(found[0][0].finished) is None:
        explained += f". Some repeats were judged without {missing_from(found[0][0].finished)}"
    return (
        f"Together, {who} {_article(metric)} of {_reached(found, metric, alone=alone)}, measured on {whole(rows)} test "
        f"rows that were kept out of training{explained}"
    )


def _fullest(way: Way) -> RunView:
    """Return the run, of the repeats, that was judged at most sites: every number of test rows is that one's."""
    return max(way.finished, key=lambda run: len(present(run)))


def _reached(found: Sequence[tuple[Way, Estimate]], metric: str, *, alone: bool) -> str:
    if len(found) == 1 and alone:
        return with_interval(found[0][1], metric=metric)
    told = [f"{with_interval(pooled, metric=metric)} with {way.mark.label}" for way, pooled in found]
    if len(found) <= _MOST_TOLD:
        return listed(told)
    order = sorted(range(len(found)), key=lambda place: found[place][1].mean)
    return f"between {told[order[0]]} and {told[order[-1]]}"


def _article(metric: str) -> str:
    text = in_sentence(metric)
    return f"{'an' if text[0] in 'aeiouAEFHILMNORSX' else 'a'} {text}"


def _alone(judged: Sequence[Way], metric: str) -> Iterator[str]:
    """Tell what sites reach alone, and beside it what the first arm's model reaches at the same sites."""
    alone = next((way for way in judged if way.mark.role == "local-only"), None)
    federated = next((way for way in judged if way.mark.role == "arm"), None)
    own = _by_site(alone, metric) if alone else {}
    if not own:
        return
    text = f"Alone, each site reaches {_range(own, metric)} on its own test rows"
    together = _by_site(federated, metric) if federated else {}
    shared = {site: found for site, found in together.items() if site in own and found.n == own[site].n}
    if federated is None or len(shared) < 2:
        yield sentence(text)
        return
    better = [site for site in shared if _better(shared[site].mean, own[site].mean, metric)]
    yield sentence(
        f"{text}; {_model_of(federated.mark)} reaches {_range(shared, metric)} on the same rows and is better at "
        f"{len(better)} of {len(shared)} sites. {_how_clear(own, shared, better, metric=metric)}"
    )


def _how_clear(
    own: Mapping[str, Estimate], shared: Mapping[str, Estimate], better: Sequence[str], *, metric: str
) -> str:
    """Say at how many sites the gain, or the loss, is larger than the two intervals."""
    clear = [site for site in shared if apart(shared[site], own[site], metric=metric)]
    gains = sum(site in better for site in clear)
    losses = len(clear) - gains
    if not clear:
        return "At every site the two intervals overlap, so a gain at any single site is not shown by these numbers"
    told = {"better": gains, "worse": losses}
    where = listed(f"{how} at {counted(count, 'site')}" for how, count in told.items() if count)
    return f"Where the two intervals do not overlap, it is {where}"


def _better(one: float, other: float, metric: str) -> bool:
    known = metric_of(metric).higher_is_better
    return known is not None and (one > other if known else one < other)


def _range(by_site: Mapping[str, Estimate], metric: str) -> str:
    order = sorted(by_site, key=lambda site: by_site[site].mean)
    if len(order) == 1:
        return with_interval(by_site[order[0]], metric=metric)
    low, high = (f"{number(by_site[site].mean, metric=metric)} ({shortened(site)})" for site in (order[0], order[-1]))
    return f"between {low} and {high}"


def _model_of(mark: Mark) -> str:
    return "the federated model" if mark.label == "federated" else f"the model of {mark.label}"


def _worst(execution: ExecutionView, metric: str) -> Iterator[str]:
    for way in arms(execution)[:1]:
        found = worst_site(way.finished, metric)
        if found is not None and len(way.finished[0].sites) > 1:
            value = with_interval(found[1], metric=metric)
            yield sentence(f"{_model_of(way.mark)} serves {shortened(found[0], 40)} worst: {label(metric)} {value}")


def _cautions(execution: ExecutionView, judged: Sequence[Way], metric: str) -> Iterator[str]:
    yield from _undefined(judged, metric)
    yield from _held_back(judged)
    yield from caution_of_dropped(execution.every)
    yield from _of_chance(execution, judged)
    yield from _noise(judged)
    yield from _few_rows(next((way for way in judged if way.mark.role == "arm"), judged[0]))
    if not execution.baselines:
        yield "Nothing was compared with: without baselines this does not say what federating gains."
    if execution.spec.get("data", {}).get("simulate"):
        yield "This is a simulation: real sites differ in more ways than a table that is dealt out."
    yield "Whether the model holds at sites that took no part was not tested."


def _undefined(judged: Sequence[Way], metric: str) -> Iterator[str]:
    sites = dict.fromkeys(site for way in judged for run in way.finished for site in present(run))
    nowhere = [site for site in sites if all(across(way.finished, metric, site=site) is None for way in judged)]
    kept = _policies(judged, "metrics")
    if told := [site for site in nowhere if site not in kept]:
        where = listed(told, at_most=4)
        yield sentence(f"{label(metric)} is not defined at {where}: the test rows there do not have both outcomes")
    if secret := [site for site in nowhere if site in kept]:
        yield sentence(f"{label(metric)} of {listed(secret, at_most=4)} was not told: a policy there keeps it")


def _held_back(judged: Sequence[Way]) -> Iterator[str]:
    """Say that numbers were changed by rules that protect patients."""
    if sites := _policies(judged):
        who = listed(sites, at_most=4)
        yield sentence(
            f"Policies of {who} held back or changed part of what was sent, and the numbers of all sites together are "
            "less exact for it; the notices say what"
        )


def _policies(judged: Sequence[Way], what: str = "") -> list[str]:
    """Return the sites whose policy changed something of this kind."""
    kept = held_back(notice for way in judged for run in way.runs for notice in run.notices)
    return sorted({site for told, sites in kept.items() if told.startswith(what) for site in sites})


def _of_chance(execution: ExecutionView, judged: Sequence[Way]) -> Iterator[str]:
    """Say which kind of chance the intervals do not speak of."""
    evaluation = execution.spec.get("evaluation", {})
    if max(len(way.finished) for way in judged) == 1:
        yield (
            "Everything ran once: nothing here speaks of the chance in training; set repeats in [study]."
            if all(map(_is_noised, judged))
            else "Everything ran once: the intervals speak of the test rows only, not of the chance in training; "
            "set repeats in [study]."
        )
    elif evaluation.get("split_seed") is not None or evaluation.get("test_ids"):
        yield (
            "All repeats share one split: the intervals speak of the chance in training only, not of which patients "
            "happened to be tested."
        )


def _noise(judged: Sequence[Way]) -> Iterator[str]:
    """Say that what is told of a model is further off than the model."""
    if noised := [way for way in judged if _is_noised(way)]:
        whose = (
            "All metrics" if len(noised) == len(judged) else f"Metrics of {listed(way.mark.label for way in noised)}"
        )
        yield sentence(
            f"{whose} are read from counts with noise on them, which protects the test rows: of a site with few of "
            "them they say next to nothing"
        )


def _is_noised(way: Way) -> bool:
    """Say whether sites put noise on what they counted."""
    asked = way.runs[0].asked("privacy").get("dp")
    return asked is not None and asked["unit"] != "site"


def _few_rows(way: Way) -> Iterator[str]:
    run = _fullest(way)
    by_site = {name: rows for name in present(run) if (rows := run.sites[name].test_rows) is not None}
    if 0 < sum(by_site.values()) < FEW_ROWS:
        yield sentence(
            f"There are only {whole(sum(by_site.values()))} test rows in all, too few to tell small differences"
        )
    few = [site for site, rows in by_site.items() if rows < FEW_ROWS_AT_A_SITE]
    if few and len(by_site) > 1:
        many = "any single site" if len(few) == len(by_site) else f"{len(few)} of {len(by_site)} sites"
        where = listed(few) if len(few) <= _MOST_TOLD else many
        yield sentence(
            f"With fewer than {FEW_ROWS_AT_A_SITE} test rows, the numbers of {where} by themselves say little"
        )


def _by_site(way: Way, metric: str) -> dict[str, Estimate]:
    found = {site: across(way.finished, metric, site=site) for site in way.finished[0].sites}
    return {site: estimate for site, estimate in found.items() if estimate is not None}
