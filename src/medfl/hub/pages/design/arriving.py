"""Texts that come from elsewhere: TOML as it is; of a script or a notebook the study in it, read and not run."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, UploadFile, params
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from medfl.errors import MedflError, SpecError
from medfl.hub.pages.design.drafts import Drafts
from medfl.hub.pages.drawn import Drawn
from medfl.hub.pages.forms import forms
from medfl.hub.pages.plan import LONGEST
from medfl.hub.pages.starters import NewPage, starters
from medfl.hub.people.access import Access, Asked, Who, may
from medfl.hub.people.permits import Action, Actor
from medfl.publish.decoding import decoded, is_code, told

LARGEST = 4_000_000
"""Bytes of a file: a notebook has its pictures within it."""
Upload = Annotated[UploadFile, File()]


def arrived(text: str) -> str:
    """Return a text as a draft holds it.

    Raises
    ------
    SpecError
        If it is code without a study that can be read.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not is_code(text):
        return text
    found = decoded(text)
    return "\n".join(filter(None, (told(found.beside), found.text)))


def uploads(drafts: Drafts, drawn: Drawn, guarded: params.Depends) -> APIRouter:
    """Return the address that a file is sent to; `guarded` stands before it."""
    routes = forms(guarded)

    @routes.post("/drafts/file", dependencies=[may(Action.BEGIN_DRAFT)])
    def begin(request: Request, who: Who, access: Asked, file: Upload) -> Response:
        """Begin a draft with a file: TOML, a script or a notebook."""
        try:
            return begun(drafts, arrived(_text(file)), who, access)
        except MedflError as error:
            return refused(request, drawn, error)

    return routes


def begun(drafts: Drafts, text: str, who: Actor, access: Access) -> Response:
    """Save a new draft of somebody's, and return the way to it.

    Raises
    ------
    PlanError
        If they have as many as one may have.
    """
    with drafts.room(lambda name: access.things.of("draft", name).owner == who.name):
        draft = drafts.begin(text)
        access.things.begun("draft", draft.name, who)
    return RedirectResponse(f"/drafts/{draft.name}", status_code=303)


def refused(request: Request, drawn: Drawn, error: MedflError, text: str = "") -> Response:
    """Return the page of new studies, with why a text could not be one, and the text to be mended."""
    told = NewPage(starters=starters(), complaints=error.complaints, text=text)
    return drawn.page(request, "new", told, status=400)


def _text(file: UploadFile) -> str:
    body = file.file.read(LARGEST + 1)
    if len(body) > LARGEST:
        raise SpecError(
            "the file is too large to be a study",
            where=_name(file),
            received=f"more than {LARGEST} bytes",
            remedy="clear the notebook's outputs, or paste the study itself",
        )
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SpecError(
            "the file is not UTF-8 text", where=_name(file), remedy="choose a .py, .ipynb or .toml file"
        ) from None
    if len(text) > LONGEST and not is_code(text):
        raise SpecError(
            "the text is too long to be a study", where=_name(file), received=f"{len(text)} characters", remedy=""
        )
    return text


def _name(file: UploadFile) -> str:
    return (file.filename or "file")[:80]
