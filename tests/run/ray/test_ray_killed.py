"""What becomes of a study over Ray when sites, Ray itself or the hub are killed, or a machine is lost; `make ray`."""

from __future__ import annotations

import json
import os
import re
import secrets
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from medfl.errors import EngineError, PlanError
from medfl.events import SiteFailed
from medfl.messages import Refusal, Reply, Request
from medfl.run.ray.cluster import Cluster
from medfl.run.ray.engine import RayEngine
from medfl.site import worker
from medfl.site.sources import Sources
from medfl.spec.study import Study
from medfl.testing.command import MEDFL, typed, typed_apart
from medfl.testing.engine_contract import replies
from medfl.testing.federation import NAMES, Through, rehearse, rounds

pytestmark = [pytest.mark.slow, pytest.mark.ray]
Rounds = list[tuple[int, tuple[str, ...], str]]


def test_a_site_that_dies_always_is_named_and_the_others_go_on(tiny: Path, study: Study, carried: RayEngine) -> None:
    tiny.with_name("train 2 north").write_text("xx")
    seen = study.overridden({"privacy": {"secure_aggregation": False}, "algorithm": {"min_sites": 2}})
    events, error = rehearse(seen, carried)
    assert error is None
    (failed,) = [event for event in events if isinstance(event, SiteFailed)]
    assert (failed.stage, failed.round, failed.site, failed.code) == ("train", 2, "north", "engine")
    assert "Ray's worker was lost at the stage 'train', twice" in failed.reason
    assert [sites for _, sites, _ in rounds(events)] == [NAMES, ("east", "west"), NAMES]


def test_a_worker_that_falls_silent_is_ended_and_its_site_named(tiny: Path, study: Study, carried: RayEngine) -> None:
    def described(*sites: str) -> list[Request]:
        how = {"run": "silent", "round": 0, "task": "describe", "study": study.canonical, "seed": 7}
        return [Request(site=site, **how) for site in sites]  # type: ignore[arg-type]

    replies(carried.exchange(described("north", "west")))
    silence = tiny.with_name("describe 0 east")
    silence.write_text("z")
    (late,) = carried.exchange(described("east"), timeout=2)
    assert isinstance(late, Refusal)
    assert (late.site, late.code) == ("east", EngineError.code)
    assert "no answer within 2 s at the stage 'describe'" in late.reason
    assert silence.read_text() == ""
    assert len(replies(carried.exchange(described(*NAMES)))) == 3


def test_a_worker_that_does_not_share_the_folder_says_so(tiny: Path, study: Study, cluster: Cluster) -> None:
    words = json.loads(worker.opening(study, Sources(tiny.parent, tiny.parent / "vaults")))
    elsewhere = json.dumps(words | {"vaults": str(tiny.parent / "elsewhere")}).encode()
    _, error = rehearse(study, RayEngine(NAMES, cluster=cluster, module=worker.__name__, opening=elsewhere))
    assert isinstance(error, PlanError)
    assert "does not share the folder" in str(error)
    assert "no such folder there" in str(error)
    assert "--home" in str(error)


def test_ray_killed_between_exchanges_is_started_again(
    study: Study, carried: RayEngine, cluster: Cluster, expected: Rounds
) -> None:
    exchanges = 0

    def kill(answers: list[Reply | Refusal]) -> list[Reply | Refusal]:
        nonlocal exchanges
        exchanges += 1
        if exchanges == 4:
            os.kill(cluster._driver.pid, signal.SIGKILL)
        return answers

    events, error = rehearse(study, Through(carried, kill))
    assert error is None
    assert exchanges > 4
    assert rounds(events) == expected


HUB = """
import sys
from medfl.run.ray.cluster import Cluster
from medfl.run.ray.engine import RayEngine
from medfl.testing.engine_contract import asked

cluster = Cluster(wanted=1)
engine = RayEngine(["east", "north", "west"], cluster=cluster, module="medfl.testing.probe", opening=b"")
print(len(list(engine.exchange(asked()))), cluster._driver.pid, flush=True)
sys.stdin.read()
"""


def below(process: int) -> set[int]:
    """Return the ids of all processes below this one."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    children = {int(child) for task in tasks for child in task.read_text().split()}
    return children.union(*map(below, children))


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for processes as Linux does")
def test_nothing_is_left_when_the_hub_is_killed(tmp_path: Path) -> None:
    place = {"TMPDIR": "/tmp"}
    with subprocess.Popen(
        (sys.executable, "-c", HUB), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | place
    ) as hub:
        assert hub.stdout is not None
        count, driver = map(int, hub.stdout.readline().split())
        started = {process: os.pidfd_open(process) for process in {driver, *below(driver)}}
        words = " ".join(word for process in started for word in words_of(process))
        hub.kill()
    assert count == 3
    assert len(started) > 4
    for process, handle in started.items():
        ended, _, _ = select.select([handle], [], [], 60)
        os.close(handle)
        assert ended, f"{process} is still there"
    (folder,) = set(re.findall(r"/tmp/medfl-ray-\w+", words))
    assert not Path(folder).exists()


def words_of(process: int) -> list[str]:
    return Path(f"/proc/{process}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")


def test_ctrl_c_ends_ray_and_the_run_resumes_to_the_same_model(
    edited: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = edited(("rounds = 4", "rounds = 12"), more="[evaluation]\nbootstrap = 20\n")
    monkeypatch.setenv("MEDFL_HOME", str(tmp_path / "home"))
    whole = typed("run", study, "--home", tmp_path / "whole", "--json").json["runs"][0]
    command = [*MEDFL, "run", str(study), "--engine", "ray", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if " round " in line:
                process.send_signal(signal.SIGINT)
                break
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert json.loads(out)["runs"][0]["status"] == "interrupted"
    assert "Traceback" not in err
    (run,) = typed("runs", "--json").json
    resumed = typed_apart("resume", run["run"], "--address", "local", "--json")
    assert resumed.code == 0, resumed.err
    (finished,) = resumed.json["runs"]
    assert (finished["status"], finished["model"], finished["metrics"]) == (
        "finished",
        whole["model"],
        whole["metrics"],
    )


@dataclass(frozen=True)
class Machines:
    """Two nodes of a Ray cluster on this machine, and where it is reached."""

    address: str
    nodes: tuple[subprocess.Popen[str], ...]

    def lose_one(self) -> None:
        """Kill the second node as a power cut would: its raylet, with which its workers end."""
        (raylet,) = [one for one in below(self.nodes[1].pid) if words_of(one)[0].endswith("/raylet")]
        os.kill(raylet, signal.SIGKILL)


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machines]:
    for name, word in {"USAGE_STATS_ENABLED": "0", "AUTH_MODE": "token", "AUTH_TOKEN": secrets.token_hex(32)}.items():
        monkeypatch.setenv(f"RAY_{name}", word)
    with ExitStack() as stack:
        # Ray's sockets lie deep in this folder, and their paths may not be long.
        folder = stack.enter_context(TemporaryDirectory(prefix="medfl-rt-", dir="/tmp", ignore_cleanup_errors=True))
        first, said = node(stack, "--head", "--port=0", "--include-dashboard=false", f"--temp-dir={folder}")
        found = re.search(r"--address='([^']+)'", said)
        assert found is not None, said
        second, _ = node(stack, f"--address={found[1]}")
        yield Machines(found[1], (first, second))


def node(stack: ExitStack, *words: str) -> tuple[subprocess.Popen[str], str]:
    """Start a node with one processor; return its process and what it said until it was there."""
    program = "from ray.scripts.scripts import main; main()"
    command = (sys.executable, "-c", program, "start", "--block", "--num-cpus=1", *words)
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert process.stdout is not None
    stack.callback(process.wait)
    stack.callback(process.stdout.close)
    stack.callback(process.terminate)
    said = ""
    for line in process.stdout:
        said += line
        if "Process exit logs" in line:
            return process, said
    raise AssertionError(said)


def test_a_machine_that_is_lost_costs_time_and_nothing_else(
    tiny: Path, study: Study, machines: Machines, expected: Rounds
) -> None:
    exchanges = 0

    def lose(answers: list[Reply | Refusal]) -> list[Reply | Refusal]:
        nonlocal exchanges
        exchanges += 1
        if exchanges == 4:
            machines.lose_one()
        return answers

    opening = worker.opening(study, Sources(tiny.parent, tiny.parent / "vaults"))
    with Cluster(address=machines.address, wanted=len(NAMES)) as cluster:
        assert cluster.workers == 2
        engine = RayEngine(NAMES, cluster=cluster, module=worker.__name__, opening=opening)
        events, error = rehearse(study, Through(engine, lose))
    assert error is None
    assert exchanges > 4
    assert rounds(events) == expected
