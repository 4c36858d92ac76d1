"""Somebody attacks a hub's one port over the network: without keys, with somebody else's, or with a site's own.

What was tried: no TLS and an old one, paths that lead elsewhere, requests within requests, heads and bodies without an
end, calls of Flower's that no site makes, calls with no key, a revoked one, another's, and calls that were recorded.
What came of it: each is refused before anything of it reaches Flower, there is a line in the hub's log that says who it
was and why and holds no secret, and the next honest call is answered.
"""

from __future__ import annotations

import datetime
import http.client
import importlib
import json
import pkgutil
import re
import shutil
import socket
import ssl
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import flwr.proto
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from flwr.supercore.routers.health.router import router as health
from flwr.supercore.routers.runtime.responses import router as responses
from flwr.supercore.routers.runtime.router import create_runtime_router
from flwr.superlink.routers.control.router import router as control
from flwr.superlink.routers.fleet.router import router as fleet
from google.protobuf.descriptor import ServiceDescriptor
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from medfl.enrolment import (
    APPLY,
    AUTHORITY,
    SITES,
    STATUS,
    WAKE,
    WOKEN,
    certificate_digest,
    json_of,
    status_statement,
    wake_statement,
)
from medfl.errors import EnrolmentError, RefusedError
from medfl.hub import door, waking, web
from medfl.hub.authority import certificate_at
from medfl.hub.fleet import CALLS
from medfl.hub.noting import ALIKE
from medfl.hub.pace import MOST, Pace
from medfl.hub.place import About, HubPlace
from medfl.hub.proofs import HELD, KEY, MOMENT, SIGNATURE, Proofs
from medfl.hub.service import Service
from medfl.run.flower.frames import COLLECT, SEND, SITE
from medfl.site.enrolled import SiteHome
from medfl.site.reaching import Hub
from medfl.testing.command import typed
from medfl.testing.hub import LOOPBACK, application, bought, enrolled, free_port, invited, made, proof, served
from medfl.testing.upstream import Line, heard, lined, raw, trusting

PULL = "/v1/fleet/pull-messages"
HOST = b"Host: hub\r\n"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("line")
    with lined(made(folder / "hub"), folder) as line:
        yield line


@pytest.fixture
def hub(line: Line) -> Iterator[HubPlace]:
    """A hub in front of a SuperLink that must hear nothing, and that answers honest calls afterwards."""
    before = len(line.upstream.seen)
    with line.hub.log.open(encoding="utf-8") as log:
        log.seek(0, 2)
        yield line.hub
        assert "Traceback" not in log.read()
    assert len(line.upstream.seen) == before
    assert line.post(PULL)[0] == 207


def logged(hub: HubPlace, what: str) -> str:
    """Return the line of the log that says so, which says when and who; it may come right after what it is about."""
    deadline, pause, lines = time.monotonic() + 20, Event(), list[str]()
    while not lines:
        assert time.monotonic() < deadline, f"nobody wrote down: {what}"
        lines = [one for one in hub.log.read_text(encoding="utf-8").splitlines() if what in one]
        pause.wait(0.0 if lines else 0.05)
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ (WARNING|INFO) ", lines[-1])
    return lines[-1]


def status(answer: bytes) -> int:
    """Return the status of an answer; 0 where there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


# -- who does not speak as the hub does


def test_plain_http_is_refused_and_logged(hub: HubPlace) -> None:
    with socket.create_connection((LOOPBACK, hub.about.port), timeout=20) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert heard(plain) == b""
    assert f"refused {LOOPBACK}: no TLS as the hub speaks it (HTTP_REQUEST)" in logged(hub, "HTTP_REQUEST")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_an_old_tls_is_refused_and_logged(hub: HubPlace) -> None:
    old = trusting(hub)
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(OSError):
        raw(hub, b"GET / HTTP/1.1\r\n\r\n", context=old)
    logged(hub, "no TLS as the hub speaks it")


@pytest.mark.parametrize("ciphers", ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-SHA", "AECDH-AES128-SHA"])
def test_ciphers_that_can_be_opened_later_are_refused(hub: HubPlace, ciphers: str) -> None:
    weak = trusting(hub)
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    with pytest.raises(OSError):
        raw(hub, b"GET / HTTP/1.1\r\n\r\n", context=weak)
    logged(hub, "NO_SHARED_CIPHER")


def test_a_certificate_that_has_expired_is_not_believed(tmp_path: Path) -> None:
    """By a site that recognised the hub before: it says what its clock says, and nothing was sent."""
    hub = HubPlace(tmp_path / "hub")
    hub.make(About("Test hub", LOOPBACK, free_port()))
    with served(hub):
        (home,) = enrolled(hub, tmp_path, "a").values()
    old = bought(tmp_path, host="localhost", days=-1)
    hub.certificate.write_bytes(old.certificate.read_bytes())
    hub.key.write_bytes(old.key.read_bytes())
    about = json.loads((hub.folder / "hub.json").read_bytes())
    (hub.folder / "hub.json").write_text(json.dumps(about | {"own": False}))
    again = HubPlace(hub.folder)
    known = home.enrolment()
    assert known is not None
    trusting_it = Hub("localhost", hub.about.port, "x", known.anchor, old.certificate.read_text())
    with served(again), pytest.raises(EnrolmentError, match="does not hold at this machine's time"):
        trusting_it.ask(STATUS, {})
    assert "no TLS as the hub speaks it" in logged(again, "ALERT")


def test_another_name_in_the_head_changes_nothing(hub: HubPlace) -> None:
    """There is one hub behind the port, whatever authority somebody asks for."""
    said = raw(hub, b"GET " + AUTHORITY.encode() + b" HTTP/1.1\r\nHost: evil.example.org\r\n\r\n")
    assert status(said) == 200
    assert b"evil" not in said
    absolute = raw(hub, b"GET https://evil.example.org/v1/control/start-run HTTP/1.1\r\n" + HOST + b"\r\n")
    assert status(absolute) == 404
    assert status(raw(hub, b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n" + HOST + b"\r\n")) in (400, 404, 405)


# -- requests that are none, or two


POST = b"POST " + PULL.encode() + b" HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"\x16\x03\x01" * 50,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /v1/authority HTTP/9.9\r\n\r\n",
        b"GET /v1/authority HTTP/1.1\nHost: hub\n\tfolded: x\n\n",
        b"GET /v1/\xff HTTP/1.1\r\n" + HOST + b"\r\n",
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 3\r\nContent-Length: 30\r\n\r\nabc",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 0x10\r\n\r\n",
        CHUNKED + b"fffffffffffffffff\r\n",
        CHUNKED + b"-1\r\nx",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_logged(hub: HubPlace, body: bytes) -> None:
    assert status(raw(hub, body)) in (400, 0)
    assert logged(hub, "refused").count(LOOPBACK) == 1


def test_a_request_that_hides_behind_another_is_its_own(line: Line, hub: HubPlace) -> None:
    """What follows in the same connection, or in a body, is judged like any other request: there is no way past."""
    second = b"POST /v1/control/start-run HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n"
    raw(hub, POST + b"Content-Length: 0\r\n\r\n" + second)
    raw(hub, POST + b"Content-Length: %d\r\n\r\n" % len(second) + second)
    raw(hub, CHUNKED + b"0\r\n\r\n" + second)
    assert not [one for one in line.upstream.seen if "control" in one.url.path]


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "TLS/1.0"])
def test_an_upgrade_to_something_else_leads_nowhere(hub: HubPlace, upgrade: str) -> None:
    heads = f"GET /v1/control/start-run HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\n\r\n"
    assert status(raw(hub, heads.encode())) not in (101, 200)


# -- what does not end


@pytest.mark.parametrize(
    "body",
    [
        b"GET /" + b"a" * 400_000,
        b"GET / HTTP/1.1\r\nX: " + b"a" * 400_000,
        b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % number for number in range(40_000)),
        b"POST /v1/enrolment HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * 400_000,
        b"POST /v1/enrolment HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nTrailer: " + b"a" * 400_000,
    ],
)
def test_a_head_or_a_frame_without_an_end_is_cut_off_in_little_memory(hub: HubPlace, body: bytes) -> None:
    assert status(raw(hub, body)) in (400, 0)
    logged(hub, "what stands around the words is too much")


def test_trailers_are_not_heads(line: Line) -> None:
    """A key that comes after the body, when nobody looks any more, is no key."""
    late = "".join(f"{name}: {value}\r\n" for name, value in proof(line.home.node()).items())
    before = len(line.upstream.seen)
    assert status(raw(line.hub, CHUNKED + b"0\r\n" + late.encode() + b"\r\n")) == 403
    assert len(line.upstream.seen) == before


def test_a_large_body_is_cut_off(hub: HubPlace) -> None:
    said = raw(hub, b"POST /v1/enrolment HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 200_000)
    assert status(said) in (400, 0)
    assert "too large" in logged(hub, "what was sent is too large")


def test_who_takes_for_ever_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "HEAD", 1.0)
    monkeypatch.setattr(door, "HANDSHAKE", 2.0)
    monkeypatch.setattr(web, "PATIENCE", 0.3)
    with served(made(tmp_path / "hub")) as hub:
        assert raw(hub, b"") == b""
        assert raw(hub, b"GET /v1/auth") == b""
        assert status(raw(hub, b"POST /v1/enrolment HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc")) == 400
        with socket.create_connection((LOOPBACK, hub.about.port), timeout=20) as silent:
            assert heard(silent) == b""
        logged(hub, "no request came within")
        logged(hub, "did not come to its end")
        assert "no TLS" in logged(hub, "no TLS as the hub speaks it")


def test_one_address_does_not_take_all_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "EACH", 3)
    with served(made(tmp_path / "hub")) as hub:
        open_ones = [socket.create_connection((LOOPBACK, hub.about.port), timeout=20) for _ in range(3)]
        try:
            with socket.create_connection((LOOPBACK, hub.about.port), timeout=20) as one_more:
                assert heard(one_more) == b""
            assert f"refused {LOOPBACK} a connection: it has 3 already" in logged(hub, "a connection")
        finally:
            for one in open_ones:
                one.close()
        assert status(raw(hub, b"GET " + AUTHORITY.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n")) == 200


# -- what no site calls


def every_call_of_flower() -> set[str]:
    """Return the address of every call that this Flower serves over HTTP, and of every service over gRPC."""
    app = FastAPI()
    for router in (control, fleet, health, create_runtime_router("SuperLink"), responses):
        app.include_router(router)
    found = set(app.openapi()["paths"])
    for module in pkgutil.iter_modules(flwr.proto.__path__):
        if module.name.endswith("_pb2"):
            read = importlib.import_module(f"flwr.proto.{module.name}")
            services: dict[str, ServiceDescriptor] = read.DESCRIPTOR.services_by_name
            found |= {f"/{one.full_name}/{method.name}" for one in services.values() for method in one.methods}
    return found


def test_of_all_calls_of_flower_only_those_of_a_site_pass(line: Line) -> None:
    """By an enrolled site: Control starts runs, Runtime carries them out; nobody outside reaches either."""
    calls = every_call_of_flower()
    allowed = {f"/v1/fleet/{call}" for call in CALLS}
    assert allowed - {SITE} < calls, "Flower has renamed something"
    calls |= {SITE, SEND, COLLECT}
    assert {"/v1/control/start-run", "/v1/runtime/acquire-task", "/flwr.proto.Fleet/PullMessages"} <= calls
    before = len(line.upstream.seen)
    passed = {call for call in sorted(calls) if line.post(call)[0] != 404}
    assert passed == allowed
    assert len(line.upstream.seen) == before + len(allowed)
    assert LOOPBACK in logged(line.hub, "/v1/control/start-run")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/fleet/%2e%2e/control/start-run",
        "/v1/fleet/%2e%2e%2fcontrol%2fstart-run",
        "/v1/fleet/pull-messages%2f..%2f..%2fcontrol%2fstart-run",
        "/v1/fleet/pull-messages%00",
        "/v1/fleet/pull-messages/",
        "/v1/fleet/pull-messages;/control",
        "/v1/fleet/PULL-MESSAGES",
        "/v1//fleet/pull-messages",
        "//v1/fleet/pull-messages",
        "/./v1/fleet/pull-messages",
        "/v1/fleet/pull%2dmessages/../get-fab",
        "/v1\\fleet\\pull-messages",
        "/%76%31/control/start-run",
        "/v1/control/start-run?/v1/fleet/pull-messages",
    ],
)
def test_paths_that_lead_elsewhere_lead_nowhere(hub: HubPlace, line: Line, path: str) -> None:
    assert line.post(path)[0] in (400, 404)
    logged(hub, "nothing here" if "\\" not in path else "refused")


def test_other_verbs_lead_nowhere(hub: HubPlace) -> None:
    for verb in (b"GET", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH"):
        assert status(raw(hub, verb + b" " + PULL.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n")) == 405


# -- calls of Flower's, by others


def test_who_is_not_enrolled_is_refused_and_logged(hub: HubPlace, line: Line) -> None:
    stranger = ec.generate_private_key(ec.SECP384R1())
    assert line.post(PULL, heads=proof(stranger))[0] == 403
    assert line.post(PULL, heads={})[0] == 403
    said = logged(hub, "belongs to no enrolled site")
    assert f"refused {LOOPBACK} {PULL}" in said


def test_a_key_that_somebody_only_shows_is_refused_and_logged(hub: HubPlace, line: Line) -> None:
    """A node's public key is no secret; its signature of the moment is what counts."""
    stranger = ec.generate_private_key(ec.SECP384R1())
    right, other = proof(line.home.node()), proof(stranger)
    for forged in (
        right | {SIGNATURE: other[SIGNATURE]},
        right | {SIGNATURE: ""},
        right | {MOMENT: other[MOMENT]},
        {KEY: right[KEY]},
    ):
        code, said, _ = line.post(PULL, heads=forged)
        assert code == 403
        assert b"does not have the key of the site's node" in said
    assert "site a: whoever calls" in logged(hub, "does not have the key of the site's node")


def test_a_call_that_was_recorded_is_good_once(line: Line, tmp_path: Path) -> None:
    """Flower itself would take the same head again for five minutes, with another body."""
    recorded = proof(line.home.node())
    assert line.post(PULL, heads=recorded)[0] == 207
    before = len(line.upstream.seen)
    for body in (b"", b"another body"):
        code, said, _ = line.post("/v1/fleet/push-messages", body, heads=recorded)
        assert code == 403
        assert b"was made before" in said
    assert len(line.upstream.seen) == before
    assert "site a: this call was made before" in logged(line.hub, "was made before")


def test_a_moment_is_remembered_for_as_long_as_flower_takes_it() -> None:
    now, key = 0.0, ec.generate_private_key(ec.SECP384R1())
    proofs = Proofs(clock=lambda: now)
    head = proof(key)
    sites = {b64decode(head[KEY]): "a"}
    assert proofs.require(head, sites) == "a"
    now = HELD - 1
    with pytest.raises(RefusedError, match="was made before"):
        proofs.require(head, sites)
    now = HELD + 1
    proofs.require(proof(key), sites)
    assert len(proofs._used) == 1
    late = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=HELD + 60)).isoformat()
    for _ in range(2):
        # What is too old for Flower is Flower's to refuse: its answer tells the site the right time.
        assert proofs.require(proof(key, late), sites) == "a"
    assert len(proofs._used) == 1


def test_a_revoked_site_is_refused_everywhere(tmp_path: Path) -> None:
    hub = made(tmp_path / "hub")
    with lined(hub, tmp_path) as line:
        hub.register.revoke("a", hub.authority)
        assert line.post(PULL)[0] == 403
        assert line.upstream.seen == []
        logged(hub, "belongs to no enrolled site")


# -- guessing


def test_guessing_an_invitation_is_slowed_down_and_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 128 bits, twenty guesses a minute are none; and the refusals of one address do not fill the log."""
    monkeypatch.setattr(web, "Pace", lambda: Pace(every=1000.0))
    with served(made(tmp_path / "hub")) as hub:
        invitation = invited(hub, "a")
        right = application(invitation).to_json()
        codes = [_asked(hub, APPLY, right | {"secret": f"{number:032x}"}) for number in range(30)]
        assert codes == [403] * MOST + [429] * (30 - MOST)
        assert _asked(hub, SITES, None) == 429, "it is the same patience for everything"
        for _ in range(60):
            _asked(hub, APPLY, right | {"secret": "00" * 16})
        text = hub.log.read_text(encoding="utf-8")
    assert "does not know this invitation" in text and "too many refusals" in text
    lines = [one for one in text.splitlines() if "too many refusals" in one]
    assert len(lines) <= ALIKE, lines[:3] + lines[-3:]
    assert "again and again" in text
    assert invitation.secret.hex() not in text and right["secret"] not in text


def test_a_token_of_an_administrator_is_not_guessed(tmp_path: Path) -> None:
    hub = HubPlace(tmp_path / "hub")
    token = hub.make(About("Test hub", LOOPBACK, free_port()))
    with served(hub):
        assert _asked(hub, SITES, None, token=token) == 200
        for wrong in ("", token[:-1], token + "x", token.swapcase(), "é" * 9):
            assert _asked(hub, SITES, None, token=wrong) == 403
    text = hub.log.read_text(encoding="utf-8")
    assert "this is for administrators" in text
    assert token not in text and token[:-1] not in text


# -- somebody else's name, or home


def test_a_copied_home_is_noticed(tmp_path: Path) -> None:
    """Two agents with the same keys cannot be told apart; that there are two is in the log."""
    with served(made(tmp_path / "hub")) as hub:
        (home,) = enrolled(hub, tmp_path, "a").values()
        shutil.copytree(home.folder, tmp_path / "copy")
        with _opened(hub) as first, _opened(hub) as second:
            _let_in(hub, home, first)
            _let_in(hub, SiteHome(tmp_path / "copy"), second)
            with pytest.raises(ConnectionClosed) as closed:
                first.recv(timeout=20)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == waking.REPLACED
        said = logged(hub, "its folder was copied")
        assert "as site a" in said and LOOPBACK in said


def test_a_hub_that_others_can_read_does_not_start(tmp_path: Path) -> None:
    hub = made(tmp_path / "hub")
    hub.folder.chmod(0o750)
    said = typed("hub", "start", "--home", hub.folder)
    assert said.code == 2
    assert "a secret can be read by others" in said.err
    hub.folder.chmod(0o700)
    hub.key.chmod(0o640)
    with pytest.raises(EnrolmentError, match="can be read by others"):
        Service(HubPlace(hub.folder), bind=LOOPBACK)


def test_who_asks_how_another_site_stands_is_refused_and_logged(tmp_path: Path) -> None:
    with served(made(tmp_path / "hub")) as hub:
        homes = enrolled(hub, tmp_path, "a", "b")
        authority = certificate_digest(certificate_at(hub.authority_file))
        mine = homes["b"].identity()
        words = {"protocol": 1, "site": "a", "identity": mine.public.hex()}
        words |= {"proof": mine.sign(status_statement(authority, "a")).hex()}
        assert _asked(hub, STATUS, words) == 403
        assert "knows no site with this name and this key" in logged(hub, "this name and this key")


def _opened(hub: HubPlace) -> ClientConnection:
    return connect(f"wss://{LOOPBACK}:{hub.about.port}{WAKE}", ssl=trusting(hub), proxy=None)


def _let_in(hub: HubPlace, home: SiteHome, line: ClientConnection) -> None:
    """Prove over a WebSocket to be site a."""
    identity, challenge = home.identity(), bytes.fromhex(json.loads(line.recv(timeout=20))["challenge"])
    signed = identity.sign(wake_statement(certificate_digest(certificate_at(hub.authority_file)), "a", challenge))
    line.send(json.dumps({"site": "a", "identity": identity.public.hex(), "proof": signed.hex()}))
    assert json.loads(line.recv(timeout=20)) == {"say": WOKEN}


def _asked(hub: HubPlace, path: str, words: Any, *, token: str = "") -> int:
    line = http.client.HTTPSConnection(LOOPBACK, hub.about.port, context=trusting(hub), timeout=20)
    heads = {"Authorization": f"Bearer {token}".encode("latin-1")}
    try:
        line.request("GET" if words is None else "POST", path, None if words is None else json.dumps(words), heads)
        answer = line.getresponse()
        assert json_of(answer.read())
        return answer.status
    finally:
        line.close()
