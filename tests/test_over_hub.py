"""Studies over a hub and three enrolled sites, each a process of its own, through the hub's one HTTPS port."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from medfl.events import RoundFinished
from medfl.hosting import submit
from medfl.hub.asked import Asked
from medfl.hub.people.audit import By
from medfl.hub.people.consortium import People
from medfl.hub.people.entrance import COOKIE
from medfl.hub.people.permits import Role
from medfl.hub.place import HubPlace
from medfl.hub.told import Told
from medfl.inspection import opened
from medfl.site.audit import AuditLog
from medfl.site.datasets import DataSet, Datasets
from medfl.site.enrolled import SiteHome
from medfl.site.place import Place
from medfl.site.rules_template import template
from medfl.store.home import Home
from medfl.testing.command import MEDFL, typed
from medfl.testing.federation import NAMES, tables
from medfl.testing.hub import LOOPBACK, enrolled, made, served
from medfl.versions import SPOKEN, Speaks

POLICY = (
    template()
    .replace('mode = "each"', 'mode = "within-policy"')
    .replace('ranges = "rounded"', 'ranges = "exact"')
    .replace("minimum_rows = 50", "minimum_rows = 40")
    .replace("minimum = 5", "minimum = 1")
    .replace("minimum_test_rows = 20", "minimum_test_rows = 1")
    .replace("minimum_difference = 5", "minimum_difference = 1")
    .replace("studies = []", 'studies = "any"')
)
STUDY = """
[study]
name = "tiny"
seed = 7

[data]
target = "sick"
sites = { east = "east.csv", north = "north.csv", west = "west.csv" }

[model]
kind = "logistic"

[training]
batch_size = 16

[algorithm]
kind = "fedavg"
rounds = 2

[evaluation]
bootstrap = 20
"""


@dataclass
class Consortium:
    """A hub and its sites."""

    folder: Path
    hub: HubPlace
    stack: ExitStack
    homes: dict[str, SiteHome] = field(default_factory=dict)
    serving: subprocess.Popen[str] | None = None
    agents: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self) -> None:
        """Start the hub, and return when it listens."""
        command = [*MEDFL, "hub", "start", "--bind", LOOPBACK, "--home", str(self.hub.folder)]
        self.serving = self._process(command)
        assert self.serving.stdout is not None
        assert "listens" in self.serving.stdout.readline()

    def answer(self, name: str) -> subprocess.Popen[str]:
        """Start a site's agent."""
        process = self._process([*MEDFL, "site", "start", "--home", str(self.homes[name].folder)])
        self.agents.append(process)
        return process

    def study(self, name: str, **more: str) -> Path:
        """Write a study of the sites' tables, and return its path."""
        text = STUDY.replace('"tiny"', f'"{name}"')
        for old, new in more.items():
            text = text.replace(f"{old} = 2", f"{old} = {new}")
        path = self.folder / f"{name}.toml"
        path.write_text(text)
        return path

    def results(self, execution: str) -> dict[str, Any]:
        """Return what became of an execution, once it is done."""
        until(lambda: execution not in self.hub.queue.waiting())
        found: dict[str, Any] = typed("show", f"{execution}-1", "--home", self.hub.folder, "--json").json
        return found

    def rounds(self, execution: str) -> int:
        """Return how many rounds are finished."""
        with Home(self.hub.folder) as home:
            read = home.journal.read(kinds=(RoundFinished.__name__,))
            return sum(recorded.event.run == f"{execution}-1" for recorded in read)

    def _process(self, command: list[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

        def end() -> None:
            with process:
                process.terminate()

        self.stack.callback(end)
        return process


def until(true: Callable[[], bool], seconds: float = 200) -> None:
    """Return when something is true; it happens in other processes, so it is looked at again and again."""
    deadline, pause = time.monotonic() + seconds, Event()
    while not true():
        assert time.monotonic() < deadline, "it never was"
        pause.wait(0.1)


def worker(agent: subprocess.Popen[str]) -> int:
    """Return the id of the process that works for an agent."""
    for path in Path(f"/proc/{agent.pid}/task").iterdir():
        for child in (path / "children").read_text().split():
            return int(child)
    raise LookupError(agent.pid)


def coordinator(execution: str) -> int:
    """Return the id of the process that carries an execution out."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if b"medfl.coordinating" in words and execution.encode() in words:
                return int(path.parent.name)
    raise LookupError(execution)


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    folder = tmp_path_factory.mktemp("consortium")
    with ExitStack() as stack:
        consortium = Consortium(folder, made(folder / "hub"), stack)
        consortium.start()
        consortium.homes = enrolled(consortium.hub, folder, *NAMES)
        for name, table in tables().items():
            path, place = folder / f"{name}.csv", Place(consortium.homes[name].folder)
            table.to_csv(path, index=False)
            Datasets(place).add(path.name, DataSet(source=str(path), target="sick"))
            place.policy.write_text(POLICY)
            consortium.answer(name)
        yield consortium


def heard(log: Path) -> bool:
    """Say whether a site's log ends with what it was told of a run that was stopped."""
    return bool(list(AuditLog(log).read())[-1].get("task") == "stopped")


def in_process(study: Path) -> str:
    """Return the digest of the model that one process makes of a study."""
    said = typed("run", study, "--home", study.parent / "in one process", "--json")
    assert said.code == 0, said.err
    return str(said.json["runs"][0]["model"])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_model_is_that_of_one_process(consortium: Consortium) -> None:
    """One hospital wants to read studies first: the study waits for it, and begins by itself once it is approved."""
    east, study = Place(consortium.homes["east"].folder), consortium.study("whole")
    east.policy.write_text(POLICY.replace('mode = "within-policy"', 'mode = "each"'))
    said = typed("submit", study, "--home", consortium.hub.folder, "--json").json
    until(lambda: stands(consortium, said["execution"]) == ("waiting", "approved", "approved"))
    assert said["execution"] in consortium.hub.queue.waiting()
    assert typed("site", "approve", study, "--home", east.folder).code == 0
    east.policy.write_text(POLICY)
    found = consortium.results(said["execution"])
    assert (found["status"], found["model"]) == ("finished", in_process(study))
    assert "whole" in typed("runs", "--home", consortium.hub.folder).out
    log = (consortium.homes["east"].folder / "log").rglob("*")
    assert any(path.is_file() and b'"train"' in path.read_bytes() for path in log), "it is in the site's audit log"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_study_is_launched_in_a_browser_refused_approved_and_gives_the_same_model(consortium: Consortium) -> None:
    """Over the hub's own port: whoever is not signed in sees nothing, and the page follows what a site's people say."""
    study, east = consortium.study("by-hand"), Place(consortium.homes["east"].folder)
    east.policy.write_text(POLICY.replace('mode = "within-policy"', 'mode = "each"'))
    with browsing(consortium.hub) as browser:
        assert browser.get("/queue", headers={"cookie": ""}).headers["location"].startswith("/sign-in")
        csrf = browser.get("/sites").text.partition('x-csrf-token": "')[2].partition('"')[0]
        sent = browser.post("/studies", data={"csrf": csrf, "text": study.read_text()})
        assert sent.status_code == 303, sent.text
        execution = sent.headers["location"].split("/")[2]
        page = partial(shown, browser, f"/api/studies/{execution}/launch")
        until(lambda: page()["sites"][0]["stand"] == "waiting")
        assert page()["waits_for"] == "It waits for the people of east, who have to read and approve it."
        assert typed("site", "refuse", study, "--reason", "no vote yet", "--home", east.folder).code == 0
        until(lambda: not page()["queued"])
        assert page()["sites"][0]["stand"] == "refused"
        assert page()["sites"][0]["why"].endswith("no vote yet")
        assert typed("site", "approve", study, "--home", east.folder).code == 0
        later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        assert browser.post(f"/studies/{execution}/go-on", data={"csrf": csrf}).status_code == 303
        assert (
            browser.post(f"/studies/{execution}/put-off", data={"csrf": csrf, "not_before": later}).status_code == 303
        )
        assert page()["not_before"] == later
        assert browser.post(f"/studies/{execution}/put-off", data={"csrf": csrf}).status_code == 303
        found = consortium.results(execution)
        assert (found["status"], found["model"]) == ("finished", in_process(study))
        assert shown(browser, f"/api/studies/{execution}/results")["study"] == "by-hand"
        assert shown(browser, "/api/sites/east")["site"]["connected"]
    east.policy.write_text(POLICY)


@contextmanager
def browsing(hub: HubPlace) -> Iterator[httpx.Client]:
    """Return a browser in which a coordinator has signed in."""
    people = People.at(hub.folder, name=hub.about.name)
    people.accounts.add("ada", "Ada", [Role.COORDINATOR], [], by=By("", "command", ""))
    secret = people.sessions.begin("ada", address=LOOPBACK, agent="test")
    trusted = ssl.create_default_context(cafile=hub.authority_file)
    where = f"https://{LOOPBACK}:{hub.about.port}"
    head = {"cookie": f"{COOKIE}={secret}"}
    with httpx.Client(base_url=where, verify=trusted, headers=head, trust_env=False, timeout=60) as client:
        yield client


def shown(browser: httpx.Client, path: str) -> dict[str, Any]:
    """Return a page, for programs."""
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def stands(consortium: Consortium, execution: str) -> tuple[str, ...]:
    """Return what the sites said when they were asked, by name."""
    asked = Asked.of(consortium.hub.folder, execution)
    return tuple(asked.now(site, Told()).said for site in sorted(asked.sites))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_hub_that_is_killed_goes_on_by_itself_and_so_does_a_runs_process(consortium: Consortium) -> None:
    """With the hub end its SuperLink and the run's process; all go on where they were, and so do sites' workers."""
    study = consortium.study("killed", rounds="3")
    execution, _ = submit(consortium.hub, study)
    until(lambda: consortium.rounds(execution) >= 1)
    killed = [worker(agent) for agent in consortium.agents]
    for one in killed:
        os.kill(one, signal.SIGKILL)
    assert consortium.serving is not None
    os.kill(consortium.serving.pid, signal.SIGKILL)
    consortium.serving.wait()
    assert execution in consortium.hub.queue.waiting()
    consortium.start()
    until(lambda: consortium.rounds(execution) >= 2)
    os.kill(coordinator(execution), signal.SIGKILL)
    found = consortium.results(execution)
    assert (found["status"], found["model"]) == ("finished", in_process(study))
    assert not set(killed) & {worker(agent) for agent in consortium.agents}
    told = typed("hub", "sites", "--home", consortium.hub.folder, "--json").json
    assert {one["version"] for one in told} == {version("medfl")}
    lines = typed("hub", "log", "--site", "east", "--home", consortium.hub.folder).out
    assert f"train of run {execution}"[:24] in lines and "answered in" in lines


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_that_is_stopped_tells_its_sites_and_resumes_to_the_same_model(consortium: Consortium) -> None:
    study, home = consortium.study("halted", rounds="8"), consortium.hub.folder
    execution, _ = submit(consortium.hub, study)
    until(lambda: consortium.rounds(execution) >= 1)
    said = typed("stop", execution, "--home", home, "--json")
    assert said.code == 0, said.err
    assert said.json["status"] == "stopped"
    assert said.json["rounds"] == consortium.rounds(execution) < 8
    assert execution not in consortium.hub.queue.waiting()
    for place in consortium.homes.values():
        until(partial(heard, place.folder / "log"))
    assert typed("stop", execution, "--home", home).code == 0, "once more changes nothing"
    assert typed("resume", f"{execution}-1", "--home", home).code == 0
    found = consortium.results(execution)
    assert (found["status"], found["model"]) == ("finished", in_process(study))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_hub_that_is_restored_from_an_older_backup_goes_on_to_the_same_model(consortium: Consortium) -> None:
    """Rounds done since are asked for again; sites need no enrolment, and answer with the replies that they keep."""
    study, home, file = consortium.study("restored", rounds="5"), consortium.hub.folder, consortium.folder / "hub.tar"
    execution, _ = submit(consortium.hub, study)
    until(lambda: consortium.rounds(execution) >= 1)
    assert typed("hub", "backup", file, "--home", home).code == 0
    copied = consortium.rounds(execution)
    until(lambda: consortium.rounds(execution) >= copied + 2)
    assert consortium.serving is not None
    os.kill(consortium.serving.pid, signal.SIGKILL)
    consortium.serving.wait()
    home.rename(consortium.folder / "lost")
    said = typed("hub", "restore", file, "--home", home)
    assert said.code == 0, said.err
    assert consortium.rounds(execution) <= copied
    assert execution in consortium.hub.queue.waiting()
    consortium.start()
    found = consortium.results(execution)
    assert (found["status"], found["model"]) == ("finished", in_process(study))
    assert {site.status for site in consortium.hub.register.sites()} == {"approved"}


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('west = "west.csv"', 'west = "west.csv", south = "south.csv"', "south: unknown"),
        ("bootstrap = 20", 'baselines = ["centralised"]', "no rows leave a hospital"),
        (
            'sites = { east = "east.csv", north = "north.csv", west = "west.csv" }',
            'simulate = { table = "east.csv", sites = 3, partition = "iid" }',
            "which enrolled sites take part",
        ),
    ],
)
def test_what_a_hub_cannot_run_is_refused(tmp_path: Path, old: str, new: str, what: str) -> None:
    hub = made(tmp_path / "hub")
    assert old in STUDY
    (tmp_path / "study.toml").write_text(STUDY.replace(old, new))
    said = typed("submit", tmp_path / "study.toml", "--home", hub.folder)
    assert said.code == 2
    assert what in said.err or "not all sites of the study are enrolled" in said.err
    assert hub.queue.waiting() == []


def test_a_study_is_held_against_what_its_sites_have_told(tmp_path: Path) -> None:
    hub = made(tmp_path / "hub")
    with served(hub):
        enrolled(hub, tmp_path, "east", "north", "west")
    age, sick = {"name": "age", "kind": "numeric"}, {"name": "sick", "kind": "categorical", "categories": ["0", "1"]}
    told = Told()
    told.hear({"tell": "catalogue", "all": ["east.csv"], "hardware": {"cores": 4, "memory": 8, "gpu": False}})
    entry = {"target": "sick", "columns": [age, sick], "balance": {"parts": {"0": 10, "1": 0}, "of": 10}}
    told.hear({"tell": "catalogue", "dataset": "east.csv", "entry": entry})
    told.keep(hub.folder, "east")
    shown = typed("hub", "catalogue", "--home", hub.folder)
    assert "east works on a machine with 4 cores, about 8 GB of memory, no GPU." in shown.out
    assert "balance of sick: 0: over 90%, 1: under 10%" in shown.out
    file = tmp_path / "study.toml"
    file.write_text(STUDY)
    said = typed("submit", file, "--check", "--home", hub.folder)
    assert said.code == 0, said.err
    assert "fits what its sites have told" in said.out and "Not told, and so not checked: north, west" in said.err
    assert typed("submit", file, "--check", "--home", hub.folder, "--json").json["not_told"] == ["north", "west"]
    file.write_text(STUDY.replace('target = "sick"', 'target = "sick"\nfeatures = ["agee"]'))
    for words in (("--check",), ()):
        said = typed("submit", file, *words, "--home", hub.folder)
        assert (said.code, "Traceback" in said.err) == (2, False)
        assert "site east: east has no column 'agee'; 'age' may be it" in said.err
        assert "did you mean 'age'?" in said.err
    told.speaks = Speaks("9.0", {**SPOKEN, "wire": (4, 4)})
    told.keep(hub.folder, "east")
    said = typed("submit", file, "--home", hub.folder)
    assert said.code == 2
    assert "upgrade MEDfl at the hub, to 9.0" in said.err
    assert hub.queue.waiting() == []


def test_a_run_of_a_hub_that_does_not_run_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = made(tmp_path / "hub")
    (tmp_path / "study.toml").write_text(STUDY)
    monkeypatch.setattr("medfl.hosting.require_enrolled", lambda hub, study: ())
    execution, study = submit(hub, tmp_path / "study.toml")
    assert study.digest == opened(tmp_path / "study.toml")[0].digest
    assert hub.queue.waiting() == [execution]
    said = typed("resume", f"{execution}-1", "--home", hub.folder)
    assert said.code == 1
    assert "medfl hub start" in said.err
