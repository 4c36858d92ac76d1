"""A study is paused, or goes on without a site, from the moment at which the application has started its process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medfl.errors import PlanError
from medfl.hub.pages.bench import Bench
from medfl.hub.pages.steered import drop_page
from medfl.hub.pages.watching import WatchPage, watch_page
from medfl.spec.reading import parse
from medfl.steering import Steering
from medfl.store.home import Home
from medfl.store.shelf import whole_execution
from medfl.store.views import RunView
from medfl.testing.held import until
from medfl.workbench import Workers

STUDY = """
[study]
name = "early"
question = "Is it heard?"

[data]
target = "diagnosis"
positive = "malignant"
features = ["mean radius", "mean texture"]
simulate = { bundled = "breast-cancer", sites = 3 }

[algorithm]
kind = "fedavg"
rounds = 2

[privacy]
secure_aggregation = false
"""


class Slow:
    """A store and its workers; a test has the processes wait before they begin for as long as it likes."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self._here = Home(folder / "home"), monkeypatch
        self.workers = Workers(self.home, folder)
        self.steering = Steering(self.home, self.workers.working)
        # Python reads it whenever it starts: so each process waits before it has looked at anything.
        self._go = folder / "go"
        (folder / "sitecustomize.py").write_text(
            "from pathlib import Path\nfrom threading import Event\n"
            f"while not Path({str(self._go)!r}).exists():\n    Event().wait(0.02)\n"
        )
        monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")

    def hold(self) -> None:
        """Have what is started from now on wait."""
        self._go.unlink(missing_ok=True)

    def let_go(self, execution: str) -> RunView:
        """Let the processes begin, and wait for the end of this one."""
        self._go.touch()
        until(lambda: not self.workers.working(execution))
        return whole_execution(self.home, execution).every[0]

    def page(self, execution: str) -> WatchPage:
        """Return the page of an execution."""
        return watch_page(whole_execution(self.home, execution), self.workers.working, self.home)


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    monkeypatch.delenv("MEDFL_JOURNAL", raising=False)
    made = Slow(tmp_path, monkeypatch)
    with made.home:
        yield made
        made.hold()
        made._go.touch()
        made.workers.close()


def test_a_pause_before_it_begins_is_heard_and_going_on_takes_it_back_at_once(slow: Slow) -> None:
    execution = slow.workers.launch(parse(STUDY, source="study.toml"))
    assert slow.page(execution).state == "running"
    slow.steering.pause(execution, by="anna", why="too soon")
    assert slow.page(execution).paused == "Paused by anna: too soon."
    run = slow.let_go(execution)
    assert (run.status, run.rounds) == ("stopped", 0)
    assert run.stopped is not None
    assert (run.stopped.by, run.stopped.why, run.stopped.paused) == ("anna", "too soon", True)
    slow.hold()
    slow.workers.go_on(execution)
    page = slow.page(execution)
    assert (page.state, page.paused) == ("running", "")
    assert slow.let_go(execution).status == "finished"
    with pytest.raises(PlanError, match="has finished"):
        slow.steering.pause(execution, by="anna", why="")


def test_a_site_is_left_out_before_it_begins(slow: Slow) -> None:
    execution = slow.workers.launch(parse(STUDY, source="study.toml"))
    nobody: object = None
    bench = Bench(slow.home, nobody, nobody, nobody, slow.workers.working, steers=slow.steering)  # type: ignore[arg-type]
    page = drop_page(bench, execution, "site-02")
    assert page.sites == ("site-01", "site-02", "site-03")
    assert page.follows[0] == "site-02 is not asked any more."
    slow.steering.drop(execution, "site-02", by="anna", why="moved")
    run = slow.let_go(execution)
    assert (run.status, list(run.dropped)) == ("finished", ["site-02"])
