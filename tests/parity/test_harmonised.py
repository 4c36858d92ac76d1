"""Tables that a study harmonises give the model of tables that were rewritten by hand, whatever carries the study."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medfl.events import RoundFinished
from medfl.inspection import inspect, opened
from medfl.publish.export import export
from medfl.run.flower.rehearsal import Rehearsal
from medfl.run.loop import Federation, carry_out
from medfl.run.plan import compile
from medfl.simulate import simulate
from medfl.site import flower_worker, worker
from medfl.site.sources import Sources
from medfl.testing.federation import NAMES, Kept

MAPPED = """
[data.harmonise.north.columns]
age = { called = "AGE_Q", factor = 0.25, unit = "quarters" }
colour = { called = "COL", codes = { 1 = "amber", 2 = "blue", 3 = "clear" } }

[data.harmonise.west.columns]
sick = { called = "DISEASE", codes = { yes = "1", no = "0" } }
dose = { offset = -1.5 }
"""
MORE = '[evaluation]\nbaselines = ["centralised", "local-only"]\nsubgroups = { colour = "colour" }\n'


@pytest.fixture
def both(edited: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """Return a study of tables that differ, and one of the same tables rewritten by hand."""
    study = edited(more=MORE)
    hand = tmp_path / "hand"
    hand.mkdir()
    frames = {name: pd.read_csv(tmp_path / f"{name}.csv") for name in NAMES}
    for frame in frames.values():
        frame["age"] = (frame["age"] * 4).round() / 4  # Quarters are exact, however they are written.
        frame["dose"] = (frame["dose"] * 4).round() / 4
    for name, frame in frames.items():
        frame.to_csv(hand / f"{name}.csv", index=False)
    for name, frame in frames.items():
        differing(name, frame).to_csv(tmp_path / f"{name}.csv", index=False)
    (hand / "study.toml").write_text(study.read_text(encoding="utf-8"), encoding="utf-8")
    study.write_text(study.read_text(encoding="utf-8") + MAPPED, encoding="utf-8")
    return study, hand / "study.toml"


def differing(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    if name == "north":
        codes = frame["colour"].map({"amber": 1, "blue": 2, "clear": 3})
        there = frame.assign(AGE_Q=(frame["age"] * 4).astype(int), COL=codes)
        return there[["AGE_Q", "dose", "COL", "sick"]]
    if name == "west":
        sick = np.where(frame["sick"] == 1, "yes", "no")
        return frame.assign(DISEASE=sick, dose=frame["dose"] + 1.5)[["age", "dose", "colour", "DISEASE"]]
    return frame


def models(path: Path, home: Path, **options: Any) -> dict[str, Any]:
    summary = simulate(path, home=home, progress=False, **options).summary
    return {"runs": [(run["model"], run["metrics"]) for run in summary["runs"]], "baselines": summary["baselines"]}


def test_the_model_is_that_of_tables_rewritten_by_hand(both: tuple[Path, Path], tmp_path: Path) -> None:
    harmonised, by_hand = (models(path, tmp_path / name) for path, name in zip(both, "ab", strict=True))
    assert harmonised == by_hand


def test_every_engine_harmonises(both: tuple[Path, Path], tmp_path: Path) -> None:
    study = both[0]
    assert models(study, tmp_path / "a") == models(study, tmp_path / "b", engine="processes")


@pytest.mark.slow
def test_over_a_superlink_too(both: tuple[Path, Path], tmp_path: Path) -> None:
    asked, base = opened(both[0])
    words = json.loads(worker.opening(asked, Sources(base, tmp_path / "vaults")))
    command = (sys.executable, "-m", flower_worker.__name__)
    with Rehearsal(tmp_path / "flower", NAMES, command=command, words=words) as engine:
        told = list(carry_out("run", compile(asked)[0], Federation(engine, Kept().write)))
    found = [event.model for event in told if isinstance(event, RoundFinished)]
    assert found[-1] == models(both[1], tmp_path / "by-hand")["runs"][0][0]


def test_a_site_without_the_column_is_named(both: tuple[Path, Path]) -> None:
    text = both[0].read_text(encoding="utf-8").replace('"AGE_Q"', '"AGE_QQ"')
    both[0].write_text(text, encoding="utf-8")
    with pytest.raises(Exception, match=r"north.*no column 'AGE_QQ', from which 'age' is to be read") as error:
        inspect(both[0])
    assert "did you mean 'AGE_Q'?" in str(error.value)


def test_it_is_said_before_the_study_runs(both: tuple[Path, Path]) -> None:
    said = "\n".join(sentence for section in inspect(both[0]).sections for sentence in section.sentences)
    assert "At north, age is read from AGE_Q, times 0.25 (quarters there)" in said
    assert "with 1 = amber, 2 = blue, 3 = clear" in said
    assert "at west" not in said, "each site's sentence begins with a capital"
    assert "At west, sick is read from DISEASE, with yes = 1, no = 0; dose is converted, minus 1.5" in said


def test_the_report_and_the_card_say_it(both: tuple[Path, Path], tmp_path: Path) -> None:
    results = simulate(both[0], home=tmp_path / "home", progress=False)
    report = tmp_path / "report.html"
    results.report(report)
    export(results.view.runs[0], results.home.artefacts, tmp_path / "model")
    for path in (report, tmp_path / "model" / "MODEL_CARD.md"):
        assert "Columns were harmonised at the sites before any other step" in path.read_text(encoding="utf-8")
