"""The same study designed by clicks, by TOML and by Python is one study; code that comes back becomes a draft."""

from __future__ import annotations

import json
import re

import pytest

from medfl import Study
from medfl.publish.code import notebook, script
from medfl.spec.reading import parse
from medfl.testing.pages import Visitor

TOML = """
[study]
name = "tumours"
question = "Is this tumour malignant?"
repeats = 2

[data]
target = "diagnosis"
positive = "malignant"

[data.simulate]
bundled = "breast-cancer"
sites = 3

[algorithm]
kind = "fedprox"
rounds = 5
mu = 0.1

[evaluation]
baselines = ["local-only"]

[[arm]]
name = "as-designed"

[[arm]]
name = "algorithm-2"
algorithm = { kind = "fedyogi" }
"""
PYTHON = Study.model_validate(
    {
        "study": {"name": "tumours", "question": "Is this tumour malignant?", "repeats": 2},
        "data": {
            "target": "diagnosis",
            "positive": "malignant",
            "simulate": {"bundled": "breast-cancer", "sites": 3},
        },
        "algorithm": {"kind": "fedprox", "rounds": 5, "mu": 0.1},
        "evaluation": {"baselines": ["local-only"]},
        "arm": [{"name": "as-designed"}, {"name": "algorithm-2", "algorithm": {"kind": "fedyogi"}}],
    }
)
CLICKS = (
    ("set", {"path": "study.name", "value": "tumours"}),
    ("set", {"path": "study.question", "value": "Is this tumour malignant?"}),
    ("set", {"path": "study.repeats", "value": "2"}),
    ("set", {"path": "data.target", "value": "diagnosis"}),
    ("set", {"path": "data.positive", "value": "malignant"}),
    ("table", {"path": "data.simulate", "there": "yes"}),
    ("set", {"path": "data.simulate.bundled", "value": "breast-cancer"}),
    ("set", {"path": "data.simulate.sites", "value": "3"}),
    ("set", {"path": "algorithm.kind", "value": "fedprox"}),
    ("set", {"path": "algorithm.rounds", "value": "5"}),
    ("set", {"path": "algorithm.mu", "value": "0.1"}),
    ("set", {"path": "evaluation.baselines", "value": "local-only"}),
    ("fork", {"part": "algorithm"}),
    ("set", {"path": "arm.1.algorithm.kind", "value": "fedyogi"}),
)


def drafted(visitor: Visitor, **sent: str) -> str:
    """Begin a draft as a page does; return its address."""
    answer = visitor.client.post("/drafts", data={"csrf": visitor.token, **sent})
    assert answer.status_code == 200
    return answer.url.path


def told(visitor: Visitor, address: str) -> dict[str, object]:
    found: dict[str, object] = visitor.client.get(f"/api{address}").json()
    return found


def test_clicks_toml_and_python_are_one_study(visitor: Visitor) -> None:
    clicked = drafted(visitor, text="")
    for number, (what, words) in enumerate(CLICKS, start=1):
        sent = {"csrf": visitor.token, "revision": str(number), "by": "page", **words}
        assert visitor.client.post(f"{clicked}/{what}", data=sent).status_code == 200
    pasted = drafted(visitor, text=TOML)
    coded = drafted(visitor, text=script(PYTHON))
    digests = {str(told(visitor, address)["digest"]) for address in (clicked, pasted, coded)}
    assert digests == {PYTHON.digest} == {parse(TOML, source="study.toml").digest}


@pytest.mark.parametrize(
    ("name", "text"), [("mine.py", script(PYTHON)), ("mine.ipynb", notebook(PYTHON)), ("mine.toml", TOML)]
)
def test_a_file_becomes_a_draft(name: str, text: str, visitor: Visitor) -> None:
    sent = {"file": (name, text.encode(), "application/octet-stream")}
    answer = visitor.client.post("/drafts/file", data={"csrf": visitor.token}, files=sent)
    assert answer.status_code == 200
    assert told(visitor, answer.url.path)["digest"] == PYTHON.digest


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"\xff\xfe", "not UTF-8 text"),
        (b"x" * 4_000_001, "too large to be a study"),
        (b"x" * 200_001, "too long to be a study"),
        (b"from medfl import Study\nStudy(study=f())", "line 2"),
    ],
)
def test_a_file_that_is_no_study_is_refused_with_reasons(body: bytes, complaint: str, visitor: Visitor) -> None:
    before = len(visitor.client.get("/api/home").json()["drafts"])
    answer = visitor.client.post("/drafts/file", data={"csrf": visitor.token}, files={"file": ("a.py", body)})
    assert answer.status_code == 400
    assert complaint in answer.text
    assert len(visitor.client.get("/api/home").json()["drafts"]) == before


def test_a_file_without_the_sessions_token_changes_nothing(visitor: Visitor) -> None:
    answer = visitor.client.post("/drafts/file", files={"file": ("a.toml", TOML.encode())})
    assert answer.status_code == 403


def test_a_script_pasted_into_the_spec_becomes_the_study_in_it(visitor: Visitor) -> None:
    address = drafted(visitor, text="")
    sent = {"csrf": visitor.token, "revision": "1", "by": "page", "text": script(PYTHON)}
    answer = visitor.client.post(f"{address}/text", data=sent)
    shown = re.search(r'<textarea id="text"[^>]*>(.*?)</textarea>', answer.text, re.DOTALL)
    assert shown is not None
    assert shown[1].startswith("[study]")
    assert told(visitor, address)["digest"] == PYTHON.digest
    sent = {"csrf": visitor.token, "revision": "2", "by": "page", "text": "from medfl import Study\nStudy(study=f())"}
    answer = visitor.client.post(f"{address}/text", data=sent)
    assert "not a plain value" in answer.text
    assert told(visitor, address)["digest"] == PYTHON.digest, "what cannot be read leaves the draft as it is"


def test_the_code_page_gives_what_the_new_page_takes(visitor: Visitor) -> None:
    taken = visitor.client.get(f"/studies/{visitor.execution}/files/study.ipynb").content
    answer = visitor.client.post("/drafts/file", data={"csrf": visitor.token}, files={"file": ("study.ipynb", taken)})
    code = visitor.client.get(f"/api/studies/{visitor.execution}/code").json()
    assert told(visitor, answer.url.path)["digest"] == code["digest"]
    assert json.loads(taken)["nbformat"] == 4
