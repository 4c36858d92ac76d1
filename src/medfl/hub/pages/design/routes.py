"""The addresses of the design page: what is changed in one form of a draft shows in all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Form, params
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from medfl.errors import MedflError, PlanError, SpecError
from medfl.hub.pages.bench import Bench
from medfl.hub.pages.design.arriving import arrived, begun, refused
from medfl.hub.pages.design.drafts import Drafts
from medfl.hub.pages.design.editing import changed, forked, with_table, without_arm
from medfl.hub.pages.design.mapping import as_it_is, read_otherwise, with_site, without_site
from medfl.hub.pages.design.page import DesignPage, accepted, design_page, fewer
from medfl.hub.pages.drawn import Drawn
from medfl.hub.pages.forms import forms
from medfl.hub.pages.plan import LONGEST, plan_page
from medfl.hub.pages.starters import starting_text
from medfl.hub.people.access import Asked, Who, may
from medfl.hub.people.permits import Action
from medfl.publish.decoding import is_code

Long = Annotated[str, Form()]
"""However long: what is too long is told in words."""
Word = Annotated[str, Form(max_length=200)]
Words = Annotated[list[str], Form()]
Number = Annotated[int, Form()]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a page knew of a draft when it changed it: the revision, and which page it is."""

    revision: int
    by: str


def _seen(revision: Annotated[int, Form()], by: Word = "") -> Seen:
    return Seen(revision, by)


State = Annotated[Seen, Depends(_seen)]


@dataclass(frozen=True, slots=True)
class Reading:
    """How a column of a site is to be read: one key of it; without one it is read as it is."""

    site: str
    column: str
    key: str
    value: str

    def into(self, text: str) -> str:
        """Return a study's text with it."""
        if not self.key:
            return as_it_is(text, self.site, self.column)
        return read_otherwise(text, self.site, self.column, key=self.key, value=self.value)


def _reading(site: Word, value: Words, column: Word = "", key: Word = "") -> Reading:
    text = "\n".join(filter(None, value))
    # Who chooses a column to be read otherwise has named it only; its own name there is where one begins.
    return Reading(site, column or text, key, text)


Read = Annotated[Reading, Depends(_reading)]


def twin(bench: Bench, drafts: Drafts) -> APIRouter:
    """Return the design page for programs."""
    api = APIRouter()

    @api.get("/drafts/{name}", dependencies=[may(Action.SEE_DRAFT)])
    def design(name: str) -> DesignPage:
        """Tell a draft in all its forms."""
        return design_page(bench, drafts.read(name))

    return api


def page(bench: Bench, drafts: Drafts, drawn: Drawn) -> APIRouter:
    """Return the design page for people."""
    routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @routes.get("/drafts/{name}", dependencies=[may(Action.SEE_DRAFT)])
    def design(request: Request, name: str) -> Response:
        return drawn.page(request, "design", design_page(bench, drafts.read(name)))

    return routes


def edits(bench: Bench, drafts: Drafts, drawn: Drawn, guarded: params.Depends) -> APIRouter:
    """Return what changes a draft; `guarded` stands before each of them."""
    routes = forms(guarded)

    edited = _Edits(bench, drafts, drawn)

    @routes.post("/drafts/{name}/set", dependencies=[may(Action.CHANGE_DRAFT)])
    def set_key(name: str, path: Word, seen: State, value: Words) -> Response:
        """Set one key of a draft."""
        return edited(name, lambda text: changed(text, path, "\n".join(filter(None, value))), seen)

    @routes.post("/drafts/{name}/table", dependencies=[may(Action.CHANGE_DRAFT)])
    def set_table(name: str, path: Word, seen: State, there: Word = "") -> Response:
        """Write a table of keys into a draft, or take it out."""
        return edited(name, lambda text: with_table(text, path, there=bool(there)), seen)

    @routes.post("/drafts/{name}/text", dependencies=[may(Action.CHANGE_DRAFT)])
    def set_text(name: str, seen: State, text: Long = "") -> Response:
        """Replace a draft's whole text."""
        # A script that is pasted becomes the study in it, which its field then has to show.
        return edited(name, lambda _: arrived(_short(text)), seen, typed=not is_code(text))

    @routes.post("/drafts/{name}/fork", dependencies=[may(Action.CHANGE_DRAFT)])
    def fork(name: str, part: Word, seen: State) -> Response:
        """Add an arm that differs in one part."""
        return edited(name, lambda text: forked(text, part), seen)

    @routes.post("/drafts/{name}/unfork", dependencies=[may(Action.CHANGE_DRAFT)])
    def unfork(name: str, number: Number, seen: State) -> Response:
        """Take an arm out."""
        return edited(name, lambda text: without_arm(text, number), seen)

    _tables(routes, bench, edited)
    _whole(routes, bench, drafts, drawn)
    return routes


class _Edits:
    """Changes a draft, and draws its page anew."""

    def __init__(self, bench: Bench, drafts: Drafts, drawn: Drawn) -> None:
        self._bench, self._drafts, self._drawn = bench, drafts, drawn

    def __call__(self, name: str, change: Callable[[str], str], seen: Seen, *, typed: bool = False) -> Response:
        try:
            draft = self._drafts.change(name, change, seen=seen.revision, by=seen.by)
        except MedflError as error:
            # Told beside the form, which stays as it is; htmx takes in only answers that went well.
            return HTMLResponse(self._drawn.part("said", error.complaints))
        return HTMLResponse(self._drawn.part("design-parts", design_page(self._bench, draft), typed=typed))


def _tables(routes: APIRouter, bench: Bench, edited: _Edits) -> None:
    """Add what is said of the sites' tables."""

    @routes.post("/drafts/{name}/site", dependencies=[may(Action.CHANGE_DRAFT)])
    def add_site(name: str, seen: State, site: Word, dataset: Word) -> Response:
        """Name a data set as a site of a draft."""
        return edited(name, lambda text: with_site(text, site, dataset), seen)

    @routes.post("/drafts/{name}/unsite", dependencies=[may(Action.CHANGE_DRAFT)])
    def remove_site(name: str, seen: State, site: Word) -> Response:
        """Take a site out of a draft."""
        return edited(name, lambda text: without_site(text, site), seen)

    @routes.post("/drafts/{name}/without", dependencies=[may(Action.CHANGE_DRAFT)])
    def learn_without(name: str, seen: State, column: Word) -> Response:
        """Learn without a column."""
        return edited(name, partial(fewer, bench, column=column), seen)

    @routes.post("/drafts/{name}/repair", dependencies=[may(Action.CHANGE_DRAFT)])
    def repair(name: str, seen: State, site: Word = "", column: Word = "") -> Response:
        """Accept what is suggested for columns that do not fit."""
        return edited(name, partial(accepted, bench, site=site, column=column), seen)

    @routes.post("/drafts/{name}/harmonise", dependencies=[may(Action.CHANGE_DRAFT)])
    def harmonise(name: str, seen: State, said: Read) -> Response:
        """Say how a column of a site is to be read."""
        return edited(name, said.into, seen)


def _whole(routes: APIRouter, bench: Bench, drafts: Drafts, drawn: Drawn) -> None:
    """Add what is done with a draft as a whole."""

    @routes.post("/drafts", dependencies=[may(Action.BEGIN_DRAFT)])
    def begin(request: Request, who: Who, access: Asked, text: Long = "", like: Word = "") -> Response:
        """Begin a draft, with a text or like a study to begin with."""
        try:
            return begun(drafts, starting_text(like) if like else arrived(_short(text)), who, access)
        except (SpecError, PlanError) as error:
            return refused(request, drawn, error, text[:LONGEST])

    @routes.post("/drafts/{name}/copy", dependencies=[may(Action.SEE_DRAFT)])
    def copy(name: str, who: Who, access: Asked) -> Response:
        """Begin a draft with the text of another."""
        access.require(who, Action.BEGIN_DRAFT)
        return begun(drafts, drafts.read(name).text, who, access)

    @routes.post("/drafts/{name}/remove", dependencies=[may(Action.SHARE_DRAFT)])
    def remove(name: str) -> Response:
        """Remove a draft."""
        drafts.remove(name)
        return RedirectResponse("/", status_code=303)

    @routes.post("/drafts/{name}/look", dependencies=[may(Action.SEE_DRAFT)])
    def look(request: Request, name: str) -> Response:
        """Look at what a draft would do."""
        return drawn.page(request, "plan", plan_page(bench, drafts.read(name).text, draft=name))


def _short(text: str) -> str:
    """Return a text that is short enough to be a study."""
    if len(text) > LONGEST:
        raise PlanError(
            "the text is too long to be a study, and was not kept",
            received=f"{len(text)} characters",
            remedy=f"shorten it to {LONGEST} characters",
        )
    return text
