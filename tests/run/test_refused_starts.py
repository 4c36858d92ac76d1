"""What cannot be started from is refused in a sentence with its remedy, and exit code 2."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from medfl.events import RunPlanned
from medfl.spec.reading import read
from medfl.store.home import Home
from medfl.store.shelf import outlines
from medfl.testing.command import typed
from medfl.testing.federation import tables

Spoil = Callable[[Path], object]


def nothing(_: Path) -> None:
    """Leave everything as it is."""


def rewritten(name: str, **changes: np.ndarray | None) -> Spoil:
    """Return what writes the exported weights into a file of their own, with some of them changed or left out."""

    def spoil(folder: Path) -> None:
        tensors = load_file(folder / "source" / "model.safetensors") | {
            key.replace("_", "."): value for key, value in changes.items()
        }
        save_file({key: value for key, value in tensors.items() if value is not None}, folder / name)

    return spoil


def cut(name: str, *, to: int) -> Spoil:
    def spoil(folder: Path) -> None:
        body = (folder / "source" / "model.safetensors").read_bytes()
        (folder / name).write_bytes(body[:to])

    return spoil


def worded(text: str) -> Spoil:
    return lambda folder: (folder / "source" / "model.json").write_text(text, encoding="utf-8")


def study_changed(*pairs: tuple[str, str]) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / "asked.toml"
        text = path.read_text(encoding="utf-8")
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")

    return spoil


def numbered_colours(folder: Path) -> None:
    for name in ("east", "north", "west"):
        path = folder / f"{name}.csv"
        text = path.read_text(encoding="utf-8")
        for number, colour in enumerate(("amber", "blue", "clear")):
            text = text.replace(colour, f"{number}.5")
        path.write_text(text, encoding="utf-8")


def three_outcomes(folder: Path) -> None:
    for name in ("east", "north", "west"):
        path = folder / f"{name}.csv"
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [f"{line[:-1]}{number % 3}" for number, line in enumerate(lines[1:])]
        path.write_text("\n".join([lines[0], *rows]), encoding="utf-8")


MLP = 'kind = "mlp"\nhidden = [8]'
HIDDEN = np.ones((5, 8), np.float32)

CASES: dict[str, tuple[str, Spoil, str, str]] = {
    "two sources": ('model = "source"\nweights = "w"', nothing, "exclude each other", "keep one"),
    "no source": ("new_head = true", nothing, "nothing to start from", "name one of"),
    "unknown key": ('model = "source"\nfreese = ["layer1"]', nothing, "freese", "freeze"),
    "two schedules": ('model = "source"\nprobe_rounds = 1\nunfreeze_every = 1', nothing, "exclude each", "keep one"),
    "a rate of zero": ('model = "source"\nrates = { layer1 = 0.0 }', nothing, "rates", "above 0"),
    "no such folder": ('model = "nowhere"', nothing, "there is no such model", "medfl export"),
    "no model.json": ('model = "."', nothing, "cannot be read there", "medfl export"),
    "a model.json of something else": ('model = "source"', worded('{"a": 1}'), "not an exported model", "medfl export"),
    "a model.json that is no JSON": ('model = "source"', worded("a"), "not JSON", "export the model again"),
    "changed weights": (
        'model = "source"',
        cut("source/model.safetensors", to=200),
        "not those that model.json speaks of",
        "export the model again",
    ),
    "no such file": ('weights = "w"', nothing, "the weights cannot be read", "name a safetensors file"),
    "a truncated file": ('weights = "w"', cut("w", to=300), "no whole safetensors file", "copy the file again"),
    "an empty file": ('weights = "w"', cut("w", to=0), "no whole safetensors file", "copy the file again"),
    "weights of another shape": ('weights = "w"', rewritten("w", layer1_weight=HIDDEN.T), "do not fit", "transpose"),
    "weights of another width": (
        'weights = "w"',
        rewritten("w", layer1_weight=np.ones((9, 8), np.float32)),
        "do not fit the model",
        "the architecture and the columns",
    ),
    "weights that lack a layer": ('weights = "w"', rewritten("w", layer1_bias=None), "no such weights", "architecture"),
    "too many weights": (
        'weights = "w"',
        rewritten("w", layer9_bias=np.ones(3, np.float32)),
        "layer9.bias no such weights here",
        "another file",
    ),
    "weights that are not finite": (
        'weights = "w"',
        rewritten("w", layer1_bias=np.full(8, np.nan, np.float32)),
        "not finite",
        "start from another model",
    ),
    "a head of another shape": (
        'weights = "w"',
        rewritten("w", layer2_weight=np.ones((8, 3), np.float32), layer2_bias=np.ones(3, np.float32)),
        "the head of the file w does not fit",
        "new_head = true",
    ),
    "another number of classes": ('model = "source"', three_outcomes, "the head", "new_head = true"),
    "another outcome": (
        'model = "source"',
        study_changed(('target = "sick"', 'target = "dose"\noutcome = "regression"\nfeatures = ["age", "colour"]')),
        "regression here, binary",
        "new_head = true",
    ),
    "another width": ('model = "source"', study_changed(("hidden = [8]", "hidden = [9, 4]")), "9-4", "another model"),
    "another activation": (
        'model = "source"',
        study_changed(("hidden = [8]", 'hidden = [8]\nactivation = "tanh"')),
        "mlp with hidden 8, tanh here, mlp with hidden 8, relu there",
        "write the same kind",
    ),
    "another kind": ('model = "source"', study_changed((MLP, 'kind = "logistic"')), "logistic here", "the same kind"),
    "another unit": (
        'model = "source"',
        study_changed(('age = "years"', 'age = "months"')),
        "months here, years there",
        "convert the column",
    ),
    "another kind of column": (
        'model = "source"',
        numbered_colours,
        "'colour' is of another kind",
        "data.categorical",
    ),
    "another scale": (
        'model = "source"',
        study_changed(("[model]", '[preprocess]\nscale = "standard-per-site"\n\n[model]')),
        "trained on another scale",
        'scale = "standard"',
    ),
    "unknown run": ('run = "nothing"', nothing, "there is no such run", "medfl runs"),
    "unknown layer": (
        'model = "source"\nfreeze = ["layer1", "leyer2"]',
        nothing,
        "no such layer",
        "did you mean 'layer2'",
    ),
    "unknown layer with a rate": ('model = "source"\nrates = { layer7 = 0.1 }', nothing, "no such layer", "layer1"),
    "everything frozen": (
        'model = "source"\nfreeze = ["layer1", "layer2"]',
        nothing,
        "nothing would be learned",
        "leave",
    ),
    "a frozen new head": (
        'model = "source"\nnew_head = true\nfreeze = ["layer2"]',
        nothing,
        "the new head is frozen",
        "take layer2 out",
    ),
    "nothing but probing": (
        'model = "source"\nprobe_rounds = 4',
        nothing,
        "nothing would be fine-tuned",
        "fewer than 4",
    ),
    "bundled without a factory": ('weights = "bundled"', nothing, "brings no weights along", 'kind = "torch"'),
    "bundled with a new head": (
        'weights = "bundled"\nnew_head = true',
        nothing,
        "bundled weights",
        "leave new_head out",
    ),
}


STUDY = """
[study]
name = "tiny"

[data]
target = "sick"

[data.units]
age = "years"

[data.sites]
east = "east.csv"
north = "north.csv"
west = "west.csv"

[model]
kind = "mlp"
hidden = [8]

[algorithm]
rounds = 4

[evaluation]
bootstrap = 0
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a study, its tables, and what it learned."""
    folder = tmp_path_factory.mktemp("exported")
    for name, frame in tables().items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    (run,) = typed("run", folder / "study.toml", "--home", folder / "home", "--json").json["runs"]
    assert typed("export", run["run"], "--home", folder / "home", "-o", folder / "source").code == 0
    return folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may spoil."""
    return shutil.copytree(exported, tmp_path / "copy")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("verb", ["check", "run"])
def test_a_bad_start_is_refused_in_a_sentence(case: str, verb: str, folder: Path) -> None:
    start, spoil, what, remedy = CASES[case]
    asked = folder / "asked.toml"
    asked.write_text(f"{STUDY}\n[model.start]\n{start}\n", encoding="utf-8")
    spoil(folder)
    said = typed(verb, asked, "--home", folder / "home")
    told = " ".join(said.err.split())
    assert said.code == 2, said.out
    assert what in told and remedy in told.partition("→")[2], told
    assert "Traceback" not in told


def test_the_same_start_unspoilt_is_accepted(folder: Path) -> None:
    asked = folder / "asked.toml"
    asked.write_text(f'{STUDY}\n[model.start]\nmodel = "source"\n', encoding="utf-8")
    assert typed("run", asked, "--home", folder / "home").code == 0


def test_a_run_that_is_not_finished_or_has_no_one_model_is_no_start(folder: Path) -> None:
    several = folder / "several.toml"
    text = STUDY.replace("bootstrap = 0", 'bootstrap = 0\nbaselines = ["local-only"]')
    several.write_text(text, encoding="utf-8")
    assert typed("run", several, "--home", folder / "home").code == 0
    alone, arm = [view for view in outlines(Home(folder / "home")) if view.digest == read(several).study.digest]
    home = Home(folder / "home")
    home.journal.append([replace(_planned(home, arm.run), run="half-1", execution="half")])
    for run, what, remedy in (
        (alone.run, "no one model to start from", "name a run of an arm"),
        ("half-1", "is not finished", "medfl resume half-1"),
    ):
        asked = folder / "asked.toml"
        asked.write_text(f'{STUDY}\n[model.start]\nrun = "{run}"\n', encoding="utf-8")
        said = typed("run", asked, "--home", folder / "home")
        assert said.code == 2 and what in said.err and remedy in said.err


def _planned(home: Home, run: str) -> RunPlanned:
    return next(each.event for each in home.journal.read(run=run) if isinstance(each.event, RunPlanned))


def test_nothing_is_laid_down_where_there_is_nothing_to_start_from(folder: Path) -> None:
    asked = folder / "asked.toml"
    asked.write_text(f'{STUDY}\n[model.start]\nmodel = "nowhere"\n', encoding="utf-8")
    before = len(outlines(Home(folder / "home")))
    assert typed("run", asked, "--home", folder / "home").code == 2
    assert len(outlines(Home(folder / "home"))) == before
