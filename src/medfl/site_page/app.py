"""The page as an application: its addresses, and what stands before them.

Only who came by the one-time link gets through (:mod:`medfl.loopback`); each change is a form with the session's token,
and is answered by going back to a page, so that a page can be loaded again without doing anything twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from medfl.aligned import shown
from medfl.errors import MedflError
from medfl.looks import stylesheet
from medfl.loopback import COOKIE, Guard, Sessions, fields
from medfl.site.enrolled import SiteHome
from medfl.site_page.desk import Desk, sentences, status_of

LOOKS = "/looks/"
Shown = Callable[[Request], Mapping[str, Any]]


def application(home: SiteHome, *, sessions: Sessions, port: int) -> Starlette:
    """Return the page's application.

    Parameters
    ----------
    home
        The site's folder.
    sessions
        Who was let in.
    port
        The port that browsers see.
    """
    desk, pages = Desk(home), _Pages(home, sessions)
    return Starlette(
        routes=[
            Route("/", pages.showing("studies", lambda request: desk.studies())),
            Route("/studies/{digest}", pages.showing("study", lambda request: desk.study(_digest(request)))),
            Route("/studies/{digest}/approve", pages.changing(_approved(desk)), methods=["POST"]),
            Route("/studies/{digest}/refuse", pages.changing(_refused(desk)), methods=["POST"]),
            Route("/pause", pages.changing(lambda request, form: desk.pause()), methods=["POST"]),
            Route("/continue", pages.changing(lambda request, form: desk.go_on()), methods=["POST"]),
            Route("/data", pages.showing("datasets", lambda request: desk.datasets())),
            Route("/data/{name}", pages.showing("dataset", lambda request: desk.dataset(request.path_params["name"]))),
            Route("/budget", pages.showing("budget", lambda request: desk.budget())),
            Route("/log", pages.showing("log", lambda request: desk.log())),
            Route("/connection", pages.showing("connection", lambda request: desk.connection())),
            Route("/connection/ask", pages.changing(lambda request, form: desk.ask()), methods=["POST"]),
            Route("/leave", pages.leave, methods=["POST"]),
            Route(f"{LOOKS}medfl.css", _looks),
        ],
        middleware=[Middleware(Guard, sessions=sessions, port=port, open_to_all=(LOOKS,))],
        exception_handlers={HTTPException: pages.nothing_here},
    )


class _Pages:
    """Makes pages of words, and remembers for each session what it was told last."""

    def __init__(self, home: SiteHome, sessions: Sessions) -> None:
        self._desk, self._sessions = Desk(home), sessions
        self._told: dict[str, str] = {}
        self._templates = Environment(
            loader=PackageLoader("medfl.site_page"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["shown"] = lambda text: shown(str(text))

    def showing(self, name: str, words: Shown) -> Callable[[Request], Awaitable[Response]]:
        """Return what serves one page."""

        async def endpoint(request: Request) -> Response:
            try:
                return self._page(request, name, await run_in_threadpool(words, request))
            except MedflError as error:
                return await self._failed(request, error)

        return endpoint

    def changing(self, change: Callable[[Request, Mapping[str, str]], str]) -> Callable[[Request], Awaitable[Response]]:
        """Return what serves one change."""

        async def endpoint(request: Request) -> Response:
            try:
                await self._sessions.require_token(request)
                form = await fields(request)
                sentence = await run_in_threadpool(change, request, form)
            except MedflError as error:
                return await self._failed(request, error)
            self._told[request.cookies.get(COOKIE, "")] = sentence
            return RedirectResponse(_back(form.get("back", "")), status_code=303)

        return endpoint

    async def leave(self, request: Request) -> Response:
        """End the session."""
        try:
            await self._sessions.require_token(request)
        except MedflError as error:
            return await self._failed(request, error)
        session = request.cookies.get(COOKIE, "")
        self._sessions.leave(session)
        self._told.pop(session, None)
        text = self._templates.get_template("left.html.j2").render()
        answer = HTMLResponse(text)
        answer.delete_cookie(COOKIE, path="/")
        return answer

    async def nothing_here(self, request: Request, error: Exception) -> Response:
        """Answer who asks for what does not exist."""
        code = error.status_code if isinstance(error, HTTPException) else 404
        words = {"sentences": ["There is nothing at this address."]}
        return await run_in_threadpool(partial(self._page, request, "error", words, status=code))

    async def _failed(self, request: Request, error: MedflError) -> Response:
        words = {"sentences": sentences(error)}
        return await run_in_threadpool(partial(self._page, request, "error", words, status=status_of(error)))

    def _page(self, request: Request, name: str, words: Mapping[str, Any], *, status: int = 200) -> Response:
        session = request.cookies.get(COOKIE, "")
        try:
            head = self._desk.head()
        except MedflError as error:
            # What is wrong with the folder itself is told on every page, and hides none.
            head = {"site": "This site", "hub": "", "paused": False, "waiting": 0}
            words = {**words, "sentences": [*words.get("sentences", ()), *sentences(error)]}
            name = "error"
        told, path = self._told.pop(session, ""), request.url.path if request.method == "GET" else "/"
        text = self._templates.get_template(f"{name}.html.j2").render(
            **words, head=head, told=told, path=path, csrf=self._sessions.token(request)
        )
        return HTMLResponse(text, status_code=status)


def _approved(desk: Desk) -> Callable[[Request, Mapping[str, str]], str]:
    return lambda request, form: desk.approve(_digest(request), form.get("dataset", ""))


def _refused(desk: Desk) -> Callable[[Request, Mapping[str, str]], str]:
    return lambda request, form: desk.refuse(_digest(request), form.get("reason", "").strip())


def _digest(request: Request) -> str:
    """Return the whole digest that an address names: no beginning of one, and no file."""
    digest = str(request.path_params["digest"])
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise HTTPException(404)
    return digest


def _back(path: str) -> str:
    """Return where to go after a change: only to an address of the page itself."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"


async def _looks(request: Request) -> Response:
    return Response(stylesheet(), media_type="text/css", headers={"Cache-Control": "max-age=300"})
