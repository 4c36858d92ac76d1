"""One study as a script, a notebook and a spec, from whichever of them it comes."""

from __future__ import annotations

from pathlib import Path

import pytest

from medfl.spec.reading import read
from medfl.testing.command import typed
from medfl.testing.pages import STUDY


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def test_a_study_goes_through_all_its_forms_and_stays_itself(study: Path, tmp_path: Path) -> None:
    digest, before = read(study).study.digest, study
    for name in ("a.py", "b.ipynb", "c.toml"):
        said = typed("code", before, "-o", tmp_path / name)
        assert (said.code, digest[:12] in said.out) == (0, True), said.err
        before = tmp_path / name
    assert read(before).study.digest == digest


def test_a_run_gives_its_script_with_its_models(study: Path, tmp_path: Path) -> None:
    ran = typed("run", study, "--home", tmp_path / "home", "--json").json["runs"]
    said = typed("code", "tumours", "--home", tmp_path / "home")
    assert said.code == 0, said.err
    assert all(run["model"] in said.out for run in ran)
    assert said.out.startswith('"""Is it <malignant> & so on?')


def test_what_is_left_out_is_told(study: Path, tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(typed("code", study).out.replace("simulate(study)", "simulate(study, engine='ray')"), "utf-8")
    said = typed("code", script, "-o", tmp_path / "mine.toml")
    assert said.code == 0
    assert "Not taken over, line" in said.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("missing.toml",), "no such file"),
        (("missing.py", "-o", "x.toml"), "no such file"),
        (("study.toml", "-o", "study.docx"), "does not say what it is to be"),
        (("study.toml", "-o", "study.toml"), "exists already"),
        (("mine.py",), "not a plain value"),
        (("nothing-of-the-kind", "--home", "home"), "nothing-of-the-kind"),
    ],
)
def test_a_mistake_is_told(
    words: tuple[str, ...], complaint: str, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study.parent)
    Path("mine.py").write_text("from medfl import Study\nStudy(study=f())\n", encoding="utf-8")
    said = typed("code", *words)
    assert said.code == 2
    assert complaint in said.err
