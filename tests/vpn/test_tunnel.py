"""A real tunnel: hub and site in a network namespace each, WireGuard in between, a study through it and not around it.

It needs root, wireguard-go, wg, wg-quick and ip, and skips where one is missing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from medfl.hosting import submit
from medfl.hub.place import About, HubPlace
from medfl.site.datasets import DataSet, Datasets
from medfl.site.enrolled import SiteHome
from medfl.site.place import Place
from medfl.site.rules_template import template
from medfl.testing.command import MEDFL, typed
from medfl.testing.federation import tables
from medfl.testing.hub import invited

HUB, SITE, INSIDE, PORT = "192.0.2.1", "192.0.2.2", "10.77.0.1", "8443"
CALL = """
import http.client, json, ssl, sys
from base64 import b64encode
from pathlib import Path
host, root, key = sys.argv[1], sys.argv[2], Path(sys.argv[3]).read_bytes()
line = http.client.HTTPSConnection(host, 8443, context=ssl.create_default_context(cafile=root), timeout=20)
line.connect()
here = line.sock.getsockname()[0]
line.request("POST", "/v1/fleet/pull-messages", body=b"", headers={"flwr-public-key": b64encode(key).decode()})
answer = line.getresponse()
print(json.dumps({"code": answer.status, "said": answer.read().decode("latin-1"), "from": here}))
"""
STUDY = """
[study]
name = "tunnelled"
seed = 7

[data]
target = "sick"
sites = { east = "east.csv" }

[model]
kind = "logistic"

[algorithm]
kind = "fedavg"
rounds = 1

[evaluation]
bootstrap = 20
"""


def missing() -> str:
    """Return what this machine lacks; nothing where all is there."""
    lacking = [tool for tool in ("wireguard-go", "wg", "wg-quick", "ip") if shutil.which(tool) is None]
    if os.geteuid() != 0:
        lacking.append("root")
    elif not lacking and subprocess.run(["ip", "netns", "add", probe()], capture_output=True, check=False).returncode:
        lacking.append("the right to make network namespaces")
    elif not lacking:
        subprocess.run(["ip", "netns", "del", probe()], check=True)
    if not Path("/dev/net/tun").exists():
        lacking.append("/dev/net/tun")
    return ", ".join(lacking)


def probe() -> str:
    return f"medfl-{os.getpid()}"


@dataclass
class End:
    """One machine: a namespace, with one line to the other."""

    name: str
    stack: ExitStack

    def __post_init__(self) -> None:
        ran("ip", "netns", "add", self.name)
        self.stack.callback(ran, "ip", "netns", "del", self.name)

    @property
    def inside(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name)

    def does(self, *words: object) -> str:
        return ran(*self.inside, *map(str, words))

    def medfl(self, *words: object) -> str:
        return self.does(*MEDFL, *words)

    def goes_on(self, *words: str, until: str, **more: str) -> subprocess.Popen[str]:
        """Start a process that stays, and return once it says something."""
        process = subprocess.Popen(
            [*self.inside, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | more
        )

        def end() -> None:
            with process:
                process.terminate()

        self.stack.callback(end)
        assert process.stdout is not None
        said = ""
        while until not in said:
            line = process.stdout.readline()
            assert line, f"{words[0]} ended: {said}"
            said += line
        return process

    def brings_up(self, file: Path) -> str:
        """Do what wg-quick does with a configuration, with WireGuard as a process; return the interface."""
        interface = self.name.replace("medfl", "m")
        self.goes_on("wireguard-go", "-f", interface, until="UAPI listener started", LOG_LEVEL="debug")
        stripped = file.parent / "stripped"
        stripped.touch(mode=0o600)
        stripped.write_text(ran("wg-quick", "strip", str(file)))
        self.does("wg", "setconf", interface, stripped)
        said = [line.partition(" = ")[::2] for line in file.read_text().splitlines()]
        self.does("ip", "address", "add", next(value for name, value in said if name == "Address"), "dev", interface)
        self.does("ip", "link", "set", interface, "up")
        for value in (value for name, value in said if name == "AllowedIPs"):
            self.does("ip", "route", "replace", value, "dev", interface)
        return interface


@dataclass
class Pair:
    """A hub and a hospital, each on a machine of its own."""

    hub: End
    site: End
    place: HubPlace
    home: SiteHome
    tunnel: list[str] = field(default_factory=list)

    def called(self, host: str) -> Any:
        """Call as the hospital's agent does."""
        key = self.place.folder / "key-of-east"
        key.touch(mode=0o600)
        key.write_text(self.place.register.named("east").node)
        return json.loads(self.site.does(sys.executable, "-c", CALL, host, self.place.authority_file, key))

    def status(self) -> Any:
        return json.loads(self.site.medfl("vpn", "status", "--site", self.home.folder, "--json"))["site"]

    def carried(self) -> int:
        """Return how many bytes the hospital has sent through the tunnel."""
        return int(self.site.does("wg", "show", self.tunnel[1], "transfer").split()[2])


def ran(*words: str) -> str:
    """Return what a command says."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr} {done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    if lacking := missing():
        pytest.skip(f"a real tunnel needs {lacking}")
    folder = tmp_path_factory.mktemp("pair")
    with ExitStack() as stack:
        hub, site = (End(f"medfl{os.getpid() % 10**6}{end}", stack) for end in "hs")
        lines = [end.name.replace("medfl", "v") for end in (hub, site)]
        ran("ip", "link", "add", lines[0], "netns", hub.name, "type", "veth", "peer", lines[1], "netns", site.name)
        for end, line, where in zip((hub, site), lines, (HUB, SITE), strict=True):
            end.does("ip", "address", "add", f"{where}/24", "dev", line)
            end.does("ip", "link", "set", line, "up")
            end.does("ip", "link", "set", "lo", "up")
        yield enrolled(Pair(hub, site, HubPlace(folder / "hub"), SiteHome(folder / "east")), lines[1])


def enrolled(pair: Pair, line: str) -> Pair:
    """Make the hub with its VPN, start it, and enrol the hospital."""
    hub, home = pair.place.folder, pair.home.folder
    pair.place.make(About("Test hub", HUB, int(PORT)))
    pair.hub.medfl("vpn", "init", "--require", "--home", hub)
    pair.hub.goes_on(*MEDFL, "hub", "start", "--home", str(hub), until="listens")
    pair.site.medfl("site", "enrol", invited(pair.place, "east"), "--no-wait", "--home", home)
    pair.place.register.approve("east", pair.place.authority)
    pair.site.medfl("site", "status", "--home", home)
    pair.tunnel.append(line)
    return pair


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_study_goes_through_the_tunnel_and_not_around_it(pair: Pair, tmp_path: Path) -> None:
    around = pair.called(HUB)
    assert (around["code"], around["from"]) == (403, SITE)
    assert "through its VPN only" in around["said"]

    pair.site.medfl("vpn", "join", "--home", pair.home.folder)
    assert not pair.status()["up"]
    pair.hub.brings_up(pair.place.vpn.configuration)
    pair.tunnel.append(pair.site.brings_up(pair.home.vpn / "medfl.conf"))
    status = pair.status()
    assert (status["up"], status["answers"]) == (True, "yes: the site is approved")
    assert json.loads(pair.hub.medfl("vpn", "status", "--hub", pair.place.folder, "--json"))["hub"]["up"]

    through = pair.called(INSIDE)
    assert through["from"] == "10.77.0.2"
    assert "VPN" not in through["said"], "it reached the SuperLink, which wants a signature"
    assert pair.called(HUB)["code"] == 403, "the way around stays closed"

    before = pair.carried()
    assert finished(pair, tmp_path) == "finished"
    assert pair.carried() - before > 5000, "requests and answers went through the tunnel"

    pair.site.does("ip", "link", "set", pair.tunnel[1], "down")
    status = pair.status()
    assert status["answers"].startswith("no: the hub cannot be reached"), "it is not asked at its outer address"
    pair.site.does("ip", "route", "replace", f"{INSIDE}/32", "via", HUB, "dev", pair.tunnel[0])
    outside = pair.called(INSIDE)
    assert (outside["code"], outside["from"]) == (403, SITE), "the inner address without the tunnel is no way in"
    log = pair.place.log.read_text(encoding="utf-8")
    assert f"a call from {SITE} to {HUB}" in log
    assert f"a call from {SITE} to {INSIDE}" in log


@pytest.mark.slow
def test_an_address_of_tailscale_is_found_on_an_interface(pair: Pair) -> None:
    asking = "from medfl.tunnel import tailscale_address; print(tailscale_address())"
    with pytest.raises(AssertionError, match="has no address in a Tailscale network"):
        pair.hub.does(sys.executable, "-c", asking)
    line = pair.hub.name.replace("medfl", "v")
    pair.hub.does("ip", "address", "add", "100.64.0.5/10", "dev", line)
    assert pair.hub.does(sys.executable, "-c", asking).strip() == "100.64.0.5"


def finished(pair: Pair, folder: Path) -> str:
    """Run a study of one round at the hospital; return how it ended."""
    place = Place(pair.home.folder)
    tables()["east"].to_csv(folder / "east.csv", index=False)
    Datasets(place).add("east.csv", DataSet(source=str(folder / "east.csv"), target="sick"))
    place.policy.write_text(
        template()
        .replace('mode = "each"', 'mode = "within-policy"')
        .replace("secure_aggregation = true", "secure_aggregation = false")
        .replace('ranges = "rounded"', 'ranges = "exact"')
        .replace("minimum_rows = 50", "minimum_rows = 40")
        .replace("minimum = 5", "minimum = 1")
        .replace("minimum_test_rows = 20", "minimum_test_rows = 1")
        .replace("minimum_difference = 5", "minimum_difference = 1")
        .replace("studies = []", 'studies = "any"')
    )
    (folder / "study.toml").write_text(STUDY)
    agent = pair.site.goes_on(*MEDFL, "site", "start", "--home", str(place.folder), until=f"({INSIDE}:{PORT})")
    execution, _ = submit(pair.place, folder / "study.toml")
    deadline, pause = time.monotonic() + 150, Event()
    while execution in pair.place.queue.waiting():
        assert time.monotonic() < deadline, "it never ended"
        pause.wait(0.2)
    agent.terminate()
    with suppress(subprocess.TimeoutExpired):
        agent.wait(timeout=30)
    found = typed("show", f"{execution}-1", "--json", "--home", pair.place.folder).json
    return str(found["status"] if found["status"] == "finished" else found)
