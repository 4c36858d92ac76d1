"""A hub that lies, or was broken into, towards a site that is enrolled with it: over real TLS, with all its keys.

What was tried: answers that are none of Flower's, that blow up, or that point into the hospital's network; messages
whose names are places in the site's folder, or whose parts are others than announced; requests of studies that nobody
approved, for other sites, and old ones once more, also after an approval was taken back. What came of it: the agent
goes on, nothing is written where it does not belong, and each refusal is a line in the site's audit log or its log.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from flwr.proto.fleet_pb2 import ActivateNodeResponse, PullMessagesResponse, PushMessagesRequest, PushMessagesResponse
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatResponse
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedResponse,
    Message,
    ObjectTree,
    PullObjectRequest,
    PullObjectResponse,
)
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree

from medfl.enrolment import address
from medfl.messages import Refusal, Reply, Request, from_bytes, to_bytes
from medfl.run.flower import node, serving, sober, wire
from medfl.run.flower.frames import packed, unpacked
from medfl.run.flower.node import Address
from medfl.run.flower.serving import serve
from medfl.run.flower.wire import letter, opened
from medfl.site.agent import Agent
from medfl.site.approvals import Approvals
from medfl.site.audit import AuditLog
from medfl.site.datasets import DataSet, Datasets
from medfl.site.enrolled import SiteHome
from medfl.site.log import logged
from medfl.site.reception import Reception
from medfl.site.rules_template import template
from medfl.testing.federation import study, tables
from medfl.testing.hub import LOOPBACK, made
from medfl.testing.upstream import Line, Upstream, lined

ASKED = study()
POLICY = (
    template()
    .replace("secure_aggregation = true", "secure_aggregation = false")
    .replace('ranges = "rounded"', 'ranges = "exact"')
    .replace("minimum_rows = 50", "minimum_rows = 40")
    .replace("minimum = 5", "minimum = 1")
)
HONEST = Request(run="r", round=0, site="a", task="describe", study=ASKED.canonical, seed=ASKED.study.seed)


class EndError(Exception):
    """All was said."""


@dataclass
class Lies(Upstream):
    """A SuperLink that says what a test says, one thing for each time that the site asks for messages."""

    script: list[httpx.Response | bytes] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    wants: list[str] = field(default_factory=list)
    came: list[Any] = field(default_factory=list)
    got: dict[str, bytes] = field(default_factory=dict)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        match request.url.path.rpartition("/")[2]:
            case "activate-node":
                said: Any = ActivateNodeResponse(node_id=7)
            case "send-node-heartbeat":
                said = SendNodeHeartbeatResponse(success=True)
            case "medfl":
                return self.exchanged(unpacked(body))
            case "pull-object":
                name = PullObjectRequest.FromString(body).object_id
                there = name in self.objects
                content = self.objects.get(name, b"")
                said = PullObjectResponse(object_found=there, object_available=there, object_content=content)
            case _:
                said = ConfirmMessageReceivedResponse()
        return _ok(said.SerializeToString())

    def exchanged(self, frames: list[bytes]) -> httpx.Response:
        """Take an answer, where one is brought whole, and say the next lie."""
        brought = PushMessagesRequest.FromString(frames[1])
        self.got |= {hashlib.sha256(content).hexdigest(): content for content in frames[2:]}
        for message, tree in zip(brought.messages_list, brought.message_object_trees, strict=True):
            missing = [one.object_id for one in iterate_object_tree(tree) if one.object_id not in self.got]
            if missing:
                said = PushMessagesResponse(objects_to_push=[*self.wants, *missing])
                return _ok(packed((said.SerializeToString(), b"")))
            self.came.append((message, tree))
        lie = self.script.pop(0) if self.script else b""
        if isinstance(lie, httpx.Response):
            return lie
        said = PushMessagesResponse(objects_to_push=self.wants if not brought.messages_list else [])
        return _ok(packed((said.SerializeToString(), lie, *self.objects.values())))

    def tell(self, body: bytes) -> str:
        """Have bytes brought to the site as Flower brings them; return the name of the message."""
        announced, tree, objects = letter(body, run=1, to=7)
        self.objects |= objects
        self.say(announced, tree)
        return str(announced.metadata.message_id)

    def say(self, *pairs: Any) -> None:
        """Announce messages, each with its tree of parts."""
        said = PullMessagesResponse(messages_list=pairs[::2], message_object_trees=pairs[1::2])
        self.script.append(said.SerializeToString())


def _ok(body: bytes) -> httpx.Response:
    return httpx.Response(200, stream=httpx.ByteStream(body))


@dataclass
class Site:
    """A hospital that serves until its hub has said all."""

    home: SiteHome
    agent: Agent
    lies: Lies
    line: Line
    up: bool = False

    def serve(self) -> list[Reply | Refusal]:
        """Listen to all that the hub says; return what the site answered."""
        where = Address(address(LOOPBACK, self.line.hub.about.port), self.line.hub.authority_file, self.home.node_key)
        box = self.home.folder / "postbox"
        with logged(self.home.folder), pytest.raises(EndError):
            serve(where, self.agent.answer, folder=box, house=self.agent, calls=self)
        read = [
            from_bytes(opened(one.metadata.message_id, tree, self.lies.got.__getitem__)) for one, tree in self.lies.came
        ]
        self.lies.came.clear()
        return [one for one in read if not isinstance(one, Request)]

    def wait(self, seconds: float) -> bool:
        """Go on at once, as long as there is something to come."""
        if not self.lies.script:
            raise EndError
        return True

    def audit(self) -> list[dict[str, Any]]:
        """Return the lines of the audit log, which is whole."""
        log = AuditLog(self.home.log)
        assert log.verify().trouble == ""
        return list(log.read())

    def log(self) -> str:
        """Return the site's log."""
        path = self.home.folder / "site.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def everything(self) -> set[str]:
        """Return the paths of all files under the site's folder and beside it."""
        return {str(path) for path in self.home.folder.parent.rglob("*") if "hub" not in path.parts}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(serving, "AWAY", (0.001, 0.01))
    hub = made(tmp_path / "hub")
    lies = Lies()
    with lined(hub, tmp_path / "sites", upstream=lies) as line:
        home = line.home
        tables()["north"].to_csv(tmp_path / "north.csv", index=False)
        Datasets(home).add("ward", DataSet(source=str(tmp_path / "north.csv"), target="sick"))
        home.policy.write_text(POLICY)
        Approvals(home).approve(ASKED, "ward", Datasets(home).named("ward"), by="person")
        yield Site(home, Agent(home, Reception(home, "a")), lies, line)


def no(answer: Reply | Refusal) -> str:
    assert isinstance(answer, Refusal)
    return answer.reason


def test_an_honest_hub_is_answered(site: Site) -> None:
    """So that the refusals below are refusals of the lies."""
    site.lies.tell(to_bytes(HONEST))
    (answer,) = site.serve()
    assert isinstance(answer, Reply)
    assert site.audit()[-1]["verdict"] == "answered"


@pytest.mark.parametrize(
    "lie",
    [
        httpx.Response(200, content=b"\xff" * 100),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, content=b"\x0a\xff\xff\xff\xff\x0f"),
        httpx.Response(307, headers={"location": "https://127.0.0.1:1/v1/fleet/pull-messages"}),
        httpx.Response(302, headers={"location": "http://intranet.example.org/delete"}),
        httpx.Response(404),
        httpx.Response(500, content=b"x" * 100_000),
        b"\x0a\x00" * 1000,
    ],
)
def test_an_answer_that_is_none_of_flowers_is_survived(site: Site, lie: httpx.Response | bytes) -> None:
    site.lies.script.append(lie)
    site.lies.tell(to_bytes(HONEST))
    assert [type(one) for one in site.serve()] == [Reply]
    assert "Traceback" not in site.log()


def test_an_answer_is_not_unpacked(site: Site) -> None:
    """A thousand times larger in memory than on the line."""
    bomb = httpx.ByteStream(gzip.compress(bytes(2**24)))
    with pytest.raises(httpx.DecodingError, match="packs its answer"):
        sober._sober(httpx.Response(200, stream=bomb, headers={"content-encoding": "gzip"}, request=_REQUEST))


def test_an_answer_without_an_end_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sober, "LARGEST", 1000)
    answer = httpx.Response(200, stream=httpx.ByteStream(bytes(1001)), request=_REQUEST)
    sober._sober(answer)
    with pytest.raises(httpx.ReadError, match="more than 1000"):
        answer.read()


def test_a_site_is_not_sent_elsewhere() -> None:
    away = httpx.Response(307, headers={"location": "http://10.0.0.1/"}, request=_REQUEST)
    with pytest.raises(httpx.RemoteProtocolError, match="elsewhere"):
        sober._sober(away)


@pytest.mark.parametrize("name", ["../../../escaped", "/tmp/escaped", "../keys/node.pem", "x" * 300, "", "a/b", "\0"])
def test_a_name_that_is_a_place_is_written_nowhere(site: Site, name: str) -> None:
    announced, _, objects = letter(to_bytes(HONEST), run=1, to=7)
    content = objects[announced.metadata.message_id]
    announced.metadata.message_id = name
    site.lies.objects[name] = content
    before, key = site.everything(), site.home.node_key.read_bytes()
    site.lies.say(announced, ObjectTree(object_id=name))
    site.lies.tell(to_bytes(HONEST))
    assert [type(one) for one in site.serve()] == [Reply]
    new = {path for path in site.everything() - before if "/postbox" not in path and "/log" not in path}
    assert not [path for path in new if "escaped" in path or "x" * 300 in path]
    assert site.home.node_key.read_bytes() == key
    assert "has a name that is none" in site.log() or "is not the one that was announced" in site.log()


def test_parts_that_are_others_than_announced_are_refused_and_logged(site: Site) -> None:
    name = site.lies.tell(to_bytes(HONEST))
    part = next(one for one in site.lies.objects if one != name)
    right = dict(site.lies.objects)
    site.lies.objects[part] = right[part].replace(b"describe", b"evaluate")
    assert site.serve() == []
    assert "is not the one that was announced" in site.log()
    assert name in site.log()


def test_a_message_of_too_many_parts_is_refused_and_logged(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "PARTS", 10)
    many = [ObjectTree(object_id=hashlib.sha256(b"%d" % number).hexdigest()) for number in range(11)]
    announced, tree, _ = letter(b"x", run=1, to=7)
    tree.children.extend(many)
    site.lies.say(announced, tree)
    assert site.serve() == []
    assert "too many parts" in site.log()


def test_a_message_that_cannot_be_read_is_not_fetched_for_ever(site: Site) -> None:
    announced, tree, _ = letter(b"x", run=1, to=7)
    for _ in range(20):
        site.lies.say(announced, tree)
    site.lies.tell(to_bytes(HONEST))
    assert [type(one) for one in site.serve()] == [Reply]
    assert site.log().count("refused a message of the hub") == node.UNREADABLE
    assert "is not looked at any more" in site.log()


def test_lists_of_different_lengths_are_survived(site: Site) -> None:
    site.lies.script.append(PullMessagesResponse(messages_list=[Message()]).SerializeToString())
    site.lies.script.append(PullMessagesResponse(message_object_trees=[ObjectTree()]).SerializeToString())
    site.lies.tell(to_bytes(HONEST))
    assert [type(one) for one in site.serve()] == [Reply]


def test_a_hub_that_wants_parts_that_are_none_gets_none(site: Site) -> None:
    site.lies.wants = ["", "../keys/node.pem", "0" * 64]
    site.lies.tell(to_bytes(HONEST))
    assert [type(one) for one in site.serve()] == [Reply]
    assert not set(site.lies.wants) & site.lies.got.keys()


@pytest.mark.parametrize("body", [b"", b"x", bytes(100), to_bytes(Reply(request="r", site="a"))])
def test_what_is_no_request_is_refused_and_in_the_audit_log(site: Site, body: bytes) -> None:
    site.lies.tell(body)
    (answer,) = site.serve()
    assert isinstance(answer, Refusal)
    line = site.audit()[-1]
    assert (line["verdict"], line["received"]) == ("refused", len(body))
    assert line["asked"] == hashlib.sha256(body).hexdigest()


def test_requests_that_nobody_approved_are_refused_and_in_the_audit_log(site: Site) -> None:
    other = study(algorithm={"kind": "fedavg", "rounds": 3})
    lies = {
        "waits for approval": replace(HONEST, study=other.canonical),
        "could not do what was asked": replace(HONEST, site="b"),
        "holds for the seeds of the study": replace(HONEST, seed=8),
        "a study that is none": replace(HONEST, study="{}"),
    }
    for lie in lies.values():
        site.lies.tell(to_bytes(lie))
    answers = site.serve()
    for what, answer in zip(lies, answers, strict=True):
        assert what in no(answer)
    written = site.audit()
    assert [line["verdict"] for line in written] == ["refused"] * 4
    assert written[0]["digest"] == other.digest


def test_a_study_for_another_data_set_waits_and_is_in_the_audit_log(site: Site, tmp_path: Path) -> None:
    """The hub's word for a data set is a wish: what was approved is one study for one data set."""
    tables()["west"].to_csv(tmp_path / "west.csv", index=False)
    Datasets(site.home).add("private", DataSet(source=str(tmp_path / "west.csv"), target="sick"))
    for name in ("private", "ward", "../ward", "nowhere"):
        wish = study(data={"sites": {"a": name}})
        site.lies.tell(to_bytes(replace(HONEST, study=wish.canonical)))
    assert all("waits for approval" in no(answer) for answer in site.serve())
    assert [(line["verdict"], line["dataset"]) for line in site.audit()] == [("refused", "")] * 4


def test_an_old_request_gets_the_old_answer_and_none_once_it_was_taken_back(site: Site) -> None:
    for _ in range(2):
        site.lies.tell(to_bytes(HONEST))
    first, again = site.serve()
    assert isinstance(first, Reply)
    assert to_bytes(first) == to_bytes(again)
    assert [line["verdict"] for line in site.audit()] == ["answered", "repeated"]
    site.home.pause.touch()
    site.lies.tell(to_bytes(HONEST))
    assert "paused by its own people" in no(site.serve()[0])
    site.home.pause.unlink()
    Approvals(site.home).refuse(ASKED, reason="enough")
    site.lies.tell(to_bytes(HONEST))
    assert "have refused this study: enough" in no(site.serve()[0])
    assert [line["verdict"] for line in site.audit()][2:] == ["refused", "refused"]


_REQUEST = httpx.Request("POST", "https://hub/v1/fleet/pull-messages")
