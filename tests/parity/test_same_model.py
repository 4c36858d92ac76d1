"""The same study gives the same weights, whatever carries it: engines, repetition, resuming."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from medfl.events import Event, RoundFinished
from medfl.execution import carry_on, lay_down
from medfl.inspection import opened
from medfl.simulate import simulate
from medfl.site.sources import Sources
from medfl.store.home import Home
from medfl.store.shelf import whole_execution

ARMS = """
[evaluation]
baselines = ["centralised", "local-only"]

[[arm]]
name = "fedavg"

[[arm]]
name = "yogi"
algorithm = { kind = "fedyogi", server_learning_rate = 0.05 }
training = { optimizer = "adam", learning_rate = 0.01 }

[[arm]]
name = "some-sites"
algorithm = { kind = "scaffold", fraction = 0.6 }
privacy = { secure_aggregation = false }

[[arm]]
name = "median"
algorithm = { kind = "fedmedian" }
privacy = { secure_aggregation = false }
"""


def models(path: Path, home: Path) -> dict[tuple[str, int], str]:
    results = simulate(path, home=home, progress=False)
    return {(run["arm"], run["seed"]): run["model"] for run in results.summary["runs"]}


def test_engines_agree_bit_for_bit(edited: Callable[..., Path], tmp_path: Path) -> None:
    study = edited(("seed = 7", "seed = 7\nrepeats = 2"), more=ARMS)
    one = simulate(study, home=tmp_path / "a", progress=False).summary
    other = simulate(study, home=tmp_path / "b", engine="processes", progress=False).summary
    assert len({run["model"] for run in one["runs"]}) == 8, "arms and seeds differ"
    for mine, theirs in zip(one["runs"], other["runs"], strict=True):
        assert mine["model"] == theirs["model"]
        assert mine["metrics"] == theirs["metrics"]
        assert mine["sites"] == theirs["sites"]
    assert one["baselines"] == other["baselines"]


def test_the_same_seed_gives_the_same_model_and_another_seed_another(tiny: Path, tmp_path: Path) -> None:
    first = models(tiny, tmp_path / "a")
    assert models(tiny, tmp_path / "b") == first
    tiny.write_text(tiny.read_text(encoding="utf-8").replace("seed = 7", "seed = 8"), encoding="utf-8")
    assert set(models(tiny, tmp_path / "c").values()).isdisjoint(first.values())


class StopAfter:
    """Presses Ctrl-C when a round is finished."""

    def __init__(self, round: int) -> None:
        self.round = round

    def on(self, event: Event) -> None:
        if isinstance(event, RoundFinished) and event.round == self.round:
            raise KeyboardInterrupt


RULES = ("fedavg", "fedavgm", "fedadam", "fedyogi", "fedadagrad", "fedprox", "fednova", "qfedavg", "rfa")
LINES = {rule: f'kind = "{rule}"' for rule in RULES} | {"some sites": 'kind = "scaffold"\nfraction = 0.6'}


@pytest.mark.parametrize("algorithm", LINES)
@pytest.mark.parametrize("round", [1, 3])
def test_an_interrupted_run_resumes_to_the_same_model(
    edited: Callable[..., Path], tmp_path: Path, algorithm: str, round: int
) -> None:
    seen = "[privacy]\nsecure_aggregation = false\n" if algorithm in ("rfa", "some sites") else ""
    study = edited(('kind = "fedavg"', LINES[algorithm]), more=seen)
    whole = simulate(study, home=tmp_path / "a", progress=False).summary["runs"][0]
    home = Home(tmp_path / "b")
    asked, base = opened(study)
    sources = Sources(base, home.folder / "sites")
    execution = lay_down(asked, home, sources=sources, engine="in-process", arm=None)
    with pytest.raises(KeyboardInterrupt):
        carry_on(home, execution, display=StopAfter(round))
    run = whole_execution(home, execution).runs[0]
    assert (run.status, run.rounds) == ("interrupted", round)
    carry_on(home, execution)
    resumed = whole_execution(home, execution).runs[0]
    assert (resumed.status, resumed.rounds) == ("finished", 4)
    assert resumed.model == whole["model"]
    assert dict(resumed.metrics) == whole["metrics"]
