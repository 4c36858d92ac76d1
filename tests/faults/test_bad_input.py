"""What a user may get wrong in a study or a table, through the command line: place, remedy, exit code, no patient."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medfl.testing.command import Said, typed, typed_apart

Change = Callable[[pd.DataFrame], pd.DataFrame | str | None]
"""What becomes of west's table: another one, the text of a file, or no file."""

WILD = """
[model]
kind = "linear"

[training]
batch_size = 16
learning_rate = 2.0

[algorithm]
kind = "fedavg"
rounds = 60

[[arm]]
name = "wild"

[[arm]]
name = "calm"
training = { learning_rate = 0.01 }
algorithm = { rounds = 2 }
"""


@dataclass(frozen=True)
class Fault:
    """Something wrong, and what must be said about it.

    Parameters
    ----------
    says
        What the error must name: the place, what was found, what to do.
    west
        What becomes of west's table.
    study
        What becomes of the study's text.
    verb, words
        What is typed; before and after the study's path.
    laid_down
        Whether it shows only after the runs were laid down, so that there is a failed run to tell about.
    """

    says: tuple[str, ...]
    west: Change | None = None
    study: Callable[[str], str] | None = None
    verb: str = "run"
    words: tuple[str, ...] = ()
    laid_down: bool = True


def spelled(column: str, cell: object) -> Change:
    """Return a change that puts one cell into a column."""
    return lambda frame: frame.astype({column: object}).assign(**{column: [cell, *frame[column][1:]]})


def written(old: str, new: str) -> Callable[[str], str]:
    """Return a change of the study's text."""

    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


TABLES = {
    "a missing file": Fault(("site west", "west.csv: no such file", "did you mean 'east.csv'?"), west=lambda _: None),
    "an empty table": Fault(("site west", "west.csv", "no rows", "at least one row"), west=lambda rows: rows[:0]),
    "an empty file": Fault(("site west", "west.csv", "empty", "header line"), west=lambda _: ""),
    "a workbook": Fault(("site west", "west.csv", "binary", "save the table as CSV"), west=lambda _: "PK\3\4\0"),
    "no header": Fault(
        ("site west", "west.csv", "looks like a row", "data.columns"),
        west=lambda rows: rows.drop(columns="colour").to_csv(index=False, header=False),
    ),
    "a row too short": Fault(
        ("site west", "west.csv, line 122", "2 cells", "4 columns", "mend that line"),
        west=lambda rows: rows.to_csv(index=False) + "987.125,Zebediah\n",
    ),
    "target absent at one site": Fault(
        ("study.toml:8 [data] target", "west lacks the target 'sick'", "did you mean 'sicc'?"),
        west=lambda rows: rows.rename(columns={"sick": "sicc"}),
    ),
    "target absent everywhere": Fault(
        ("study.toml:8 [data] target", "no site has the target 'sikc'", "did you mean 'sick'?"),
        study=written('"sick"', '"sikc"'),
    ),
    "one class at a site": Fault(
        ("site west", "one and the same outcome in 'sick'", 'data.one_class = "keep"'),
        west=lambda rows: rows.assign(sick=1),
    ),
    "text in a numeric column": Fault(
        ("site west, column 'age'", "1 of 120 values are not numbers", "data.missing"), west=spelled("age", "Zebediah")
    ),
    "a new column at one site": Fault(
        ("column 'weight'", "only west has 'weight'", "data.features"), west=lambda rows: rows.assign(weight=987.125)
    ),
    "a column that one site lacks": Fault(
        ("column 'dose'", "west lacks 'dose'", "data.features"), west=lambda rows: rows.drop(columns="dose")
    ),
    "numbers here, text there": Fault(
        ("column 'dose'", "numbers at east and north, text at west", "data.categorical"),
        west=lambda rows: rows.assign(dose="Zebediah"),
    ),
    "one row": Fault(("site west", "too few rows", ": 1", "leave the site out"), west=lambda rows: rows[:1]),
    "a value is missing": Fault(
        ("site west", "'dose' in 1 of 120 rows", "preprocess.impute", '"median"'), west=spelled("dose", np.nan)
    ),
    "an infinite value": Fault(
        ("site west, column 'dose'", "infinite or too large: 1 of 120", "leave those cells empty"),
        west=spelled("dose", np.inf),
    ),
    "a value beyond single precision": Fault(
        ("site west, column 'dose'", "too large: 1 of 120"), west=spelled("dose", 9.87125e250)
    ),
    "duplicate column names": Fault(
        ("site west", "west.csv", "duplicate column names: those of columns 1 and 2", "a name of its own"),
        west=lambda rows: rows.to_csv(index=False).replace("age,dose", "age,age"),
    ),
    "an identifier as feature": Fault(
        ("site west, column 'colour'", "looks like an identifier", "data.features"),
        west=lambda rows: rows.assign(colour=[f"Zebediah {row}" for row in rows.index]),
    ),
}
STUDIES = {
    "TOML that is none": Fault(
        ("study.toml:5, column 8", "not TOML", "seed = seven", 'seed = "seven"'),
        study=written("seed = 7", "seed = seven"),
        laid_down=False,
    ),
    "a key that is none": Fault(
        ("study.toml:5 [study]", "seeed is not a key", "did you mean seed?"),
        study=written("seed = 7", "seeed = 7"),
        laid_down=False,
    ),
    "two mistakes": Fault(
        ("2 things are wrong", "study.toml:20", "study.toml:23", '"fedavg"'),
        study=lambda text: written("batch_size = 16", "batch_size = 0")(written('"fedavg"', '"fedavgg"')(text)),
        laid_down=False,
    ),
    "a newer version": Fault(
        ("study.toml:1 version", "written for version 99", "pip install --upgrade medfl"),
        study=lambda text: f"version = 99\n{text}",
        laid_down=False,
    ),
    "an arm that is none": Fault(("--arm", "no such arm", "wlid", "base"), words=("--arm", "wlid"), laid_down=False),
    "a model that does not fit": Fault(
        ("'dose'", "logistic regression predicts classes", '"linear"'),
        study=lambda text: text.replace('"sick"', '"dose"').replace('"mlp"\nhidden = [8]', '"logistic"'),
    ),
    "a network without its plugin": Fault(
        ("model.name", '"mine"', "--plugin FILE"),
        study=written('kind = "mlp"\nhidden = [8]', 'kind = "torch"\nname = "mine"'),
    ),
}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDFL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MEDFL_JOURNAL", raising=False)


def spoilt(fault: Fault, tiny: Path) -> Path:
    """Put a fault into the small study, and return its path."""
    path = tiny.parent / "west.csv"
    if fault.west is not None:
        found = fault.west(pd.read_csv(path))
        path.unlink()
        if isinstance(found, str):
            path.write_text(found, encoding="utf-8")
        elif found is not None:
            found.to_csv(path, index=False)
    if fault.study is not None:
        tiny.write_text(fault.study(tiny.read_text(encoding="utf-8")), encoding="utf-8")
    return tiny


def calm(said: Said, folder: Path, *, code: int = 2) -> None:
    """Hold what every failing command must: its exit code, a remedy, no trace, and no patient."""
    assert said.code == code, said.err
    assert "Traceback" not in said.err
    assert re.search(r"^    → \w", said.err, re.MULTILINE), said.err
    for table in folder.glob("*.csv"):
        for row in table.read_text(encoding="utf-8").splitlines()[1:]:
            assert row not in said.err
            assert row not in said.out
    for cell in ("Zebediah", "987.125", "e+250", "e250"):
        assert cell not in said.err
        assert cell not in said.out


@pytest.mark.parametrize("fault", (TABLES | STUDIES).values(), ids=(TABLES | STUDIES).keys())
def test_a_mistake_is_told_with_its_place_and_remedy(fault: Fault, tiny: Path) -> None:
    said = typed(fault.verb, spoilt(fault, tiny), *fault.words, "--json")
    calm(said, tiny.parent)
    for fragment in fault.says:
        assert fragment in said.err
    told = said.json
    assert told["error"]["complaints"][0]["remedy"]
    assert ("runs" in told) == fault.laid_down
    if fault.laid_down:
        assert [(run["status"], run["rounds"], run["model"]) for run in told["runs"]] == [("failed", 0, None)]
        assert told["runs"][0]["run"] in said.err, "what to type to go on"


@pytest.mark.parametrize("fault", TABLES.values(), ids=TABLES.keys())
def test_check_says_the_same_before_anything_is_run(fault: Fault, tiny: Path, tmp_path: Path) -> None:
    said = typed("check", spoilt(fault, tiny), "--json")
    calm(said, tiny.parent)
    for fragment in fault.says:
        assert fragment in said.err
    assert said.json["ok"] is False
    assert not (tmp_path / "home").exists(), "checking stores nothing"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a missing file", "text in a numeric column", "TOML that is none"])
def test_the_same_in_a_process_of_its_own(name: str, tiny: Path) -> None:
    fault = (TABLES | STUDIES)[name]
    said = typed_apart("run", spoilt(fault, tiny), "--engine", "processes")
    calm(said, tiny.parent)
    assert said.out == "", "nothing was judged: there is nothing to show"
    for fragment in fault.says:
        assert fragment in said.err


def test_a_mended_table_and_resume(edited: Callable[..., Path]) -> None:
    """All runs read the same table: it is complained of once, and all of them go on when it is mended."""
    study = edited(("seed = 7", "seed = 7\nrepeats = 3"), more='\n[evaluation]\nbaselines = ["local-only"]\n')
    west = study.with_name("west.csv")
    body = west.read_bytes()
    west.unlink()
    said = typed("run", study, "--json")
    failed = said.json["runs"]
    assert [run["status"] for run in failed] == ["failed", "planned", "planned"]
    assert said.err.count("no such file") == 3, "at the site, of the run, in the end"
    assert "5 more that read the same tables were not tried" in said.err
    west.write_bytes(body)
    resumed = typed("resume", failed[2]["run"], "--json")
    assert resumed.code == 0
    assert [run["status"] for run in resumed.json["runs"]] == ["finished"] * 3
    assert len(resumed.json["baselines"]) == 9
    again = typed("run", study, "--json").json["runs"]
    assert [run["model"] for run in resumed.json["runs"]] == [run["model"] for run in again]


def test_an_arm_that_reads_otherwise_is_tried(edited: Callable[..., Path]) -> None:
    arms = '\n[[arm]]\nname = "whole"\n\n[[arm]]\nname = "filled"\npreprocess = { impute = "median" }\n'
    study = edited(more=arms)
    west = study.with_name("west.csv")
    spelled("dose", np.nan)(pd.read_csv(west)).to_csv(west, index=False)  # type: ignore[union-attr]
    said = typed("run", study, "--json")
    calm(said, study.parent)
    assert [run["status"] for run in said.json["runs"]] == ["failed", "finished"]
    assert "'dose' in 1 of 120 rows" in said.err


@pytest.mark.parametrize("path", ["nosuch.toml", "", "west.csv", "stduy.toml"])
def test_a_study_that_is_none(path: str, tiny: Path) -> None:
    said = typed("run", tiny.parent / path, "--json")
    calm(said, tiny.parent)
    assert "study" in said.err
    assert set(said.json) == {"error"}


@pytest.mark.parametrize(("rows", "left"), [(10, 8), (3, 2)])
def test_fewer_rows_than_a_batch_work_and_are_noticed(rows: int, left: int, tiny: Path) -> None:
    fault = Fault((), west=lambda frame: pd.concat([frame[frame["sick"] == 1][:1], frame[frame["sick"] == 0]])[:rows])
    said = typed("run", spoilt(fault, tiny), "--json")
    assert said.code == 0
    assert said.json["runs"][0]["sites"]["west"]["train_rows"] == left
    assert f"west: {left} training rows are fewer than a batch of 16: each step uses all of them" in said.err


@pytest.fixture
def wild(tiny: Path) -> Path:
    """Return a study one of whose arms leaves the finite numbers after some rounds."""
    text = tiny.read_text(encoding="utf-8")
    head = text.partition("[model]")[0].replace('target = "sick"', 'target = "dose"\noutcome = "regression"')
    tiny.write_text(head + WILD, encoding="utf-8")
    return tiny


def test_weights_that_leave_the_numbers(wild: Path, tmp_path: Path) -> None:
    said = typed("run", wild, "--json")
    calm(said, wild.parent)
    diverged, finished = said.json["runs"]
    assert (diverged["arm"], diverged["status"], diverged["error"]["code"]) == ("wild", "failed", "diverged")
    assert (finished["arm"], finished["status"], finished["rounds"]) == ("calm", "finished", 2)
    assert diverged["rounds"] >= 1
    (place,) = [complaint["where"] for complaint in said.json["error"]["complaints"]]
    assert re.fullmatch(rf"wild, seed 7, sites? (east|north|west).*, round {diverged['rounds'] + 1}", place)
    assert "lower learning_rate in [training] (try 0.2)" in said.err
    assert f"medfl export {diverged['run']}" in said.err
    assert typed("export", diverged["run"], "-o", tmp_path / "kept").code == 0
    predicted = typed("predict", tmp_path / "kept", wild.parent / "east.csv")
    assert predicted.code == 0
    assert "nan" not in predicted.out.lower()


def test_what_was_finished_is_shown_before_the_error(wild: Path) -> None:
    said = typed("run", wild)
    assert said.code == 2
    assert "calm" in said.out
    assert "RMSE" in said.out
    assert said.out.index("wild, seed 7: failed") < said.out.index("RMSE")
    assert "Error:" in said.err


BROKEN = """
from medfl.site.desk import Desk

def broken(desk, *words):
    raise KeyError("Zebediah 987.125")

Desk.summed = broken
"""


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["in-process", "processes", "flower"])
def test_what_nobody_foresaw_stays_at_the_site(engine: str, tiny: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "broken.py"
    plugin.write_text(BROKEN, encoding="utf-8")
    said = typed_apart("run", tiny, "--plugin", plugin, "--engine", engine, "--json")
    calm(said, tiny.parent, code=1)
    assert "sites east, north and west: the site failed at the stage 'prepare' (found: KeyError)" in said.err
    assert said.json["runs"][0]["error"]["code"] == "site"
    log = tmp_path / "home" / "sites" / "site.log"
    assert str(log) in said.err
    assert log.read_text(encoding="utf-8").count("\nKeyError: 'Zebediah 987.125'") == 3
    assert log.stat().st_mode & 0o777 == 0o600
    checked = typed_apart("check", tiny, "--plugin", plugin)
    calm(checked, tiny.parent, code=1)
