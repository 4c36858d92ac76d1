"""The application: every page in two forms, HTML for people and JSON for programs, from one context."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from medfl.errors import Complaint
from medfl.hub.pages import steered, taken
from medfl.hub.pages.bench import Bench
from medfl.hub.pages.consortium import routes as consortium
from medfl.hub.pages.design import cost
from medfl.hub.pages.design import routes as design
from medfl.hub.pages.design.arriving import uploads
from medfl.hub.pages.design.drafts import Drafts
from medfl.hub.pages.design.uploads import loaded_again, sent_tables
from medfl.hub.pages.drawn import Drawn
from medfl.hub.pages.faults import API, ERRORS, Faults
from medfl.hub.pages.language import LANGUAGES, Reading, choosing
from medfl.hub.pages.live import Live
from medfl.hub.pages.routes import changes, changing, downloads, pages, sockets, twins
from medfl.hub.pages.shelf import Everything
from medfl.hub.pages.taking import documents
from medfl.hub.pages.watching import Courses, watch_page
from medfl.hub.people.access import Access, declared
from medfl.looks import palette
from medfl.store.views import ExecutionView

STATIC = "/static"
OPEN = (f"{STATIC}/",)
"""Beginnings of paths that everybody may read."""


Rooms: TypeAlias = Callable[[Drawn], Sequence[APIRouter]]
"""What makes further pages."""


def application(bench: Bench, access: Access, guard: Middleware, *rooms: Rooms) -> FastAPI:
    """Return the application.

    Parameters
    ----------
    bench
        The store, and who carries studies out.
    access
        Who asks, and what they may do.
    guard
        Stands before everything.
    rooms
        Further pages, such as those about people.
    """
    hub = bench.hub
    drawn = Drawn(access, consortium=hub.about.name if hub is not None else "", troubles=bench.troubles)

    courses = Courses()

    def parts(language: str, view: ExecutionView) -> str:
        return drawn.part("watch-parts", watch_page(view, bench.busy, bench.home, courses), language=language)

    def unread(language: str, complaints: Sequence[Complaint]) -> str:
        return drawn.part("unread", complaints, language=language)

    lives = {
        language: Live(bench.home, bench.busy, partial(parts, language), partial(unread, language))
        for language in LANGUAGES
    }
    drafts, every = Drafts(bench.home.folder / "drafts", most=bench.drafts), Everything(bench.home)
    app = FastAPI(
        title="MEDfl",
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{API}/openapi.json",
        dependencies=[Depends(declared)],
    )
    app.state.access = access
    for router in _twins(bench, every, drafts):
        app.include_router(router, prefix=API, responses=dict(ERRORS))
    further = (router for room in rooms for router in room(drawn))
    for router in (*_pages(bench, every, drafts, drawn), sockets(lives), *further):
        app.include_router(router, responses=dict(ERRORS))
    app.add_route(f"{STATIC}/palette.css", _palette)
    app.mount(STATIC, StaticFiles(packages=[("medfl.hub.pages", "static")]))
    Faults(drawn).tell_of(app)
    app.user_middleware += [Middleware(Reading), guard]
    return app


def _twins(bench: Bench, every: Everything, drafts: Drafts) -> Iterator[APIRouter]:
    """Yield what programs are given."""
    yield twins(bench, every, drafts)
    yield taken.twin(bench)
    yield steered.twin(bench)
    yield design.twin(bench, drafts)
    yield cost.twin(bench, drafts)
    if bench.hub is not None:
        yield consortium.twins(bench, bench.hub)


def _pages(bench: Bench, every: Everything, drafts: Drafts, drawn: Drawn) -> Iterator[APIRouter]:
    """Yield what people are shown, and what changes something."""
    guarded = Depends(changing)
    yield pages(bench, every, drafts, drawn)
    yield downloads(bench)
    yield documents(bench)
    yield taken.files(bench)
    yield changes(bench, drawn)
    yield steered.pages(bench, drawn)
    yield steered.changes(bench, guarded)
    yield design.page(bench, drafts, drawn)
    yield uploads(drafts, drawn, guarded)
    yield design.edits(bench, drafts, drawn, guarded)
    yield sent_tables(bench, drafts, drawn, guarded)
    yield loaded_again()
    yield cost.pages(bench, drafts, drawn)
    yield cost.trials(bench, drafts, guarded)
    yield choosing(guarded)
    if bench.hub is not None:
        yield consortium.pages(bench, bench.hub, drawn)
        yield consortium.changes(bench.hub, drawn, changing)


async def _palette(request: Request) -> Response:
    """Give the colours that all of our pages have in common."""
    return Response(palette(), media_type="text/css")
