"""Carries one execution of a hub out over its enrolled sites: a process of its own, started by the hub.

``python -m medfl.coordinating FOLDER EXECUTION`` is that process. It takes the execution off the hub's queue when it is
done, or when only a person can go on; if it is still in the queue when the process ends, the hub starts another one.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from medfl.errors import EngineError, MedflError, UserError
from medfl.events import Event, RoundFinished
from medfl.execution import carry_on
from medfl.hub.place import HubPlace
from medfl.over_hub import reached, sites_of
from medfl.run.flower.orphans import end_with
from medfl.spec.study import Study
from medfl.store.home import Home
from medfl.store.shelf import whole_execution

log = logging.getLogger("medfl.hub")
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
                _wait(folder, study, begun=any(run.rounds for run in runs))
            carry_on(home, execution, display=_Progress(folder, execution))
        except UserError as error:
            log.error("%s", error)
        except MedflError as error:
            log.error("%s", error)
            return
        HubPlace(folder).queue.done(execution)


@dataclass(frozen=True, slots=True)
class _Progress:
    """Lets the hub know of each finished round, so that it counts failures from there."""

    folder: Path
    execution: str

    def on(self, event: Event) -> None:
        """Take notice of one event."""
        if isinstance(event, RoundFinished):
            HubPlace(self.folder).queue.went_on(self.execution)


def _wait(folder: Path, study: Study, *, begun: bool) -> None:
    """Return when all sites are there, however long that takes; for a run that had begun, when enough of them are."""
    sites = sites_of(study)
    quorum = max(arm.algorithm.min_sites or len(sites) for arm in study.arms.values())
    with reached(folder, sites) as engine:
        while True:
            try:
                engine.wait(COMING, logs=lambda site: "nothing yet", least=quorum if begun else None)
            except EngineError as error:
                log.warning("%s", error.complaints[0].received)
            else:
                return


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    # Unbuffered: a thread that waits in a buffer would keep Python from ending.
    end_with(open(sys.stdin.fileno(), "rb", buffering=0, closefd=False))  # noqa: SIM115
    coordinate(Path(sys.argv[1]), sys.argv[2])
