"""Nothing that a study says becomes code in what is generated of it: script, notebook, Flower app."""

from __future__ import annotations

import ast
import json
import tomllib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from medfl.publish.code import notebook, script
from medfl.publish.flower_app import App, files
from medfl.spec.study import Study
from medfl.spec.writing import as_toml
from medfl.testing.fuzzing import fuzzed

EVIL = "import os\nos.system('evil')"
HOSTILE = (
    f"\n\n{EVIL}\n'''",
    f'"""\n\n{EVIL}\n"""',
    f'""""""\n{EVIL}',
    f'\\"""\n{EVIL}',
    f'\\\\"""\n{EVIL}#',
    f'"\n\n{EVIL}',
    'ends with a quote"',
    'ends with two""',
    "ends with a backslash\\",
    f'\nif __name__ == "__main__":\n    {EVIL}',
    f"results = {EVIL}",
    "{{ 7 * 7 }}{% raw %}{# #}",
    f"\r{EVIL}\x0b\x0c\x85\u2028\u2029{EVIL}",
    "\x00\x07\x1b[2J\x7f\U0001f600",
    "<script>alert(1)</script>",
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\"'\\\n#{}%"), max_size=40)


def study(question: str, column: str = "age", site: str = "east") -> Study:
    """Return a study that says something."""
    return Study.model_validate(
        {
            "study": {"name": "risk", "question": question},
            "data": {"target": "sick", "features": [column], "sites": {"east": "a.csv", "west": f"{site}.csv"}},
            "model": "logistic",
            "algorithm": {"kind": "fedavg", "rounds": 2},
        }
    )


def shape(code: str) -> list[str]:
    """Return the kinds of the statements of some code."""
    return [type(one).__name__ for one in ast.parse(code).body]


@fuzzed(60)
@given(TEXT, TEXT, TEXT)
@example(HOSTILE[0], HOSTILE[1], HOSTILE[2])
def test_whatever_a_study_says_the_code_is_the_same_but_for_its_values(question: str, column: str, site: str) -> None:
    asked = study(question, f"x{column}", site)
    text = script(asked)
    plain = script(study("Who is sick?"))
    assert shape(text) == shape(plain)
    assert ast.dump(ast.parse(text).body[-1]) == ast.dump(ast.parse(plain).body[-1])
    cells = json.loads(notebook(asked))["cells"]
    assert [cell["cell_type"] for cell in cells] == ["markdown", "code", "code", "code"]
    code = ["".join(cell["source"]) for cell in cells[1:]]
    before = ["".join(cell["source"]) for cell in json.loads(notebook(study("Who is sick?")))["cells"][1:]]
    assert shape(code[0]) == shape(before[0])
    assert code[1:] == before[1:]
    words: dict[str, Study] = {}
    # Nothing but the study itself is in it, as the shape says.
    exec(code[0], words)
    assert words["study"].digest == asked.digest


@pytest.mark.parametrize("question", HOSTILE)
def test_hostile_questions_stay_text(question: str) -> None:
    test_whatever_a_study_says_the_code_is_the_same_but_for_its_values.hypothesis.inner_test(question, question, "x")  # type: ignore[attr-defined]


@fuzzed(40)
@given(TEXT)
@example(HOSTILE[0])
@example(HOSTILE[-2])
def test_a_flower_app_has_it_as_text_only(question: str) -> None:
    asked = study(question)
    told = dict(
        files(App("risk", question, asked.digest, ("east", "west"), as_toml(asked), simulated=False, models={}))
    )
    plain = dict(files(App("risk", "Who?", asked.digest, ("east", "west"), "", simulated=False, models={})))
    for name in ("server_app.py", "client_app.py"):
        assert told[name] == plain[name]
    written = tomllib.loads(told["pyproject.toml"])
    assert written["project"]["description"] == (question or "The study risk")
    assert written | {"project": {}} == tomllib.loads(plain["pyproject.toml"]) | {"project": {}}


@pytest.mark.parametrize("name", ['x"', "x\n", "x';", "../x", "x y", "{{x}}", 'x"""', "x\u2028", ""])
def test_a_name_that_could_leave_a_string_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Study.model_validate({"study": {"name": name}, "data": {"target": "sick", "sites": {"a": "a.csv"}}})
