"""Whatever arrives at a hub: requests, applications, WebSockets, its pipe and its files; it refuses and goes on."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from medfl.enrolment import (
    APPLY,
    AUTHORITY,
    DIRECTORY,
    SITES,
    STATUS,
    WAKE,
    Application,
    Directory,
    Signed,
    certificate_digest,
    json_of,
    status_statement,
)
from medfl.errors import EngineError, MedflError, WireError
from medfl.hub import bell, door, waking
from medfl.hub import web as pages
from medfl.hub.applying import checked
from medfl.hub.authority import certificate_at
from medfl.hub.fleet import CALLS, Fleet
from medfl.hub.noting import Printable
from medfl.hub.pace import Pace
from medfl.hub.place import HubPlace
from medfl.hub.presence import Presence
from medfl.hub.queue import Queue
from medfl.hub.told import Told
from medfl.hub.waking import Waking
from medfl.hub.web import application as web
from medfl.over_hub import keys_of
from medfl.run.flower.superlink import Certificates, Elsewhere
from medfl.testing.fuzzing import CHANGES, EDITS, JSON, WORDS, altered, damaged, fuzzed
from medfl.testing.hub import LOOPBACK, application, enrolled, invited, made, proof, served
from medfl.testing.upstream import Upstream, raw
from medfl.tunnel import VPN, Offer
from medfl.versions import Speaks

ROUTES = [AUTHORITY, APPLY, STATUS, SITES, VPN, WAKE, *(f"/v1/fleet/{call}" for call in sorted(CALLS))]
NEVER = Pace(most=10**9)


@dataclass
class Answer:
    """What a hub answers."""

    status: int = 0
    head: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Hub:
    """A hub's application without a network, and a site that is enrolled there."""

    def __init__(self, folder: Path) -> None:
        self.place = made(folder / "hub")
        with served(self.place):
            self.home = enrolled(self.place, folder, "a")["a"]
        self.authority = certificate_digest(certificate_at(self.place.authority_file))
        self.application = application(invited(self.place, "b"))
        self.upstream = Upstream()
        identity = self.home.identity()
        shown = identity.sign(status_statement(self.authority, "a")).hex()
        asking = {"protocol": 1, "site": "a", "identity": identity.public.hex(), "proof": shown}
        self._words = {APPLY: self.application.to_json(), STATUS: asking, VPN: asking | {"key": "00" * 32}}

    def words(self, path: str) -> dict[str, Any]:
        """Return what is said there by who means it."""
        return self._words[path]

    def app(self) -> ASGIApp:
        """Return the application, in front of a SuperLink that only notes."""
        fleet = Fleet(f"{LOOPBACK}:1", self.place.authority_file, lambda: keys_of(self.place))
        transport = httpx.MockTransport(self.upstream.answer)
        fleet._client = httpx.AsyncClient(transport=transport, base_url="https://superlink")
        return web(self.place, pace=NEVER, fleet=fleet)

    def asked(self, method: str, path: str, *, head: Any = (), body: bytes = b"") -> Answer:
        """Ask once; what goes wrong in the application is raised here."""
        scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": path,
        }
        scope |= {"raw_path": path.encode(), "query_string": b"", "headers": list(head), "client": (LOOPBACK, 1)}
        answer, came = Answer(), [{"type": "http.request", "body": body}, {"type": "http.disconnect"}]

        async def receive() -> Any:
            return came.pop(0)

        async def send(message: Any) -> None:
            answer.status = message.get("status", answer.status)
            answer.head |= {name.decode(): value.decode("latin-1") for name, value in message.get("headers", ())}
            answer.body += message.get("body", b"")

        async def ask() -> None:
            await self.app()(scope, receive, send)

        asyncio.run(ask())
        return answer


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = Hub(tmp_path_factory.mktemp("fuzzed"))
    yield hub
    assert hub.asked("GET", AUTHORITY).status == 200
    assert hub.place.register.named("a").status == "approved"


def refused(answer: Answer) -> None:
    """Require a refusal that says why, in words, and keeps to itself what goes on inside."""
    assert answer.status in (400, 403, 404, 405, 413, 426), answer.status
    if answer.body and answer.head.get("content-type") == "application/json":
        assert json.loads(answer.body)["error"]["complaints"]
    assert b"Traceback" not in answer.body


HEADS = st.lists(
    st.tuples(
        st.sampled_from([b"flwr-public-key", b"flwr-timestamp", b"flwr-signature", b"authorization", b"flwr-x"]),
        st.binary(max_size=30),
    ),
    max_size=4,
)


@fuzzed(150)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "X"]),
    path=st.sampled_from(ROUTES) | st.text(max_size=30).map(lambda text: "/" + text),
    head=HEADS,
    body=st.binary(max_size=60) | JSON.map(lambda said: json.dumps(said).encode()),
)
def test_any_request_is_answered_or_refused(hub: Hub, method: str, path: str, head: Any, body: bytes) -> None:
    before = len(hub.upstream.seen)
    answer = hub.asked(method, path, head=head, body=body)
    if not (answer.status == 200 and path == AUTHORITY):
        refused(answer)
    assert len(hub.upstream.seen) == before


@fuzzed(40)
@given(name=st.sampled_from(["flwr-x", "content-type", "accept"]), value=st.binary(max_size=20), body=st.binary())
def test_whatever_an_enrolled_site_says_of_its_call_flower_gets_letters(
    hub: Hub, name: str, value: bytes, body: bytes
) -> None:
    head = [(key.encode(), word.encode()) for key, word in proof(hub.home.node()).items()]
    answer = hub.asked("POST", "/v1/fleet/push-object", head=[*head, (name.encode(), value)], body=body)
    assert answer.status == 207
    assert answer.body == body[::-1]
    assert all(word.isascii() for word in hub.upstream.seen[-1].headers.values())


PATHS = st.sampled_from([APPLY, STATUS, VPN])


@fuzzed(120)
@given(path=PATHS, changes=CHANGES)
def test_an_altered_application_or_question_is_refused(hub: Hub, path: str, changes: list[tuple[int, Any]]) -> None:
    said = altered(hub.words(path), changes)
    answer = hub.asked("POST", path, body=json.dumps(said).encode())
    if path == VPN or any(said.get(name) != word for name, word in hub.words(path).items()):
        refused(answer)


@fuzzed(60)
@given(path=PATHS, which=st.integers(0, 3), edits=EDITS)
def test_a_damaged_one_is_refused(hub: Hub, path: str, which: int, edits: Any) -> None:
    body = [json.dumps(hub.words(path)).encode(), b"[" * 60_000, b'{"a":' * 10_000, b"9" * 60_000][which]
    answer = hub.asked("POST", path, body=damaged(body, edits))
    assert answer.status in (200, 400, 403)


@fuzzed(150)
@given(edits=EDITS)
def test_a_damaged_signing_request_is_refused(hub: Hub, edits: Any) -> None:
    whole = hub.application
    der = x509.load_pem_x509_csr(whole.request.encode()).public_bytes(Encoding.DER)
    broken = damaged(der, edits)
    pem = b"-----BEGIN CERTIFICATE REQUEST-----\n" + b64encode(broken) + b"\n-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(WireError):
        checked(Application.from_json(whole.to_json() | {"request": pem.decode()}), hub.authority)


HTTP = [
    b"GET /v1/authority HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n",
    b"POST /v1/enrolment HTTP/1.1\r\nHost: hub\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /v1/enrolment HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"GET /v1/wake HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
]
HTTP.append(HTTP[-1] + b"\x81\x85\x00\x00\x00\x00hello\x89\x80\x00\x00\x00\x00\x82\xfe\xff\xff\x00\x00\x00\x00")


@fuzzed(40)
@given(whole=st.sampled_from(HTTP), edits=EDITS)
def test_damaged_http_is_refused(raw_hub: HubPlace, whole: bytes, edits: Any) -> None:
    said = raw(raw_hub, damaged(whole, edits))
    assert not said or said.startswith(b"HTTP/1.1 ")
    assert b" 500 " not in said[:20]


@pytest.fixture(scope="module")
def raw_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubPlace]:
    with (
        patch.object(door, "HEAD", 0.1),
        patch.object(pages, "PATIENCE", 0.1),
        patch.object(waking, "PATIENCE", 0.1),
        patch.object(Pace, "wait", lambda *_: 0.0),
        served(made(tmp_path_factory.mktemp("raw") / "hub")) as hub,
    ):
        yield hub
        honest = b"GET /v1/authority HTTP/1.1\r\nHost: hub\r\n\r\n"
        # More than once: on a busy machine even that may not come in a tenth of a second.
        assert any(raw(hub, honest).startswith(b"HTTP/1.1 200 ") for _ in range(20))
        assert "Traceback" not in hub.log.read_text(encoding="utf-8")


@fuzzed(80)
@given(sent=st.lists(st.binary(max_size=40) | WORDS | JSON.map(json.dumps), min_size=1, max_size=3))
def test_any_websocket_is_closed_with_a_reason(hub: Hub, sent: list[bytes | str]) -> None:
    said: list[dict[str, Any]] = []
    came: list[dict[str, Any]] = [{"type": "websocket.connect"}]
    came += [{"type": "websocket.receive", "text" if isinstance(one, str) else "bytes": one} for one in sent]
    came += [{"type": "websocket.disconnect", "code": 1000}]

    async def receive() -> dict[str, Any]:
        return came.pop(0)

    async def send(message: Any) -> None:
        said.append(message)

    async def serve() -> None:
        scope = {"type": "websocket", "path": WAKE, "headers": [], "client": (LOOPBACK, 1)}
        await Waking(hub.place, hub.authority, NEVER).serve(WebSocket(scope, receive, send))

    asyncio.run(serve())
    assert said[-1]["type"] == "websocket.close"
    assert said[-1]["code"] in (waking.UNREADABLE, waking.NOT_ENROLLED)


TELLS: list[dict[str, Any]] = [
    {
        "tell": "state",
        "state": {"doing": "training", "run": "r", "task": "train", "round": 1, "rounds": 2, "since": 1.0},
    },
    {"tell": "lines", "lines": [{"at": 1.0, "text": "x"}]},
    {"tell": "catalogue", "all": ["ward"]},
    {"tell": "catalogue", "dataset": "ward", "entry": {"withheld": "no"}},
    {
        "tell": "catalogue",
        "dataset": "ward",
        "entry": {"target": "sick", "rows": 3, "columns": [{"name": "age", "kind": "numeric", "minimum": 1.0}]},
    },
]


@fuzzed(120)
@given(which=st.integers(0, len(TELLS) - 1), changes=CHANGES, other=JSON)
def test_whatever_a_site_tells_is_kept_or_refused(which: int, changes: Any, other: Any) -> None:
    told = Told()
    told.hear(TELLS[2])
    for said in (altered(TELLS[which], changes), other):
        with suppress(WireError):
            told.hear(json_of(json.dumps(said).encode()))
        with suppress(WireError):
            Speaks.read(said)
    assert Told.read(json_of(told.to_bytes())) == told
    assert "\x1b" not in json.dumps(told.shown(), ensure_ascii=False)


@fuzzed(40)
@given(sent=st.binary(max_size=200))
def test_any_bytes_in_the_pipe_wake_nobody_else(tmp_path: Path, sent: bytes) -> None:
    (tmp_path / bell.NAME).unlink(missing_ok=True)
    bell.hang(tmp_path)
    told: list[str] = []

    async def hear() -> None:
        with bell.heard(tmp_path, told.append):
            pipe = os.open(tmp_path / bell.NAME, os.O_WRONLY | os.O_NONBLOCK)
            os.write(pipe, sent + b"\na\n")
            os.close(pipe)
            for _ in range(50):
                await asyncio.sleep(0)

    asyncio.run(hear())
    assert told[-1] == "a"


@fuzzed(60)
@given(name=st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_any_file_in_the_queue_is_an_execution_or_none(tmp_path: Path, name: str) -> None:
    queue = Queue(tmp_path / "queue")
    queue.add("abc", "tiny")
    try:
        (tmp_path / "queue" / name).write_bytes(b"\xff")
    except OSError:
        return  # No name of a file.
    assert "abc" in queue.waiting()
    assert all(set(one) <= set("0123456789abcdef") for one in queue.waiting())
    queue.done("abc")


@fuzzed(80)
@given(body=st.binary(max_size=60) | JSON.map(lambda said: json.dumps(said).encode()))
def test_any_file_of_the_hub_is_read_or_a_reason(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "presence.json").write_bytes(body)
    assert isinstance(Presence.at(tmp_path), Presence)
    for name in ("port", "secret"):
        (tmp_path / name).write_bytes(body)
    with suppress(EngineError):
        Elsewhere.at(tmp_path, Certificates(tmp_path, tmp_path, tmp_path))
    (tmp_path / "hub.json").write_bytes(body)
    tmp_path.chmod(0o700)
    with suppress(MedflError):
        assert HubPlace(tmp_path).about


@fuzzed(80)
@given(said=JSON)
def test_any_signed_words_are_read_or_a_reason(hub: Hub, said: Any) -> None:
    """By the authority itself: a hub that was taken over can sign nonsense."""
    signed = hub.place.authority.signed(json.dumps(said), purpose=DIRECTORY)
    with suppress(WireError):
        Offer.of(signed.text)
    with suppress(WireError):
        Directory.read(signed, hub.place.authority.certificate)
    with suppress(WireError):
        Signed.from_json(said)


@fuzzed(60)
@given(text=WORDS)
def test_a_line_of_the_log_stays_one_and_steers_no_terminal(text: str) -> None:
    record = logging.LogRecord("hub", logging.WARNING, "", 0, "refused %s", (text,), None)
    line = Printable("%(message)s").format(record)
    assert line.encode()
    assert "\x1b" not in line and "\x00" not in line
