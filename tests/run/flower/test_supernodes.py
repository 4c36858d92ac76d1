"""The exported app on Flower as it comes: flwr run, a SuperLink, stock SuperNodes. Minutes, so `make supernodes`."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from threading import Event
from zipfile import ZipFile

import pytest

from medfl.flower_app import write
from medfl.flower_home import Made, introduce, settle
from medfl.hub.pages.coded import FLOWER, written
from medfl.run.flower.superlink import HOST, QUIET, free_port
from medfl.store.home import Home
from medfl.store.shelf import whole_execution
from medfl.testing import dropping
from medfl.testing.command import typed
from medfl.testing.federation import NAMES
from medfl.testing.policies import text

pytestmark = [
    pytest.mark.skipif(os.environ.get("MEDFL_SUPERNODES") != "1", reason="takes minutes: make supernodes"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


@contextmanager
def running(command: Sequence[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    """Run a process of Flower's, and end it by its id."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def flower(folder: Path, port: int) -> dict[str, str]:
    """Return the environment of a Flower that keeps to a folder, reports to nobody and knows one SuperLink."""
    home = folder / "flwr"
    home.mkdir()
    address = f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "{HOST}:{port}"\ninsecure = true\n'
    (home / "config.toml").write_text(address, encoding="utf-8")
    path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
    ours = {"FLWR_HOME": str(home), "PATH": path, "MEDFL_HOME": str(folder / "journal"), "RAY_USAGE_STATS_ENABLED": "0"}
    return os.environ | QUIET | ours


def listening(port: int, log: Path) -> None:
    until, pause = time.monotonic() + 120, Event()
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            assert time.monotonic() < until, log.read_text(encoding="utf-8")
            pause.wait(0.1)
        else:
            return


def hospitals(folder: Path, names: Sequence[str]) -> dict[str, Made]:
    """Return the hospitals, introduced to each other, as their people would do it."""
    made = {name: settle(name, folder / f"{name}.csv", folder / f"home-{name}") for name in names}
    for name, one in made.items():
        (one.place.home / "policy.toml").write_text(text(), encoding="utf-8")
        for other in names:
            if other != name:
                introduce(made[other].me.card, one.place.home)
    return made


def carried_out(folder: Path, nodes: Mapping[str, str], *options: str, simulation: bool = False) -> tuple[str, float]:
    """Start a SuperLink, a stock SuperNode for each node config, and the app; return what Flower said, and seconds."""
    port = free_port()
    environment = flower(folder, port)
    plain = ("--insecure", "--disable-runtime-dependency-installation", *(["--simulation"] if simulation else []))
    with ExitStack() as stack:
        link = ("flower-superlink", *plain, "--host", HOST, "--port", str(port))
        stack.enter_context(running(link, environment, folder / "link.log"))
        listening(port, folder / "link.log")
        for name, told in nodes.items():
            node = ("flower-supernode", "--insecure", "--superlink", f"{HOST}:{port}", "--port", str(free_port()))
            stack.enter_context(running((*node, "--node-config", told), environment, folder / f"{name}.log"))
        began = time.monotonic()
        told = f'home="{folder}/journal" wait=300'
        done = subprocess.run(
            ("flwr", "run", str(folder / "app"), "here", "--stream", "--run-config", told, *options),
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=800, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout, time.monotonic() - began


@pytest.mark.parametrize(
    ("names", "exchanges"),
    [(("east", "west"), 5), (NAMES, 9)],
    ids=["two sites in clear", "three sites with secure aggregation"],
)
def test_stock_supernodes_give_the_model_of_one_process(
    names: tuple[str, ...], exchanges: int, edited: Callable[..., Path]
) -> None:
    study = edited(("rounds = 4", "rounds = 1"), more="[evaluation]\nbootstrap = 20\n")
    for name in set(NAMES) - set(names):
        edited((f'{name} = "{name}.csv"\n', ""))
    folder = study.parent
    write(study, folder / "app")
    (here,) = typed("run", study, "--home", folder / "here", "--json").json["runs"]
    made = hospitals(folder, names)
    said, seconds = carried_out(folder, {name: shlex.split(one.node_config)[0] for name, one in made.items()})
    assert f"model {here['model']}" in said
    (run,) = typed("runs", "--home", folder / "journal", "--json").json
    there = typed("show", run["run"], "--home", folder / "journal", "--json").json
    assert (there["status"], there["model"]) == ("finished", here["model"])
    sys.stdout.write(f"{len(names)} stock SuperNodes: {seconds:.0f} s, {seconds / exchanges:.0f} s an exchange\n")


DEALT = """
[study]
name = "tumours"

[data]
target = "diagnosis"
positive = "malignant"

[data.simulate]
bundled = "breast-cancer"
sites = {sites}

[algorithm]
kind = "fedavg"
rounds = 2

[evaluation]
bootstrap = 20
baselines = ["centralised"]
"""
SAME = "the models are those of the study, to the bit"


def taken_along(folder: Path, sites: int, *, left: str = "") -> list[str]:
    """Carry a study out here, which a site may leave; take it along as its page gives it, and return its models."""
    study = folder / "study.toml"
    study.write_text(DEALT.format(sites=sites), encoding="utf-8")
    if left:
        view = dropping.carried_out(study, folder / "here", site=left, after=1)
    else:
        first = typed("run", study, "--home", folder / "here", "--json").json["runs"][0]["run"]
        with Home(folder / "here") as home:
            view = whole_execution(home, first.partition("-")[0])
    archive = written(view, FLOWER)
    with ZipFile(BytesIO(archive)) as files:
        files.extractall(folder)
    (folder / "medfl-tumours").rename(folder / "app")
    return [str(run.model) for run in view.runs]


def test_a_site_that_was_left_out_by_hand_leaves_flowers_own_simulation_too(tmp_path: Path) -> None:
    models = taken_along(tmp_path, 4, left="site-02")
    said, _ = carried_out(
        tmp_path, {}, "--federation-config", "num-supernodes=4 client-resources-num-cpus=1", simulation=True
    )
    assert SAME in said
    assert all(model in said for model in models)
    assert "round 2: site-01, site-03 and site-04" in said


def test_flowers_own_simulation_gives_the_models_of_the_journal(tmp_path: Path) -> None:
    models = taken_along(tmp_path, 3)
    said, seconds = carried_out(
        tmp_path, {}, "--federation-config", "num-supernodes=3 client-resources-num-cpus=1", simulation=True
    )
    assert SAME in said
    assert all(model in said for model in models)
    sys.stdout.write(f"Flower's simulation of 3 sites, secure sums: {seconds:.0f} s\n")


def test_two_stock_supernodes_give_the_models_of_the_journal(tmp_path: Path) -> None:
    models = taken_along(tmp_path, 2)
    nodes = {f"node-{number}": f"partition-id={number} num-partitions=2" for number in range(2)}
    said, seconds = carried_out(tmp_path, nodes)
    assert SAME in said
    assert all(model in said for model in models)
    sys.stdout.write(f"2 stock SuperNodes with shares of one table: {seconds:.0f} s\n")
