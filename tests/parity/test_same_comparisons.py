"""Coalitions, groups and importance: the same on every engine, and after an interruption anywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medfl.events import Event, RoundFinished
from medfl.execution import carry_on, lay_down
from medfl.inspection import opened
from medfl.simulate import simulate
from medfl.site.sources import Sources
from medfl.store.home import Home
from medfl.store.shelf import whole_execution
from medfl.store.summary import summary
from medfl.store.views import ExecutionView

PARTS = """
[evaluation]
baselines = ["centralised"]
test_fraction = 0.4
margin = 0.05
smallest_group = 4
contributions = "shapley"
importance = { repeats = 2 }

[privacy]
secure_aggregation = false

[evaluation.subgroups]
colour = "colour"
age = { column = "age", cuts = [60] }
"""
KINDS = ("comparisons", "noninferiority", "worst_sites", "subgroups", "contributions", "importance")


def told(execution: ExecutionView) -> dict[str, Any]:
    known = summary(execution)
    return {kind: known[kind] for kind in KINDS}


def models(execution: ExecutionView) -> list[tuple[str, tuple[str, ...], int, str | None]]:
    return [(run.role, run.members, run.seed, run.model) for run in execution.every]


def test_engines_agree_bit_for_bit(edited: Callable[..., Path], tmp_path: Path) -> None:
    study = edited(("seed = 7", "seed = 7\nrepeats = 2"), ("rounds = 4", "rounds = 2"), more=PARTS)
    one = simulate(study, home=tmp_path / "a", progress=False).view
    other = simulate(study, home=tmp_path / "b", engine="processes", progress=False).view
    assert models(one) == models(other)
    assert told(one) == told(other)
    assert all(told(one)[kind] for kind in KINDS)
    assert len(one.coalitions) == 2 * 6


class StopAt:
    """Presses Ctrl-C when the last round but one of some run is finished."""

    def __init__(self, run: int) -> None:
        self.run = run

    def on(self, event: Event) -> None:
        if isinstance(event, RoundFinished) and event.run.endswith(f"-{self.run}") and event.round == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("run", [1, 4])
def test_an_interrupted_execution_goes_on_to_the_same(edited: Callable[..., Path], tmp_path: Path, run: int) -> None:
    study = edited(("rounds = 4", "rounds = 2"), more=PARTS)
    whole = simulate(study, home=tmp_path / "a", progress=False).view
    home = Home(tmp_path / "b")
    asked, base = opened(study)
    sources = Sources(base, home.folder / "sites")
    execution = lay_down(asked, home, sources=sources, engine="in-process", arm=None)
    with pytest.raises(KeyboardInterrupt):
        carry_on(home, execution, display=StopAt(run))
    stopped = whole_execution(home, execution)
    assert stopped.every[run - 1].status == "interrupted"
    assert stopped.every[run - 1].role == ("arm" if run == 1 else "coalition" if run > 2 else "centralised")
    carry_on(home, execution)
    resumed = whole_execution(home, execution)
    assert models(resumed) == models(whole)
    assert told(resumed) == told(whole)


def test_an_arm_by_itself_is_not_weighed(edited: Callable[..., Path], tmp_path: Path) -> None:
    study = edited(("rounds = 4", "rounds = 1"), more=PARTS + '\n[[arm]]\nname = "x"\n')
    view = simulate(study, home=tmp_path, arm="x", progress=False).view
    assert [run.role for run in view.every] == ["arm"]


def test_each_way_of_weighing_gives_other_numbers(edited: Callable[..., Path], tmp_path: Path) -> None:
    study = edited(("rounds = 4", "rounds = 1"), more=PARTS)
    shapley = simulate(study, home=tmp_path / "a", progress=False).view
    text = (
        study.read_text(encoding="utf-8").replace('"shapley"', '"leave-one-out"').replace("repeats = 2", "repeats = 3")
    )
    study.write_text(text, encoding="utf-8")
    left_out = simulate(study, home=tmp_path / "b", progress=False).view
    assert [run.model for run in shapley.runs] == [run.model for run in left_out.runs]
    assert told(shapley)["contributions"] != told(left_out)["contributions"]
    assert told(shapley)["importance"] != told(left_out)["importance"]
    found = told(shapley)["contributions"][0]
    assert sum(one["value"] for one in found["sites"]) == pytest.approx(found["together"] - found["nobody"])
