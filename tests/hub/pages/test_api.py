"""The addresses for programs keep to their description, whatever they are sent."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import APIOperation, Case
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from medfl.testing.pages import STUDY, Visitor

EXAMPLES = 10
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def test_what_is_answered_is_what_is_described(visitor: Visitor) -> None:
    operations = described(visitor)
    assert len(operations) > 6
    for operation in operations:
        keeps_to_its_description(operation.as_strategy(), visitor)


def test_what_there_is_is_answered_as_described(visitor: Visitor) -> None:
    draft = visitor.client.post("/drafts", data={"csrf": visitor.token, "text": STUDY}).url.path.rpartition("/")[2]
    names = {"drafts": draft, "start": "breast-cancer", "tables": "metrics", "studies": visitor.execution}
    met = set[str]()
    for operation in described(visitor):
        parts = operation.path.split("/")
        known = {part.strip("{}"): names.get(before, "") for before, part in pairwise(parts) if part.startswith("{")}
        if not all(known.values()):
            continue  # It is about something that this store has none of.
        met.add(operation.path)
        case = operation.Case(path_parameters=known)
        answer = case.call(base_url=str(visitor.client.base_url), cookies=dict(visitor.client.cookies))
        assert answer.status_code == 200, operation.label
        case.validate_response(answer, checks=CHECKS)
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


def described(visitor: Visitor) -> list[APIOperation[Any, Any, Any, Any]]:
    """Return all that is described."""
    schema = schemathesis.openapi.from_dict(visitor.client.get("/api/openapi.json").json())
    every = list(schema.get_all_operations())
    sound = [found.ok() for found in every if isinstance(found, Ok)]
    assert len(sound) == len(every)
    return sound


def keeps_to_its_description(asked: SearchStrategy[Case[Any]], visitor: Visitor) -> None:
    """Ask for what a strategy draws, and compare every answer with its description."""
    cookies = dict(visitor.client.cookies)

    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=asked)
    def ask(case: Case[Any]) -> None:
        case.call_and_validate(base_url=str(visitor.client.base_url), checks=CHECKS, cookies=cookies)

    ask()
