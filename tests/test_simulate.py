"""The front door from Python, and models of the user's own in every engine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import medfl
from medfl import MedflError, Results, Study, read_study, simulate
from medfl.errors import DataError, DivergedError, PlanError, SpecError
from medfl.testing.command import typed
from medfl.testing.federation import NAMES, table, tables

STUDY: dict[str, Any] = {
    "study": {"name": "tiny", "seed": 7},
    "data": {"target": "sick"},
    "algorithm": {"kind": "fedavg", "rounds": 2},
    "evaluation": {"bootstrap": 20},
}


MLP = {"kind": "mlp", "hidden": [4]}


def asked(**parts: Mapping[str, Any]) -> Study:
    """Return a small study with some of its parts laid over."""
    return Study.model_validate({name: STUDY.get(name, {}) | dict(parts.get(name, {})) for name in {*STUDY, *parts}})


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MEDFL_JOURNAL", raising=False)
    monkeypatch.setenv("MEDFL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_frame_for_each_site(home: Path) -> None:
    frames = tables()
    before = {name: frame.copy() for name, frame in frames.items()}
    results = simulate(asked(), frames, progress=False)
    (run,) = results.summary["runs"]
    assert list(run["sites"]) == list(NAMES)
    assert run["status"] == "finished"
    assert results.home.folder == home, "where MEDFL_HOME says"
    for name, frame in frames.items():
        pd.testing.assert_frame_equal(frame, before[name])


def test_frames_and_files_give_the_same_model(tiny: Path, tmp_path: Path) -> None:
    study = read_study(tiny).study
    frames = {name: pd.read_csv(tiny.with_name(f"{name}.csv")) for name in NAMES}
    without_files = study.model_copy(update={"data": study.data.model_copy(update={"sites": None})})
    one = simulate(tiny, home=tmp_path / "a", progress=False).summary["runs"][0]
    other = simulate(without_files, frames, home=tmp_path / "b", progress=False).summary["runs"][0]
    assert one["model"] == other["model"]
    assert one["metrics"] == other["metrics"]


def test_one_frame_is_dealt_out() -> None:
    study = asked(data={"simulate": {"sites": 4, "partition": {"kind": "iid"}}})
    (run,) = simulate(study, table(200, seed=1), progress=False).summary["runs"]
    assert list(run["sites"]) == ["site-01", "site-02", "site-03", "site-04"]
    assert sum(site["train_rows"] + site["test_rows"] for site in run["sites"].values()) == 200


def test_frames_of_other_libraries() -> None:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    pytest.importorskip("pyarrow", reason="polars gives its frames away through pyarrow")
    expected = simulate(asked(), tables(), progress=False).summary["runs"][0]["model"]
    frames = {name: polars.from_pandas(frame) for name, frame in tables().items()}
    assert simulate(asked(), frames, progress=False).summary["runs"][0]["model"] == expected


def test_mappings_of_columns_are_tables_too() -> None:
    expected = simulate(asked(), tables(), progress=False).summary["runs"][0]["model"]
    columns = {name: frame.to_dict("list") for name, frame in tables().items()}
    assert simulate(asked(), columns, progress=False).summary["runs"][0]["model"] == expected


def test_results_show_themselves(tmp_path: Path) -> None:
    results = simulate(asked(evaluation={"baselines": ["centralised"]}), tables(), progress=False)
    assert isinstance(results, Results)
    for text in (str(results), results._repr_html_()):
        for word in ("All sites together", "federated", "centralised", "AUC", *NAMES):
            assert word in text
    assert results._repr_html_().startswith("<pre")
    assert "\x1b" not in str(results)
    page = results.report(tmp_path / "page.html")
    assert page.read_text(encoding="utf-8").lower().startswith("<!doctype html>")
    with pytest.raises(MedflError, match="cannot be written"):
        results.report(tmp_path / "nowhere" / "page.html")
    again = Results(results.home, results.execution)
    assert again.summary == results.summary, "all of it is in the journal"


def test_progress_is_shown_unless_it_is_not_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    simulate(asked(), tables(), progress=False)
    assert capsys.readouterr() == ("", "")
    simulate(asked(), tables())
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "federated, seed 7: round 2 of 2" in shown.err


def test_the_command_line_sees_what_python_did_and_cannot_resume_it() -> None:
    results = simulate(asked(), tables(), progress=False)
    run = results.summary["runs"][0]
    assert typed("show", run["run"], "--json").json == run
    assert typed("report", "tiny", "-o", results.home.folder / "page.html").code == 0
    said = typed("resume", run["run"])
    assert said.code == 2
    assert "started from Python with data frames, which are not stored" in said.err
    assert "medfl.simulate" in said.err


ERRORS: dict[str, tuple[Callable[[], object], type[MedflError], str]] = {
    "no target": (
        lambda: simulate(asked(data={"target": "sikc"}), tables(), progress=False), DataError, "did you mean 'sick'?"
    ),
    "no site": (lambda: simulate(asked(), progress=False), PlanError, "pass data frames to medfl.simulate"),
    "one frame, not dealt": (
        lambda: simulate(asked(), table(50, seed=1), progress=False), PlanError, "add [data.simulate]"
    ),
    "no table": (lambda: simulate(asked(), {"a": 3, "b": [1]}, progress=False), DataError, "pass a pandas or polars"),
    "no file": (lambda: simulate("nosuch.toml", progress=False), MedflError, "nosuch.toml"),
    "frames for other processes": (
        lambda: simulate(asked(), tables(), engine="processes", progress=False), PlanError, 'use engine "in-process"'
    ),
    "no such arm": (lambda: simulate(asked(), tables(), arm="b", progress=False), PlanError, "choose one of: base"),
    "a contradiction": (
        lambda: simulate(asked(evaluation={"threshold": 0.4}, data={"outcome": "regression"}), tables()),
        SpecError, "threshold",
    ),
    "divergence": (
        lambda: simulate(asked(model=MLP, training={"learning_rate": 1e30}), tables(), progress=False),
        DivergedError, "round 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_what_is_wrong_is_one_kind_of_error(name: str) -> None:
    cause, kind, says = ERRORS[name]
    with pytest.raises(kind) as caught:
        cause()
    assert says in str(caught.value)
    assert caught.value.exit_code == 2
    assert all(complaint.remedy for complaint in caught.value.complaints)


def test_the_public_names() -> None:
    assert medfl.simulate is simulate
    assert sorted(dir(medfl)) == medfl.__all__
    with pytest.raises(AttributeError, match="'simulat'"):
        medfl.simulat  # noqa: B018


@pytest.mark.parametrize(
    "order",
    [
        "import medfl.simulate; from medfl import simulate",
        "from medfl import Results, simulate",
        "from medfl.simulate import Results; import medfl; simulate = medfl.simulate",
        "import medfl.inspection; from medfl import simulate",
    ],
)
def test_the_function_is_never_the_module_of_its_name(order: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"{order}; print(simulate.__name__)"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("simulate\n", "")


PLUGIN = """
import torch
import medfl

@medfl.torch_model("own")
def own(features: int, outcomes: int, width: int = 4) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(features, width), torch.nn.Tanh(), torch.nn.Linear(width, outcomes))
"""


@pytest.fixture
def own(edited: Callable[..., Path]) -> Path:
    """Return a study of a network that a plugin beside it registers."""
    study = edited(('kind = "mlp"\nhidden = [8]', 'kind = "torch"\nname = "own"\noptions = { width = 6 }'))
    study.with_name("own.py").write_text(PLUGIN, encoding="utf-8")
    return study


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what was registered when the test is over."""
    from medfl.learn.models.torch import Registered

    monkeypatch.setattr(Registered, "factories", {})


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.usefixtures("nobody")
def test_a_plugin_reaches_every_engine(own: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(own.parent)
    said = {
        engine: typed("run", own, "--plugin", "own.py", "--engine", engine, "--json")
        for engine in ("in-process", "processes", "flower")
    }
    runs = {engine: one.json["runs"][0] for engine, one in said.items() if one.code == 0}
    assert set(runs) == {"in-process", "processes", "flower"}, said
    assert runs["in-process"]["model"] == runs["processes"]["model"] == runs["flower"]["model"]
    run = runs["processes"]["run"]
    assert typed("export", run, "-o", "model").code == 0
    assert typed("predict", "model", "east.csv", "--plugin", "own.py").out.startswith("row,probability,predicted\n1,")
    assert typed("check", own, "--plugin", "own.py").code == 0


@pytest.mark.torch
@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("engine", ["in-process", "processes"])
def test_without_its_plugin_a_study_says_so(engine: str, own: Path) -> None:
    pytest.importorskip("torch")
    for verb, words in (("check", ()), ("run", ("--engine", engine))):
        said = typed(verb, own, *words)
        assert said.code == 2
        assert "--plugin FILE.py" in said.err


@pytest.mark.torch
@pytest.mark.slow
def test_resume_asks_for_the_plugin_that_a_run_needs(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nobody: None
) -> None:
    pytest.importorskip("torch")
    from medfl.learn.models.torch import Registered
    from medfl.site.answer import Site

    plugin = own.with_name("own.py")
    expected = typed("run", own, "--plugin", plugin, "--home", tmp_path / "whole", "--json").json["runs"][0]
    answer = Site.answer
    with monkeypatch.context() as patch:
        patch.setattr(Site, "answer", lambda site, request: _pressed() if request.round == 3 else answer(site, request))
        assert typed("run", own, "--plugin", plugin).code == 130
    Registered.factories.clear()
    run = typed("runs", "--json").json[0]
    assert (run["status"], run["rounds"]) == ("interrupted", 2)
    said = typed("resume", run["run"], "--json")
    assert said.code == 2
    assert '"own"' in said.err
    assert "--plugin FILE.py" in said.err
    assert said.json["runs"][0]["rounds"] == 2, "nothing is lost"
    resumed = typed("resume", run["run"], "--plugin", plugin, "--json").json["runs"][0]
    assert resumed["model"] == expected["model"]


def _pressed() -> object:
    raise KeyboardInterrupt


@pytest.mark.torch
@pytest.mark.usefixtures("nobody")
def test_an_export_needs_the_plugin_it_was_trained_with(own: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    plugin = own.with_name("own.py")
    run = typed("run", own, "--plugin", plugin, "--json").json["runs"][0]["run"]
    assert typed("export", run, "-o", tmp_path / "model").code == 0
    wider = PLUGIN.replace(
        "torch.nn.Linear(width, outcomes)", "torch.nn.LayerNorm(width), torch.nn.Linear(width, outcomes)"
    )
    plugin.write_text(wider, encoding="utf-8")
    said = typed("predict", tmp_path / "model", own.with_name("east.csv"), "--plugin", plugin)
    assert said.code == 2
    assert "the weights do not fit the model" in said.err
    assert "plugin" in said.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nosuchpackage\n", ("own.py", "No module named 'nosuchpackage'", "pip install nosuchpackage")),
        ("x = 1\nif x\n", ("own.py:2", "not Python", "mend that line")),
    ],
)
@pytest.mark.parametrize("verb", ["run", "check"])
def test_a_plugin_that_cannot_be_loaded(verb: str, text: str, says: tuple[str, ...], tiny: Path) -> None:
    plugin = tiny.with_name("own.py")
    plugin.write_text(text, encoding="utf-8")
    said = typed(verb, tiny, "--plugin", plugin, "--json")
    assert said.code == 2
    assert "Traceback" not in said.err
    for fragment in says:
        assert fragment in said.err
    assert "error" in said.json
