"""A site's agent: who its peers are at each moment, and what becomes of it when it is revoked."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from medfl.errors import BusyError, EnrolmentError
from medfl.hub.place import HubPlace
from medfl.messages import Refusal, Request
from medfl.site import agent as agents
from medfl.site.agent import Agent, serve
from medfl.site.agent_worker import Hospital
from medfl.site.audit import AuditLog
from medfl.site.enrolled import SiteHome
from medfl.testing.command import MEDFL
from medfl.testing.federation import study
from medfl.testing.hub import enrolled, made, served


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubPlace]:
    with served(made(tmp_path / "hub")) as hub:
        yield hub


def request(task: str = "keys") -> Request:
    asked = study()
    made = Request(run="r-1", round=0, site="a", task="keys", study=asked.canonical, seed=asked.study.seed)
    return replace(made, task=task)  # type: ignore[arg-type]


def begun(home: SiteHome) -> tuple[Agent, Hospital]:
    """Return an agent whose worker is in this process."""
    hospital = Hospital(home)
    return Agent(home, hospital), hospital


def peers(hospital: Hospital) -> set[str]:
    assert hospital.member is not None
    return set(hospital.member._directory)


def test_where_a_run_begins_it_looks_who_is_enrolled(hub: HubPlace, tmp_path: Path) -> None:
    homes = enrolled(hub, tmp_path, "a", "b")
    agent, hospital = begun(homes["a"])
    agent.answer(request("describe"))
    assert peers(hospital) == {"a", "b"}
    hub.register.revoke("b", hub.authority)
    enrolled(hub, tmp_path, "c")
    agent.answer(request("prepare"))
    assert peers(hospital) == {"a", "b"}, "not in the middle of a run"
    agent.answer(request("keys"))
    assert peers(hospital) == {"a", "c"}
    enrolled(hub, tmp_path, "d")
    agent.answer(request("describe"))
    assert len(peers(hospital)) == 3, "from three on, sums are hidden unless the study says otherwise"


def test_a_peer_that_changed_is_a_refusal(hub: HubPlace, tmp_path: Path) -> None:
    homes = enrolled(hub, tmp_path, "a", "b")
    agent, _ = begun(homes["a"])
    agent.answer(request())
    hub.register.revoke("b", hub.authority)
    enrolled(hub, tmp_path / "new", "b")
    answer = agent.answer(request())
    assert isinstance(answer, Refusal)
    assert answer.code == "secure"
    assert "another identity than before" in answer.reason
    last = list(AuditLog(homes["a"].log).read())[-1]
    assert (last["verdict"], last["code"]) == ("refused", "secure")


def test_what_was_known_is_good_enough_while_the_hub_is_away(tmp_path: Path) -> None:
    hub = made(tmp_path / "hub")
    with served(hub):
        homes = enrolled(hub, tmp_path, "a", "b")
    agent, hospital = begun(homes["a"])
    agent.answer(request())
    assert peers(hospital) == {"a", "b"}


def test_a_revoked_site_answers_no_more(hub: HubPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "AGAIN", 0.0)
    (home,) = enrolled(hub, tmp_path, "a").values()
    agent, _ = begun(home)
    agent.before_connecting()
    hub.register.revoke("a", hub.authority)
    with pytest.raises(EnrolmentError, match="has revoked this site"):
        agent.before_connecting()
    with pytest.raises(EnrolmentError, match="not enrolled"):
        serve(home)


def test_two_agents_do_not_answer_for_one_site(hub: HubPlace, tmp_path: Path) -> None:
    (home,) = enrolled(hub, tmp_path, "a").values()
    with FileLock(home.folder / "agent.lock"), pytest.raises(BusyError, match="runs already"):
        serve(home)


def test_nobody_serves_who_is_not_enrolled(tmp_path: Path) -> None:
    with pytest.raises(EnrolmentError, match="not enrolled"):
        serve(SiteHome(tmp_path))


def test_it_ends_in_order(hub: HubPlace, tmp_path: Path) -> None:
    (home,) = enrolled(hub, tmp_path, "a").values()
    command = [*MEDFL, "site", "start", "--home", str(home.folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert "a answers Test hub" in process.stdout.readline()
        process.terminate()
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "Traceback" not in said
