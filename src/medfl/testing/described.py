"""What OpenAPI describes, and whether what is answered keeps to it: schemathesis, the same examples each time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, TypeAlias

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import APIOperation, Case
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.types import ASGIApp

Operation: TypeAlias = APIOperation[Any, Any, Any, Any]
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


def described(words: Mapping[str, Any], app: ASGIApp | None = None) -> list[Operation]:
    """Return all that is described; an application answers in this process, where one is given."""
    schema = schemathesis.openapi.from_dict(dict(words))
    schema.app = app
    every = list(schema.get_all_operations())
    sound = [found.ok() for found in every if isinstance(found, Ok)]
    assert len(sound) == len(every), "not all that is described can be read"
    return sound


def about(operation: Operation, names: Mapping[str, str]) -> dict[str, str]:
    """Return what an address is about, by the names of what there is, such as "studies"; empty where one is unknown."""
    parts = operation.path.split("/")
    found = {part.strip("{}"): names.get(before, "") for before, part in pairwise(parts) if part.startswith("{")}
    return found if all(found.values()) else {}


def fuzzed(operation: Operation, send: Callable[[Case[Any]], None], *, examples: int) -> None:
    """Send so many cases that fit the description of an operation."""

    @settings(
        max_examples=examples, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy())
    def each(case: Case[Any]) -> None:
        send(case)

    each()
