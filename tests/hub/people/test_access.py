"""Every address of the pages declares what it does, and every role is held to the table at every address."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute, iter_route_contexts
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medfl.errors import RefusedError
from medfl.hub.pages.application import application
from medfl.hub.pages.bench import Bench
from medfl.hub.pages.people.rooms import people_rooms
from medfl.hub.people.access import Access, declared, permits_of
from medfl.hub.people.audit import TERMINAL
from medfl.hub.people.consortium import People
from medfl.hub.people.permits import NOBODY, Action, Actor, Kind, Role, Thing
from medfl.store.home import Home
from medfl.testing.hub import made
from medfl.testing.pages import STUDY, Carriers, looked
from medfl.testing.people import cheap

EXPECTED: dict[str, Action] = {
    "GET /": Action.SEE_HOME,
    "GET /api/drafts/{name}": Action.SEE_DRAFT,
    "GET /api/drafts/{name}/cost": Action.SEE_DRAFT,
    "GET /api/home": Action.SEE_HOME,
    "GET /api/start/{name}": Action.BEGIN_DRAFT,
    "GET /api/studies/{execution}/code": Action.SEE_STUDY,
    "GET /api/studies/{execution}/events": Action.SEE_STUDY,
    "GET /api/studies/{execution}/results": Action.SEE_STUDY,
    "GET /api/studies/{execution}/tables/{name}": Action.SEE_STUDY,
    "GET /api/studies/{execution}/watch": Action.SEE_STUDY,
    "GET /drafts/{name}": Action.SEE_DRAFT,
    "GET /drafts/{name}/upload": Action.SEE_DRAFT,
    "GET /drafts/{name}/cost": Action.SEE_DRAFT,
    "GET /drafts/{name}/cost/parts": Action.SEE_DRAFT,
    "GET /new": Action.BEGIN_DRAFT,
    "GET /start/{name}": Action.BEGIN_DRAFT,
    "GET /studies/{execution}": Action.SEE_STUDY,
    "GET /studies/{execution}/code": Action.SEE_STUDY,
    "GET /studies/{execution}/drop": Action.STEER_STUDY,
    "GET /studies/{execution}/events": Action.SEE_STUDY,
    "GET /studies/{execution}/figures/{name}.png": Action.SEE_STUDY,
    "GET /studies/{execution}/figures/{name}.svg": Action.SEE_STUDY,
    "GET /studies/{execution}/files/{name}": Action.SEE_STUDY,
    "GET /studies/{execution}/report.html": Action.SEE_STUDY,
    "GET /studies/{execution}/report.pdf": Action.SEE_STUDY,
    "GET /studies/{execution}/bundle.zip": Action.SEE_STUDY,
    "GET /studies/{execution}/models/{run}/model.safetensors": Action.SEE_STUDY,
    "GET /studies/{execution}/models/{run}/model-card.md": Action.SEE_STUDY,
    "GET /studies/{execution}/results": Action.SEE_STUDY,
    "GET /studies/{execution}/tables/{name}.csv": Action.SEE_STUDY,
    "GET /studies/{execution}/watch": Action.SEE_STUDY,
    "POST /drafts": Action.BEGIN_DRAFT,
    "POST /drafts/file": Action.BEGIN_DRAFT,
    "POST /drafts/{name}/copy": Action.SEE_DRAFT,
    "POST /drafts/{name}/cost": Action.CHANGE_DRAFT,
    "POST /drafts/{name}/cost/stop": Action.CHANGE_DRAFT,
    "POST /drafts/{name}/fork": Action.CHANGE_DRAFT,
    "POST /drafts/{name}/harmonise": Action.CHANGE_DRAFT,
    "POST /drafts/{name}/repair": Action.CHANGE_DRAFT,
    "POST /drafts/{name}/site": Action.CHANGE_DRAFT,
    "POST /drafts/{name}/upload": Action.CHANGE_DRAFT,
    "POST /drafts/{name}/look": Action.SEE_DRAFT,
    "POST /drafts/{name}/remove": Action.SHARE_DRAFT,
    "POST /drafts/{name}/set": Action.CHANGE_DRAFT,
    "POST /drafts/{name}/table": Action.CHANGE_DRAFT,
    "POST /drafts/{name}/text": Action.CHANGE_DRAFT,
    "POST /drafts/{name}/unfork": Action.CHANGE_DRAFT,
    "POST /drafts/{name}/unsite": Action.CHANGE_DRAFT,
    "POST /drafts/{name}/without": Action.CHANGE_DRAFT,
    "POST /language": Action.SIGN_IN,
    "POST /studies": Action.LAUNCH_STUDY,
    "POST /studies/{execution}/drop": Action.STEER_STUDY,
    "POST /studies/{execution}/go-on": Action.STEER_STUDY,
    "POST /studies/{execution}/pause": Action.STEER_STUDY,
    "POST /studies/{execution}/stop": Action.STEER_STUDY,
    "SOCKET /live/{execution}": Action.SEE_STUDY,
    "GET /account": Action.SEE_ACCOUNT,
    "GET /api/account": Action.SEE_ACCOUNT,
    "GET /api/audit": Action.SEE_AUDIT,
    "GET /api/people": Action.SEE_PEOPLE,
    "GET /api/queue": Action.SEE_QUEUE,
    "GET /api/sites": Action.SEE_SITES,
    "GET /api/sites/{site}": Action.SEE_SITES,
    "GET /api/studies/{execution}/launch": Action.SEE_STUDY,
    "GET /audit": Action.SEE_AUDIT,
    "GET /audit.jsonl": Action.SEE_AUDIT,
    "GET /drafts/{name}/share": Action.SHARE_DRAFT,
    "GET /people": Action.SEE_PEOPLE,
    "GET /queue": Action.SEE_QUEUE,
    "GET /sign-in": Action.SIGN_IN,
    "GET /sign-in/back": Action.SIGN_IN,
    "GET /sign-in/provider": Action.SIGN_IN,
    "GET /presence": Action.SEE_SITES,
    "GET /sites": Action.SEE_SITES,
    "GET /sites/{site}": Action.SEE_SITES,
    "GET /studies/{execution}/launch": Action.SEE_STUDY,
    "GET /studies/{execution}/launch/parts": Action.SEE_STUDY,
    "GET /studies/{execution}/share": Action.SHARE_STUDY,
    "GET /welcome": Action.SIGN_IN,
    "POST /account/password": Action.CHANGE_ACCOUNT,
    "POST /account/second": Action.CHANGE_ACCOUNT,
    "POST /account/sessions/end": Action.CHANGE_ACCOUNT,
    "POST /account/tokens": Action.CHANGE_ACCOUNT,
    "POST /account/tokens/revoke": Action.CHANGE_ACCOUNT,
    "POST /drafts/{name}/share": Action.SHARE_DRAFT,
    "POST /people": Action.CHANGE_PEOPLE,
    "POST /people/{person}/disable": Action.CHANGE_PEOPLE,
    "POST /people/{person}/enable": Action.CHANGE_PEOPLE,
    "POST /people/{person}/reset": Action.CHANGE_PEOPLE,
    "POST /people/{person}/roles": Action.CHANGE_PEOPLE,
    "POST /queue/{execution}/{way}": Action.CHANGE_QUEUE,
    "POST /sign-in": Action.SIGN_IN,
    "POST /sign-out": Action.SIGN_IN,
    "POST /sites/invite": Action.CHANGE_SITES,
    "POST /sites/{site}/approve": Action.CHANGE_SITES,
    "POST /sites/{site}/revoke": Action.CHANGE_SITES,
    "POST /studies/{execution}/put-off": Action.STEER_STUDY,
    "POST /studies/{execution}/share": Action.SHARE_STUDY,
    "POST /welcome": Action.SIGN_IN,
}
"""What each address does: whoever adds one writes down here who may use it, and why."""
FREE = {"/api/openapi.json", "/static/palette.css", "/static"}
"""What everybody may read: the pages' looks, and what addresses there are (this one behind the guard)."""
FOREIGN: dict[Action, set[Role] | set[Role | None]] = {
    Action.SIGN_IN: {None, *Role},
    Action.SEE_ACCOUNT: set(Role),
    Action.CHANGE_ACCOUNT: set(Role),
    Action.SEE_AUDIT: {Role.ADMIN, Role.AUDITOR},
    Action.SEE_PEOPLE: {Role.ADMIN, Role.COORDINATOR, Role.AUDITOR},
    Action.CHANGE_PEOPLE: {Role.ADMIN},
    Action.SEE_QUEUE: {Role.COORDINATOR, Role.RESEARCHER, Role.AUDITOR},
    Action.CHANGE_QUEUE: {Role.COORDINATOR},
    Action.SEE_SITES: set(Role),
    Action.CHANGE_SITES: {Role.ADMIN, Role.COORDINATOR},
    Action.SHARE_STUDY: {Role.COORDINATOR},
    Action.SEE_HOME: set(Role),
    Action.BEGIN_DRAFT: {Role.COORDINATOR, Role.RESEARCHER},
    Action.LAUNCH_STUDY: {Role.COORDINATOR, Role.RESEARCHER},
    Action.SEE_STUDY: {Role.COORDINATOR, Role.AUDITOR},
    Action.STEER_STUDY: {Role.COORDINATOR},
    Action.SEE_DRAFT: {Role.AUDITOR},
    Action.CHANGE_DRAFT: set(),
    Action.SHARE_DRAFT: set(),
}
"""Who passes, for a study and a draft that are somebody else's."""


class Somebody:
    """An entrance at which the test says who asks."""

    def __init__(self) -> None:
        self.who = NOBODY

    def actor(self, connection: HTTPConnection) -> Actor:
        return self.who

    def token(self, connection: HTTPConnection) -> str:
        return "token"

    def require(self, connection: HTTPConnection, sent: str) -> None:
        if sent != "token":
            raise RefusedError("no token")


class Foreign:
    """Things that are somebody else's."""

    def of(self, kind: Kind, name: str) -> Thing:
        return Thing(kind=kind, name=name, owner="eve", sites=frozenset({"mayo"}))

    def begun(self, kind: Kind, name: str, actor: Actor) -> None:
        pass

    def share(self, kind: Kind, name: str, shared: frozenset[str]) -> None:
        pass


class NoGuard:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FastAPI, Somebody]]:
    entrance = Somebody()
    folder = tmp_path_factory.mktemp("access")
    hub = made(folder / "hub")
    people = People.at(hub.folder, name="here", hashes=cheap())
    people.accounts.add("ada", "Ada", [Role.AUDITOR], [], by=TERMINAL)
    with Home(hub.folder) as home:
        bench = Bench(home, looked, looked, Carriers(home), home.is_busy, hub)
        rooms = people_rooms(people, lambda: ("mayo",))
        yield application(bench, Access(entrance, Foreign()), Middleware(NoGuard), rooms), entrance


def ask(app: ASGIApp, method: str, path: str, data: dict[str, str] | None = None) -> httpx.Response:
    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            return await client.request(method, path, data=data)

    return asyncio.run(asked())


def closing(app: ASGIApp, path: str) -> int:
    """Return the code with which a socket is closed."""
    heard: list[Message] = [{"type": "websocket.connect"}]
    said: list[Message] = []

    async def receive() -> Message:
        return heard.pop() if heard else {"type": "websocket.disconnect", "code": 1000}

    async def send(message: Message) -> None:
        said.append(message)

    scope = {"type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": []}

    async def connected() -> None:
        await app(scope | {"subprotocols": [], "scheme": "ws", "server": ("here", 80)}, receive, send)

    asyncio.run(connected())
    (closed,) = [one for one in said if one["type"] == "websocket.close"]
    return int(closed["code"])


def test_every_address_declares_what_it_does(walked: tuple[FastAPI, Somebody]) -> None:
    app, _ = walked
    found: dict[str, Action] = {}
    free = set[str]()
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        path = str(context.path or getattr(route, "path", ""))
        if isinstance(route, APIRoute | APIWebSocketRoute):
            (permit,) = permits_of(route.dependant)
            methods = ["SOCKET"] if isinstance(route, APIWebSocketRoute) else route.methods or ()
            found |= {f"{method} {path}": permit.action for method in methods}
        else:
            free.add(path)
    assert found == EXPECTED
    assert free == FREE


@pytest.mark.parametrize("role", [None, *Role])
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_role_is_held_to_the_table_at_every_address(
    name: str, role: Role | None, walked: tuple[FastAPI, Somebody]
) -> None:
    app, entrance = walked
    entrance.who = NOBODY if role is None else Actor(name="ada", title="Ada", roles=frozenset({role}))
    method, _, path = name.partition(" ")
    address = re.sub(r"\{.*?\}", "breast-cancer" if "start" in path else "0123456789ab", path)
    passes = role in (
        FOREIGN[EXPECTED[name]] if name != "POST /drafts/{name}/copy" else set()
    )  # It begins a draft, too.
    if method == "SOCKET":
        # Who may see it is told that it is not there, and who may not, only that they may not.
        assert closing(app, address) == (4404 if passes else 1008)
        return
    sent = {"csrf": "token", "text": STUDY, "revision": "1"} if method == "POST" else None
    answer = ask(app, method, address, sent)
    if EXPECTED[name] is Action.SIGN_IN:
        # Everybody may try; whether a name, a password or a link is right is another question.
        assert "nobody is signed in" not in answer.text
        return
    assert (answer.status_code != 403) == passes, answer.text
    if not passes:
        assert "may" in answer.text or "nobody is signed in" in answer.text


def test_an_address_that_declares_nothing_is_refused() -> None:
    app, routes = FastAPI(dependencies=[Depends(declared)]), APIRouter()

    @routes.get("/forgotten")
    def forgotten() -> str:
        return "open"

    app.include_router(routes, prefix="/inner")
    with pytest.raises(RefusedError, match="does not say who may use it"):
        ask(app, "GET", "/inner/forgotten")


def test_a_change_is_refused_without_the_token_whoever_asks(walked: tuple[FastAPI, Somebody]) -> None:
    app, entrance = walked
    entrance.who = Actor(name="ada", title="Ada", roles=frozenset(Role))
    for name in EXPECTED:
        method, _, path = name.partition(" ")
        if method == "POST":
            assert ask(app, method, re.sub(r"\{.*?\}", "x", path), {"revision": "1"}).status_code == 403
