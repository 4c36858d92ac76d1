"""The calls for whole messages: one brings a message, one takes it, and nobody else's."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Thread
from time import monotonic
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from flwr.proto.fleet_pb2 import PullMessagesRequest, PushMessagesRequest
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.message_pb2 import Metadata, ObjectTree
from flwr.proto.node_pb2 import Node
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.superlink.federation import NoOpFederationManager
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from medfl.run.flower.coordinator import Channel, register
from medfl.run.flower.frames import COLLECT, ROOM, SEND, SITE, bring, packed
from medfl.run.flower.holding import Holding
from medfl.run.flower.node import Address, NodeLine, key_of
from medfl.run.flower.postbox import Postbox
from medfl.run.flower.rehearsal import certificates, public_key
from medfl.run.flower.signing import Signing
from medfl.run.flower.superlink import SuperLink
from medfl.run.flower.whole import LARGEST, Whole
from medfl.run.flower.wire import PART, answer

SITES = ("east", "west")
_fresh = count()


@dataclass
class There:
    """A SuperLink, a run over it, and two sites that are connected."""

    link: SuperLink
    channel: Channel
    nodes: dict[str, int]
    lines: dict[str, NodeLine]
    keys: dict[str, Address]

    def one(self, body: bytes, site: str = "east") -> tuple[str, MessageProto]:
        """Send a request to a site, which takes it; return its id and what announced it."""
        (name,) = self.channel.push([(body, self.nodes[site])])
        came = self.lines[site].fetch()
        assert came is not None
        assert came[1] == body
        self.lines[site].confirm(came[0])
        return name, came[0]

    def rows(self, table: str) -> int:
        """Return how many rows a table of the SuperLink has."""
        engine = create_engine(f"sqlite:///{self.link.folder / 'state.db'}")
        with engine.connect() as line:
            found = int(line.execute(text(f"SELECT COUNT(*) FROM {table}")).scalar_one())
        engine.dispose()
        return found


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    folder = tmp_path_factory.mktemp("whole")
    with SuperLink(folder / "superlink", certificates(folder)) as link:
        link.wait()
        nodes = register(link, {name: public_key(folder / f"{name}.pem") for name in SITES})
        keys = {name: Address(link.address, link.certificates.root, folder / f"{name}.pem") for name in SITES}
        lines = {
            name: NodeLine(keys[name], Postbox(folder / f"box of {name}"), Signing(key_of(keys[name])))
            for name in SITES
        }
        channel = Channel(link)
        with lines["east"], lines["west"]:
            yield There(link, channel, nodes, lines, keys)
        channel.close()


def some(size: int) -> bytes:
    """Return bytes that no other message has."""
    return np.random.default_rng(next(_fresh)).bytes(size)


@pytest.mark.parametrize("size", [1, 1000, PART, PART + 1, ROOM + 1])
def test_messages_of_any_size_come_and_go_and_leave_nothing_behind(there: There, size: int) -> None:
    asked, said = some(size), some(size)
    name, message = there.one(asked)
    assert there.lines["east"].send(message, said) is None
    assert there.channel.pull([name], patience=5.0) == [(name, said)]
    assert [there.rows(table) for table in ("objects", "message_ins", "message_res")] == [0, 0, 0]


def test_the_next_request_comes_with_the_thanks_for_an_answer(there: There) -> None:
    first, second = some(10), some(20)
    names = there.channel.push([(first, there.nodes["east"]), (second, there.nodes["east"])])
    came = there.lines["east"].fetch()
    assert came is not None
    then = there.lines["east"].send(came[0], b"1")
    assert then is not None
    assert {came[1], then[1]} == {first, second}
    assert there.lines["east"].send(then[0], b"2") is None
    assert {name for name, _ in there.channel.pull(names, patience=5.0)} == set(names)


def test_a_run_waits_until_an_answer_is_there(there: There) -> None:
    name, message = there.one(some(10))
    began = monotonic()
    assert there.channel.pull([name], patience=0.3) == []
    assert 0.3 <= monotonic() - began < 3.0
    sending = Thread(target=there.lines["east"].send, args=(message, b"at last"))
    sending.start()
    assert there.channel.pull([name], patience=10.0) == [(name, b"at last")]
    sending.join()


def test_an_answer_that_was_brought_in_part_is_not_given_and_goes_on_where_it_was(
    there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, message = there.one(some(10))
    said, line = some(2 * ROOM), there.lines["east"]
    brought: list[int] = []
    exchange = line._exchanged

    def breaking(asked: PushMessagesRequest, contents: Iterator[bytes]) -> object:
        parts = list(contents)
        brought.append(sum(map(len, parts)))
        found = exchange(asked, parts)
        if len(brought) == 2:
            raise httpx.ReadError("cut off, right after it arrived")
        return found

    monkeypatch.setattr(line, "_exchanged", breaking)
    with pytest.raises(httpx.ReadError):
        line.send(message, said)
    assert there.channel.pull([name], patience=0.0) == [], "what is there is not all of it"
    line.send(message, said)
    assert there.channel.pull([name], patience=5.0) == [(name, said)]
    assert 0 < brought[1] <= ROOM
    assert sum(brought) < len(said) + PART, "what had arrived was not sent again"


def test_a_request_that_comes_in_parts_goes_on_where_it_was(there: There, monkeypatch: pytest.MonkeyPatch) -> None:
    body, line = some(2 * ROOM), there.lines["east"]
    (name,) = there.channel.push([(body, there.nodes["east"])])
    post, calls = line._post, []

    def breaking(path: str, content: bytes) -> bytes:
        calls.append(path)
        if len(calls) == 4:
            raise httpx.ReadError("cut off")
        return post(path, content)

    monkeypatch.setattr(line, "_post", breaking)
    with pytest.raises(httpx.ReadError):
        line.fetch()
    came = line.fetch()
    assert came is not None
    assert came[1] == body
    line.confirm(came[0])
    objects = 2 + len(body) // PART + 1
    assert calls.count("/v1/fleet/pull-object") <= objects + 1, (
        "each part came once, and the one that was cut off twice"
    )
    line.send(came[0], b"done")
    assert there.channel.pull([name], patience=5.0) == [(name, b"done")]


def test_arrays_that_all_sites_are_sent_are_brought_once(there: There, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays, posted = some(2 * PART), []
    post = there.channel._whole.post

    def counted(path: str, *, content: bytes) -> httpx.Response:
        posted.append(len(content))
        return post(path, content=content)

    monkeypatch.setattr(there.channel._whole, "post", counted)
    bodies = [
        (len(head).to_bytes(8, "little") + head + arrays, there.nodes[site])
        for site, head in zip(SITES, (b"{east}", b"{west, and more}"), strict=True)
    ]
    names = there.channel.push(bodies)
    assert sum(posted) < len(arrays) * 1.5
    for site, (body, _) in zip(SITES, bodies, strict=True):
        came = there.lines[site].fetch()
        assert came is not None
        assert came[1] == body
        there.lines[site].confirm(came[0])
        there.lines[site].send(came[0], b"done")
    assert len(there.channel.pull(names, patience=5.0)) == 2
    assert there.rows("objects") == 0


def test_an_answer_that_comes_twice_is_taken_once(there: There) -> None:
    name, message = there.one(some(10))
    for _ in range(2):
        there.lines["east"].send(message, b"once")
    assert there.channel.pull([name], patience=5.0) == [(name, b"once")]
    there.lines["east"].send(message, b"too late")
    assert there.rows("message_res") == 0
    assert "nobody waits for what node" in (there.link.folder / "log").read_text(encoding="utf-8", errors="replace")


def test_who_is_not_known_is_lost(there: There) -> None:
    names = there.channel.push([(some(10), 4711), (some(10), 4712)])
    assert sorted(there.channel.pull(names, patience=0.0)) == sorted((name, None) for name in names)


def call(there: There, path: str, body: bytes, *, site: str | None = None, token: str = "") -> int:
    """Make a call in a site's name, and return the code of the answer."""
    context = ssl.create_default_context(cafile=there.link.certificates.root)
    with httpx.Client(base_url=f"https://{there.link.address}", verify=context) as client:
        request = client.build_request("POST", path, content=body, headers={"flwr-task-token": token})
        if site is None:
            return client.send(request).status_code
        return Signing(key_of(there.keys[site])).sent(request, client.send).status_code


def test_only_who_shows_a_key_or_a_token_is_answered(there: There) -> None:
    node = PullMessagesRequest(node=Node(node_id=there.nodes["east"])).SerializeToString()
    assert call(there, SITE, packed((node, b"")), site="east") == 200
    assert call(there, SITE, packed((node, b"")), site="west") == 401
    assert call(there, SITE, packed((node, b""))) == 401
    for path in (SEND, COLLECT):
        assert call(there, path, packed((b"", b"0"))) == 401
        assert call(there, path, packed((b"", b"0")), token="another") == 401
        assert call(there, path, packed((b"", b"0")), site="east") == 401


def test_a_site_answers_for_no_other(there: There) -> None:
    name, message = there.one(some(10), "east")
    announced, tree, objects = answer(b"forged", message)
    asked = PullMessagesRequest(node=Node(node_id=there.nodes["west"])).SerializeToString()
    forged = PushMessagesRequest(messages_list=[announced], message_object_trees=[tree]).SerializeToString()
    contents = list(objects.values())
    assert call(there, SITE, packed((asked, forged, *contents)), site="west") == 400
    assert there.channel.pull([name], patience=0.0) == []
    announced.metadata.src_node_id = there.nodes["west"]
    forged = PushMessagesRequest(messages_list=[announced], message_object_trees=[tree]).SerializeToString()
    assert call(there, SITE, packed((asked, forged, *contents)), site="west") == 200
    assert there.channel.pull([name], patience=0.0) == [], "it was dropped"
    there.lines["east"].send(message, b"genuine")
    assert there.channel.pull([name], patience=5.0) == [(name, b"genuine")]


@pytest.fixture(scope="module")
def whole() -> Whole:
    """Return the calls over an empty state, and nothing of Flower's behind them."""
    state = SqlLinkState(":memory:", NoOpFederationManager(), ObjectStoreFactory(":memory:").store())
    state.initialize()
    nothing = FastAPI()
    nothing.state.linkstate_factory = SimpleNamespace(state=lambda: state)
    return Whole(nothing, Holding(state))


def said(whole: Whole, method: str, path: str, body: bytes = b"") -> int:
    """Make a call, and return the code of the answer."""

    async def made() -> int:
        transport = httpx.ASGITransport(cast(Any, whole))
        async with httpx.AsyncClient(transport=transport, base_url="https://superlink") as client:
            return (await client.request(method, path, content=body)).status_code

    return asyncio.run(made())


@given(
    path=st.sampled_from([SITE, SEND, COLLECT]),
    body=st.binary(max_size=300) | st.lists(st.binary(max_size=60), max_size=5).map(packed),
)
def test_whatever_bytes_come_are_refused(whole: Whole, path: str, body: bytes) -> None:
    assert said(whole, "POST", path, body) in (400, 401)


def test_other_calls_are_passed_on_and_too_much_is_refused(whole: Whole) -> None:
    assert said(whole, "GET", SITE) == 405
    assert said(whole, "POST", "/v1/fleet/other") == 404
    assert said(whole, "POST", SITE, bytes(LARGEST + 1)) == 413


def test_what_is_not_kept_is_not_brought_for_ever() -> None:
    objects = answer(bytes(10), MessageProto()).objects
    calls: list[int] = []

    def call(contents: Iterable[bytes]) -> list[str]:
        calls.append(len(list(contents)))
        return list(objects)

    with pytest.raises(httpx.RemoteProtocolError):
        bring(objects, 10, call)
    assert calls == [3]


@pytest.mark.parametrize(("code", "given_up"), [(403, True), (404, True), (500, True), (401, False), (503, False)])
def test_a_request_in_parts_that_is_there_no_more_holds_nobody_up(code: int, given_up: bool, tmp_path: Path) -> None:
    box = Postbox(tmp_path)
    message = MessageProto(metadata=Metadata(message_id="large", run_id=7))
    tree = ObjectTree(object_id="large")
    box.expect(message, tree)

    class Line(NodeLine):
        def __init__(self) -> None:
            self._box, self._node, self._unreadable = box, Node(node_id=1), {}

        def _call(self, name: str, asked: object, kind: object) -> NoReturn:
            request = httpx.Request("POST", f"https://hub/{name}")
            raise httpx.HTTPStatusError("no", request=request, response=httpx.Response(code, request=request))

    with nullcontext() if given_up else pytest.raises(httpx.HTTPStatusError):
        assert Line()._rest(message, tree) is None
    assert (box.coming() is None) is given_up
