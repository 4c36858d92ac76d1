"""The engine over a real SuperLink: the contract, with TLS, node authentication and sites that are killed."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import cast

import httpx
import pytest

from medfl.errors import Complaint, EngineError
from medfl.messages import Refusal, Reply, Request, from_bytes, to_bytes
from medfl.run.engine import Engine
from medfl.run.flower.coordinator import register
from medfl.run.flower.engine import SLOW, FlowerEngine, LineEngine, _Asked
from medfl.run.flower.rehearsal import Rehearsal, certificates, public_key
from medfl.run.flower.superlink import HOST, SuperLink, free_port
from medfl.testing.engine_contract import RemoteEngineContract, asked
from medfl.testing.federation import NAMES
from medfl.testing.probe import probe

PROBE = (sys.executable, "-c", """
import json, sys
from medfl.messages import read_frame
from medfl.run.flower.orphans import end_with
from medfl.run.flower.rehearsal import serve_as_told
from medfl.testing.probe import probe

words = json.loads(read_frame(sys.stdin.buffer))
end_with(sys.stdin.buffer)
serve_as_told(words, probe)
""")  # fmt: skip


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    with Rehearsal(tmp_path_factory.mktemp("flower"), NAMES, command=PROBE) as engine:
        yield engine


class TestFlowerEngine(RemoteEngineContract):
    @pytest.fixture(autouse=True)
    def open(self, rehearsal: Rehearsal) -> None:
        self.opened = rehearsal

    def engine(self) -> Engine:
        return self.opened


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SuperLink, dict[str, int]]]:
    """Return a SuperLink that knows three sites, none of which is there."""
    folder = tmp_path_factory.mktemp("alone")
    with SuperLink(folder / "superlink", certificates(folder)) as link:
        link.wait()
        nodes = register(link, {name: public_key(folder / f"{name}.pem") for name in NAMES})
        assert register(link, {name: public_key(folder / f"{name}.pem") for name in NAMES}) == nodes
        yield link, nodes


def test_a_site_that_is_not_there_is_named_at_once(alone: tuple[SuperLink, dict[str, int]]) -> None:
    engine = FlowerEngine(*alone)
    answers = list(engine.exchange(asked()))
    engine.leave()
    assert sorted(answer.site for answer in answers) == list(NAMES)
    assert all(isinstance(answer, Refusal) and "could not be reached" in answer.reason for answer in answers)


def test_who_does_not_come_is_named_with_what_it_said_last(alone: tuple[SuperLink, dict[str, int]]) -> None:
    engine = FlowerEngine(*alone)
    with pytest.raises(EngineError, match="east, which says: no memory") as told:
        engine.wait(0.0, logs=lambda site: "no memory")
    engine.leave()
    assert "not all sites came within 0 s" in str(told.value)


def test_no_process_is_left_when_the_hub_is_killed(tmp_path: Path) -> None:
    hub = """
import sys
from pathlib import Path
from medfl.run.flower.rehearsal import Rehearsal

engine = Rehearsal(Path(sys.argv[1]), ["east", "west"], command=sys.argv[2:])
print(engine.link.pid, *(agent.pid for agent in engine.agents.values()), flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        (sys.executable, "-c", hub, str(tmp_path), *PROBE), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        ends = [os.pidfd_open(int(pid)) for pid in process.stdout.readline().split()]
        assert len(ends) == 3
        process.kill()
    for end in ends:
        assert select.select([end], [], [], 30)[0], "it ended"
        os.close(end)


def test_its_secrets_are_its_owners_alone(alone: tuple[SuperLink, dict[str, int]]) -> None:
    link, _ = alone
    for path in (link.folder, link.folder / "secret", link.certificates.key):
        assert path.stat().st_mode & 0o077 == 0, path


@dataclass
class Breaking:
    """A channel over which the first answers break off."""

    breaks: int
    pushed: list[bytes] = field(default_factory=list)

    def push(self, letters: Sequence[tuple[bytes, int]]) -> list[str]:
        self.pushed += [body for body, _ in letters]
        return [str(len(self.pushed)) for _ in letters]

    def close(self) -> None:
        pass

    def pull(self, ids: Iterable[str], *, patience: float) -> list[tuple[str, bytes | None]]:
        request = from_bytes(self.pushed[-1])
        assert isinstance(request, Request)
        whole = len(self.pushed) > self.breaks
        return [(name, to_bytes(probe(request)) if whole else b"") for name in ids]


@pytest.mark.parametrize(("breaks", "pushed", "kind"), [(1, 2, Reply), (9, 3, Refusal)])
def test_an_answer_that_breaks_off_is_asked_for_again(breaks: int, pushed: int, kind: type) -> None:
    channel = Breaking(breaks)
    engine = LineEngine(lambda: channel, {"east": 1}, where="nowhere")
    (answer,) = engine.exchange(asked(["east"]))
    assert (type(answer), len(channel.pushed)) == (kind, pushed)


@dataclass
class Twisting:
    """A channel over which the first answers are others than were asked for, or come only after a while."""

    answer: Callable[[Request, int], bytes | None]
    pushed: list[bytes] = field(default_factory=list)
    away: int = 0

    def push(self, letters: Sequence[tuple[bytes, int]]) -> list[str]:
        self.pushed += [body for body, _ in letters]
        return [str(len(self.pushed))] * len(letters)

    def close(self) -> None:
        pass

    def pull(self, ids: Iterable[str], *, patience: float) -> list[tuple[str, bytes | None]]:
        if self.away:
            self.away -= 1
            raise httpx.ConnectError("the SuperLink is away")
        request = from_bytes(self.pushed[-1])
        assert isinstance(request, Request)
        body = self.answer(request, len(self.pushed))
        if body is None:
            Event().wait(min(patience, 0.02))
            return []
        return [(name, body) for name in ids]


def bent(request: Request) -> bytes:
    body = to_bytes(probe(request))
    return body[:40] + bytes([body[40] ^ 0x80]) + body[41:]


STRANGE = {
    "changed on the way": bent,
    "a request that was changed on the way": lambda request: to_bytes(
        Refusal(request="", site="", code="wire", complaints=(Complaint("the bytes are not a message"),))
    ),
    "another request's": lambda request: to_bytes(replace(cast(Reply, probe(request)), request="another")),
    "a request": to_bytes,
}


@pytest.mark.parametrize("what", STRANGE)
def test_what_was_changed_on_the_way_is_asked_for_again_and_told(what: str) -> None:
    channel = Twisting(lambda request, times: STRANGE[what](request) if times < 3 else to_bytes(probe(request)))
    engine = LineEngine(lambda: channel, {"east": 1}, where="nowhere")
    (answer,) = engine.exchange(asked(["east"]))
    assert isinstance(answer, Reply)
    assert len(channel.pushed) == 3
    assert "did not arrive as it was sent" in answer.content["trouble"][0]


@pytest.mark.parametrize("what", STRANGE)
def test_it_is_not_asked_for_for_ever(what: str) -> None:
    channel = Twisting(lambda request, times: STRANGE[what](request))
    engine = LineEngine(lambda: channel, {"east": 1}, where="nowhere")
    (answer,) = engine.exchange(asked(["east"]))
    assert isinstance(answer, Refusal)
    assert (answer.code, len(channel.pushed)) == ("engine", 3)
    assert "at the stage" in answer.reason


def test_who_misses_the_deadline_is_named_with_the_stage() -> None:
    """The time in which there was no SuperLink is nobody's fault, and is not counted."""
    channel = Twisting(lambda request, times: None, away=20)
    engine = LineEngine(lambda: channel, {"east": 1}, where="nowhere", deadline=lambda: 0.2)
    began = time.monotonic()
    (answer,) = engine.exchange(asked(["east"]))
    assert isinstance(answer, Refusal)
    assert "the site gave no answer within 0.2 s at the stage" in answer.reason
    assert channel.away == 0
    assert time.monotonic() - began > 0.2


@pytest.mark.parametrize(("size", "due"), [(1000, True), (100 * SLOW, False)])
def test_what_is_still_on_its_way_is_not_sent_again(size: int, due: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    (request,) = asked(["east"])
    waiting = _Asked(request, bytes(size))
    assert waiting.due(30.0), "it was never sent"
    waiting.sent("1")
    assert not waiting.due(30.0)
    waiting.last -= 60.0
    assert waiting.due(30.0) == due
    waiting.last -= 2 * 100
    assert waiting.due(30.0)


def test_a_superlink_that_does_not_come_back(
    alone: tuple[SuperLink, dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests with a time limit become refusals; a run without one is given up after a while."""
    link, nodes = alone
    nowhere = SimpleNamespace(address=f"{HOST}:{free_port()}", certificates=link.certificates, secret=link.secret)
    engine = FlowerEngine(cast(SuperLink, nowhere), nodes)
    answers = list(engine.exchange(asked(), timeout=0.05))
    assert all(isinstance(answer, Refusal) and "no answer within 0.05 s" in answer.reason for answer in answers)
    assert len(answers) == len(NAMES)
    monkeypatch.setattr("medfl.run.flower.engine.GONE", 0.0)
    with pytest.raises(EngineError, match="has been away for 0 s"):
        list(engine.exchange(asked()))
