"""Whether a study may begin, by what its sites said when they were asked, and by what they have told since."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from medfl.channel import Decision
from medfl.hub.asked import AGAIN, FOLDER, Answer, Asked, Said, may_go_on
from medfl.hub.presence import Presence
from medfl.hub.queue import Entry
from medfl.hub.told import Told

DIGEST, OTHER = "a" * 64, "b" * 64
NOW = time.time()
ENTRY = Entry("12345678", "study", since=NOW - 10)


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be the same moment in all of a test, however long the machine takes."""
    monkeypatch.setattr("medfl.hub.asked.time", SimpleNamespace(time=lambda: NOW))


def asked(folder: Path, *, at: float = NOW, **sites: Said) -> Asked:
    found = Asked(at, {site: {DIGEST: Answer(said, at=at)} for site, said in sites.items()}, 1)
    found.keep(folder, ENTRY.execution)
    return found


def decided(folder: Path, site: str, decision: Decision) -> Told:
    told = Told(decisions={DIGEST: decision})
    told.keep(folder, site)
    return told


def test_sites_are_asked_first_and_again_when_it_is_taken_on_anew(tmp_path: Path) -> None:
    assert may_go_on(tmp_path, ENTRY)
    kept = asked(tmp_path, east="waiting", west="approved")
    assert Asked.of(tmp_path, ENTRY.execution) == kept
    assert not may_go_on(tmp_path, ENTRY)
    assert may_go_on(tmp_path, Entry("12345678", "study", since=NOW + 1))


@pytest.mark.parametrize("said", ["approved", "refused", "untold", "unanswered"])
def test_only_what_somebody_has_still_to_decide_holds_it_up(tmp_path: Path, said: Said) -> None:
    asked(tmp_path, east=said, west="approved")
    assert may_go_on(tmp_path, ENTRY), "a no is told by the run itself, in the journal"


@pytest.mark.parametrize("verdict", ["approved", "refused"])
def test_it_goes_on_once_the_site_has_told_a_decision(tmp_path: Path, verdict: str) -> None:
    kept = asked(tmp_path, east="waiting")
    decided(tmp_path, "east", Decision(verdict, "no vote", NOW - 5))  # type: ignore[arg-type]
    assert not may_go_on(tmp_path, ENTRY), "what was told before it was asked is older"
    told = decided(tmp_path, "east", Decision(verdict, "no vote", NOW + 5))  # type: ignore[arg-type]
    assert may_go_on(tmp_path, ENTRY)
    assert (kept.now("east", told).said, kept.now("east", told).why) == (verdict, "no vote")


def test_what_was_let_in_is_not_held_up_later_and_a_policy_is_not_overruled(tmp_path: Path) -> None:
    kept = asked(tmp_path, east="approved", west="refused")
    east = decided(tmp_path, "east", Decision("waiting", "", NOW + 5))
    west = decided(tmp_path, "west", Decision("waiting", "", NOW + 5))
    assert may_go_on(tmp_path, ENTRY)
    assert (kept.now("east", east).said, kept.now("west", west).said) == ("waiting", "refused")


def test_it_waits_for_its_time_and_asks_again_whoever_was_away(tmp_path: Path) -> None:
    later = Entry("12345678", "study", not_before=NOW + 3600, since=NOW - 1000)
    asked(tmp_path, east="unanswered", at=NOW)
    Presence().keep(tmp_path, {"east"})
    assert not may_go_on(tmp_path, later)
    asked(tmp_path, east="unanswered", at=NOW - AGAIN - 1)
    assert may_go_on(tmp_path, later)
    Presence().keep(tmp_path, set())
    assert not may_go_on(tmp_path, later), "there is nobody to ask"


def test_a_site_that_cannot_tell_is_asked_now_and_then(tmp_path: Path) -> None:
    early = Entry("12345678", "study", since=NOW - 1000)
    asked(tmp_path, east="waiting", at=NOW - AGAIN - 1)
    Presence().keep(tmp_path, {"east"})
    assert not may_go_on(tmp_path, early)
    Presence().keep(tmp_path, set())
    assert may_go_on(tmp_path, early)


def test_the_worst_of_several_counts_and_a_damaged_file_says_nothing(tmp_path: Path) -> None:
    found = Asked(NOW, {"east": {DIGEST: Answer("approved"), OTHER: Answer("waiting", "why")}}, 1)
    assert found.now("east", Told()) == Answer("waiting", "why")
    assert found.now("north", Told()).said == "unanswered"
    asked(tmp_path, east="waiting")
    for damaged in ("", "[]", '{"sites": []}', '{"sites": {"east": {"a": {"said": "maybe"}}}}', '{"at": "x"}'):
        (tmp_path / FOLDER / f"{ENTRY.execution}.json").write_text(damaged)
        assert Asked.of(tmp_path, ENTRY.execution) == Asked()
