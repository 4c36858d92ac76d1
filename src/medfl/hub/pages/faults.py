"""What goes wrong, told as a page to people and as JSON to programs: the same complaints in both."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from medfl.errors import BusyError, Complaint, CrowdedError, MedflError, NotFoundError, RefusedError, UserError
from medfl.hub.pages.drawn import Drawn, asks_for_json

API = "/api"
_DRAFT = re.compile(r"/drafts/([A-Za-z0-9-]+)/")
"""What is done with a draft: whoever is refused it goes back there."""
LATER = 30
"""Seconds after which somebody may ask again who came at a moment when too many did."""
_WRONG: Mapping[int, str] = MappingProxyType(
    {400: "What was asked for cannot be done.", 500: "The fault is ours; the log has the trace."}
)
_MET: Mapping[int, str] = MappingProxyType(
    {
        401: "Nobody is signed in, or the token is none.",
        403: "Who asks may not; the complaint says why.",
        404: "There is nothing of this name.",
        405: "This address takes another method.",
        409: "Somebody else is at it; ask again.",
        413: "More was sent than is taken.",
        421: "The pages are not known under this name.",
        422: "What was sent is not what is described.",
        429: "Too much was asked for in too short a time.",
        503: "Too many ask for the same at the moment; the header Retry-After says when to ask again.",
    }
)


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """What a program is answered when something goes wrong.

    Parameters
    ----------
    error
        All that is wrong: what, where, what was received, what to do.
    """

    error: tuple[Complaint, ...]


ERRORS: Mapping[int | str, dict[str, Any]] = MappingProxyType(
    {status: {"model": ErrorAnswer, "description": words} for status, words in sorted({**_WRONG, **_MET}.items())}
)
"""The errors of every address for programs, as OpenAPI describes them."""


class Faults:
    """Tells what goes wrong in an application.

    Parameters
    ----------
    drawn
        Draws the page.
    """

    def __init__(self, drawn: Drawn) -> None:
        self._drawn = drawn

    def tell_of(self, app: FastAPI) -> None:
        """Have an application tell its faults."""
        app.add_exception_handler(MedflError, self.ours)
        app.add_exception_handler(RequestValidationError, self.misfit)
        app.add_exception_handler(HTTPException, self.http)
        app.add_exception_handler(Exception, self.unforeseen)

    async def ours(self, request: Request, error: Exception) -> Response:
        """Tell an error that has words of its own."""
        complaints = error.complaints if isinstance(error, MedflError) else ()
        answer = self._said(request, _status(error), complaints)
        if isinstance(error, CrowdedError):
            answer.headers["Retry-After"] = str(LATER)
        return answer

    async def misfit(self, request: Request, error: Exception) -> Response:
        """Tell what does not fit in what was sent; what it was is not repeated."""
        complaints = tuple(_misfits(error)) if isinstance(error, RequestValidationError) else ()
        return self._said(request, HTTPStatus.UNPROCESSABLE_ENTITY, complaints)

    async def http(self, request: Request, error: Exception) -> Response:
        """Tell that an address leads nowhere, or takes another method."""
        status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
        headers = error.headers if isinstance(error, HTTPException) else None
        if status == HTTPStatus.NOT_FOUND:
            what = Complaint("there is nothing here", request.url.path[:120], "", "begin at page /")
        elif status == HTTPStatus.METHOD_NOT_ALLOWED:
            what = Complaint("this address takes another method", request.url.path[:120], request.method[:20])
        else:
            what = Complaint("this cannot be answered", received=str(HTTPStatus(status).phrase))
        answer = self._said(request, status, (what,))
        answer.headers.update(headers or {})
        return answer

    async def unforeseen(self, request: Request, error: Exception) -> Response:
        """Tell that the fault is ours; the trace is in the log."""
        what = Complaint("MEDfl made a mistake", remedy="the log has the trace; nothing that was finished is lost")
        return self._said(request, HTTPStatus.INTERNAL_SERVER_ERROR, (what,))

    def _said(self, request: Request, status: int, complaints: tuple[Complaint, ...]) -> Response:
        if request.url.path.startswith(f"{API}/") or asks_for_json(request):
            return JSONResponse(asdict(ErrorAnswer(complaints)), status_code=status)
        draft = _DRAFT.match(request.url.path)
        if draft and request.headers.get("hx-request"):
            # Told beside the form; htmx takes in only answers that went well.
            return HTMLResponse(self._drawn.part("said", complaints))
        return self._drawn.page(request, "error", complaints, status=status, draft=draft[1] if draft else "")


def _misfits(error: RequestValidationError) -> Iterator[Complaint]:
    for one in error.errors():
        yield Complaint(
            "what was sent does not fit",
            where=" ".join(str(step) for step in one["loc"])[:120],
            received=str(one["msg"])[:200],
            remedy="load the page again, and do it there",
        )


def _status(error: Exception) -> int:
    match error:
        case NotFoundError():
            return 404
        case RefusedError():
            return 403
        case BusyError():
            return 409
        case CrowdedError():
            return 503
        case UserError():
            return 400
    return 500
