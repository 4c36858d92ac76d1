"""Who is here, what was done, and with whom something is shared: the addresses of the people, audit and share pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from medfl.errors import UserError
from medfl.hub.pages.drawn import Drawn
from medfl.hub.pages.forms import forms
from medfl.hub.pages.people.contexts import AuditPage, PeoplePage, audit_page, people_page, share_page
from medfl.hub.pages.routes import changing
from medfl.hub.people.access import Asked, Who, may
from medfl.hub.people.consortium import People
from medfl.hub.people.entrance import by
from medfl.hub.people.permits import Action, Actor, Kind, Role

Word = Annotated[str, Form(max_length=400)]
Words = Annotated[list[str], Form()]
Sites = Callable[[], tuple[str, ...]]


def kept_twins(people: People, sites: Sites) -> APIRouter:
    """Return the pages for programs."""
    api = APIRouter(prefix="/api")

    @api.get("/people", dependencies=[may(Action.SEE_PEOPLE)])
    def everybody(who: Who) -> PeoplePage:
        """Tell who has an account, and what they are."""
        return people_page(people, who, sites())

    @api.get("/audit", dependencies=[may(Action.SEE_AUDIT)])
    def audit(words: str = "", look: bool = False) -> AuditPage:
        """Tell what was done; with `look`, whether the whole chain is as it was written."""
        return audit_page(people, words[:200], look=look)

    return api


def audited(people: People, drawn: Drawn) -> APIRouter:
    """Return the audit page, and the log to take along."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/audit", dependencies=[may(Action.SEE_AUDIT)])
    def audit(request: Request, words: str = "", look: bool = False) -> Response:
        return drawn.page(request, "audit", audit_page(people, words[:200], look=look))

    @routes.get("/audit.jsonl", dependencies=[may(Action.SEE_AUDIT)])
    def taken(request: Request, who: Who) -> Response:
        people.audit.note(by(who, request), "take-audit")

        def lines() -> Iterator[str]:
            for line in people.audit.lines():
                yield json.dumps(line, separators=(",", ":")) + "\n"

        headers = {"Content-Disposition": 'attachment; filename="audit.jsonl"'}
        return StreamingResponse(lines(), media_type="application/jsonl", headers=headers)

    return routes


@dataclass(frozen=True, slots=True)
class _Shows:
    """Shows the people page, with what came of a change."""

    people: People
    drawn: Drawn
    sites: Sites

    def __call__(self, request: Request, who: Actor, *, status: int = 200, **more: object) -> Response:
        page = people_page(self.people, who, self.sites())
        full = replace(page, **more)  # type: ignore[arg-type]  # fields of the page, as they are named below
        return self.drawn.page(request, "people", full, status=status)


def directory(people: People, drawn: Drawn, sites: Sites) -> APIRouter:
    """Return the people page, and what makes links for people."""
    routes, shown = forms(), _Shows(people, drawn, sites)
    changed = [Depends(changing), may(Action.CHANGE_PEOPLE)]

    def linked(request: Request, who: Actor, whose: str, make: Callable[[], str]) -> Response:
        try:
            token = make()
        except UserError as error:
            return shown(request, who, status=400, complaints=error.complaints)
        return shown(request, who, link=f"https://{request.url.netloc}/welcome?token={token}", whose=whose)

    @routes.get("/people", dependencies=[may(Action.SEE_PEOPLE)], include_in_schema=False)
    def everybody(request: Request, who: Who) -> Response:
        return shown(request, who)

    @routes.post("/people", dependencies=changed)
    def add(
        request: Request,
        who: Who,
        roles: Annotated[list[str], Form(default_factory=list)],
        spoken: Annotated[list[str], Form(default_factory=list)],
        named: Annotated[tuple[str, str], Depends(_named)],
    ) -> Response:
        """Add an account; the link for its owner is shown this once."""
        name, title = named
        known = [Role(one) for one in roles if one in set(Role)]
        given = (name.strip().lower(), title, known, spoken)
        return linked(request, who, name, lambda: people.accounts.add(*given, by=by(who, request)))

    @routes.post("/people/{person}/reset", dependencies=changed)
    def reset(request: Request, who: Who, person: str, second: Word = "") -> Response:
        """Void a password, and make a new link."""
        given = {"second": bool(second), "by": by(who, request)}
        return linked(request, who, person, lambda: people.accounts.reset(person, **given))  # type: ignore[arg-type]

    return routes


def changes_of_people(people: People, drawn: Drawn, sites: Sites) -> APIRouter:
    """Return what changes accounts."""
    routes, shown = forms(), _Shows(people, drawn, sites)
    changed = [Depends(changing), may(Action.CHANGE_PEOPLE)]

    @routes.post("/people/{person}/roles", dependencies=changed)
    def set_roles(
        request: Request,
        who: Who,
        person: str,
        roles: Annotated[list[str], Form(default_factory=list)],
        spoken: Annotated[list[str], Form(default_factory=list)],
    ) -> Response:
        """Set what somebody is, instead of what they were."""
        known = [Role(one) for one in roles if one in set(Role)]
        try:
            people.accounts.set_roles(person, known, spoken, by=by(who, request))
        except UserError as error:
            return shown(request, who, status=400, complaints=error.complaints)
        return RedirectResponse("/people", status_code=303)

    @routes.post("/people/{person}/disable", dependencies=changed)
    def disable(request: Request, who: Who, person: str) -> Response:
        """Disable an account, with its sessions and tokens."""
        try:
            people.accounts.disable(person, by=by(who, request))
        except UserError as error:
            return shown(request, who, status=400, complaints=error.complaints)
        return RedirectResponse("/people", status_code=303)

    @routes.post("/people/{person}/enable", dependencies=changed)
    def enable(request: Request, who: Who, person: str) -> Response:
        """Enable an account again."""
        people.accounts.enable(person, by=by(who, request))
        return RedirectResponse("/people", status_code=303)

    return routes


def sharing(drawn: Drawn) -> APIRouter:
    """Return the pages that say with whom a study or a draft is shared."""
    routes = forms()

    def shown(request: Request, access: Asked, kind: Kind, name: str) -> Response:
        return drawn.page(request, "share", share_page(access.things.of(kind, name)))

    def shared(request: Request, access: Asked, what: tuple[Kind, str], names: str) -> Response:
        kind, name = what
        wanted = frozenset(names.replace(",", " ").lower().split())
        try:
            access.things.share(kind, name, wanted)
        except UserError as error:
            page = replace(share_page(access.things.of(kind, name)), complaints=error.complaints)
            return drawn.page(request, "share", page, status=400)
        return RedirectResponse(request.url.path, status_code=303)

    @routes.get("/studies/{execution}/share", dependencies=[may(Action.SHARE_STUDY)], include_in_schema=False)
    def study(request: Request, access: Asked, execution: str) -> Response:
        return shown(request, access, "study", execution)

    @routes.post("/studies/{execution}/share", dependencies=[Depends(changing), may(Action.SHARE_STUDY)])
    def share_study(request: Request, access: Asked, execution: str, names: Word = "") -> Response:
        """Set with whom a study is shared."""
        return shared(request, access, ("study", execution), names)

    @routes.get("/drafts/{name}/share", dependencies=[may(Action.SHARE_DRAFT)], include_in_schema=False)
    def draft(request: Request, access: Asked, name: str) -> Response:
        return shown(request, access, "draft", name)

    @routes.post("/drafts/{name}/share", dependencies=[Depends(changing), may(Action.SHARE_DRAFT)])
    def share_draft(request: Request, access: Asked, name: str, names: Word = "") -> Response:
        """Set with whom a draft is shared."""
        return shared(request, access, ("draft", name), names)

    return routes


def _named(name: Word = "", title: Word = "") -> tuple[str, str]:
    return name, title
