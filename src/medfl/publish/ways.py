"""The ways of learning that a study compares: each has one name, one place and one look, wherever it is shown."""

from __future__ import annotations

from dataclasses import dataclass

from medfl.events import Role
from medfl.store.results import tuned
from medfl.store.views import ExecutionView, RunView


@dataclass(frozen=True, slots=True)
class Mark:
    """Who a line, a point or a row of a table speaks of.

    Parameters
    ----------
    label
        "alone", "centralised", and for an arm its name, or "federated" where there is no other.
    role, place
        They choose the look: the role, and for an arm its place in the spec, from 0.
    tuned
        Whether it is an arm's model as each site trained it further for itself.
    """

    label: str
    role: Role
    place: int = 0
    tuned: bool = False


@dataclass(frozen=True, slots=True)
class Way:
    """One way of learning and its runs, one a repeat."""

    mark: Mark
    runs: tuple[RunView, ...]

    @property
    def finished(self) -> tuple[RunView, ...]:
        """Those runs whose last model was judged."""
        return tuple(run for run in self.runs if run.final is not None)


ALONE = Mark("alone", "local-only")
CENTRALISED = Mark("centralised", "centralised")


def ways(execution: ExecutionView) -> tuple[Way, ...]:
    """Return the ways that were planned: each site alone, each arm, all rows in one place."""
    found = (Way(ALONE, execution.baseline("local-only")), *arms(execution))
    found += (Way(CENTRALISED, execution.baseline("centralised")),)
    return tuple(way for way in found if way.runs)


def arms(execution: ExecutionView) -> tuple[Way, ...]:
    """Return the arms, each in the place it has in the spec even if it is the only one that was run."""
    names = [arm["name"] for arm in execution.spec.get("arm", ())] or list(execution.arms)
    only = len(names) == 1
    return tuple(
        Way(Mark("federated" if only else name, "arm", names.index(name)), runs)
        for name, runs in execution.arms.items()
    )


def ways_at_sites(execution: ExecutionView) -> tuple[Way, ...]:
    """Return the ways that are judged at single sites: after each arm, what the sites tuned of it."""
    return tuple(one for way in ways(execution) for one in (way, *_tuned(way)))


def tuned_mark(mark: Mark) -> Mark:
    """Return the mark of what the sites tuned of an arm."""
    return Mark("fine-tuned" if mark.label == "federated" else f"{mark.label}, tuned", mark.role, mark.place, True)


def _tuned(way: Way) -> tuple[Way, ...]:
    runs = tuned(way.runs)
    return (Way(tuned_mark(way.mark), runs),) if runs else ()


def name_of(execution: ExecutionView, run: RunView) -> str:
    """Return what a run is called: its way of learning, and for a coalition who trained."""
    label = mark_of(execution, run.arm).label
    if run.role != "coalition":
        return label
    everybody = {site for one in execution.coalitions for site in one.members} | run.sites.keys()
    left = sorted(everybody - set(run.members))
    if len(left) == 1:
        return f"{label} without {left[0]}"
    who = list(run.members)
    return f"{label}, by {', '.join(who[:3])}{f' and {len(who) - 3} more' if len(who) > 3 else ''} only"


def mark_of(execution: ExecutionView, name: str) -> Mark:
    """Return the mark of an arm or a baseline by its name."""
    if name in ("local-only", "centralised"):
        return ALONE if name == "local-only" else CENTRALISED
    return next(way.mark for way in arms(execution) if way.runs[0].arm == name)
