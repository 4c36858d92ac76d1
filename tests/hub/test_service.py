"""The hub as a process and on the network: what it answers, what it refuses, how it ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medfl.announced import listening as opened
from medfl.enrolment import APPLY, AUTHORITY, PROTOCOL, SITES, STATUS, WAKE
from medfl.errors import EngineError
from medfl.hub.door import strict
from medfl.hub.pace import Pace
from medfl.hub.place import About, HubPlace
from medfl.hub.service import Service
from medfl.testing.command import MEDFL, typed
from medfl.testing.hub import LOOPBACK, free_port, invited, made, served


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubPlace]:
    with served(made(tmp_path / "hub")) as hub:
        yield hub


def ask(
    hub: HubPlace, method: str, path: str, body: bytes | None = None, *, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Ask as anybody could who trusts the hub's authority; return the code and what was said."""
    context = ssl.create_default_context(cafile=str(hub.authority_file))
    line = http.client.HTTPSConnection(LOOPBACK, hub.about.port, context=context, timeout=20)
    try:
        line.request(method, path, body=body, headers=headers or {})
        response = line.getresponse()
        return response.status, json.loads(response.read())
    finally:
        line.close()


def test_no_answer_waits_for_the_other_ends_acknowledgement() -> None:
    """Connections have what their socket has; with Nagle's algorithm on, each answer took 40 ms more."""
    listening = opened(LOOPBACK, 0, who="the hub")
    with listening, socket.create_connection(listening.getsockname()) as calling:
        taken, _ = listening.accept()
        with taken:
            assert calling.getpeername() == listening.getsockname()
            assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_it_says_who_it_is(hub: HubPlace) -> None:
    code, said = ask(hub, "GET", AUTHORITY)
    assert code == 200
    assert said["hub"] == "Test hub"
    assert said["authority"] == hub.authority_file.read_text()
    assert "PRIVATE" not in json.dumps(said)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/docs"),
        ("GET", "/v1/fleet/pull-messages"),
        ("POST", "/v1/control/start-run"),
        ("GET", "/../authority/authority.pem"),
        ("GET", APPLY),
        ("DELETE", AUTHORITY),
    ],
)
def test_there_is_nothing_else(hub: HubPlace, method: str, path: str) -> None:
    code, said = ask(hub, method, path)
    assert code in (404, 405)
    assert said["error"]["complaints"][0]["what"] == "there is nothing here"
    assert f"{method} {path}" in hub.log.read_text(encoding="utf-8")


def test_where_sites_are_woken_a_plain_request_is_told_so(hub: HubPlace) -> None:
    code, said = ask(hub, "GET", WAKE)
    assert (code, said["protocol"]) == (426, PROTOCOL)
    assert "over a WebSocket" in said["error"]["complaints"][0]["what"]


def test_the_list_of_sites_is_for_administrators(tmp_path: Path) -> None:
    hub = HubPlace(tmp_path / "hub")
    token = hub.make(About("Study", LOOPBACK, free_port()))
    invited(hub, "a")
    with served(hub):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": token}):
            code, said = ask(hub, "GET", SITES, headers=headers)
            assert code == 403
            assert "sites" not in said
        code, said = ask(hub, "GET", SITES, headers={"Authorization": f"Bearer {token}"})
    assert code == 200
    assert [site["name"] for site in said["sites"]] == ["a"]


@pytest.mark.parametrize("path", [APPLY, STATUS])
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"protocol": 1}', b'{"protocol": 1, "site": 3}', b"\xff", b"[" * 9000]
)
def test_what_is_no_message_is_refused(hub: HubPlace, path: str, body: bytes) -> None:
    code, said = ask(hub, "POST", path, body)
    assert code in (400, 403)
    assert said["error"]["code"] in ("wire", "refused")


def test_a_message_that_is_too_large_is_refused(hub: HubPlace) -> None:
    code, said = ask(hub, "POST", APPLY, b"x" * 100_000)
    assert code == 400
    assert "too large" in said["error"]["complaints"][0]["what"]


def test_another_version_is_told_what_to_upgrade(hub: HubPlace) -> None:
    _, said = ask(hub, "POST", APPLY, b'{"protocol": 99}')
    assert "version 99 at the site" in said["error"]["complaints"][0]["received"]


def test_who_is_refused_again_and_again_has_to_wait(hub: HubPlace) -> None:
    codes = [ask(hub, "POST", APPLY, b"{}")[0] for _ in range(30)]
    assert codes[:20] == [403] * 20
    assert codes[-1] == 429
    code, said = ask(hub, "GET", AUTHORITY)
    assert code == 429
    assert "wait for" in said["error"]["complaints"][0]["remedy"]


def test_refusals_are_forgotten_one_by_one() -> None:
    now = [0.0]
    pace = Pace(most=2, every=10.0, clock=lambda: now[0])
    pace.refused("a")
    assert pace.wait("a") == 0
    pace.refused("a")
    assert pace.wait("a") == 10
    assert pace.wait("b") == 0
    now[0] = 10.0
    assert pace.wait("a") == 0
    pace.refused("a")
    assert pace.wait("a") == 10
    now[0] = 100.0
    pace.refused("a")
    assert pace.wait("a") == 0


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:DB8:1:2::1", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("::ffff:198.51.100.4", "198.51.100.4", True),
        ("::ffff:198.51.100.4", "::ffff:198.51.100.5", False),
        ("198.51.100.4", "198.51.100.5", False),
        ("?", "", False),
    ],
)
def test_whoever_has_a_whole_network_is_slowed_down_as_one(first: str, second: str, *, same: bool) -> None:
    pace = Pace(most=1, every=10.0, clock=lambda: 0.0)
    pace.refused(first)
    assert pace.wait(first) == 10
    assert pace.wait(second) == (10 if same else 0)


def test_a_damaged_register_is_the_hubs_own_affair(hub: HubPlace) -> None:
    invitation = invited(hub, "a")
    (hub.folder / "sites.db").write_bytes(b"no database" * 100)
    words = {"protocol": 1, "site": "a", "secret": invitation.secret.hex(), "request": "", "identity": "", "proof": ""}
    code, said = ask(hub, "POST", APPLY, json.dumps(words).encode())
    assert code == 503
    assert str(hub.folder) not in json.dumps(said)
    assert "sites.db" in hub.log.read_text(encoding="utf-8")


def test_without_tls_nothing_is_said(hub: HubPlace) -> None:
    with socket.create_connection((LOOPBACK, hub.about.port), timeout=20) as line:
        line.sendall(f"GET {AUTHORITY} HTTP/1.1\r\nHost: {LOOPBACK}\r\n\r\n".encode())
        assert b"hub" not in line.recv(4096)


def test_a_second_process_does_not_serve_the_same_hub(hub: HubPlace) -> None:
    said = typed("hub", "start", "--home", hub.folder)
    assert said.code == 2
    assert "this hub runs already" in said.err
    assert not (hub.superlink / "state.db").exists(), "nothing of it was started"


def test_a_port_that_is_taken_is_a_sentence(hub: HubPlace) -> None:
    with pytest.raises(EngineError, match="cannot listen here"):
        Service(hub, bind=LOOPBACK)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order(tmp_path: Path, sent: signal.Signals) -> None:
    hub = made(tmp_path / "hub")
    command = [*MEDFL, "hub", "start", "--bind", LOOPBACK, "--home", str(hub.folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    try:
        with process:
            assert process.stdout is not None
            assert f"listens on port {hub.about.port}" in process.stdout.readline()
            assert ask(hub, "GET", AUTHORITY)[0] == 200
            process.send_signal(sent)
            _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == (0 if sent == signal.SIGTERM else 130)
    assert "Traceback" not in said


def test_nothing_follows_the_handshake_of_its_own_accord() -> None:
    assert strict(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)).num_tickets == 0
