"""What contributions, features and groups say, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from medfl.publish.parts import costs
from medfl.publish.ways import arms, mark_of
from medfl.publish.wording import (
    counted,
    difference,
    in_sentence,
    label,
    listed,
    metric_of,
    sentence,
    shortened,
    with_interval,
)
from medfl.store.contributions import Contribution, Contributions, contributions
from medfl.store.subgroups import Group, subgroups
from medfl.store.views import ExecutionView

_MOST_SITES, _MOST_FEATURES = 4, 3


def in_parts(execution: ExecutionView, metric: str) -> Iterator[str]:
    """Yield a sentence on groups of patients, one on each arm's sites and one on features, where they were measured."""
    yield from _groups(execution, metric)
    every = contributions(execution, metric)
    yield from (sentence(_weights(execution, one, several=len(every) > 1)) for one in every)
    yield from _features(execution, metric)


def _groups(execution: ExecutionView, metric: str) -> Iterator[str]:
    for way in arms(execution)[:1]:
        found = subgroups(way.finished, (metric,))
        shown = [group for group in found if metric in group.estimates]
        better = metric_of(metric).higher_is_better
        if not found or better is None:
            return
        whose = "the federated model" if way.mark.label == "federated" else f"the model of {way.mark.label}"
        if not shown:
            yield sentence(f"every group of patients is too small to show the {in_sentence(metric)} of {whose}")
            return
        worst = (min if better else max)(shown, key=lambda group: group.estimates[metric].mean)
        hidden = len(found) - len(shown)
        tail = f"; {counted(hidden, 'group is', 'groups are')} too small to be shown anywhere" if hidden else ""
        value = with_interval(worst.estimates[metric], metric=metric)
        if len(shown) == 1:
            told = (
                f"{whose} reaches {label(metric)} {value} in {_named(worst)}, the one group of patients that is shown"
            )
            yield sentence(f"{told}{tail}")
            return
        yield sentence(
            f"of {counted(len(shown), 'group')} of patients {whose} serves {_named(worst)} worst: {label(metric)} "
            f"{value}{tail}"
        )


def _named(group: Group) -> str:
    return f"{shortened(group.grouping, 20)} {shortened(group.group, 24)}"


def _weights(execution: ExecutionView, found: Contributions, *, several: bool) -> str:
    mark = mark_of(execution, found.arm)
    ordered = sorted(found.sites, key=lambda one: (-one.value.mean, one.site))
    shown = ordered if len(ordered) <= _MOST_SITES else [ordered[0], ordered[-1]]
    how = "Shapley value" if found.kind == "shapley" else "what its leaving out would cost"
    who = f" to {mark.label}" if several else ""
    only = " (the most and the least)" if len(shown) < len(ordered) else ""
    return f"contribution of each site{who} in {in_sentence(found.metric)}, {how}{only}: {_told(shown, found.metric)}"


def _told(shown: Sequence[Contribution], metric: str) -> str:
    return listed(f"{shortened(one.site, 20)} {difference(one.value, metric=metric)}" for one in shown)


def _features(execution: ExecutionView, metric: str) -> Iterator[str]:
    for way, every in costs(execution, metric):
        found = [one for one in every if one.cost.mean > 0]
        told = listed(
            f"{shortened(one.feature, 24)} {difference(one.cost, metric=metric)}" for one in found[:_MOST_FEATURES]
        )
        whose = "the federated model" if way.mark.label == "federated" else f"the model of {way.mark.label}"
        if not found:
            yield sentence(f"{whose} loses no {in_sentence(metric)} when single features are shuffled")
            return
        yield sentence(f"{whose} loses most {in_sentence(metric)} when these are shuffled: {told}")
        return
