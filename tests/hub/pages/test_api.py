"""The addresses for programs keep to their description, whatever they are sent."""

from __future__ import annotations

from typing import Any

from schemathesis import Case

from medfl.testing.described import CHECKS, Operation, about, described, fuzzed
from medfl.testing.pages import STUDY, Visitor

EXAMPLES = 10


def test_what_is_answered_is_what_is_described(visitor: Visitor) -> None:
    operations, cookies = for_programs(visitor), dict(visitor.client.cookies)
    assert len(operations) > 6

    def send(case: Case[Any]) -> None:
        case.call_and_validate(base_url=str(visitor.client.base_url), checks=list(CHECKS), cookies=cookies)

    for operation in operations:
        fuzzed(operation, send, examples=EXAMPLES)


def test_what_there_is_is_answered_as_described(visitor: Visitor) -> None:
    draft = visitor.client.post("/drafts", data={"csrf": visitor.token, "text": STUDY}).url.path.rpartition("/")[2]
    names = {"drafts": draft, "start": "breast-cancer", "tables": "metrics", "studies": visitor.execution}
    met = set[str]()
    for operation in for_programs(visitor):
        known = about(operation, names)
        if "{" in operation.path and not known:
            continue  # It is about something that this store has none of.
        met.add(operation.path)
        case = operation.Case(path_parameters=known)
        answer = case.call(base_url=str(visitor.client.base_url), cookies=dict(visitor.client.cookies))
        assert answer.status_code == 200, operation.label
        case.validate_response(answer, checks=list(CHECKS))
    assert met >= {"/api/home", "/api/drafts/{name}", "/api/studies/{execution}/results"}


def test_a_fault_of_every_kind_is_told_alike(visitor: Visitor) -> None:
    for method, path, status in (
        ("GET", "/api/nowhere", 404),
        ("POST", "/api/home", 405),
        ("GET", "/api/start/x", 404),
    ):
        answer = visitor.client.request(method, path)
        assert answer.status_code == status
        (told,) = answer.json()["error"]
        assert set(told) == {"what", "where", "received", "remedy"}
    assert visitor.client.post("/api/home").headers["allow"] == "GET"
    answer = visitor.client.post("/drafts/0123456789ab/set", data={"csrf": visitor.token, "revision": "<b>"})
    assert answer.status_code == 422
    assert "what was sent does not fit" in answer.text
    assert "<b>&lt;" not in answer.text
    assert "&lt;b&gt;" not in answer.text


def for_programs(visitor: Visitor) -> list[Operation]:
    """Return what is described for programs to read; forms are sent in the tests of a hub."""
    every = described(visitor.client.get("/api/openapi.json").json())
    return [operation for operation in every if operation.method.upper() == "GET"]
