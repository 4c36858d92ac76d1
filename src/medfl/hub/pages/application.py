"""The application: every page in two forms, HTML for people and JSON for programs, from one context."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles

from medfl.errors import BusyError, Complaint, MedflError, NotFoundError, RefusedError, UserError
from medfl.hub.pages import steered, taken
from medfl.hub.pages.bench import Bench
from medfl.hub.pages.consortium import routes as consortium
from medfl.hub.pages.design import routes as design
from medfl.hub.pages.design.arriving import uploads
from medfl.hub.pages.design.drafts import Drafts
from medfl.hub.pages.drawn import Drawn
from medfl.hub.pages.language import LANGUAGES, Reading, choosing
from medfl.hub.pages.live import Live
from medfl.hub.pages.routes import changes, changing, downloads, pages, sockets, twins
from medfl.hub.pages.shelf import Everything
from medfl.hub.pages.taking import documents
from medfl.hub.pages.watching import Courses, watch_page
from medfl.hub.people.access import Access, declared
from medfl.looks import palette
from medfl.store.views import ExecutionView

API = "/api"
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
    drafts, every = Drafts(bench.home.folder / "drafts"), Everything(bench.home)
    app = FastAPI(
        title="MEDfl",
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{API}/openapi.json",
        dependencies=[Depends(declared)],
    )
    app.state.access = access
    app.include_router(twins(bench, every, drafts), prefix=API)
    app.include_router(pages(bench, every, drafts, drawn))
    app.include_router(downloads(bench))
    app.include_router(documents(bench))
    app.include_router(taken.files(bench))
    app.include_router(taken.twin(bench), prefix=API)
    app.include_router(changes(bench, drawn))
    app.include_router(sockets(lives))
    app.include_router(steered.twin(bench), prefix=API)
    app.include_router(steered.pages(bench, drawn))
    app.include_router(steered.changes(bench, Depends(changing)))
    app.include_router(design.twin(bench, drafts), prefix=API)
    app.include_router(design.page(bench, drafts, drawn))
    app.include_router(uploads(drafts, drawn, Depends(changing)))
    app.include_router(design.edits(bench, drafts, drawn, Depends(changing)))
    app.include_router(choosing(Depends(changing)))
    if hub is not None:
        app.include_router(consortium.twins(bench, hub), prefix=API)
        app.include_router(consortium.pages(bench, hub, drawn))
        app.include_router(consortium.changes(hub, drawn, changing))
    for room in rooms:
        for router in room(drawn):
            app.include_router(router)
    app.add_route(f"{STATIC}/palette.css", _palette)
    app.mount(STATIC, StaticFiles(packages=[("medfl.hub.pages", "static")]))
    told = _Told(drawn)
    app.add_exception_handler(MedflError, told.ours)
    app.add_exception_handler(404, told.nothing)
    app.add_exception_handler(Exception, told.unforeseen)
    app.user_middleware += [Middleware(Reading), guard]
    return app


async def _palette(request: Request) -> Response:
    """Give the colours that all of our pages have in common."""
    return Response(palette(), media_type="text/css")


class _Told:
    """Tells what went wrong, as a page or as JSON."""

    def __init__(self, drawn: Drawn) -> None:
        self._drawn = drawn

    async def ours(self, request: Request, error: Exception) -> Response:
        """Tell an error that has words of its own."""
        complaints = error.complaints if isinstance(error, MedflError) else ()
        return self._said(request, _status(error), complaints)

    async def nothing(self, request: Request, error: Exception) -> Response:
        """Tell that an address leads nowhere."""
        where = request.url.path[:120]
        return self._said(request, 404, (Complaint("there is nothing here", where, "", "begin at page /"),))

    async def unforeseen(self, request: Request, error: Exception) -> Response:
        """Tell that the fault is ours; the trace is in the log."""
        what = Complaint("MEDfl made a mistake", remedy="the log has the trace; nothing that was finished is lost")
        return self._said(request, 500, (what,))

    def _said(self, request: Request, status: int, complaints: tuple[Complaint, ...]) -> Response:
        if request.url.path.startswith(f"{API}/"):
            said: list[Mapping[str, Any]] = [
                {"what": one.what, "where": one.where, "received": one.received, "remedy": one.remedy}
                for one in complaints
            ]
            return JSONResponse({"error": said}, status_code=status)
        return self._drawn.page(request, "error", complaints, status=status)


def _status(error: Exception) -> int:
    match error:
        case NotFoundError():
            return 404
        case RefusedError():
            return 403
        case BusyError():
            return 409
        case UserError():
            return 400
    return 500
