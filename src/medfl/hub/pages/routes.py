"""Which address shows what. Every page has a twin under ``/api`` that gives its context as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Depends, Form
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from medfl.errors import MedflError, NotFoundError
from medfl.hub.pages.bench import Bench
from medfl.hub.pages.coded import FLOWER, FORMS, CodePage, code_page, written
from medfl.hub.pages.design.drafts import Drafts
from medfl.hub.pages.drawn import Drawn
from medfl.hub.pages.forms import forms
from medfl.hub.pages.judged import ResultsPage, results_page
from medfl.hub.pages.language import language_of
from medfl.hub.pages.live import Live
from medfl.hub.pages.plan import LONGEST, Order, PlanPage, launched, moment_of, plan_page
from medfl.hub.pages.shelf import Everything, HomePage, home_page
from medfl.hub.pages.standing import done, state_of
from medfl.hub.pages.starters import NewPage, starters, starting_text
from medfl.hub.pages.watching import WatchPage, watch_page
from medfl.hub.people.access import Access, Asked, Who, access_of, may
from medfl.hub.people.permits import Action
from medfl.loopback import FIELD, HEADER

AGAIN = 2.0
"""Seconds after which it is asked again whether somebody who watches still may."""
Text = Annotated[str, Form(max_length=LONGEST)]
Moment = Annotated[str, Form(max_length=40)]


def twins(bench: Bench, every: Everything, drafts: Drafts) -> APIRouter:
    """Return the pages for programs."""
    api = APIRouter()

    @api.get("/home", dependencies=[may(Action.SEE_HOME)])
    def home(who: Who, access: Asked) -> HomePage:
        """Tell what runs, what waits for somebody and what is done."""
        return home_page(bench, every, drafts, partial(access.allows, who))

    @api.get("/start/{name}", dependencies=[may(Action.BEGIN_DRAFT)])
    def start(name: str) -> PlanPage:
        """Tell what a study to begin with would do."""
        return plan_page(bench, starting_text(name))

    @api.get("/studies/{execution}/watch", dependencies=[may(Action.SEE_STUDY)])
    def watch(execution: str) -> WatchPage:
        """Tell how an execution stands."""
        return watch_page(bench.whole(execution), bench.busy, bench.home)

    @api.get("/studies/{execution}/results", dependencies=[may(Action.SEE_STUDY)])
    def results(execution: str) -> ResultsPage:
        """Tell what came out of an execution."""
        return results_page(bench.whole(execution))

    @api.get("/studies/{execution}/code", dependencies=[may(Action.SEE_STUDY)])
    def code(execution: str) -> CodePage:
        """Give an execution's study as code."""
        return code_page(bench.whole(execution))

    return api


def pages(bench: Bench, every: Everything, drafts: Drafts, drawn: Drawn) -> APIRouter:
    """Return the pages for people."""
    routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @routes.get("/", dependencies=[may(Action.SEE_HOME)])
    def home(request: Request, who: Who, access: Asked) -> Response:
        return drawn.page(request, "home", home_page(bench, every, drafts, partial(access.allows, who)))

    @routes.get("/new", dependencies=[may(Action.BEGIN_DRAFT)])
    def new(request: Request) -> Response:
        return drawn.page(request, "new", NewPage(starters=starters() if bench.hub is None else ()))

    @routes.get("/start/{name}", dependencies=[may(Action.BEGIN_DRAFT)])
    def start(request: Request, name: str) -> Response:
        return drawn.page(request, "plan", plan_page(bench, starting_text(name)))

    @routes.get("/studies/{execution}", dependencies=[may(Action.SEE_STUDY)])
    def study(execution: str) -> Response:
        every = bench.whole(execution).every
        state = state_of(every, bench.busy)
        waits = bench.hub is not None and state == "running" and not done(every)
        tab = "results" if state == "finished" else "launch" if waits else "watch"
        return RedirectResponse(f"/studies/{execution}/{tab}", status_code=303)

    @routes.get("/studies/{execution}/watch", dependencies=[may(Action.SEE_STUDY)])
    def watch(request: Request, execution: str) -> Response:
        return drawn.page(request, "watch", watch_page(bench.whole(execution), bench.busy, bench.home))

    @routes.get("/studies/{execution}/results", dependencies=[may(Action.SEE_STUDY)])
    def results(request: Request, execution: str) -> Response:
        return drawn.page(request, "results", results_page(bench.whole(execution)))

    @routes.get("/studies/{execution}/code", dependencies=[may(Action.SEE_STUDY)])
    def code(request: Request, execution: str) -> Response:
        return drawn.page(request, "code", code_page(bench.whole(execution)))

    return routes


def downloads(bench: Bench) -> APIRouter:
    """Return what can be taken along."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/studies/{execution}/files/{name}", dependencies=[may(Action.SEE_STUDY)])
    def file(execution: str, name: str) -> Response:
        if name not in FORMS:
            raise NotFoundError("there is no such file", received=name[:80], remedy=f"take one of {', '.join(FORMS)}")
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        kind = "application/zip" if name == FLOWER else "text/plain; charset=utf-8"
        return Response(written(bench.whole(execution), name), headers=headers, media_type=kind)

    return routes


def changes(bench: Bench, drawn: Drawn) -> APIRouter:
    """Return what changes something: only what comes from a page of the session does."""
    routes = forms(Depends(changing))

    @routes.post("/studies", dependencies=[may(Action.LAUNCH_STUDY)])
    def launch(request: Request, who: Who, access: Asked, text: Text = "", not_before: Moment = "") -> Response:
        """Launch a study that is sent as a text."""

        def may_see(execution: str) -> None:
            access.require(who, Action.SEE_STUDY, execution)

        try:
            execution = launched(bench, text, Order(who.name, moment_of(not_before), may_see))
        except MedflError as error:
            return drawn.page(request, "plan", PlanPage(text=text, complaints=error.complaints), status=400)
        access.things.begun("study", execution, who)
        return RedirectResponse(f"/studies/{execution}/{'launch' if bench.hub else 'watch'}", status_code=303)

    @routes.post("/studies/{execution}/stop", dependencies=[may(Action.STEER_STUDY)])
    def stop(execution: str) -> Response:
        """Have a study stop once its round is stored."""
        bench.carries.stop(execution)
        return RedirectResponse(f"/studies/{execution}/watch", status_code=303)

    @routes.post("/studies/{execution}/go-on", dependencies=[may(Action.STEER_STUDY)])
    def go_on(execution: str) -> Response:
        """Go on with a study where it stopped."""
        bench.carries.go_on(execution)
        return RedirectResponse(f"/studies/{execution}/{'launch' if bench.hub else 'watch'}", status_code=303)

    return routes


def sockets(lives: Mapping[str, Live]) -> APIRouter:
    """Return what tells pages of changes, in the language of each."""
    routes = APIRouter()

    @routes.websocket("/live/{execution}", dependencies=[may(Action.SEE_STUDY)])
    async def watch(socket: WebSocket, access: Asked, execution: str) -> None:
        await socket.accept()
        try:
            async with lives[language_of(socket)].watching(execution) as shown:
                await _sent(socket, _allowed(socket, access, shown))
        except NotFoundError:
            await socket.close(code=4404)

    return routes


async def _allowed(socket: WebSocket, access: Access, shown: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield what is to be shown for as long as its reader may see it: permits and sessions end while they watch."""
    execution, asked = str(socket.path_params["execution"]), -AGAIN

    def allowed() -> bool:
        return access.allows(access.entrance.actor(socket), Action.SEE_STUDY, execution)

    async for page in shown:
        if monotonic() - asked >= AGAIN:
            if not await run_in_threadpool(allowed):
                return
            asked = monotonic()
        yield page


async def _sent(socket: WebSocket, shown: AsyncIterator[str]) -> None:
    """Send what there is to show until the reader has gone."""

    async def send() -> None:
        with suppress(WebSocketDisconnect):
            async for page in shown:
                await socket.send_text(page)

    async def gone() -> None:
        with suppress(WebSocketDisconnect):
            while True:
                await socket.receive_text()

    tasks = [asyncio.create_task(send()), asyncio.create_task(gone())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def changing(request: Request) -> None:
    """Stand before every change: it must come from a page of the session."""
    form = await request.form()
    access_of(request).entrance.require(request, request.headers.get(HEADER) or str(form.get(FIELD, "")))
