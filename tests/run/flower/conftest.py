"""A Flower without processes: its Grid hands each message to the app of a node, as it would come over the wire."""

from __future__ import annotations

import runpy
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.task_identity import TaskIdentity

from medfl.flower_app import write
from medfl.flower_home import introduce, settle
from medfl.messages import Request, from_bytes
from medfl.publish.code import Models, models_of
from medfl.publish.flower_app import App, save
from medfl.run.flower.greeting import HELLO
from medfl.run.flower.wire import brought
from medfl.site.supernode import POLICY
from medfl.store.leaving import left_out_of
from medfl.testing.command import typed
from medfl.testing.dropping import carried_out
from medfl.testing.federation import NAMES
from medfl.testing.policies import text


def carried(message: Message) -> Message:
    """Return a message as it is put together again at the other end."""
    name = message.object_id
    parts = {part: body.deflate() for part, body in get_all_nested_objects(message).items()}
    arrived = cast(Message, inflate_object_from_contents(name, parts))
    arrived.metadata.__dict__["_message_id"] = name
    return arrived


def stage_of(message: Message) -> str:
    """Return what a message asks for, as its task and round."""
    body = brought(message)
    request = None if body == HELLO else from_bytes(body)
    return f"{request.task} {request.round}" if isinstance(request, Request) else ""


@dataclass
class Node:
    """A stock SuperNode: what it was started with, and what Flower calls it."""

    config: Mapping[str, Any]
    registered: str = ""
    online: bool = True
    crashes: list[str] = field(default_factory=list)
    """Task and round at which the app's process dies, such as "train 2"; once each."""


class LocalGrid(Grid):
    """Hands messages to the client app at once."""

    def __init__(self, app: ClientApp, nodes: Mapping[int, Node]) -> None:
        self.app, self.nodes = app, dict(nodes)
        self.heard: list[tuple[int, Message, Message]] = []
        self._replies: dict[str, Message] = {}

    def set_run(self, run: Any) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Any:
        raise NotImplementedError

    def create_message(self, *args: Any, **named: Any) -> Message:
        raise NotImplementedError

    def send_and_receive(self, *args: Any, **named: Any) -> Iterable[Message]:
        raise AssertionError("it sleeps for three seconds")

    def get_node_ids(self) -> Iterable[int]:
        return [node.node_id for node in self.get_nodes()]

    def get_nodes(self) -> Iterable[NodeInfo]:
        return [NodeInfo(node_id=n, name=node.registered or None) for n, node in self.nodes.items() if node.online]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return [self._pushed(carried(message)) for message in messages]

    def _pushed(self, message: Message) -> str:
        number = message.metadata.dst_node_id
        node = self.nodes[number]
        if (stage := stage_of(message)) in node.crashes:
            node.crashes.remove(stage)
            reply = Message(Error(ErrorCode.CLIENT_APP_CRASHED), reply_to=message)
        elif not node.online:
            reply = Message(Error(ErrorCode.NODE_UNAVAILABLE), reply_to=message)
        else:
            context = Context(1, number, dict(node.config), RecordDict(), {})
            reply = carried(self.app(message, context))
        self.heard.append((number, message, reply))
        self._replies[message.metadata.message_id] = reply
        return message.metadata.message_id

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [self._replies.pop(name) for name in message_ids if name in self._replies]


@dataclass
class Consortium:
    """Hospitals with homes, and the app of their study."""

    study: Path
    app: Path
    configs: dict[str, dict[str, Any]]
    grid: LocalGrid
    written: App

    @property
    def home(self) -> Path:
        return self.study.parent / "journal"

    def join(self, number: int, site: str) -> None:
        """Let one more SuperNode come."""
        config = self.configs.get(site) or settled(self.study.parent, [site])[site]
        self.grid.nodes[number] = Node(config)

    def start(self, **config: Any) -> None:
        """Start the app as Flower does."""
        server = cast(ServerApp, runpy.run_path(str(self.app / "server_app.py"))["app"])
        told: dict[str, Any] = {"sites": ",".join(self.configs), "home": str(self.home), "wait": 0} | config
        server(self.grid, Context(1, 1, {}, RecordDict(), told))


def settled(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Make a home with an open policy for each hospital, none knowing another yet; return their node configs."""
    configs = {}
    for name in names:
        made = settle(name, folder / f"{name}.csv", folder / f"home of {name}")
        (made.place.home / POLICY).write_text(text(), encoding="utf-8")
        configs[name] = {"site": name, "data": str(made.place.data), "home": str(made.place.home)}
    return configs


def introduced(configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Introduce all hospitals to each other."""
    cards = {n: settle(n, Path(one["data"]), Path(one["home"])).me.card for n, one in configs.items()}
    for name, config in configs.items():
        for other, card in cards.items():
            if other != name:
                introduce(card, Path(config["home"]))


@pytest.fixture
def consortium(edited: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Consortium]]:
    """Return a function that makes the hospitals of the small study, all of them or some, and its app."""

    def make(*names: str, more: str = "", met: bool = True) -> Consortium:
        study = edited(("rounds = 4", "rounds = 2"), more="[evaluation]\nbootstrap = 20\n" + more)
        for name in set(NAMES) - set(names or NAMES):
            edited((f'{name} = "{name}.csv"\n', ""))
        configs = settled(study.parent, names or NAMES)
        if met:
            introduced(configs)
        app = study.parent / "app"
        shutil.rmtree(app, ignore_errors=True)
        written = write(study, app)
        client = cast(ClientApp, runpy.run_path(str(app / "client_app.py"))["app"])
        nodes = {10 + number: Node(config) for number, config in enumerate(configs.values())}
        return Consortium(study, app, configs, LocalGrid(client, nodes), written)

    _as_a_task(monkeypatch)
    yield make


SIMULATED = """
[study]
name = "tumours"

[data]
target = "diagnosis"
positive = "malignant"

[data.simulate]
bundled = "breast-cancer"
sites = 3

[algorithm]
kind = "fedavg"
rounds = 2

[evaluation]
bootstrap = 20
"""


@pytest.fixture
def simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Consortium]:
    """Return a function that makes the app of a study on a bundled table, and nodes that know their number only."""

    def make(*, more: str = "", models: Models | None = None, left: str = "") -> Consortium:
        study = tmp_path / "study.toml"
        study.write_text((SIMULATED if not left else SIMULATED.replace("sites = 3", "sites = 4")) + more, "utf-8")
        written = replace(write(study, tmp_path / "draft"), models=models or {})
        if models is None and more:
            runs = typed("run", study, "--home", tmp_path / "before", "--json").json["runs"]
            written = replace(written, models={(run["arm"], run["seed"]): run["model"] for run in runs})
        if left:
            view = carried_out(study, tmp_path / "before", site=left, after=1)
            written = replace(written, models=models_of(view), left_out=left_out_of(view))
        save(written, tmp_path / "app")
        client = cast(ClientApp, runpy.run_path(str(tmp_path / "app" / "client_app.py"))["app"])
        configs = {
            name: {"partition-id": number, "num-partitions": len(written.sites)}
            for number, name in enumerate(written.sites)
        }
        nodes = {10 + number: Node(config) for number, config in enumerate(configs.values())}
        return Consortium(study, tmp_path / "app", configs, LocalGrid(client, nodes), written)

    monkeypatch.setenv("MEDFL_HOME", str(tmp_path / "journal"))
    _as_a_task(monkeypatch)
    return make


def _as_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_run_id", "_task_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)  # as Flower does for the process of a task
