"""An agent's worker: warm, killable, bounded, ended with its agent; whatever becomes of it, the answer is the same."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest

from medfl.channel import Hardware
from medfl.errors import EngineError, OutOfMemoryError, RefusedError
from medfl.messages import LEDGERS, SITTING, Refusal, Reply, Request, write_frame
from medfl.site import agent_worker, workshop
from medfl.site.agent import Agent, Describing
from medfl.site.agent_worker import Hospital
from medfl.site.approvals import Approvals
from medfl.site.audit import AuditLog
from medfl.site.datasets import DataSet, Datasets
from medfl.site.enrolled import SiteHome
from medfl.site.limits import Limits
from medfl.site.place import require_going_on
from medfl.site.purse import hospital_ledger, secret_in
from medfl.site.rules_template import template
from medfl.site.workshop import TRIES, WORKER, Workshop
from medfl.spec.study import Study
from medfl.testing.algorithm_contract import print_of
from medfl.testing.federation import DECLARED, NAMES, overheard, sites, study, tables
from medfl.testing.hub import enrolled, made, served

OPEN = (
    template()
    .replace("secure_aggregation = true", "secure_aggregation = false")
    .replace('ranges = "rounded"', 'ranges = "exact"')
    .replace("minimum_rows = 50", "minimum_rows = 40")
    .replace("minimum = 5", "minimum = 1")
    .replace("minimum_test_rows = 20", "minimum_test_rows = 1")
    .replace("minimum_difference = 5", "minimum_difference = 1")
)
ROOM = Limits(memory=2 * 10**9)
SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from medfl.messages import Reply, Request
from medfl.site import agent_worker
lives = Path({lives!r})
lives.write_text(lives.read_text() + "x" if lives.exists() else "x")
life = len(lives.read_text())
answer = agent_worker.Hospital.answer
def other(self, request):
    {body}
agent_worker.Hospital.answer = other
agent_worker.main()
"""


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> SiteHome:
    """Return hospital east, enrolled with two others, with a table and an open policy."""
    folder = tmp_path_factory.mktemp("homes")
    with served(made(folder / "hub")) as hub:
        home = enrolled(hub, folder, *NAMES)["east"]
    tables()["east"].to_csv(folder / "east.csv", index=False)
    Datasets(home).add("ward", DataSet(source=str(folder / "east.csv"), target="sick"))
    home.policy.write_text(OPEN)
    secret_in(home.folder / "keys" / "noise")
    return home


@pytest.fixture
def home(homes: SiteHome, tmp_path: Path) -> SiteHome:
    return copied(homes, tmp_path / "east")


def copied(home: SiteHome, folder: Path) -> SiteHome:
    shutil.copytree(home.folder, folder)
    return SiteHome(folder)


def approve(home: SiteHome, asked: Study) -> None:
    Approvals(home).approve(asked, "ward", Datasets(home).named("ward"), by="person")


def begun(home: SiteHome, **how: object) -> Workshop:
    return Workshop({"home": str(home.folder)}, ROOM, **how)  # type: ignore[arg-type]


def scripted(folder: Path, body: str) -> tuple[str, ...]:
    """Return what starts a worker that answers in another way; `life` counts how often it was started."""
    script = folder / "worker.py"
    script.write_text(SCRIPT.format(lives=str(folder / "lives"), body=body))
    return (sys.executable, str(script))


def request(task: str = "describe", asked: Study | None = None) -> Request:
    asked = asked or study()
    made = Request(run="r-1", round=1, site="east", task="describe", study=asked.canonical, seed=asked.study.seed)
    return replace(made, task=task)  # type: ignore[arg-type]


def until(true: Callable[[], bool]) -> None:
    deadline, pause = time.monotonic() + 30, Event()
    while not true():
        assert time.monotonic() < deadline, "it never was"
        pause.wait(0.02)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def printed(answer: Reply | Refusal) -> object:
    assert isinstance(answer, Reply), answer
    said = {name: word for name, word in answer.content.items() if name != SITTING}
    return answer.request, json.dumps(said), print_of(answer.arrays)


def test_it_answers_as_the_hospital_does_with_one_warm_process(home: SiteHome, tmp_path: Path) -> None:
    asked = study()
    approve(home, asked)
    other = Hospital(copied(home, tmp_path / "other"))
    heard = [one for one, _ in overheard(asked, sites(tmp_path / "sites")) if one.site == "east"]
    with begun(home) as shop:
        assert shop.pid is None, "nobody works before there is work"
        pids = set[int | None]()
        for one in heard:
            assert printed(shop.answer(one)) == printed(other.answer(one))
            pids.add(shop.pid)
        assert len(pids) == 1
    lines = list(AuditLog(home.log).read())
    assert [line["verdict"] for line in lines if line["is"] == "request"] == ["answered"] * len(heard)


def test_the_agent_itself_stays_light() -> None:
    """What trains is loaded by the worker only."""
    code = (
        "import sys, medfl.site.agent, medfl.site.woken, medfl.run.flower.serving\n"
        "heavy = {'torch', 'pandas', 'opacus', 'medfl.site.reception'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "statm = open('/proc/self/statm').read().split()\n"
        "assert int(statm[1]) * 4096 < 200e6, statm\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_killed_worker_is_replaced_and_nothing_is_spent_twice(home: SiteHome, tmp_path: Path) -> None:
    """Killed after the noise was added and before the answer left: the second answer is the first one."""
    pytest.importorskip("dp_accounting")
    asked = study(
        data={"target": "sick"},
        preprocess={"impute": "mean"},
        privacy={"secure_aggregation": False, "dp": {"unit": "record", "epsilon": 5.0, **DECLARED}},
    )
    approve(home, asked)
    plain = Hospital(copied(home, tmp_path / "other"))
    heard = [one for one, _ in overheard(asked, sites(tmp_path / "sites")) if one.site == "east"]
    command = scripted(
        tmp_path,
        "said = answer(self, request)\n"
        "    if request.task == 'train' and life < 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return said",
    )
    with begun(home, command=command) as shop:
        for one in heard[:3]:
            # What the simulated site's ledger says is not this one's.
            own = replace(one, content={name: said for name, said in one.content.items() if name != LEDGERS})
            assert printed(shop.answer(own)) == printed(plain.answer(own))
    assert [one.task for one in heard[:3]] == ["describe", "prepare", "train"]
    assert (tmp_path / "lives").read_text() == "xxx"
    ledger, other = hospital_ledger(home.folder), hospital_ledger(tmp_path / "other")
    (dataset,) = ledger.datasets()
    assert ledger.pin().lines == other.pin().lines > 1
    assert ledger.total(dataset, 1e-5) == other.total(dataset, 1e-5) > 0


def test_a_request_that_kills_every_worker_is_refused_by_name_and_logged(home: SiteHome, tmp_path: Path) -> None:
    command = scripted(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    with begun(home, command=command) as shop:
        answer = Agent(home, shop).answer(request("train"))
        assert shop.pid is None
    assert isinstance(answer, Refusal)
    assert (answer.code, answer.site, answer.request) == ("engine", "east", "r-1/1/train/east")
    assert f"the site's worker died at the stage 'train', {TRIES} times in a row" in answer.reason
    assert (tmp_path / "lives").read_text() == "x" * TRIES
    (line,) = AuditLog(home.log).read()
    assert (line["verdict"], line["code"], line["task"], line["digest"]) == (
        "refused",
        "engine",
        "train",
        study().digest,
    )


def test_a_worker_that_is_killed_from_outside_is_replaced(home: SiteHome, tmp_path: Path) -> None:
    command = scripted(
        tmp_path,
        "(lives.parent / 'works').touch()\n    while life == 1: time.sleep(0.01)\n    return answer(self, request)",
    )
    approve(home, study())
    with begun(home, command=command) as shop:
        answers: list[Reply | Refusal] = []
        thread = Thread(target=lambda: answers.append(shop.answer(request())))
        thread.start()
        until((tmp_path / "works").exists)
        assert shop.pid is not None
        os.kill(shop.pid, signal.SIGKILL)
        thread.join(60)
    assert isinstance(answers[0], Reply)
    assert (tmp_path / "lives").read_text() == "xx"


def test_a_site_that_runs_out_of_memory_says_how_much_it_had(home: SiteHome, tmp_path: Path) -> None:
    command = scripted(
        tmp_path,
        "from medfl.site.reception import Reception\n"
        "    def greedy(self, request):\n"
        "        bytearray(10**12)\n"
        "    if life == 1: Reception.answer = greedy\n"
        "    return answer(self, request)",
    )
    approve(home, study())
    with begun(home, command=command) as shop:
        answer = Agent(home, shop).answer(request("train"))
        assert isinstance(answer, Refusal)
        assert answer.code == "memory"
        assert "out of memory at the stage 'train': the site needed more than the 2 GB that it may use" in answer.reason
        assert "medfl site start --memory" in answer.reason
        assert shop.pid is None, "what it held is given back"
        assert isinstance(shop.answer(request()), Reply)


def test_what_no_limit_of_the_system_stops_is_seen_from_outside(home: SiteHome, tmp_path: Path) -> None:
    script = tmp_path / "unbound.py"
    script.write_text("import time\nheld = bytearray(b'x') * 400_000_000\nwhile True: time.sleep(1)\n")
    shop = Workshop({}, Limits(memory=200_000_000), command=(sys.executable, str(script)))
    with shop, pytest.raises(OutOfMemoryError, match="more than the 200 MB that it may use"):
        shop.answer(request())


def test_a_pause_ends_what_is_under_way(home: SiteHome, tmp_path: Path) -> None:
    command = scripted(tmp_path, "(lives.parent / 'works').touch()\n    while True: time.sleep(1)")
    with begun(home, command=command, go_on=lambda: require_going_on(home)) as shop:
        agent, answers = Agent(home, shop), list[Reply | Refusal]()
        thread = Thread(target=lambda: answers.append(agent.answer(request())))
        thread.start()
        until((tmp_path / "works").exists)
        home.pause.touch()
        thread.join(60)
        assert isinstance(answers[0], Refusal)
        assert "the site is paused by its own people" in answers[0].reason
        with pytest.raises(RefusedError, match="paused"):
            shop.answer(request())


@pytest.mark.parametrize("busy", [False, True])
def test_it_does_not_outlive_a_killed_agent(busy: bool, home: SiteHome, tmp_path: Path) -> None:
    command = scripted(
        tmp_path,
        f"(lives.parent / 'works').touch()\n    while {busy}: time.sleep(1)\n    return answer(self, request)",
    )
    code = (
        "import sys\nfrom pathlib import Path\nfrom medfl.messages import Request\n"
        "from medfl.site.limits import Limits\nfrom medfl.site.workshop import Workshop\n"
        f"shop = Workshop({{'home': {str(home.folder)!r}}}, Limits(), command={command!r})\n"
        f"shop.answer(Request(run='r', round=0, site='east', task='describe', study='', seed=1))\n"
        "print(shop.pid, flush=True)\nsys.stdin.read()\n"
    )
    agent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        until((tmp_path / "works").exists)
        worker = int(next(children(agent.pid)))
        assert alive(worker)
    finally:
        agent.kill()
        agent.communicate()
    until(lambda: not alive(worker))


def children(pid: int) -> Iterator[str]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        yield from (task / "children").read_text().split()


def test_its_memory_is_given_back_after_a_while(home: SiteHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workshop, "QUIET", 0.1)
    approve(home, study())
    with begun(home) as shop:
        assert isinstance(shop.answer(request()), Reply)
        until(lambda: shop.pid is None)
        assert isinstance(shop.answer(request()), Reply)


NOTHING = {"catalogue": None, "hardware": None}


def test_the_hub_is_told_of_data_sets_only_where_the_policy_says_so(home: SiteHome) -> None:
    with begun(home) as shop:
        describing = Describing(home, shop)
        assert describing() == NOTHING, "nothing, unless the policy says otherwise"
        assert describing() is None, "nothing has changed"
        assert shop.pid is None, "and no worker was needed to say so"
        home.policy.write_text(OPEN.replace("catalogue = false", "catalogue = true"))
        told = (describing() or {})["catalogue"]
        assert (told["ward"]["target"], told["ward"]["rows"]) == ("sick", 60)
        assert "balance" not in told["ward"]
        assert {column["name"] for column in told["ward"]["columns"]} == {"age", "dose", "colour", "sick"}
        home.policy.write_text(OPEN.replace("hardware = false", "hardware = true"))
        told = describing() or {}
        assert told["catalogue"] is None
        assert str(Hardware.read(told["hardware"])).endswith("GPU"), "each of the two by itself"
        home.policy.write_text("version = 7\n[releases]\ncatalogue = true\n")
        assert describing() == NOTHING, "what is no policy lets nothing be told"
        home.policy.write_text("nonsense")
        assert describing() == NOTHING
        home.policy.unlink()
        assert describing() == NOTHING
        home.pause.touch()
        home.policy.write_text(OPEN)
        assert describing() is None, "a paused site tells nothing"


def test_what_starts_no_worker_is_a_loss(tmp_path: Path) -> None:
    with Workshop({}, Limits(), command=(str(tmp_path / "nothing"),)) as shop, pytest.raises(EngineError, match="died"):
        shop.answer(request())
    assert WORKER[1:] == ("-m", "medfl.site.agent_worker")


def test_a_worker_ends_with_an_agent_that_dies_in_the_middle_of_a_word(home: SiteHome) -> None:
    command = [sys.executable, "-m", agent_worker.__name__]
    words = {"home": str(home.folder), "limits": ROOM.to_json(), "sitting": "one"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        write_frame(process.stdin, json.dumps(words).encode())
        process.stdin.write((1000).to_bytes(8, "little") + b"half")
        process.stdin.close()
        assert process.wait(60) == -signal.SIGKILL
