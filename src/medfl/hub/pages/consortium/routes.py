"""Which address shows what of a consortium, and what can be done there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from medfl.errors import MedflError
from medfl.hub.pages.bench import Bench
from medfl.hub.pages.consortium.launching import LaunchPage, QueuePage, launch_page, queue_page
from medfl.hub.pages.consortium.sites import (
    SitePage,
    SitesPage,
    approved,
    invited,
    revoked,
    site_page,
    sites_page,
)
from medfl.hub.pages.drawn import Drawn
from medfl.hub.pages.forms import forms
from medfl.hub.pages.plan import moment_of
from medfl.hub.people.access import Asked, Who, may, reads_logs
from medfl.hub.people.permits import Action, Actor
from medfl.hub.place import HubPlace

log = logging.getLogger(__name__)
Word = Annotated[str, Form(max_length=200)]
Days = Annotated[int, Form(ge=1, le=90)]


def twins(bench: Bench, hub: HubPlace) -> APIRouter:
    """Return the pages for programs."""
    api = APIRouter()

    @api.get("/sites", dependencies=[may(Action.SEE_SITES)])
    def sites() -> SitesPage:
        """Tell which sites there are, and how each one stands."""
        return sites_page(hub)

    @api.get("/sites/{site}", dependencies=[may(Action.SEE_SITES)])
    def site(site: str, who: Who, access: Asked) -> SitePage:
        """Tell how a site is, and what it tells of its data sets."""
        return site_page(hub, site, log=reads_logs(access, who, site))

    @api.get("/queue", dependencies=[may(Action.SEE_QUEUE)])
    def queue(who: Who, access: Asked) -> QueuePage:
        """Tell what the hub has taken on and not finished."""
        return queue_page(hub, bench.home, partial(access.allows, who, Action.SEE_STUDY))

    @api.get("/studies/{execution}/launch", dependencies=[may(Action.SEE_STUDY)])
    def launch(execution: str) -> LaunchPage:
        """Tell which sites let a study in, and what it waits for."""
        return launch_page(hub, bench.home, execution, bench.busy)

    return api


def pages(bench: Bench, hub: HubPlace, drawn: Drawn) -> APIRouter:
    """Return the pages for people."""
    routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @routes.get("/sites", dependencies=[may(Action.SEE_SITES)])
    def sites(request: Request) -> Response:
        return drawn.page(request, "sites", sites_page(hub))

    @routes.get("/presence", dependencies=[may(Action.SEE_SITES)])
    def enrolled() -> Response:
        return HTMLResponse(drawn.part("sites-enrolled", sites_page(hub)))

    @routes.get("/sites/{site}", dependencies=[may(Action.SEE_SITES)])
    def site(request: Request, site: str, who: Who, access: Asked) -> Response:
        return drawn.page(request, "site", site_page(hub, site, log=reads_logs(access, who, site)))

    @routes.get("/queue", dependencies=[may(Action.SEE_QUEUE)])
    def queue(request: Request, who: Who, access: Asked) -> Response:
        may_see: Callable[[str], bool] = partial(access.allows, who, Action.SEE_STUDY)
        return drawn.page(request, "queue", queue_page(hub, bench.home, may_see))

    @routes.get("/studies/{execution}/launch", dependencies=[may(Action.SEE_STUDY)])
    def launch(request: Request, execution: str) -> Response:
        return drawn.page(request, "launch", launch_page(hub, bench.home, execution, bench.busy))

    @routes.get("/studies/{execution}/launch/parts", dependencies=[may(Action.SEE_STUDY)])
    def launch_parts(execution: str) -> Response:
        found = launch_page(hub, bench.home, execution, bench.busy)
        # Whoever looked on while it began is shown its course.
        moved = {"HX-Redirect": f"/studies/{execution}/watch"} if found.begun else {}
        return HTMLResponse(drawn.part("launch-parts", found), headers=moved)

    return routes


def changes(hub: HubPlace, drawn: Drawn, changing: Callable[..., object]) -> APIRouter:
    """Return what changes something: only what comes from a page of the session does."""
    routes = forms(Depends(changing))

    @routes.post("/sites/invite", dependencies=[may(Action.CHANGE_SITES)])
    def invite(request: Request, who: Who, title: Word = "", days: Days = 7) -> Response:
        """Invite a site; the invitation is shown this once."""
        try:
            found = invited(hub, title, days=days)
        except MedflError as error:
            page = sites_page(hub, wrong=_sentence(error), about="invite", typed=title)
            return drawn.page(request, "sites", page, status=400)
        log.info("%s invited site %s", _name(who), found.site)
        return drawn.page(request, "invited", found)

    @routes.post("/sites/{site}/approve", dependencies=[may(Action.CHANGE_SITES)])
    def approve(request: Request, site: str, who: Who, digits: Word = "") -> Response:
        """Let a site in, by the digits that its people read out."""
        try:
            record = approved(hub, site, digits=digits)
        except MedflError as error:
            log.warning("site %s was not approved by %s: %s", site[:80], _name(who), error.complaints[0].what)
            page = sites_page(hub, wrong=_sentence(error), about=site, typed=digits)
            return drawn.page(request, "sites", page, status=400)
        log.info("%s approved site %s, fingerprint %s", _name(who), record.name, record.fingerprint)
        return RedirectResponse(f"/sites/{record.name}", status_code=303)

    @routes.post("/sites/{site}/revoke", dependencies=[may(Action.CHANGE_SITES)])
    def revoke(request: Request, site: str, who: Who, access: Asked, name: Word = "") -> Response:
        """Shut a site out, by its name."""
        try:
            record = revoked(hub, site, typed=name)
        except MedflError as error:
            page = site_page(hub, site, log=reads_logs(access, who, site), wrong=_sentence(error))
            return drawn.page(request, "site", page, status=400)
        log.warning("%s revoked site %s", _name(who), record.name)
        return RedirectResponse("/sites", status_code=303)

    @routes.post("/queue/{execution}/{way}", dependencies=[may(Action.CHANGE_QUEUE)])
    def move(execution: str, way: str) -> Response:
        """Move a study up or down in the queue."""
        hub.queue.move(execution, up=way == "up")
        return RedirectResponse("/queue", status_code=303)

    @routes.post("/studies/{execution}/put-off", dependencies=[may(Action.STEER_STUDY)])
    def put_off(execution: str, not_before: Word = "") -> Response:
        """Have a study that waits not begin before a time."""
        hub.queue.put_off(execution, moment_of(not_before))
        return RedirectResponse(f"/studies/{execution}/launch", status_code=303)

    return routes


def _sentence(error: MedflError) -> str:
    first = error.complaints[0]
    return f"{first.what}: {first.remedy}" if first.remedy else first.what


def _name(who: Actor) -> str:
    return who.name or who.title
