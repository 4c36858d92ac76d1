"""Leaves sites out of a study at the rounds at which somebody had left them out by hand, so that it can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from medfl.errors import Complaint, PlanError, did_you_mean, listed
from medfl.events import SiteDropped
from medfl.run.plan import RunPlan
from medfl.spec.study import Study
from medfl.steering import against
from medfl.store.decisions import foresee
from medfl.store.home import Home
from medfl.store.leaving import LeftOut
from medfl.store.shelf import whole_execution

AGAIN = "as in the study that is repeated"
"""The reason that a journal gives, where no other is known."""


def require_possible(plans: Sequence[RunPlan], left_out: LeftOut, sites: Callable[[Study], Sequence[str]]) -> None:
    """Refuse what cannot be left out, with every reason.

    Parameters
    ----------
    plans
        All runs of the study.
    left_out
        By arm (or baseline) and seed: the first round without each site, 0 from the beginning.
    sites
        Names the sites of an arm.

    Raises
    ------
    PlanError
        If a run, a site or a round is none, or too few sites would be left.
    """
    known = {(plan.arm, plan.seed): plan for plan in plans if plan.role != "coalition"}
    complaints: list[Complaint] = []
    for key, rounds in left_out.items():
        plan = known.get(key)
        if plan is None or not isinstance(rounds, Mapping):
            complaints.append(_no_run(key, list(known)))
        else:
            names = sites(plan.study)
            complaints += list(_wrong(plan, rounds, names)) or _against(plan, rounds, names)
    if left_out and any(plan.study.evaluation.contributions is not None for plan in plans):
        complaints.append(_NO_SHARES)
    if complaints:
        raise PlanError.of(list(dict.fromkeys(complaints)))


def leave_out(home: Home, execution: str, left_out: LeftOut) -> None:
    """Have the runs of an execution that was laid down leave sites out, each from its round on.

    Raises
    ------
    StoreError
        If it cannot be written down.
    """
    if not left_out:
        return
    view = whole_execution(home, execution)
    told = [
        SiteDropped(run=run.run, round=round, site=site, by="", why=AGAIN)
        for run in (*view.runs, *view.baselines)
        for site, round in left_out.get((run.arm, run.seed), {}).items()
    ]
    foresee(home, execution, told)


def _wrong(plan: RunPlan, rounds: Mapping[str, int], sites: Sequence[str]) -> Iterator[Complaint]:
    """Yield what is no site, and no round, of a run."""
    where = f"left_out, {plan.arm}, seed {plan.seed}"
    for site, round in rounds.items():
        if site not in sites:
            remedy = f"{did_you_mean(str(site), sites)} There are: {listed(sites, 20)}".strip()
            yield Complaint("no such site takes part", where, str(site)[:80], remedy)
        last = plan.rounds + 1 if plan.role == "arm" else 0
        if isinstance(round, bool) or not isinstance(round, int) or not 0 <= round <= last:
            remedy = f"name the first round without the site, from 0 (it never took part) to {last} (all but the end)"
            yield Complaint(
                "this is not a round from which on a site can be left out",
                f"{where}, {site}",
                repr(round)[:40],
                remedy if last else "a baseline trains in one go: 0 leaves a site out of it",
            )


def _against(plan: RunPlan, rounds: Mapping[str, int], sites: Sequence[str]) -> Iterator[Complaint]:
    """Yield why a run cannot go on, after any of the rounds at which a site leaves."""
    begin = [site for site in sites if rounds.get(site) != 0]
    hidden = plan.study.privacy.hides(len(sites))
    for first in sorted(set(rounds.values())):
        gone = {site for site in begin if rounds.get(site, first + 1) <= first}
        yield from against(plan, begin, gone, first=max(first, 1), hidden=hidden)


def _no_run(key: object, known: Sequence[tuple[str, int]]) -> Complaint:
    return Complaint(
        "the study has no such run to leave a site out of",
        "left_out",
        repr(key)[:80],
        'write {("ARM", SEED): {"SITE": ROUND}}; there are: ' + listed(map(repr, known), 8),
    )


_NO_SHARES = Complaint(
    "the study weighs what each site contributes, which needs all of them in every run",
    "[evaluation] contributions",
    remedy="leave contributions out, or left_out",
)
