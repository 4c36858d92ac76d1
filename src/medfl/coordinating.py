"""Carries one execution of a hub out over its enrolled sites: a process of its own, started by the hub.

``python -m medfl.coordinating FOLDER EXECUTION`` is that process. It takes the execution off the hub's queue when it is
done, or when only a person can go on; if it is still in the queue when the process ends, the hub starts another one.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from medfl.errors import EngineError, MedflError, StoppedError, UserError
from medfl.events import Event, RoundFinished
from medfl.execution import carry_on
from medfl.hub.place import HubPlace
from medfl.messages import Request
from medfl.over_hub import reached, sites_of
from medfl.run.flower.orphans import end_with
from medfl.spec.study import Study
from medfl.store.decisions import dropped
from medfl.store.home import Home
from medfl.store.shelf import whole_execution
from medfl.store.views import ExecutionView

log = logging.getLogger("medfl.hub")
LOOK = 1.0
"""Seconds between two looks whether somebody has stopped what still waits for its sites."""
HEARD = 5.0
"""Seconds that sites have to hear that a run was stopped."""
COMING = 60.0
"""Seconds after which it is said again which sites are missing."""


def coordinate(folder: Path, execution: str) -> None:
    """Carry an execution out, once all its sites are there; what goes wrong is in the journal and in the log."""
    with Home(folder) as home:
        runs = whole_execution(home, execution).every
        study = Study.model_validate(runs[0].spec)
        try:
            # That a site speaks another version is told by the run itself, in the journal.
            with suppress(UserError):
                _wait_for_sites(home, execution, study, begun=any(run.rounds for run in runs))
            carry_on(home, execution, display=_Progress(folder, execution))
        except StoppedError as error:
            log.warning("%s", error.complaints[0].what)
            with suppress(MedflError):
                tell_stopped(folder, whole_execution(home, execution))
        except UserError as error:
            log.error("%s", error)
        except MedflError as error:
            log.error("%s", error)
            return
        HubPlace(folder).queue.done(execution)


def tell_stopped(folder: Path, execution: ExecutionView) -> None:
    """Tell the sites of a run that it was stopped, those that are there; whoever is not misses nothing."""
    for run in execution.every:
        if run.status == "stopped" and run.sites:
            study = Study.model_validate(run.spec)
            study = study.arms.get(run.arm) or study.overridden({})
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
