"""The ways of learning that a study compares: each has one name, one place and one look, wherever it is shown."""

from __future__ import annotations

from dataclasses import dataclass, replace

from medfl.events import Role
from medfl.store.views import FINE_TUNED, ExecutionView, RunView


@dataclass(frozen=True, slots=True)
class Mark:
    """Who a line, a point or a row of a table speaks of.

    Parameters
    ----------
    label
        "alone", "centralised", and for an arm its name, or "federated" where there is no other.
    role, place
        They choose the look: the role, and for an arm its place in the spec, from 0.
    personal
        Whether it speaks of copies of the arm's model that each site went on to train by itself.
    """

    label: str
    role: Role
    place: int = 0
    personal: bool = False


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
    """Return the ways that were planned: each site alone, each arm, what sites made of its model, all rows together."""
    found = (Way(ALONE, execution.baseline("local-only")), *arms(execution), *fine_tuned(execution))
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


def fine_tuned(execution: ExecutionView) -> tuple[Way, ...]:
    """Return the arms whose model the sites went on to train by themselves, judged by what they made of it."""
    marks = {way.runs[0].arm: way.mark for way in arms(execution)}
    return tuple(Way(_personal(marks[runs[0].arm]), runs) for runs in execution.fine_tuned.values())


def _personal(mark: Mark) -> Mark:
    label = FINE_TUNED.lstrip(", ") if mark.label == "federated" else f"{mark.label}{FINE_TUNED}"
    return replace(mark, label=label, personal=True)


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
    """Return the mark of a way of learning by what it is called."""
    if name in ("local-only", "centralised"):
        return ALONE if name == "local-only" else CENTRALISED
    return next(way.mark for way in (*arms(execution), *fine_tuned(execution)) if way.runs[0].way == name)
