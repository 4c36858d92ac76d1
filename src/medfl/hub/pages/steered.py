"""What steers an execution from its page, and the list of all that happened in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from medfl.errors import Complaint, PlanError
from medfl.hub.pages.bench import Bench, Steers
from medfl.hub.pages.drawn import Drawn
from medfl.hub.pages.forms import forms
from medfl.hub.pages.happened import Filter, HappenedPage, happened_page, with_logs
from medfl.hub.people.access import Asked, Who, may, reads_logs
from medfl.hub.people.permits import Action, Actor, How
from medfl.store.decisions import dropped

LONGEST = 300
Why = Annotated[str, Form(max_length=LONGEST)]
Site = Annotated[str, Form(max_length=200)]
Chosen = Annotated[str, Query(max_length=200)]
Number = Annotated[int, Query(ge=1, le=10**6)]


def _filter(kind: Chosen = "", site: Chosen = "", run: Chosen = "", page: Number = 1) -> Filter:
    return Filter(kind, site, run, page)


Choice = Annotated[Filter, Depends(_filter)]


@dataclass(frozen=True, slots=True, kw_only=True)
class DropPage:
    """What follows where a site is dropped, before that is done.

    Parameters
    ----------
    execution, study, question
        What it is dropped from.
    sites
        The sites that can be chosen.
    site
        What was chosen; empty before.
    follows
        What follows, in sentences.
    complaints
        Why it cannot be.
    """

    execution: str
    study: str
    question: str
    sites: tuple[str, ...]
    site: str = ""
    follows: tuple[str, ...] = ()
    complaints: tuple[Complaint, ...] = ()


def twin(bench: Bench) -> APIRouter:
    """Return the list of what happened for programs."""
    api = APIRouter()

    @api.get("/studies/{execution}/events", dependencies=[may(Action.SEE_STUDY)])
    def events(execution: str, asked: Choice, who: Who, access: Asked) -> HappenedPage:
        """Tell what happened in an execution, newest first."""
        return _happened(bench, execution, asked, partial(reads_logs, access, who))

    return api


def pages(bench: Bench, drawn: Drawn) -> APIRouter:
    """Return the list of what happened, and what is read before a site is dropped."""
    routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @routes.get("/studies/{execution}/events", dependencies=[may(Action.SEE_STUDY)])
    def events(request: Request, execution: str, asked: Choice, who: Who, access: Asked) -> Response:
        found = _happened(bench, execution, asked, partial(reads_logs, access, who))
        return drawn.page(request, "events", found)

    @routes.get("/studies/{execution}/drop", dependencies=[may(Action.STEER_STUDY)])
    def drop(request: Request, execution: str, site: Chosen = "") -> Response:
        return drawn.page(request, "drop", drop_page(bench, execution, site))

    return routes


def changes(bench: Bench, changing: Any) -> APIRouter:
    """Return what steers an execution."""
    routes = forms(changing)

    @routes.post("/studies/{execution}/pause", dependencies=[may(Action.STEER_STUDY)])
    def pause(execution: str, who: Who, why: Why = "") -> Response:
        """Have a study stop once its round is stored, and say whose wish that is."""
        steering(bench).pause(execution, by=named(who), why=why)
        return RedirectResponse(f"/studies/{execution}/watch", status_code=303)

    @routes.post("/studies/{execution}/drop", dependencies=[may(Action.STEER_STUDY)])
    def drop(execution: str, who: Who, site: Site = "", why: Why = "") -> Response:
        """Leave a site out from the next round on."""
        steering(bench).drop(execution, site, by=named(who), why=why)
        return RedirectResponse(f"/studies/{execution}/watch", status_code=303)

    return routes


def _happened(bench: Bench, execution: str, asked: Filter, reads: Callable[[str], bool]) -> HappenedPage:
    return with_logs(happened_page(bench.home, bench.whole, execution, asked), bench.home, reads)


def drop_page(bench: Bench, execution: str, site: str) -> DropPage:
    """Return what follows where a site is dropped, or why it cannot be.

    Raises
    ------
    NotFoundError
        If there is no such execution, or no such site in it.
    """
    view = bench.whole(execution)
    gone = {one.site for one in dropped(bench.home, execution)} | {name for run in view.every for name in run.dropped}
    page = DropPage(
        execution=execution,
        study=view.study,
        question=view.question,
        sites=tuple(name for name in view.sites if name not in gone),
        site=site,
    )
    if not site:
        return page
    try:
        return replace(page, follows=tuple(steering(bench).follows(execution, site)))
    except PlanError as error:
        return replace(page, complaints=error.complaints)


def steering(bench: Bench) -> Steers:
    """Return what steers executions.

    Raises
    ------
    PlanError
        If nothing here does.
    """
    if bench.steers is None:
        raise PlanError("nothing can be steered from these pages", remedy="use medfl pause and medfl drop instead")
    return bench.steers


def named(who: Actor) -> str:
    """Return what the journal calls somebody."""
    return "whoever is at this machine" if who.how is How.LINK else who.name
