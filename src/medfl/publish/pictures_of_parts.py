"""The report's figures of a comparison in parts: margins, groups of patients, sites, features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from medfl.publish.parts import MOST_FEATURES, Dots, costs, features, groups, margins, weights
from medfl.publish.pictures import Picture, Plate, plates
from medfl.publish.plots_of_parts import dot_plot
from medfl.publish.ways import mark_of, ways
from medfl.publish.wording import counted, in_sentence, label, listed, number, whole
from medfl.store.contributions import Contributions, contributions
from medfl.store.subgroups import subgroups, withheld
from medfl.store.views import ExecutionView


def plates_of_parts(execution: ExecutionView, metric: str) -> dict[str, Plate]:
    """Return every plate that has something to show, by name."""
    makers = (_margins, _groups, _weights, _features)
    return {plate.name: plate for maker in makers for plate in maker(execution, metric)}


def pictures(execution: ExecutionView, metric: str) -> dict[str, Picture]:
    """Return every picture of a report by name, not drawn yet."""
    return named(plates(execution, metric) | plates_of_parts(execution, metric))


def named(every: Mapping[str, Plate]) -> dict[str, Picture]:
    """Return the pictures of some plates by name."""
    return {picture.name: picture for plate in every.values() for picture in plate.pictures}


def _margins(execution: ExecutionView, metric: str) -> Iterator[Plate]:
    pictures = _dots("margin", margins(execution, metric))
    if pictures:
        text = (
            "The federation less all rows in one place, over the same seeds, with the 95 % interval of the paired "
            "difference. Non-inferior is an arm whose whole interval lies on the better side of the margin; "
            "where the margin lies inside the interval, nothing is shown. This is a one-sided test at 2.5 %, without "
            "correction for the number of arms."
        )
        yield Plate("margins", pictures, text, wide=True)


def _dots(name: str, views: Sequence[Dots]) -> tuple[Picture, ...]:
    return tuple(Picture(f"{name}-{place}", partial(dot_plot, view)) for place, view in enumerate(views))


def _groups(execution: ExecutionView, metric: str) -> Iterator[Plate]:
    view = groups(execution, metric)
    closed = _withheld(execution)
    if view is None:
        return
    fewest = execution.spec["evaluation"].get("smallest_group") or 10
    hidden = sorted({site for way in ways(execution) for one in subgroups(way.finished, ()) for site in one.suppressed})
    texts = [
        f"{label(metric)} on the test rows of each group of patients, over all sites that may show it, with 95 % "
        f"intervals. A group with fewer than {fewest} test rows at a site, in all or of one outcome, does not leave "
        "it, and neither does another one from which it could be computed.",
        f"Some groups are left out at {listed(hidden)}." if hidden else "",
        "No group had to be left out." if not hidden and not closed else "",
        *closed,
        "Many groups are compared at once, without correction: a single one that stands out may do so by chance.",
        "Each site is a group as well, shown above.",
    ]
    yield Plate("groups", (Picture("groups", partial(dot_plot, view)),), " ".join(filter(None, texts)), wide=True)


def _withheld(execution: ExecutionView) -> list[str]:
    found: dict[str, dict[str, None]] = {}
    for way in ways(execution):
        for grouping, sites in withheld(way.finished).items():
            found.setdefault(grouping, {}).update(dict.fromkeys(sites))
    return [f"By {grouping}, nothing could be shown at {listed(sorted(sites))}." for grouping, sites in found.items()]


def _weights(execution: ExecutionView, metric: str) -> Iterator[Plate]:
    every = contributions(execution, metric)
    pictures = _dots("weights", weights(execution, metric))
    if pictures:
        texts = dict.fromkeys(_how_weighed(execution, one, several=len(every) > 1) for one in every)
        closing = (
            "All models are judged on the test rows of all sites. Preprocessing is the one fitted over all of them: "
            "what is weighed is what a site's training rows teach the model. A contribution below zero need not mean "
            "poor data: a site may be unlike the others."
        )
        yield Plate("weights", pictures, " ".join((*texts, closing)), wide=True)


def _how_weighed(execution: ExecutionView, found: Contributions, *, several: bool) -> str:
    name = in_sentence(found.metric)
    who = f"For {mark_of(execution, found.arm).label}: " if several else ""
    repeats = f" in each of {counted(found.n, 'repeat')}" if found.n > 1 else ""
    if found.kind == "leave-one-out":
        alone = "" if found.n > 1 else " One repeat gives no interval."
        return (
            f"{who}The {name} of all sites together less that of the federation trained again without the site"
            f"{repeats}.{alone}"
        )
    together = number(found.together, metric=found.metric)
    nobody = number(found.nobody, metric=found.metric)
    trained = f"from {whole(found.coalitions)} coalitions besides that of all sites{repeats}"
    how = (
        f"exact, {trained}"
        if not found.orders
        else f"estimated from {found.orders} random orders of joining, {trained}"
    )
    return (
        f"{who}Shapley values: what a site adds when it joins, averaged over the orders in which sites may join; "
        f"{how}. They add up to what all sites gain over the untrained model, {together} less {nobody}."
        f"{_error(found)}"
    )


def _error(found: Contributions) -> str:
    errors = [one.standard_error for one in found.sites if one.standard_error is not None]
    if errors:
        return f" The Monte-Carlo standard error is at most {number(max(errors), metric=found.metric)}."
    return "" if found.n > 1 else " One repeat and all coalitions give no interval."


def _features(execution: ExecutionView, metric: str) -> Iterator[Plate]:
    view = features(execution, metric)
    if view is None:
        return
    first = next(costs(execution, metric))[1]
    over = "repeats" if first[0].cost.how == "t over repeats" else "shufflings"
    rest = len(first) - MOST_FEATURES
    texts: Sequence[str] = [
        f"What the {in_sentence(metric)} loses when the values of one feature are shuffled among each site's test "
        f"rows, all columns of a category together; intervals are over the {over}.",
        f"The {MOST_FEATURES} that cost most are drawn; the table has {whole(rest)} more." if rest > 0 else "",
        "Features that say the same share their importance: where one can stand in for another, each alone looks "
        "unimportant. Nothing here says that changing a feature would change the outcome.",
    ]
    yield Plate("features", (Picture("features", partial(dot_plot, view)),), " ".join(filter(None, texts)), wide=True)
