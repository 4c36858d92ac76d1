"""The exported app on Flower as it comes: flwr run, a SuperLink, stock SuperNodes. Minutes, so `make supernodes`."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event

import pytest

from medfl.flower_app import write
from medfl.flower_home import Made, introduce, settle
from medfl.run.flower.superlink import HOST, QUIET, free_port
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
    return os.environ | QUIET | {"FLWR_HOME": str(home), "PATH": path}


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


def carried_out(folder: Path, names: Sequence[str]) -> tuple[str, float]:
    """Start a SuperLink, a stock SuperNode for each hospital, and the app; return what Flower said, and seconds."""
    port = free_port()
    environment = flower(folder, port)
    plain = ("--insecure", "--disable-runtime-dependency-installation")
    with ExitStack() as stack:
        link = ("flower-superlink", *plain, "--host", HOST, "--port", str(port))
        stack.enter_context(running(link, environment, folder / "link.log"))
        listening(port, folder / "link.log")
        for name, made in hospitals(folder, names).items():
            (told,) = shlex.split(made.node_config)
            node = ("flower-supernode", "--insecure", "--superlink", f"{HOST}:{port}", "--port", str(free_port()))
            stack.enter_context(running((*node, "--node-config", told), environment, folder / f"{name}.log"))
        began = time.monotonic()
        told = f'home="{folder}/journal" wait=300'
        done = subprocess.run(
            ("flwr", "run", str(folder / "app"), "here", "--stream", "--run-config", told),
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
    said, seconds = carried_out(folder, names)
    assert f"model {here['model']}" in said
    (run,) = typed("runs", "--home", folder / "journal", "--json").json
    there = typed("show", run["run"], "--home", folder / "journal", "--json").json
    assert (there["status"], there["model"]) == ("finished", here["model"])
    sys.stdout.write(f"{len(names)} stock SuperNodes: {seconds:.0f} s, {seconds / exchanges:.0f} s an exchange\n")
