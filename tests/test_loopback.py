"""The guard of a page for one person on this machine."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from medfl.errors import RefusedError
from medfl.looks import stylesheet
from medfl.loopback import COOKIE, HEADERS, IDLE, LARGEST, Guard, Sessions

PORT = 8123
OURS = f"http://127.0.0.1:{PORT}"


class Clock:
    """A clock that stands still until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Guarded:
    """A guarded application with one page, one change and a WebSocket."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.sessions = Sessions(now=self.clock)
        self.changes = 0
        app = Starlette(
            routes=[
                Route("/", self._page),
                Route("/change", self._change, methods=["POST"]),
                Route("/looks/a.css", self._page),
                WebSocketRoute("/live", self._live),
            ]
        )
        self.app = Guard(app, sessions=self.sessions, port=PORT, open_to_all=("/looks/",))

    async def _page(self, request: Request) -> Response:
        return PlainTextResponse(self.sessions.token(request))

    async def _change(self, request: Request) -> Response:
        try:
            await self.sessions.require_token(request)
        except RefusedError as error:
            return PlainTextResponse(str(error), status_code=403)
        self.changes += 1
        return PlainTextResponse("done")

    async def _live(self, socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    def ask(
        self, method: str, path: str, *, base: str = OURS, cookies: Mapping[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url=base, cookies=dict(cookies or {})) as client:
                return await client.request(method, path, **more)

        return asyncio.run(asked())

    def enter(self) -> dict[str, str]:
        """Come by a link; return the cookies."""
        answer = self.ask("GET", self.sessions.link())
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        return {COOKIE: answer.cookies[COOKIE]}

    def live(self, headers: Mapping[str, str]) -> list[str]:
        """Open a WebSocket; return the kinds of what is answered."""
        said: list[str] = []
        pending = [{"type": "websocket.connect"}]

        async def receive() -> dict[str, Any]:
            return pending.pop() if pending else {"type": "websocket.disconnect", "code": 1000}

        async def send(message: Any) -> None:
            said.append(message["type"])

        scope = {
            "type": "websocket",
            "path": "/live",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "subprotocols": [],
        }
        asyncio.run(self.app(scope, receive, send))
        return said


@pytest.fixture
def guarded() -> Guarded:
    return Guarded()


def test_a_link_lets_one_browser_in_once_and_a_newer_one_voids_it(guarded: Guarded) -> None:
    older, link = guarded.sessions.link(), guarded.sessions.link()
    assert guarded.ask("GET", older).status_code == 403
    entered = guarded.ask("GET", link)
    cookie = entered.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/"))
    assert guarded.ask("GET", link).status_code == 403
    assert guarded.ask("GET", "/enter?token=").status_code == 403
    assert guarded.ask("GET", "/", cookies={COOKIE: entered.cookies[COOKIE]}).status_code == 200


def test_nobody_gets_through_without_a_session_but_for_stylesheets(guarded: Guarded) -> None:
    guarded.enter()
    assert guarded.ask("GET", "/").status_code == 403
    assert guarded.ask("GET", "/", cookies={COOKIE: "made-up"}).status_code == 403
    assert guarded.ask("POST", "/change").status_code == 403
    assert guarded.ask("GET", "/looks/a.css").status_code == 200


def test_a_session_ends_when_it_is_left_or_not_used(guarded: Guarded) -> None:
    left, idle, used = guarded.enter(), guarded.enter(), guarded.enter()
    guarded.sessions.leave(left[COOKIE])
    assert guarded.ask("GET", "/", cookies=left).status_code == 403
    guarded.clock.now += IDLE - 1
    assert guarded.ask("GET", "/", cookies=used).status_code == 200
    guarded.clock.now += 2
    assert guarded.ask("GET", "/", cookies=idle).status_code == 403
    assert guarded.ask("GET", "/", cookies=used).status_code == 200


@pytest.mark.parametrize("base", ["http://attacker.example:8123", "http://127.0.0.1:9999", "http://127.0.0.1"])
def test_another_name_of_this_machine_is_refused(guarded: Guarded, base: str) -> None:
    """A name of the attacker's that leads to 127.0.0.1 (DNS rebinding)."""
    cookies = guarded.enter()
    assert guarded.ask("GET", "/", base=base, cookies=cookies).status_code == 421
    assert guarded.ask("GET", guarded.sessions.link(), base=base).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "[::1]"])
def test_its_own_names_are_answered(guarded: Guarded, host: str) -> None:
    assert guarded.ask("GET", "/", base=f"http://{host}:{PORT}", cookies=guarded.enter()).status_code == 200


def test_a_change_needs_the_token_of_its_own_session(guarded: Guarded) -> None:
    mine, other = guarded.enter(), guarded.enter()
    token = guarded.ask("GET", "/", cookies=mine).text
    for forged in ("", "0" * 64, guarded.ask("GET", "/", cookies=other).text, "ε"):
        assert guarded.ask("POST", "/change", cookies=mine, data={"csrf": forged}).status_code == 403
    assert guarded.ask("POST", "/change", cookies=mine).status_code == 403
    assert guarded.ask("POST", f"/change?csrf={token}", cookies=mine).status_code == 403
    assert guarded.ask("POST", "/change", cookies=mine, data={"csrf": token, "more": "x" * LARGEST}).status_code == 403
    assert guarded.changes == 0
    assert guarded.ask("POST", "/change", cookies=mine, data={"csrf": token}).status_code == 200
    assert guarded.ask("POST", "/change", cookies=mine, headers={"x-csrf-token": token}).status_code == 200
    assert guarded.changes == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://attacker.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_change_that_another_page_asks_for_is_refused(guarded: Guarded, headers: dict[str, str]) -> None:
    cookies = guarded.enter()
    token = guarded.ask("GET", "/", cookies=cookies).text
    sent = guarded.ask("POST", "/change", cookies=cookies, data={"csrf": token}, headers=headers)
    assert sent.status_code == 403
    assert guarded.changes == 0


def test_a_web_socket_needs_the_same(guarded: Guarded) -> None:
    cookie = f"{COOKIE}={guarded.enter()[COOKIE]}"
    host = f"127.0.0.1:{PORT}"
    assert guarded.live({"host": host}) == ["websocket.close"]
    assert guarded.live({"host": "attacker.example", "cookie": cookie}) == ["websocket.close"]
    assert guarded.live({"host": host, "cookie": cookie, "origin": "http://attacker.example"}) == ["websocket.close"]
    assert guarded.live({"host": host, "cookie": cookie, "origin": OURS}) == ["websocket.accept", "websocket.close"]


def test_every_answer_protects_itself(guarded: Guarded) -> None:
    answers = [guarded.ask("GET", "/"), guarded.ask("GET", "/", cookies=guarded.enter()), guarded.ask("GET", "/none")]
    for answer in answers:
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "'unsafe-inline'" not in HEADERS["Content-Security-Policy"]
    assert "*" not in HEADERS["Content-Security-Policy"]


def test_tokens_are_not_alike(guarded: Guarded) -> None:
    sessions = [guarded.enter() for _ in range(3)]
    tokens = [guarded.ask("GET", "/", cookies=one).text for one in sessions]
    assert all(one != other for one, other in combinations([*tokens, *(one[COOKIE] for one in sessions)], 2))


def test_text_can_be_read_in_both_palettes() -> None:
    """WCAG AA: 4.5 to 1 for text."""
    light, dark = (dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})", part)) for part in _roots(stylesheet()))
    for palette in (light, dark):
        for ink in ("--ink", "--muted", "--alarm", "--good", "--arm-0"):
            for ground in ("--paper", "--card"):
                assert _contrast(palette[ink], palette[ground]) >= 4.5, (ink, ground)
        assert _contrast(palette["--alarm"], palette["--alarm-card"]) >= 4.5


def _roots(css: str) -> list[str]:
    return re.findall(r":root \{([^}]*)\}", css)[:2]


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_light(one), _light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _light(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
