"""Carries one execution of a hub out over its enrolled sites: a process of its own, started by the hub.

``python -m medfl.coordinating FOLDER EXECUTION`` is that process. It takes the execution off the hub's queue when it is
done, or when only a person can go on; if it is still in the queue when the process ends, the hub starts another one.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from medfl.channel import Decision
from medfl.errors import EngineError, MedflError, PlanError, RefusedError, StoppedError, UserError, WireError, listed
from medfl.events import Event, RoundFinished
from medfl.execution import carry_on
from medfl.hub.asked import Answer, Asked
from medfl.hub.place import HubPlace
from medfl.hub.told import Told
from medfl.messages import Refusal, Reply, Request
from medfl.over_hub import reached, sites_of
from medfl.run.flower.orphans import end_with
from medfl.spec.study import Study
from medfl.store.decisions import dropped
from medfl.store.home import Home
from medfl.store.shelf import whole_execution
from medfl.store.views import ExecutionView, RunView
from medfl.versions import DECIDES

log = logging.getLogger("medfl.hub")
LOOK = 1.0
"""Seconds between two looks whether somebody has stopped what still waits for its sites."""
HEARD = 5.0
"""Seconds that sites have to hear that a run was stopped."""
COMING = 60.0
"""Seconds after which it is said again which sites are missing."""


CONSIDERED = 60.0
"""Seconds that sites have to say whether a study may use them; one that works for another study may need longer."""


def coordinate(folder: Path, execution: str) -> None:
    """Carry an execution out, once all its sites are there and let it; what goes wrong is in journal and log.

    Where somebody at a site has to decide first, or its time has not come, its sites are asked and no more is done.
    """
    with Home(folder) as home:
        runs = whole_execution(home, execution).every
        study = Study.model_validate(runs[0].spec)
        try:
            # That a site speaks another version is told by the run itself, in the journal.
            with suppress(UserError):
                begun = any(run.rounds for run in runs)
                due = _due(folder, execution)
                if due:
                    _wait_for_sites(home, execution, study, begun=begun)
                if not (begun or home.asked_to_stop(execution) or ask(home, execution, runs)) or not due:
                    return
            carry_on(home, execution, display=_Progress(folder, execution))
        except StoppedError as error:
            log.warning("%s", error.complaints[0].what)
            if home.asked_to_stop(execution):
                # Before its sites are told, which takes seconds: meanwhile somebody may have it go on.
                HubPlace(folder).queue.done(execution)
            with suppress(MedflError):
                tell_stopped(folder, whole_execution(home, execution))
            return
        except UserError as error:
            log.error("%s", error)
        except MedflError as error:
            log.error("%s", error)
            return
        HubPlace(folder).queue.done(execution)


def ask(home: Home, execution: str, runs: Sequence[RunView]) -> bool:
    """Ask all sites of an execution whether they take part in it, and say whether nobody has still to decide.

    Parameters
    ----------
    home
        The hub's folder.
    execution, runs
        What is asked for; runs that ask for the same are asked for once.
    """
    folder, gone = home.folder, {drop.site for drop in dropped(home, execution)}
    before = Asked.of(folder, execution)
    found = {site: dict(answers) for site, answers in before.sites.items() if site not in gone}
    wanted = {study.digest: (run, study) for run in reversed(runs) if (study := _study_of(run)).data.sites}
    asking: dict[str, list[Request]] = {digest: [] for digest in wanted}
    for digest, (run, study) in wanted.items():
        for site in set(sites_of(study)) - gone:
            speaks = Told.at(folder, site).speaks
            old = speaks is not None and speaks.spoken["channel"][1] < DECIDES
            found.setdefault(site, {})[digest] = Answer("untold" if old else "unanswered", at=time.time())
            if not old:
                # Each time under another number: what was said before would be said once more.
                number, seed, text = before.times, study.seeds[0], study.canonical
                request = Request(run=run.run, round=number, site=site, task="consider", study=text, seed=seed)
                asking[digest].append(request)
    with reached(folder, tuple(sorted(found))) as engine:
        patience, silent = CONSIDERED if _due(folder, execution) else HEARD, set[str]()
        for digest, requests in asking.items():
            # A site is asked one thing at a time, and no more once it does not answer.
            for answer in engine.exchange([one for one in requests if one.site not in silent], timeout=patience):
                said = found[answer.site][digest] = _said(answer)
                if said.said == "unanswered":
                    silent.add(answer.site)
    asked = Asked(time.time(), found, before.times + 1)
    asked.keep(folder, execution)
    waits = sorted(site for site in found if asked.now(site, Told()).said == "waiting")
    if waits:
        log.info("%s waits for approval at %s", execution, listed(waits, 20))
    return not waits


def tell_stopped(folder: Path, execution: ExecutionView) -> None:
    """Tell the sites of a run that it was stopped, those that are there; whoever is not misses nothing."""
    for run in execution.every:
        if run.status == "stopped" and run.sites:
            study = _study_of(run)
            with reached(folder, tuple(run.sites)) as engine:
                asked = [
                    Request(
                        run=run.run, round=run.rounds, site=site, task="stopped", study=study.canonical, seed=run.seed
                    )
                    for site in run.sites
                ]
                list(engine.exchange(asked, timeout=HEARD))


@dataclass(frozen=True, slots=True)
class _Progress:
    """Lets the hub know of each finished round, so that it counts failures from there."""

    folder: Path
    execution: str

    def on(self, event: Event) -> None:
        """Take notice of one event."""
        if isinstance(event, RoundFinished):
            HubPlace(self.folder).queue.went_on(self.execution)


def _study_of(run: RunView) -> Study:
    """Return what the sites of a run are asked for."""
    study = Study.model_validate(run.spec)
    return study.arms[run.arm] if run.federated else study.overridden({})


def _said(answer: Reply | Refusal) -> Answer:
    """Return what a site said of a study; what went wrong on the way is no answer."""
    now = time.time()
    if isinstance(answer, Refusal):
        said = answer.code in (RefusedError.code, PlanError.code)
        return Answer("refused" if said else "unanswered", "; ".join(one.what for one in answer.complaints), now)
    try:
        decision = Decision.read({**answer.content, "reason": answer.content.get("why")}, heard=now)
    except WireError:
        return Answer("unanswered", at=now)
    return Answer(decision.verdict, decision.reason, now)


def _due(folder: Path, execution: str) -> bool:
    """Say whether the time of an execution has come; nobody waits for one that is not in the queue."""
    found = {entry.execution: entry.not_before for entry in HubPlace(folder).queue.entries()}
    return found.get(execution, 0.0) <= time.time()


def _wait_for_sites(home: Home, execution: str, study: Study, *, begun: bool) -> None:
    """Return when those sites are there that are still asked, or when nobody wants them any more."""

    def gone() -> frozenset[str]:
        return frozenset(drop.site for drop in dropped(home, execution))

    while True:
        before = gone()
        _wait(
            home.folder,
            study,
            before,
            begun=begun,
            over=lambda before=before: bool(home.asked_to_stop(execution)) or gone() != before,  # type: ignore[misc]
        )
        if gone() == before:
            return


def _wait(folder: Path, study: Study, gone: frozenset[str], *, begun: bool, over: Callable[[], bool]) -> None:
    """Return when all sites are there, however long that takes; for a run that had begun, when enough of them are.

    Sites that are gone are not waited for. It returns, too, when it is over.
    """
    sites = tuple(site for site in sites_of(study) if site not in gone)
    quorum = min(len(sites), max(arm.algorithm.min_sites or len(sites) for arm in study.arms.values()))
    told = monotonic()
    with reached(folder, sites) as engine:
        while not over():
            try:
                engine.wait(LOOK, logs=lambda site: "nothing yet", least=quorum if begun else None)
            except EngineError as error:
                if monotonic() - told > COMING:
                    log.warning("%s", error.complaints[0].received)
                    told = monotonic()
            else:
                return


if __name__ == "__main__":
    # However the hub was started: what is to stop at once is interrupted so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    # Unbuffered: a thread that waits in a buffer would keep Python from ending.
    end_with(open(sys.stdin.fileno(), "rb", buffering=0, closefd=False))  # noqa: SIM115
    coordinate(Path(sys.argv[1]), sys.argv[2])
