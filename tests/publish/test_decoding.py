"""Code becomes the study in it again: by reading, whatever else the code would do."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medfl.errors import SpecError
from medfl.hub.pages.starters import starters, starting_text
from medfl.publish.code import notebook, script
from medfl.publish.decoding import decoded, is_code, told
from medfl.spec.reading import parse, read
from medfl.spec.study import Study

ROOT = Path(__file__).parents[2]
PLACES = ("examples", "tests/golden", "src/medfl/hub/pages/studies")
FILES = sorted(path for place in PLACES for path in (ROOT / place).rglob("*.toml"))
STUDIES = [path for path in FILES if "[study]" in path.read_text(encoding="utf-8")]
MODELS = {("base", 0): "ab" * 32}


def again(text: str) -> Study:
    assert is_code(text)
    return parse(decoded(text).text, source="study.toml")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_script_and_the_notebook_of_a_study_give_it_back(path: Path) -> None:
    study = read(path).study
    for text in (script(study), notebook(study, models=MODELS)):
        found = decoded(text)
        assert is_code(text)
        assert parse(found.text, source="study.toml") == study
        assert not found.beside


def test_there_were_studies() -> None:
    assert len(STUDIES) > 12


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    question=TEXTS,
    target=TEXTS.filter(bool),
    seed=st.integers(0, 2**53),
    rate=st.floats(1e-6, 10.0, allow_nan=False),
    classes=st.lists(TEXTS.filter(bool), unique=True, min_size=2, max_size=3),
)
def test_whatever_a_study_says_survives(
    question: str, target: str, seed: int, rate: float, classes: list[str], ask: Callable[..., Study]
) -> None:
    study = ask()
    study = study.model_copy(
        update={
            "study": study.study.model_copy(update={"question": question, "seed": seed}),
            "data": study.data.model_copy(update={"target": target, "positive": classes[0]}),
            "training": study.training.model_copy(update={"learning_rate": rate}),
        }
    )
    for text in (script(study), notebook(study)):
        # Not every text is a class that one may name; what matters here is that each is the same text again.
        assert Study.model_validate(tomllib.loads(decoded(text).text)).digest == study.digest


STUDY = """
from medfl import Study, simulate
{above}
study = Study(
    study={{"name": "tumours"}},
    data={{"target": "diagnosis", "simulate": {{"bundled": "breast-cancer", "sites": 3}}}},
    algorithm={{"kind": "fedavg", "rounds": {rounds}}},
)
{below}
"""


def code(rounds: str = "2", above: str = "", below: str = "") -> str:
    return STUDY.format(rounds=rounds, above=above, below=below)


@pytest.mark.parametrize(
    ("rounds", "above", "value"),
    [
        ("20 * 2 - 1", "", 39),
        ("ROUNDS", "ROUNDS = 7", 7),
        ("ROUNDS + EXTRA", "ROUNDS: int = 7\nEXTRA = +3", 10),
        ("-(-5)", "", 5),
    ],
)
def test_names_and_sums_are_understood(rounds: str, above: str, value: int) -> None:
    assert again(code(rounds, above)).algorithm.rounds == value


def test_tables_can_be_put_together() -> None:
    text = 'import medfl\nBASE = {"kind": "fedavg", "rounds": 5}\n' + (
        'x = medfl.Study(**dict(study=dict(name="a"), data={"target": "y", "sites": {"p": "p.csv", "q": "q.csv"}}),'
        ' algorithm={**BASE, "rounds": 9}, privacy=None)\n'
    )
    found = again(text)
    assert (found.algorithm.rounds, found.study.name) == (9, "a")
    text = 'from medfl import Study\nStudy.model_validate({"study": {"name": "b"}, "data": {"target": "y"}})\n'
    assert 'name = "b"' in decoded(text).text


@pytest.mark.parametrize(
    ("rounds", "above", "complaint"),
    [
        ("int(input())", "", "not a plain value"),
        ("[n for n in range(3)]", "", "not a plain value"),
        ("2 ** 10", "", "not reckoned here"),
        ("1 / 0", "", "not reckoned here"),
        ("9 * 10000000000000000", "", "too large"),
        ("ROUNDS", "", "is given no plain value"),
        ("ROUNDS", "for ROUNDS in range(9): pass", "is given no plain value"),
        ("ROUNDS", "ROUNDS = 1\nROUNDS = 2", "more than one value"),
        ("A", "A = B\nB = A", "only later|nested too deeply|is given"),
        ("{1: 2}", "", "a key of a table is a text"),
        ('"a" + 1', "", "only numbers"),
        ("[None]", "", "cannot hold None"),
        ("{**3}", "", "only a table"),
        ('"\\ud800"', "", "half a character"),
        ("__import__('os').system('touch /tmp/never')", "", "not a plain value"),
    ],
)
def test_what_is_no_plain_value_is_told_with_its_line(rounds: str, above: str, complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint) as caught:
        decoded(code(rounds, above))
    line = 7 + above.count("\n")
    assert all(one.where == f"line {line}" for one in caught.value.complaints if rounds in one.received)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    text = code("f()").replace('"tumours"', "name()").replace("3}", "g()}")
    with pytest.raises(SpecError) as caught:
        decoded(text)
    assert [(one.where, one.received) for one in caught.value.complaints] == [
        ("line 5", "name()"),
        ("line 6", "g()"),
        ("line 7", "f()"),
    ]


def test_a_name_that_stands_for_ever_more_is_not_followed() -> None:
    above = "A0 = [1, 1]\n" + "\n".join(f"A{n} = [{', '.join([f'A{n - 1}'] * 9)}]" for n in range(1, 12))
    with pytest.raises(SpecError, match="so many values"):
        decoded(code("A11", above))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("import medfl\nprint(1)\n", "no study in this code"),
        (code() + code(), "more than one study"),
        ("from medfl import Study\nStudy({})", "are named"),
        ("from medfl import Study\nStudy.model_validate(x, strict=True)", "makes no study"),
        ("from medfl import Study\nStudy.model_validate(3)", "a study is a table"),
        ("from medfl import Study\nstudy = Study(\n", "not Python"),
        ("from medfl import Study\nStudy(" + "(" * 3000, "Python"),
        ("from medfl import Study\nStudy(a=" + "-" * 60 + "1)", "nested too deeply"),
        ('{"cells": []}', "no study in this code"),
    ],
)
def test_code_without_one_study_is_refused(text: str, complaint: str) -> None:
    assert is_code(text)
    with pytest.raises(SpecError, match=complaint):
        decoded(text)


def test_what_stands_beside_the_study_is_told() -> None:
    below = (
        "study = study.model_copy()\nstudy.data = None\nsimulate(study, engine='ray')\n"
        "simulate(study)\ndef mine(): ...\n"
    )
    found = decoded(code(below=below))
    assert sorted(one.where for one in found.beside) == ["line 10", "line 11", "line 13", "line 9"]
    assert all(line.startswith("# Not taken over, line ") for line in told(found.beside).splitlines())
    assert parse(told(found.beside) + found.text, source="x").algorithm.rounds == 2


def test_a_line_of_a_notebook_is_named_by_its_cell() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["Study("]},
        {"cell_type": "code", "source": "%pip install medfl\n!ls\nfrom medfl import Study"},
        {"cell_type": "code", "source": ["# mine\n", 'study = Study(study={"name": f()})']},
    ]
    with pytest.raises(SpecError) as caught:
        decoded(json.dumps({"cells": cells, "nbformat": 4}))
    assert caught.value.complaints[0].where == "code cell 2, line 2"


def test_a_study_with_faults_is_a_draft_with_its_faults() -> None:
    text = decoded(code("-3")).text
    assert "rounds = -3" in text
    with pytest.raises(SpecError, match="rounds"):
        parse(text, source="study.toml")


@pytest.mark.parametrize("name", [one.name for one in starters()])
def test_a_text_in_toml_is_not_taken_for_code(name: str) -> None:
    assert not is_code(starting_text(name))
    assert not is_code("[study]\nname = ")
    assert not is_code("")
    assert not is_code("{")


@settings(deadline=None)
@given(st.text(max_size=120), st.sampled_from(["from medfl import Study\n", "Study(", '{"cells": [', ""]))
def test_nothing_that_is_pasted_breaks_it(text: str, before: str) -> None:
    if is_code(before + text):
        try:
            decoded(before + text)
        except SpecError as error:
            assert error.complaints
