"""A hub with its SuperLink and three sites as processes, a study run over them: what they wrote, and what they answer.

What was tried: a site's own key with another's node, with another's name in a reply, with an old clock; connections
past the hub's port. What was looked at after a run: who can read what the processes wrote, whether a secret is in any
log or output, and where anybody connects to.
"""

from __future__ import annotations

import datetime
import re
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PullMessagesRequest, PushMessagesRequest
from flwr.proto.node_pb2 import Node

from medfl.hosting import submit
from medfl.hub.place import HubPlace
from medfl.over_hub import keys_of
from medfl.run.flower.wire import letter
from medfl.site.datasets import DataSet, Datasets
from medfl.site.enrolled import SiteHome
from medfl.testing.command import MEDFL, typed
from medfl.testing.consortium import POLICY
from medfl.testing.federation import NAMES, tables
from medfl.testing.hub import LOOPBACK, enrolled, invited, made, proof
from medfl.testing.upstream import Line, Upstream

STUDY = """
[study]
name = "tiny"
seed = 7
[data]
target = "sick"
sites = { east = "ward", north = "ward", west = "ward" }
[model]
kind = "logistic"
[algorithm]
kind = "fedavg"
rounds = 1
[evaluation]
bootstrap = 10
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@dataclass
class Federation:
    """What runs."""

    folder: Path
    hub: HubPlace
    homes: dict[str, SiteHome]
    serving: subprocess.Popen[str]
    secrets: dict[str, str]
    outputs: list[Path]

    @property
    def line(self) -> Line:
        """Calls as site east."""
        return Line(self.hub, Upstream(), self.homes["east"])

    def node(self, site: str) -> int:
        """Return the number of a site's node."""
        return int((self.homes[site].folder / "postbox" / "node").read_text())


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    folder = tmp_path_factory.mktemp("federation")
    hub = made(folder / "hub")
    with ExitStack() as stack:

        def started(name: str, *words: str) -> subprocess.Popen[str]:
            with (folder / f"{name}.out").open("w") as output:
                process = subprocess.Popen([*MEDFL, *words], stdout=output, stderr=subprocess.STDOUT, text=True)
            stack.enter_context(process)
            stack.callback(process.terminate)
            return process

        serving = started("hub", "hub", "start", "--bind", LOOPBACK, "--home", str(hub.folder))
        until(lambda: "listens" in (folder / "hub.out").read_text())
        unused = str(invited(hub, "unused"))
        homes = enrolled(hub, folder / "sites", *NAMES)
        for name, table in tables().items():
            table.to_csv(folder / f"{name}.csv", index=False)
            Datasets(homes[name]).add("ward", DataSet(source=str(folder / f"{name}.csv"), target="sick"))
            homes[name].policy.write_text(POLICY)
            homes[name].policy.chmod(0o600)
            started(name, "site", "start", "--home", str(homes[name].folder))
        (folder / "tiny.toml").write_text(STUDY)
        execution, _ = submit(hub, folder / "tiny.toml")
        until(lambda: execution not in hub.queue.waiting())
        found = typed("show", f"{execution}-1", "--home", hub.folder, "--json").json
        assert found["status"] == "finished", found
        secrets = {"an invitation": unused.rpartition("/")[2]}
        outputs = [folder / f"{name}.out" for name in ("hub", *NAMES)]
        yield Federation(folder, hub, homes, serving, secrets, outputs)


def until(true: Callable[[], bool], seconds: float = 200) -> None:
    deadline, pause = time.monotonic() + seconds, Event()
    while not true():
        assert time.monotonic() < deadline, "it never was"
        pause.wait(0.1)


def logged(federation: Federation, what: str) -> str:
    lines = [one for one in federation.hub.log.read_text(encoding="utf-8").splitlines() if what in one]
    assert lines, f"nobody wrote down: {what}"
    return lines[-1]


def test_what_was_written_is_for_its_owner_only(federation: Federation) -> None:
    for home in (federation.hub.folder, *(one.folder for one in federation.homes.values())):
        open_ones = [
            f"{stat.S_IMODE(path.lstat().st_mode):o} {path.relative_to(federation.folder)}"
            for path in (home, *home.rglob("*"))
            if not path.is_symlink() and path.lstat().st_mode & 0o077
        ]
        assert open_ones == []


def test_no_secret_is_in_a_log_or_an_output(federation: Federation) -> None:
    secrets = dict(federation.secrets)
    homes = [federation.hub.folder, *(home.folder for home in federation.homes.values())]
    keys = {path for home in homes for path in home.rglob("*") if _is_secret(path)}
    assert len(keys) >= 9, "the hub's keys, and those of three sites"
    for path in keys:
        secrets[str(path)] = _core(path.read_bytes())
    texts = [path for home in homes for path in home.rglob("*") if path.is_file() and path not in keys]
    for path in (*texts, *federation.outputs):
        try:
            body = path.read_bytes()
        except FileNotFoundError:
            # The hub and its sites go on; what is half written is looked at under the name that it takes.
            assert path.name.endswith((".draft", "-wal", "-shm", "-journal")), path
            continue
        for name, secret in secrets.items():
            assert secret.encode("latin-1") not in body, f"{name} is in {path}"


def _is_secret(path: Path) -> bool:
    named = path.name in ("authority.pem", "hub.pem", "node.pem", "identity", "noise", "secret", "private.key")
    return path.is_file() and named and path.stat().st_size > 0


def _core(body: bytes) -> str:
    """Return a part of a secret that is in nothing else: of PEM a line in its middle, else all."""
    lines = body.decode("latin-1").splitlines()
    return lines[1] if body.startswith(b"-----BEGIN") else body.decode("latin-1")


def test_but_the_hubs_port_all_is_on_loopback_and_nobody_calls_home(federation: Federation) -> None:
    """Also with the hub bound to one address: what its processes listen on, and whom they are connected with."""
    mine = _family(federation.serving.pid)
    sockets = {
        found[1]
        for pid in mine
        for link in (Path("/proc") / str(pid) / "fd").glob("*")
        if (found := re.match(r"socket:\[(\d+)\]", _target(link)))
    }
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    own = [row for row in rows if row[9] in sockets]
    assert len([row for row in own if row[3] == "0A"]) >= 2, "the hub's port and the SuperLink's"
    assert {row[1].partition(":")[0] for row in own} <= {"0100007F"}
    assert {row[2].partition(":")[0] for row in own} <= {"0100007F", "00000000"}
    (said,) = [said for pid in mine if b"FLWR_HOME=" in (said := _told(pid))]
    assert {b"FLWR_TELEMETRY_ENABLED=0", b"FLWR_DISABLE_UPDATE_CHECK=1"} <= set(said.split(b"\0"))


def _family(pid: int) -> list[int]:
    """Return a process and all that it started, itself first."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(one) for one in children.read_text().split()] if children.exists() else []
    threads = [int(one) for path in Path(f"/proc/{pid}/task").glob("*/children") for one in path.read_text().split()]
    return [pid, *(each for child in dict.fromkeys([*found, *threads]) for each in _family(child))]


def _told(pid: int) -> bytes:
    """Return the environment of a process that may have ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def test_a_site_with_anothers_node_is_refused_and_logged(federation: Federation) -> None:
    """Its key is its own and is enrolled; the number of the node is that of another site."""
    asked = PullMessagesRequest(node=Node(node_id=federation.node("west")))
    assert federation.line.post("/v1/fleet/pull-messages", asked.SerializeToString())[0] == 401
    assert "site east" in logged(federation, "at pull-messages: by the SuperLink, with status 401")


def test_a_site_that_signs_on_with_anothers_key_is_refused_and_logged(federation: Federation) -> None:
    asked = ActivateNodeRequest(public_key=keys_of(federation.hub)["west"], heartbeat_interval=30)
    assert federation.line.post("/v1/fleet/activate-node", asked.SerializeToString())[0] == 401
    assert "site east" in logged(federation, "at activate-node: by the SuperLink, with status 401")


def test_a_reply_in_anothers_name_reaches_nobody(federation: Federation) -> None:
    announced, tree, _ = letter(b"x", run=1, to=1)
    announced.metadata.src_node_id, announced.metadata.reply_to_message_id = federation.node("west"), "0" * 64
    asked = PushMessagesRequest(
        node=Node(node_id=federation.node("east")), messages_list=[announced], message_object_trees=[tree]
    )
    code, said, _ = federation.line.post("/v1/fleet/push-messages", asked.SerializeToString())
    assert code >= 400 or b"0" * 64 not in said


def test_a_call_of_long_ago_is_refused_and_logged(federation: Federation) -> None:
    old = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=10)
    heads = proof(federation.homes["east"].node(), old.isoformat())
    asked = PullMessagesRequest(node=Node(node_id=federation.node("east"))).SerializeToString()
    assert federation.line.post("/v1/fleet/pull-messages", asked, heads=heads)[0] == 401
    logged(federation, "at pull-messages: by the SuperLink, with status 401")


@pytest.mark.parametrize("body", [b"\xff" * 99, b"\x0a\xff\xff\xff\xff\x0f", bytes(5000)])
def test_bytes_that_are_no_call_are_survived(federation: Federation, body: bytes) -> None:
    for call in ("pull-messages", "push-messages", "push-object", "send-node-heartbeat", "activate-node", "medfl"):
        code, said, _ = federation.line.post(f"/v1/fleet/{call}", body)
        assert 400 <= code < 500, (call, code)
        assert b"Traceback" not in said


def test_after_all_that_it_goes_on(federation: Federation) -> None:
    asked = PullMessagesRequest(node=Node(node_id=federation.node("east")))
    assert federation.line.post("/v1/fleet/pull-messages", asked.SerializeToString())[0] == 200
    assert federation.serving.poll() is None
    for path in (federation.hub.log, *federation.outputs):
        assert "Traceback" not in path.read_text(encoding="utf-8")
