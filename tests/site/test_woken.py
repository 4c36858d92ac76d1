"""What wakes a site, and what it does while nobody can."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest

from medfl.errors import VersionError
from medfl.hub import waking
from medfl.hub.bell import ring
from medfl.hub.told import Told
from medfl.site import reaching, woken
from medfl.site.agent import Agent
from medfl.site.agent_worker import Hospital
from medfl.site.voice import Voice
from medfl.site.woken import Woken
from medfl.testing.hub import LOOPBACK, enrolled, made, served, updated
from medfl.versions import SPOKEN, Speaks


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(woken, "AGAIN", (0.02, 0.1))
    monkeypatch.setattr(woken, "APART", 0.01)
    monkeypatch.setattr(waking, "TOGETHER", 0.01)


def until(true: Callable[[], bool]) -> None:
    deadline, pause = time.monotonic() + 20, Event()
    while not true():
        assert time.monotonic() < deadline, "it never was"
        pause.wait(0.02)


def test_it_is_woken_at_once(tmp_path: Path) -> None:
    with served(made(tmp_path / "hub")) as hub:
        (home,) = enrolled(hub, tmp_path, "a").values()
        with Woken(home) as calls:
            assert calls.wait(20) and calls.up, "it looks for what came before it was connected"
            assert not calls.wait(0.05)
            ring(hub.folder, "a")
            assert calls.wait(20)


def test_it_comes_back_for_ever_and_says_once_that_it_polls(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hub = made(tmp_path / "hub")
    with served(hub):
        (home,) = enrolled(hub, tmp_path, "a").values()
    with caplog.at_level(logging.WARNING, logger="medfl.site"):
        with Woken(home) as calls:
            for _ in range(3):
                assert calls.wait(20), "each time it looks by itself"
            assert not calls.up
            with served(hub):
                until(lambda: calls.up)
            until(lambda: not calls.up)
        with served(hub), Woken(home) as calls:
            until(lambda: calls.up)
    said = [record.getMessage() for record in caplog.records]
    assert [("cannot wake" in one, "again" in one) for one in said] == [(True, False), (False, True), (True, False)]


def test_it_tells_its_hub_how_it_is_also_after_another_connection(tmp_path: Path) -> None:
    voice, paused, entries = Voice(lambda: paused[0]), [False], [{"catalogue": {"ward": {"withheld": "no"}}}]
    hub = made(tmp_path / "hub")

    def told() -> Told:
        return Told.at(hub.folder, "a")

    def state() -> str:
        found = told().state
        return "" if found is None else found.doing

    with served(hub):
        (home,) = enrolled(hub, tmp_path, "a").values()
        woken = Woken(home, voice, describe=lambda: entries.pop() if entries else None)
        with woken:
            until(lambda: state() == "idle")
            voice.say("the worker was lost")
            until(lambda: [line["text"] for line in told().lines] == ["the worker was lost"])
            until(lambda: told().datasets == {"ward": {"withheld": "no"}})
            paused[0] = True
            voice.changed.set()
            until(lambda: state() == "paused")
    (hub.folder / "told" / "a.json").unlink()
    with served(hub), Woken(home, voice):
        until(lambda: (state(), list(told().datasets)) == ("paused", ["ward"]))


def test_a_hub_of_other_versions_is_not_listened_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(made(tmp_path / "hub")) as hub:
        (home,) = enrolled(hub, tmp_path, "a").values()
        newer = Speaks("9.0", {**SPOKEN, "study": (4, 5)})
        monkeypatch.setattr(woken, "here", lambda: newer)
        with caplog.at_level(logging.WARNING, logger="medfl.site"), Woken(home) as calls:
            assert calls.wait(20) and not calls.up
            until(lambda: "upgrade MEDfl at the hub, to 9.0" in caplog.text)
        monkeypatch.setattr(reaching, "here", lambda: newer)
        with pytest.raises(VersionError, match="no version in common of the language of studies"):
            updated(home)
        with pytest.raises(VersionError):
            Agent(home, Hospital(home))


def test_a_hub_that_only_wakes_is_told_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = Speaks("2.9", {**SPOKEN, "channel": (1, 1)})
    monkeypatch.setattr(waking, "here", lambda: older)
    voice = Voice()
    with served(made(tmp_path / "hub")) as hub:
        (home,) = enrolled(hub, tmp_path, "a").values()
        with Woken(home, voice) as calls:
            until(lambda: calls.up)
            voice.say("something")
            ring(hub.folder, "a")
            assert calls.wait(20)
        assert Told.at(hub.folder, "a").lines == []


def test_a_revoked_site_is_not_woken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with served(made(tmp_path / "hub")) as hub:
        (home,) = enrolled(hub, tmp_path, "a").values()
        hub.register.revoke("a", hub.authority)
        with caplog.at_level(logging.WARNING, logger="medfl.site"), Woken(home) as calls:
            assert calls.wait(20) and not calls.up
            until(lambda: "4403" in caplog.text)


def test_somebody_elses_hub_is_shown_no_proof(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mine, other = made(tmp_path / "hub"), made(tmp_path / "other")
    with served(mine):
        (home,) = enrolled(mine, tmp_path, "a").values()
    known = home.enrolled()
    with served(other):
        home.keep(replace(known, port=other.about.port))
        with caplog.at_level(logging.WARNING, logger="medfl.site"), Woken(home) as calls:
            assert calls.wait(20) and not calls.up
            until(lambda: "certificate" in caplog.text.lower())
    said = other.log.read_text(encoding="utf-8").splitlines() if other.log.exists() else []
    assert all("no TLS as the hub speaks it" in line for line in said), "nothing came that could be refused"


def test_it_goes_through_the_proxy_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(made(tmp_path / "hub")) as hub, proxy() as (port, asked):
        (home,) = enrolled(hub, tmp_path, "a").values()
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", f"{LOOPBACK}:{port}")
        with Woken(home) as calls:
            assert calls.wait(20) and calls.up
            ring(hub.folder, "a")
            assert calls.wait(20)
    assert asked[0].startswith(f"CONNECT {LOOPBACK}:{hub.about.port} HTTP/1.1")


@contextmanager
def proxy() -> Iterator[tuple[int, list[str]]]:
    """Pass connections on, as a hospital's proxy does, and note what was asked for."""
    asked: list[str] = []
    with socket.create_server((LOOPBACK, 0)) as listening:

        def serve() -> None:
            line, _ = listening.accept()
            head = b""
            while b"\r\n\r\n" not in head:
                head += line.recv(4096)
            asked.append(head.decode())
            host, _, port = head.split()[1].decode().rpartition(":")
            far = socket.create_connection((host, int(port)))
            line.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = Thread(target=_copied, args=(far, line))
            back.start()
            _copied(line, far)
            back.join()
            line.close()
            far.close()

        thread = Thread(target=serve)
        thread.start()
        yield int(listening.getsockname()[1]), asked
        thread.join(20)


def _copied(source: socket.socket, target: socket.socket) -> None:
    try:
        while body := source.recv(4096):
            target.sendall(body)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return
