"""A hub whose journal is in a real PostgreSQL: what is submitted, watched, stopped and resumed is told there."""

from __future__ import annotations

from pathlib import Path

import pytest

from medfl.hub.place import HubPlace
from medfl.store.home import Home
from medfl.store.watching import Watch
from medfl.testing import story
from medfl.testing.command import typed, typed_apart
from medfl.testing.hub import made


@pytest.fixture
def hub(tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch) -> HubPlace:
    monkeypatch.setenv("MEDFL_JOURNAL", postgres)
    monkeypatch.setattr("medfl.hosting.require_enrolled", lambda hub, study: ())
    return made(tmp_path / "hub")


def test_a_study_is_queued_and_stopped(hub: HubPlace, tiny: Path) -> None:
    said = typed("submit", tiny, "--home", hub.folder, "--json")
    assert said.code == 0, said.err
    execution = said.json["execution"]
    assert hub.queue.waiting() == [execution]
    assert not (hub.folder / "journal.db").exists()
    assert typed("stop", execution, "--home", hub.folder).code == 0
    assert hub.queue.waiting() == []
    (entry,) = typed_apart("runs", "--home", hub.folder, "--json").json
    assert (entry["run"], entry["status"]) == (f"{execution}-1", "stopped")


def test_a_run_of_another_process_is_watched(hub: HubPlace, tiny: Path) -> None:
    with Home(hub.folder) as home:
        watch = Watch(home)
        assert watch.look() == []
        done = typed_apart("run", tiny, "--home", hub.folder)
        assert done.code == 0, done.err
        (view,) = watch.look()
        assert (view.status, view.rounds) == ("finished", 4)


def test_a_watch_that_begins_late_and_goes_on(hub: HubPlace) -> None:
    first, second = list(story.plans(story.study(repeats=1), name="x"))[:2]
    with Home(hub.folder) as home:
        home.journal.append([first, second, *story.run(first), *story.beginning(second)])
        watch = Watch(home)
        home.journal.append(story.one_round(second, 1))
        later, earlier = watch.look()
        assert (later.rounds, earlier.status) == (1, "finished")


def test_a_backup_says_that_the_journal_is_elsewhere(hub: HubPlace, tmp_path: Path) -> None:
    said = typed("hub", "backup", tmp_path / "copy.tar", "--home", hub.folder)
    assert said.code == 0
    assert "pg_dump" in said.err
