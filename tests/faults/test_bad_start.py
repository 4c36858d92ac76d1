"""What a user may get wrong in what a study starts from: one sentence, the remedy, exit code 2, no trace."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from medfl.testing.command import Said, typed

Spoil = Callable[[Path], None]
"""What becomes of the folder that has the study, its tables, and the exported model in ``model``."""


@dataclass(frozen=True)
class Fault:
    """Something wrong with the start, and what must be said about it.

    Parameters
    ----------
    start
        Lines of ``[model.start]``.
    says
        What the error must name.
    spoil
        What becomes of the folder first.
    study
        Changes of the study's text.
    """

    start: str
    says: tuple[str, ...]
    spoil: Spoil = lambda folder: None
    study: tuple[tuple[str, str], ...] = ()


def tensors(change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Spoil:
    """Write the model's tensors, changed, as ``weights.safetensors``."""

    def spoil(folder: Path) -> None:
        save_file(change(load_file(folder / "model" / "model.safetensors")), folder / "weights.safetensors")

    return spoil


def cut(name: str, *, by: int) -> Spoil:
    """Leave the end of the model's weights away, in a file of another name or the export itself."""

    def spoil(folder: Path) -> None:
        body = (folder / "model" / "model.safetensors").read_bytes()
        (folder / name).write_bytes(body[:-by])

    return spoil


def something_else(folder: Path) -> None:
    (folder / "model" / "model.json").write_text(json.dumps({"format": "recipe for soup"}), encoding="utf-8")


def three_grades(folder: Path) -> None:
    for name in ("east", "north", "west"):
        frame = pd.read_csv(folder / f"{name}.csv")
        frame["sick"] = np.where(frame["dose"] > 0.5, "badly", np.where(frame["sick"] == 1, "mildly", "no"))
        frame.to_csv(folder / f"{name}.csv", index=False)


FAULTS = {
    "another shape": Fault('model = "model"', ("8", "16", "hidden"), study=(("hidden = [8]", "hidden = [16]"),)),
    "another kind": Fault(
        'model = "model"', ("logistic", "mlp", "hidden 8"), study=(('"mlp"\nhidden = [8]', '"logistic"'),)
    ),
    "another activation": Fault(
        'model = "model"', ("relu", "tanh"), study=(("hidden = [8]", 'hidden = [8]\nactivation = "tanh"'),)
    ),
    "a head that does not fit": Fault('model = "model"', ("new_head = true",), spoil=three_grades),
    "a feature in another unit": Fault(
        'model = "model"',
        ("'age'", "years", "months", "unit"),
        study=(("[data.sites]", '[data.units]\nage = "months"\n\n[data.sites]'),),
    ),
    "tensors of another shape": Fault(
        'weights = "weights.safetensors"',
        ("layer2.weight", "(8, 1)", "(9, 1)"),
        spoil=tensors(lambda given: given | {"layer2.weight": np.zeros((9, 1), np.float32)}),
    ),
    "a tensor missing": Fault(
        'weights = "weights.safetensors"',
        ("layer2.bias",),
        spoil=tensors(lambda given: {name: value for name, value in given.items() if name != "layer2.bias"}),
    ),
    "weights that are no numbers": Fault(
        'weights = "weights.safetensors"',
        ("layer2.bias",),
        spoil=tensors(lambda given: given | {"layer2.bias": np.array([np.nan], np.float32)}),
    ),
    "a file cut off": Fault('weights = "cut.safetensors"', ("cut.safetensors",), spoil=cut("cut.safetensors", by=10)),
    "an export cut off": Fault('model = "model"', ("model.safetensors",), spoil=cut("model/model.safetensors", by=10)),
    "no such file": Fault('weights = "nosuch.safetensors"', ("nosuch.safetensors",)),
    "no such folder": Fault('model = "nosuch"', ("nosuch", "medfl export")),
    "a model.json of something else": Fault('model = "model"', ("not an exported model",), spoil=something_else),
    "an unknown run": Fault('run = "ffffffff-1"', ("ffffffff-1",)),
    "an unfinished run": Fault('run = "UNFINISHED"', ("finished",)),
    "bundled weights of a built-in model": Fault('weights = "bundled"', ("bundled", "torch")),
    "an unknown layer to freeze": Fault('model = "model"\nfreeze = ["layr1"]', ("layr1", "layer1")),
    "an unknown layer's rate": Fault('model = "model"\nrates = { layer3 = 0.1 }', ("layer3", "layer1")),
    "everything frozen": Fault('model = "model"\nfreeze = ["layer1", "layer2"]', ("freeze",)),
    "two sources": Fault('model = "model"\nrun = "abc"', ("model", "run", "keep one")),
    "no source": Fault("new_head = true", ("model", "run", "weights")),
    "a new head where all is head": Fault(
        'weights = "weights.safetensors"\nnew_head = true',
        ("new_head", "its head"),
        spoil=tensors(lambda given: given),
        study=(('"mlp"\nhidden = [8]', '"logistic"'),),
    ),
    "no rounds to thaw in": Fault('model = "model"\nprobe_rounds = 0', ("probe_rounds", "at least 1")),
    "two schedules": Fault('model = "model"\nprobe_rounds = 1\nunfreeze_every = 1', ("probe_rounds", "unfreeze_every")),
    "a rate below zero": Fault('model = "model"\nrates = { layer1 = -0.1 }', ("layer1", "0")),
}
SPEC = ("two sources", "no source", "no rounds to thaw in", "two schedules", "a rate below zero")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDFL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MEDFL_JOURNAL", raising=False)


@pytest.fixture
def ready(edited: Callable[..., Path]) -> Path:
    """Return the small study, in years, beside the model that it exported."""
    study = edited(("[data.sites]", '[data.units]\nage = "years"\n\n[data.sites]'), ("rounds = 4", "rounds = 1"))
    said = typed("run", study, "--json")
    assert said.code == 0, said.err
    assert typed("export", said.json["runs"][0]["run"], "-o", study.parent / "model").code == 0
    study.write_text(study.read_text("utf-8").replace('[data.units]\nage = "years"\n\n', ""), encoding="utf-8")
    return study


def unfinished(study: Path) -> str:
    """Return a run that stopped with an error."""
    broken = study.with_name("broken.toml")
    broken.write_text(study.read_text("utf-8").replace('"sick"', '"nosuch"'), encoding="utf-8")
    run: str = typed("run", broken, "--json").json["runs"][0]["run"]
    return run


def prepared(fault: Fault, study: Path) -> Path:
    text = study.read_text("utf-8")
    for old, new in fault.study:
        assert old in text
        text = text.replace(old, new)
    start = fault.start
    if "UNFINISHED" in start:
        start = start.replace("UNFINISHED", unfinished(study))
    fault.spoil(study.parent)
    study.write_text(f"{text}\n[model.start]\n{start}\n", encoding="utf-8")
    return study


def calm(said: Said) -> None:
    assert said.code == 2, said.err
    assert "Traceback" not in said.err
    assert re.search(r"^    → \w", said.err, re.MULTILINE), said.err


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("verb", ["run", "check"])
def test_a_bad_start_is_told_with_its_remedy(fault: Fault, verb: str, ready: Path) -> None:
    said = typed(verb, prepared(fault, ready), "--json")
    calm(said)
    for fragment in fault.says:
        assert fragment in said.err
    if verb == "run" and "runs" in said.json:
        assert [(run["status"], run["rounds"]) for run in said.json["runs"]] == [("failed", 0)]


@pytest.mark.parametrize("name", SPEC)
def test_what_the_text_alone_shows_is_told_with_its_line(name: str, ready: Path) -> None:
    said = typed("run", prepared(FAULTS[name], ready), "--json")
    calm(said)
    assert re.search(r"study\.toml:\d+", said.err)
    assert "runs" not in said.json
