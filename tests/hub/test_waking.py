"""The hub's WebSocket: who is woken, who is not, and who is known to be there."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from unittest.mock import Mock

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.exceptions import ConnectionClosed, InvalidState, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from medfl.channel import LARGEST, State
from medfl.enrolment import PROTOCOL, WAKE, WOKEN, certificate_digest, wake_statement
from medfl.errors import StoreError, VersionError
from medfl.hub import bell, waking
from medfl.hub.authority import certificate_at
from medfl.hub.bell import ring
from medfl.hub.door import Parting
from medfl.hub.place import HubPlace
from medfl.hub.presence import NAME, STALE, Presence
from medfl.hub.service import Service
from medfl.hub.told import Told
from medfl.hub.vpn import Wanted, open_network
from medfl.over_hub import require_understood
from medfl.site.enrolled import SiteHome
from medfl.testing.command import typed
from medfl.testing.hub import LOOPBACK, enrolled, made, served
from medfl.versions import here


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubPlace]:
    monkeypatch.setattr(waking, "EVERY", 0.05)
    with served(made(tmp_path / "hub")) as hub:
        yield hub


def opened(hub: HubPlace) -> ClientConnection:
    context = ssl.create_default_context(cafile=hub.authority_file)
    return connect(f"wss://{LOOPBACK}:{hub.about.port}{WAKE}", ssl=context, proxy=None)


def proof(hub: HubPlace, home: SiteHome, challenge: bytes, *, site: str = "a") -> str:
    """Return what a site shows for a challenge."""
    identity, authority = home.identity(), certificate_digest(certificate_at(hub.authority_file))
    signed = identity.sign(wake_statement(authority, site, challenge))
    said = {"site": site, "identity": identity.public.hex(), "proof": signed.hex()}
    return json.dumps({**said, "speaks": here().to_json()})


def challenge(line: ClientConnection) -> bytes:
    said = json.loads(line.recv(timeout=20))
    assert said["protocol"] == PROTOCOL
    return bytes.fromhex(said["challenge"])


@contextmanager
def let_in(hub: HubPlace, home: SiteHome, *, site: str = "a") -> Iterator[ClientConnection]:
    with opened(hub) as line:
        line.send(proof(hub, home, challenge(line), site=site))
        assert json.loads(line.recv(timeout=20)) == {"say": WOKEN}, "it looks once for what came before"
        yield line


def code(line: ClientConnection) -> int:
    """Return what the hub closes a WebSocket with."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            line.recv(timeout=20)
    assert closed.value.rcvd is not None
    return int(closed.value.rcvd.code)


def until(true: Callable[[], bool]) -> None:
    deadline, pause = time.monotonic() + 20, Event()
    while not true():
        assert time.monotonic() < deadline, "it never was"
        pause.wait(0.02)


def test_a_site_is_woken_when_the_bell_is_rung_for_it(hub: HubPlace, tmp_path: Path) -> None:
    homes = enrolled(hub, tmp_path, "a", "b")
    with let_in(hub, homes["a"]) as one, let_in(hub, homes["b"], site="b") as other:
        ring(hub.folder, "nobody")
        ring(hub.folder, "a")
        assert json.loads(one.recv(timeout=20)) == {"say": WOKEN}
        with pytest.raises(TimeoutError):
            other.recv(timeout=0.2)


def test_a_plain_upgrade_is_accepted_and_soon_closed(hub: HubPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "PATIENCE", 0.1)
    with opened(hub) as line:
        challenge(line)
        assert code(line) == waking.TOO_LATE
    assert "brought no proof" in hub.log.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "said",
    [
        "",
        "[]",
        "{}",
        b"\x00\xff",
        '{"site": "a", "identity": "zz", "proof": ""}',
        '{"site": 1}',
        "\ud7ff" * 100,
        "[" * 999,
    ],
)
def test_what_is_no_proof_is_refused(hub: HubPlace, said: str | bytes) -> None:
    with opened(hub) as line:
        challenge(line)
        line.send(said)
        assert code(line) == waking.UNREADABLE
    assert "a WebSocket" in hub.log.read_text(encoding="utf-8")


def test_a_hub_that_ends_does_not_stumble_over_who_is_leaving() -> None:
    """It would say so to everybody who is connected, and some have just been parted from."""
    leaving = Parting.__new__(Parting)
    leaving.ping_timer = leaving.pong_timer = None
    leaving.handshake_complete, leaving.queue = True, asyncio.Queue()
    leaving.conn, leaving.transport = Mock(), Mock()
    leaving.conn.send_close.side_effect = InvalidState("connection is closing")
    leaving.shutdown()
    leaving.transport.abort.assert_called_once_with()


def test_what_is_too_large_is_not_read(hub: HubPlace) -> None:
    with opened(hub) as line:
        challenge(line)
        line.send("x" * (LARGEST + 1))
        assert code(line) == 1009


def test_a_proof_is_good_once_and_for_its_site_and_hub(hub: HubPlace, tmp_path: Path) -> None:
    homes = enrolled(hub, tmp_path, "a", "b")
    other = made(tmp_path / "other")
    with opened(hub) as first, opened(hub) as second, opened(hub) as third, opened(hub) as fourth:
        replayed = proof(hub, homes["a"], challenge(first))
        challenge(second)
        second.send(replayed)
        assert code(second) == waking.UNREADABLE
        third.send(proof(other, homes["a"], challenge(third)))
        assert code(third) == waking.UNREADABLE
        # With its own key, under another's name.
        fourth.send(proof(hub, homes["b"], challenge(fourth), site="a"))
        assert code(fourth) == waking.NOT_ENROLLED


def test_a_stranger_and_a_revoked_site_are_refused_and_logged(hub: HubPlace, tmp_path: Path) -> None:
    homes = enrolled(hub, tmp_path, "a")
    key = Ed25519PrivateKey.generate()
    with opened(hub) as line:
        signed = wake_statement(certificate_digest(certificate_at(hub.authority_file)), "a", challenge(line))
        said = {"site": "a", "identity": key.public_key().public_bytes_raw().hex(), "proof": key.sign(signed).hex()}
        line.send(json.dumps(said))
        assert code(line) == waking.NOT_ENROLLED
    with let_in(hub, homes["a"]) as line:
        hub.register.revoke("a", hub.authority)
        assert code(line) == waking.NOT_ENROLLED, "also one that is connected"
    with opened(hub) as line:
        line.send(proof(hub, homes["a"], challenge(line)))
        assert code(line) == waking.NOT_ENROLLED
    said_of_it = hub.log.read_text(encoding="utf-8")
    assert "knows no site with this name and this key" in said_of_it
    assert "the site is not enrolled" in said_of_it


def test_whoever_is_refused_again_and_again_has_to_wait(hub: HubPlace) -> None:
    refused = 0
    with pytest.raises(InvalidStatus, match="403"):
        while refused < 100:
            with opened(hub) as line:
                challenge(line)
                line.send("{}")
                assert code(line) == waking.UNREADABLE
                refused += 1
    assert 10 < refused < 100


def test_a_second_connection_takes_the_place_of_the_first(hub: HubPlace, tmp_path: Path) -> None:
    homes = enrolled(hub, tmp_path, "a")
    with let_in(hub, homes["a"]) as first, let_in(hub, homes["a"]) as second:
        assert code(first) == waking.REPLACED
        ring(hub.folder, "a")
        assert json.loads(second.recv(timeout=20)) == {"say": WOKEN}


def test_the_hub_knows_who_is_there(hub: HubPlace, tmp_path: Path) -> None:
    homes = enrolled(hub, tmp_path, "a", "b")

    def told() -> dict[str, tuple[bool, str | None]]:
        found = typed("hub", "sites", "--json", "--home", hub.folder).json
        return {one["name"]: (one["connected"], one["seen"]) for one in found}

    assert told() == {"a": (False, None), "b": (False, None)}
    with let_in(hub, homes["a"]):
        until(lambda: Presence.at(hub.folder).connected == {"a"})
        assert told()["a"][0]
        shown = typed("hub", "sites", "--home", hub.folder).out
        assert "connected" in shown and "never" in shown
    until(lambda: not Presence.at(hub.folder).connected)
    there, seen = told()["a"]
    assert not there and str(seen).endswith("Z")
    assert str(seen) in typed("hub", "sites", "--home", hub.folder).out


def test_what_a_killed_hub_wrote_is_not_believed_for_long(tmp_path: Path) -> None:
    said = {"seen": {"a": time.time() - STALE - 1, "b": time.time()}, "connected": ["a", "b"]}
    (tmp_path / NAME).write_text(json.dumps(said))
    presence = Presence.at(tmp_path)
    assert not presence.of("a")["connected"]
    assert presence.of("b")["connected"]
    for damaged in ("", "[]", '{"seen": 3, "connected": []}', '{"seen": {"a": "x"}, "connected": []}'):
        (tmp_path / NAME).write_text(damaged)
        assert Presence.at(tmp_path).of("a") == {"connected": False, "seen": None}


def test_a_folder_that_can_hold_no_pipe_is_said_before_the_hub_listens(tmp_path: Path) -> None:
    hub = made(tmp_path / "hub")
    (hub.folder / bell.NAME).mkdir()
    with pytest.raises(StoreError, match="cannot hold a named pipe"):
        Service(hub, bind=LOOPBACK)


def test_nobody_hears_the_bell_of_a_hub_that_does_not_run(tmp_path: Path) -> None:
    ring(tmp_path, "a")
    os.mkfifo(tmp_path / bell.NAME)
    ring(tmp_path, "a")
    reader = os.open(tmp_path / bell.NAME, os.O_RDWR | os.O_NONBLOCK)
    try:
        # A hub that has stopped reading holds nobody up.
        for _ in range(1000):
            ring(tmp_path, "a" * 500)
        assert os.read(reader, 501) == b"a" * 500 + b"\n"
    finally:
        os.close(reader)


def test_what_a_site_tells_is_shown(hub: HubPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "TOGETHER", 0.01)
    homes = enrolled(hub, tmp_path, "a", "b")
    state = State("training", "r-1", "train", 3, rounds=10, since=1.0).to_json()
    entry = {"target": "sick", "rows": 60, "columns": [{"name": "age", "kind": "numeric"}], "other_columns": []}
    with let_in(hub, homes["a"]) as line:
        line.send(json.dumps({"tell": "state", "state": state}))
        line.send(json.dumps({"tell": "lines", "lines": [{"at": 1.0, "text": "train of run r-1: answered"}]}))
        line.send(json.dumps({"tell": "catalogue", "all": ["ward"]}))
        line.send(json.dumps({"tell": "catalogue", "dataset": "ward", "entry": entry}))
        until(lambda: "columns" in Told.at(hub.folder, "a").datasets.get("ward", {}))
        until(lambda: Presence.at(hub.folder).connected == {"a"})
        one, other = typed("hub", "sites", "--json", "--home", hub.folder).json
        assert (one["doing"], one["state"]["round"]) == ("training, round 3 of 10 of r-1", 3)
        assert (one["version"], other["version"], other["doing"]) == (here().medfl, "", "")
        assert "training, round 3 of 10 of r-1" in typed("hub", "sites", "--home", hub.folder).out
    until(lambda: not Presence.at(hub.folder).connected)
    assert typed("hub", "sites", "--json", "--home", hub.folder).json[0]["doing"] == "", "nobody knows any more"
    said = typed("hub", "log", "--home", hub.folder, "--site", "a")
    assert said.out == "1970-01-01 00:00:01  a  train of run r-1: answered\n"
    assert typed("hub", "log", "--home", hub.folder, "--site", "b", "--json").json == []
    assert typed("hub", "log", "--home", hub.folder, "--site", "c").code == 2
    told = typed("hub", "catalogue", "--home", hub.folder).out
    assert "a: ward  60 rows, target sick\n  age  numeric" in told
    assert "b tells of no data set: its policy does not say so, or it has not been heard yet." in told
    assert typed("hub", "catalogue", "b", "--home", hub.folder, "--json").json == {"b": None}


@pytest.mark.parametrize("said", ["{}", "[]", b"\x00", '{"tell": "state"}', '{"tell": "catalogue", "dataset": "x"}'])
def test_a_site_that_tells_what_cannot_be_read_is_parted_from(hub: HubPlace, tmp_path: Path, said: str | bytes) -> None:
    homes = enrolled(hub, tmp_path, "a")
    with let_in(hub, homes["a"]) as line:
        line.send(said)
        assert code(line) == waking.UNREADABLE
    assert "site a tells what cannot be read" in hub.log.read_text(encoding="utf-8")


def test_a_data_set_that_cannot_be_read_is_no_reason_to_part(
    hub: HubPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two classes that are alike in all letters that are read: the site would tell the same when it is back."""
    monkeypatch.setattr(waking, "TOGETHER", 0.01)
    homes = enrolled(hub, tmp_path, "a")
    alike = {"parts": {"L" * 130 + "0": 5, "L" * 130 + "1": 5}, "of": 10}
    entry = {"target": "sick", "columns": [], "other_columns": [], "balance": alike}
    with let_in(hub, homes["a"]) as line:
        line.send(json.dumps({"tell": "catalogue", "all": ["ward"]}))
        line.send(json.dumps({"tell": "catalogue", "dataset": "ward", "entry": entry}))
        line.send(json.dumps({"tell": "state", "state": State("paused").to_json()}))
        until(lambda: (told := Told.at(hub.folder, "a")).state is not None and told.state.doing == "paused")
    assert Told.at(hub.folder, "a").datasets == {"ward": {"withheld": "the hub cannot read what the site tells of it"}}
    assert "data set ward cannot be read" in hub.log.read_text(encoding="utf-8")


def test_so_is_one_that_tells_too_much(hub: HubPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "A_SECOND", 0.0)
    homes = enrolled(hub, tmp_path, "a")
    with let_in(hub, homes["a"]) as line:
        with suppress(ConnectionClosed):
            for _ in range(waking.MOST + 1):
                line.send('{"tell": "lines", "lines": []}')
        assert code(line) == waking.TOO_MUCH


def test_a_site_of_other_versions_is_refused_with_what_to_upgrade(hub: HubPlace, tmp_path: Path) -> None:
    homes = enrolled(hub, tmp_path, "a")
    newer = here().to_json() | {"medfl": "9.0", "wire": [7, 8]}
    with opened(hub) as line:
        line.send(json.dumps(json.loads(proof(hub, homes["a"], challenge(line))) | {"speaks": newer}))
        assert code(line) == waking.OTHER_VERSION
    assert "upgrade MEDfl at the hub, to 9.0" in hub.log.read_text(encoding="utf-8")
    until(lambda: Told.at(hub.folder, "a").trouble != "")
    shown = typed("hub", "sites", "--home", hub.folder)
    assert "no version in common of the format of requests and replies" in shown.err
    with pytest.raises(VersionError, match="site a: hub and site have no version in common"):
        require_understood(hub, ("a",))
    with let_in(hub, homes["a"]):
        until(lambda: Told.at(hub.folder, "a").trouble == "")
    require_understood(hub, ("a",))


def test_where_studies_go_by_a_vpn_nobody_is_woken_around_it(tmp_path: Path) -> None:
    there = made(tmp_path / "apart")
    open_network(there, Wanted(51820, subnet="10.99.0.0/24", endpoint="vpn.example.org", required=True))
    with served(there), pytest.raises(InvalidStatus, match="403"), opened(there):
        pass
    assert "through its VPN only" in there.log.read_text(encoding="utf-8")
