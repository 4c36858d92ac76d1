"""The hub's end of a SuperLink: which nodes there are, and a run through which messages can be sent to them.

Flower knows a run by an app bundle. Ours has nothing in it: what is computed is installed at both ends, and no code
travels. The run's task is claimed here, as an executor of Flower's would, instead of being started as a process.
"""

from __future__ import annotations

import io
import ssl
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from threading import Event, Thread
from typing import Any, TypeVar

import httpx
from flwr.proto.control_pb2 import ListNodesRequest, RegisterNodeRequest, StartRunRequest, UnregisterNodeRequest
from flwr.proto.fab_pb2 import Fab
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    PullObjectRequest,
)
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    GetNodesRequest,
    PullAppMessagesRequest,
    PullAppMessagesResponse,
    PullTaskInputRequest,
    PushAppMessagesRequest,
    PushAppMessagesResponse,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.constant import TASK_TOKEN_HEADER, TaskType
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.inflatable.inflatable_object import get_object_id, iterate_object_tree
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.protobuf.client import ProtobufClient
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.supercore.runtime import RuntimeHttpClient
from google.protobuf.message import Message

from medfl.errors import EngineError, WireError
from medfl.run.flower.frames import COLLECT, ROOM, SEND, bring, packed, read, unpacked
from medfl.run.flower.superlink import Link
from medfl.run.flower.wire import HUB, fetched, letter, opened, root

PATIENCE = 60.0
"""Seconds that the SuperLink has for an answer, and for which an idle connection to it is used again."""
ALIVE = 10.0
"""Seconds between two signs of life; Flower gives a task up after a minute without."""
COMPONENT = "flwr-serverapp"
_MANIFEST = """
[project]
name = "medfl"
version = "1.0.0"
[tool.flwr.app]
publisher = "medfl"
[tool.flwr.app.components]
serverapp = "medfl:none"
clientapp = "medfl:none"
"""
C = TypeVar("C", bound=ProtobufClient)


def register(link: Link, keys: Mapping[str, bytes]) -> dict[str, int]:
    """Let these sites in, by their public keys, and return the number of each one's node; known ones stay.

    Parameters
    ----------
    link
        The SuperLink.
    keys
        Each site's public key as PEM.
    """
    with client(ControlHttpClient, link) as control:
        known = {node.public_key: node.node_id for node in control.ListNodes(ListNodesRequest()).nodes_info}
        for site, key in keys.items():
            if key not in known:
                asked = RegisterNodeRequest(public_key=key, name=site)
                known[key] = control.RegisterNode(asked).node_id
    return {site: known[key] for site, key in keys.items()}


def let_in_only(link: Link, keys: Mapping[str, bytes]) -> None:
    """Let these sites in, by their public keys, and nobody else any more."""
    register(link, keys)
    with client(ControlHttpClient, link) as control:
        for node in control.ListNodes(ListNodesRequest()).nodes_info:
            if node.public_key not in keys.values() and node.status != "unregistered":
                control.UnregisterNode(UnregisterNodeRequest(node_id=node.node_id))


class Channel:
    """One run of Flower's, through which requests go out and answers come in."""

    def __init__(self, link: Link) -> None:
        self.run, token = _claimed(link)
        self._client = client(RuntimeHttpClient, link, RuntimeTokenHttpInterceptor(token=token))
        self._whole = httpx.Client(
            base_url=f"https://{link.address}",
            verify=ssl.create_default_context(cafile=link.certificates.root),
            headers={TASK_TOKEN_HEADER: token, "content-type": PROTOBUF_MEDIA_TYPE},
            timeout=PATIENCE,
            limits=httpx.Limits(keepalive_expiry=PATIENCE),
            trust_env=False,
        )
        self._untaken: set[str] = set()
        self._me = Node(node_id=HUB)
        self._closing = Event()
        self._client.PullTaskInput(PullTaskInputRequest())
        self._beat = Thread(target=self._live, daemon=True)
        self._beat.start()

    def online(self) -> set[int]:
        """Return the nodes that are there."""
        return {node.node_id for node in self._client.GetNodes(GetNodesRequest()).nodes}

    def push(self, letters: Sequence[tuple[bytes, int]]) -> list[str]:
        """Send bytes to nodes and return the ids under which the answers can be fetched."""
        ids: list[str] = []
        for some in _batches(letters):
            ids += self._pushed(some)
        return ids

    def pull(self, ids: Iterable[str], *, patience: float) -> list[tuple[str, bytes | None]]:
        """Return the answers that have come, each with the id of its request; wait for the first of them.

        None stands where Flower gave up on the site, and no bytes where the answer's parts never came.
        """
        names = set(ids)
        lost: list[tuple[str, bytes | None]] = [(name, None) for name in names & self._untaken]
        asked = PullAppMessagesRequest(message_ids=sorted(names - self._untaken))
        hold = 0 if lost else int(patience * 1000)
        frames = self._post(COLLECT, asked, [b"%d" % hold])
        response = read(PullAppMessagesResponse, frames[0])
        given = {get_object_id(content): content for content in frames[1:]}
        return lost + [
            (str(message.metadata.reply_to_message_id), self._opened(message, tree, given))
            for message, tree in zip(response.messages_list, response.message_object_trees, strict=True)
        ]

    def close(self) -> None:
        """Tell Flower that the run is over, if it still listens."""
        self._closing.set()
        self._beat.join()
        with suppress(httpx.HTTPError):
            self._client.PushTaskOutput(PushTaskOutputRequest(sub_status="completed", details=""))
        self._client.close()
        self._whole.close()

    def _pushed(self, letters: Sequence[tuple[bytes, int]]) -> list[str]:
        sealed = [letter(body, run=self.run, to=node) for body, node in letters]
        asked = PushAppMessagesRequest(
            messages_list=[one.announced for one in sealed], message_object_trees=[one.tree for one in sealed]
        )
        objects = {name: content for one in sealed for name, content in one.objects.items()}
        ids: list[str] = []

        def call(contents: Iterable[bytes]) -> Sequence[str]:
            said = read(PushAppMessagesResponse, self._post(SEND, asked, [b"", *contents])[0])
            ids[:] = said.message_ids
            return list(said.objects_to_push)

        bring(objects, sum(len(body) for body, _ in letters), call)
        named = [
            name or f"not taken {one.announced.metadata.message_id}" for name, one in zip(ids, sealed, strict=True)
        ]
        self._untaken |= set(named) - set(ids)
        return named

    def _opened(self, message: Any, tree: Any, given: Mapping[str, bytes]) -> bytes | None:
        name = message.metadata.message_id
        if message.HasField("error"):
            return None
        here = all(part.object_id in given for part in iterate_object_tree(tree))
        try:
            body = opened(name, tree, given.__getitem__ if here else self._fetch)
        except WireError:
            return b""
        if not here:
            confirmed = ConfirmMessageReceivedRequest(node=self._me, run_id=self.run, message_object_id=name)
            self._client.ConfirmMessageReceived(confirmed)
        return body

    def _fetch(self, name: str) -> bytes:
        asked = PullObjectRequest(node=self._me, run_id=self.run, object_id=name)
        return fetched(lambda: self._client.PullObject(asked))

    def _post(self, path: str, asked: Message, more: Iterable[bytes]) -> list[bytes]:
        """Make one of the calls for whole messages; return the frames of the answer, one at least.

        Raises
        ------
        httpx.HTTPError
            If it fails.
        """
        response = self._whole.post(path, content=packed((asked.SerializeToString(), *more)))
        response.raise_for_status()
        return unpacked(response.content, least=1)

    def _live(self) -> None:
        while not self._closing.wait(ALIVE):
            with suppress(httpx.HTTPError):
                self._client.SendTaskHeartbeat(SendTaskHeartbeatRequest())


def _batches(letters: Sequence[tuple[bytes, int]]) -> Iterator[Sequence[tuple[bytes, int]]]:
    """Yield letters that go together: many small ones, or a large one by itself, for memory's sake."""
    some: list[tuple[bytes, int]] = []
    for one in letters:
        if some and sum(len(body) for body, _ in some) + len(one[0]) > ROOM // 2:
            yield some
            some = []
        some.append(one)
    if some:
        yield some


def client(kind: type[C], link: Link, *interceptors: Any) -> C:
    """Return a client of one of the SuperLink's interfaces."""
    chain = [RuntimeVersionHttpInterceptor(component_name=COMPONENT), *interceptors]
    return kind.from_server_address(link.address, False, root(link.certificates.root), chain)


def _claimed(link: Link) -> tuple[int, str]:
    """Start a run and claim it; return its number and the token that stands for it."""
    with client(ControlHttpClient, link) as control:
        run = int(control.StartRun(StartRunRequest(fab=Fab(content=_bundle()))).run_id)
    signed = SuperExecAuthHttpInterceptor(
        master_secret=link.secret, protected_methods={"/flwr.proto.Runtime/AcquireTask"}
    )
    with client(RuntimeHttpClient, link, signed) as runtime:
        while (claim := runtime.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP]))).token:
            if claim.task.run_id == run:
                return run, str(claim.token)
    raise EngineError(
        "Flower's SuperLink gave no token for a run it has just started",
        where=link.address,
        remedy="let no other executor use this SuperLink",
    )


def _bundle() -> bytes:
    """Return an app bundle without an app, the same bytes every time."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as bundle:
        bundle.writestr(zipfile.ZipInfo("pyproject.toml"), _MANIFEST)
    return body.getvalue()
