"""Generated code is formatted, and when it is run it gives the models of the journal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from medfl import simulate
from medfl.publish.code import notebook, script
from medfl.spec.reading import parse
from medfl.spec.study import Study

STUDY = """
[study]
name = "tumours"
question = 'Is it "malignant" \\ or not?'
seed = 4

[data]
target = "diagnosis"
positive = "malignant"

[data.simulate]
bundled = "breast-cancer"
sites = 3

[algorithm]
kind = "fedavg"
rounds = 2

[[arm]]
name = "one"

[[arm]]
name = "two"
algorithm = { kind = "fedprox", mu = 0.1 }
"""


@pytest.fixture(scope="module")
def study() -> Study:
    return parse(STUDY, source="study.toml")


def test_the_script_gives_the_same_models_and_says_so(study: Study, tmp_path: Path) -> None:
    runs = simulate(study, home=tmp_path / "home", progress=False).summary["runs"]
    models = {(run["arm"], run["seed"]): run["model"] for run in runs}
    assert len(models) == 2
    (tmp_path / "study.py").write_text(script(study, models=models), encoding="utf-8")
    done = _run(tmp_path, "study.py")
    assert done.returncode == 0, done.stderr
    assert "to the bit" in done.stdout
    assert (tmp_path / "tumours.html").is_file()


def test_the_script_says_where_a_model_is_another(study: Study, tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(script(study, models={("one", 4): "0" * 64, ("two", 4): "0" * 64}), "utf-8")
    done = _run(tmp_path, "study.py")
    assert done.returncode == 1
    assert "one, seed 4: the model is another one" in done.stderr


def test_the_script_means_the_same_study(study: Study) -> None:
    words: dict[str, object] = {}
    exec(compile(script(study), "study.py", "exec"), words)
    assert isinstance(found := words["study"], Study)
    assert found.digest == study.digest


@pytest.mark.parametrize("models", [None, {("one", 4): "ab" * 32}])
def test_the_script_is_formatted_as_a_formatter_would(
    study: Study, models: dict[tuple[str, int], str] | None, tmp_path: Path
) -> None:
    path = tmp_path / "study.py"
    path.write_text(script(study, models=models), encoding="utf-8")
    command = [sys.executable, "-m", "ruff", "format", "--check", "--isolated", "--line-length", "100", str(path)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_the_notebook_is_one_and_means_the_same_study(study: Study) -> None:
    text = notebook(study, models={("one", 4): "ab" * 32})
    nbformat.validate(json.loads(text))
    cells = json.loads(text)["cells"]
    words: dict[str, object] = {}
    exec("".join(cells[1]["source"]), words)
    assert isinstance(found := words["study"], Study)
    assert found.digest == study.digest
    assert "results = simulate(study)" in "".join(cells[2]["source"])


def _run(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    env = {"MEDFL_HOME": str(folder / "other"), "PATH": "/usr/bin:/bin", "PYTHONPATH": _path()}
    return subprocess.run(
        [sys.executable, name], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120
    )


def _path() -> str:
    import medfl

    return str(Path(medfl.__file__).parents[1])
