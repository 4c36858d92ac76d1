"""The addresses that forms are sent to, as OpenAPI describes them: a page follows, or one says what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fastapi import APIRouter, params
from starlette.responses import RedirectResponse

_PAGE: Mapping[str, Any] = MappingProxyType({"text/html": {}, "application/json": {}})
ANSWERS: Mapping[int | str, dict[str, Any]] = MappingProxyType(
    {200: {"description": "What the page shows then; as JSON where JSON is asked for.", "content": dict(_PAGE)}}
)


class Moved(RedirectResponse):
    """The way to the page that follows a form."""

    def __init__(self, url: str, status_code: int = 303) -> None:
        super().__init__(url, status_code=status_code)


def forms(*guards: params.Depends) -> APIRouter:
    """Return what takes addresses of forms; the guards stand before each of them, in this order."""
    return APIRouter(
        dependencies=list(guards),
        default_response_class=Moved,
        responses={**ANSWERS, 303: {"description": "The change is made; Location says which page follows."}},
    )
