"""Steers what another process carries out: pauses it, or leaves a site out of it from the next round on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from medfl.errors import Complaint, NotFoundError, PlanError, did_you_mean, listed
from medfl.events import Drop
from medfl.execution import plan_of, prepared_sites
from medfl.privacy.secure.graph import FEWEST
from medfl.run.plan import RunPlan, compile
from medfl.run.sampling import drawn
from medfl.stopping import ask, settled
from medfl.store.decisions import Note, drop, dropped
from medfl.store.home import Home
from medfl.store.shelf import whole_execution
from medfl.store.views import ExecutionView, RunView

LONGEST = 300
"""Characters of a reason."""


@dataclass(frozen=True, slots=True)
class Steering:
    """Pauses executions of a store, and leaves sites out of them.

    Parameters
    ----------
    home
        The store: that of a hub, too.
    begun
        Says whether a process was started for an execution that may not be seen at the store yet.
    """

    home: Home
    begun: Callable[[str], bool] = lambda _: False

    def pause(self, execution: str, *, by: str, why: str) -> None:
        """Have an execution stop once its round is stored, and say whose wish that is; it does not wait for it.

        Raises
        ------
        PlanError
            If nobody carries it out.
        """
        view = whole_execution(self.home, execution).every[0]
        ask(self.home, view, note=Note(by=by, why=why[:LONGEST], paused=True), begun=self.begun(execution))
        if not (self.begun(execution) or self.home.is_busy(execution)):
            settled(self.home, execution)

    def drop(self, execution: str, site: str, *, by: str, why: str) -> None:
        """Have a site not asked any more from the next round on, in this run and in all that follow it.

        Raises
        ------
        NotFoundError
            If no such site takes part.
        PlanError
            With every reason why the study cannot go on without it.
        """
        if not why.strip():
            raise PlanError(
                "a site is not dropped without a reason",
                where=f"site {site}",
                remedy="say why: the reason stands in the journal and in the report",
            )
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        decision = Drop(site=site, by=by, why=why.strip()[:LONGEST], decided=now)
        # Two at once might each leave enough sites, and both together not.
        drop(self.home, execution, decision, first=lambda: self.follows(execution, site))

    def follows(self, execution: str, site: str) -> Sequence[str]:
        """Return in plain sentences what follows where a site is dropped.

        Raises
        ------
        NotFoundError
            If no such site takes part.
        PlanError
            With every reason why the study cannot go on without it.
        """
        view = whole_execution(self.home, execution)
        gone = gone_from(self.home, view)
        _require_open(view, site, gone)
        if complaints := list(dict.fromkeys(_against(view, gone | {site}))):
            raise PlanError.of(complaints)
        return tuple(_sentences(view, site, gone | {site}))


def gone_from(home: Home, view: ExecutionView) -> set[str]:
    """Return the sites that were dropped, as decided and as the journal says."""
    decided = {one.site for one in dropped(home, view.execution)}
    return decided | {site for run in view.every if run.status != "finished" for site in run.dropped}


def _require_open(view: ExecutionView, site: str, gone: set[str]) -> None:
    """Refuse where there is nothing to leave the site out of."""
    known = view.sites
    if all(run.status == "finished" for run in view.every):
        raise PlanError(
            "the study has finished: there is nothing to leave a site out of", where=view.execution, received=site
        )
    if not known:
        raise PlanError(
            "the study has not begun, so that its sites are not known yet",
            where=view.execution,
            remedy="leave the site out of [data.sites], or wait for the first round",
        )
    if site not in known:
        raise NotFoundError(
            "no such site takes part",
            where=view.execution,
            received=site[:80],
            remedy=f"{did_you_mean(site, known)} There are: {listed(known, 20)}".strip(),
        )
    if site in gone:
        raise PlanError("the site was dropped already", where=f"site {site}", received=view.execution)


def _against(view: ExecutionView, gone: set[str]) -> Iterator[Complaint]:
    """Yield why what is left of a study cannot go on without these sites."""
    if any(run.status != "finished" for run in view.coalitions):
        yield Complaint(
            "the study weighs what each site contributes, which needs all of them in every run",
            "[evaluation] contributions",
            remedy="stop the study, and start one without the site",
        )
    for run in view.every:
        if run.status != "finished" and run.role != "coalition":
            yield from _against_run(run, view.sites, gone)


def against(
    plan: RunPlan, sites: Sequence[str], gone: Collection[str], *, first: int, hidden: bool | None = None
) -> Iterator[Complaint]:
    """Yield why a run cannot go on without some of its sites.

    Parameters
    ----------
    plan
        What is run.
    sites
        All its sites, also those that are gone.
    gone
        Who is not asked any more.
    first
        The first round without them; 0 where it is not known yet among whom a round draws.
    hidden
        Whether only sums are seen of sites; as the study asks where None.
    """
    left = [site for site in sites if site not in gone]
    hidden = plan.study.privacy.hides(len(sites)) if hidden is None else hidden
    if hidden and len(left) < FEWEST:
        yield Complaint(
            "too few sites would be left for a sum that hides each of them",
            f"arm {plan.arm}",
            f"{len(left)} left, where at least {FEWEST} must answer",
            "stop the study, and start one without the site",
        )
    elif len(left) < 2:
        yield Complaint("one site alone would be left", f"arm {plan.arm}", listed(left), "stop the study instead")
    try:
        compile(plan.study, sites=left)
    except PlanError as error:
        yield from error.complaints
    else:
        # Where too few are left at all, each round says the same.
        if first and plan.role in ("arm", "coalition") and len(left) >= (FEWEST if hidden else 2):
            yield from _too_few_in_a_round(plan, sites, gone, first=first, least=FEWEST if hidden else 1)


def _against_run(run: RunView, names: Sequence[str], gone: Collection[str]) -> Iterator[Complaint]:
    plan, prepared = plan_of(run), prepared_sites(run)
    sites = prepared or tuple(names)
    hidden = run.secure or plan.study.privacy.hides(len(sites))
    yield from against(plan, sites, gone, first=run.rounds + 1 if prepared else 0, hidden=hidden)


def _too_few_in_a_round(
    plan: RunPlan, sites: Sequence[str], gone: Collection[str], *, first: int, least: int
) -> Iterator[Complaint]:
    """Yield the first round that would draw too few: nobody is drawn more often because another one has left."""
    rule = plan.study.algorithm
    least = max(least, rule.min_sites or 1)
    for number in range(first, plan.rounds + 1):
        asked = [site for site in drawn(sites, rule, seed=plan.seed, round=number) if site not in gone]
        if len(asked) < least or (rule.shortfall(len(asked)) if not rule.fraction else None):
            yield Complaint(
                "a round would ask fewer sites than must answer",
                f"arm {plan.arm}, round {number}",
                f"{len(asked)} asked, {least} must answer",
                "stop the study, and start one without the site",
            )
            return


def _sentences(view: ExecutionView, site: str, gone: set[str]) -> Iterator[str]:
    going = next((run for run in view.every if run.status not in ("finished", "planned")), None)
    if going is not None and going.federated and going.planned_rounds > going.rounds:
        yield f"From the next round on {site} is not asked any more. The round that is going on is finished with it."
        if going.rounds:
            yield f"What it contributed to the rounds up to {going.rounds} stays in the model."
    else:
        yield f"{site} is not asked any more."
    left = [name for name in view.sites if name not in gone]
    yield f"The model goes on learning from {listed(left, 8)}, and is judged on their test rows alone."
    if any(run.status == "planned" for run in view.every):
        yield "The runs of this study that have not begun leave it out altogether."
    if any(run.status == "finished" for run in view.every):
        yield "Runs that have finished were judged with it: they and the others are not compared on the same patients."
    yield "It cannot come back into this study. Who decided, when and why stands in the journal and in the report."
