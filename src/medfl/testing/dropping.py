"""A study from which somebody leaves a site out while it goes on: for tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medfl.deploying import Chosen
from medfl.events import Event, RoundFinished
from medfl.execution import carry_on, lay_down
from medfl.inspection import opened
from medfl.site.sources import Sources
from medfl.spec.placing import placing
from medfl.steering import Steering
from medfl.store.home import Home
from medfl.store.shelf import whole_execution, whole_run
from medfl.store.views import ExecutionView

WHY = "its server is replaced"


@dataclass
class Leaves:
    """Has a site left out once a round is stored, as ``medfl drop`` does meanwhile.

    Parameters
    ----------
    home
        Where the study is stored.
    site
        Who leaves.
    after
        The last round with it.
    arm
        In which arm that is.
    """

    home: Home
    site: str
    after: int
    arm: str = ""
    done: bool = False

    def on(self, event: Event) -> None:
        """Take notice of one event."""
        if not self.done and isinstance(event, RoundFinished) and event.round == self.after:
            run = whole_run(self.home, event.run)
            if self.arm in ("", run.arm):
                Steering(self.home).drop(run.execution, self.site, by="anna", why=WHY)
                self.done = True


def carried_out(
    study: Path, folder: Path, *, site: str, after: int, arm: str = "", engine: Chosen = "in-process"
) -> ExecutionView:
    """Carry a study out, from which a site is left out after a round, and return what came of it."""
    asked, base = opened(study)
    with placing(study), Home(folder) as home:
        sources = Sources(base, home.folder / "sites")
        execution = lay_down(asked, home, sources=sources, engine=engine, arm=None)
        leaves = Leaves(home, site, after, arm)
        carry_on(home, execution, sources=sources, display=leaves)
        if not leaves.done:
            raise AssertionError(f"round {after} never came")
        return whole_execution(home, execution)
