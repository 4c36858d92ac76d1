"""What an agent tells its hub: once, in small messages, and nothing that is not meant for it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from medfl.channel import LARGEST, LINES, State, entry
from medfl.errors import Complaint
from medfl.messages import Refusal, Reply, Request
from medfl.site.voice import Voice
from medfl.testing.federation import study

ASKED = Request(run="a" * 32, round=3, site="east", task="train", study=study().canonical, seed=7)


def heard(voice: Voice) -> list[dict[str, Any]]:
    said: list[str] = []
    voice.send(said.append)
    assert all(len(one.encode()) <= LARGEST for one in said)
    return [json.loads(one) for one in said]


def states(voice: Voice) -> list[str]:
    return [str(State.read(one["state"])) for one in heard(voice) if one["tell"] == "state"]


def test_it_tells_what_it_does_and_what_became_of_it() -> None:
    voice = Voice()
    voice.anew()
    assert states(voice) == ["idle"]
    assert heard(voice) == []
    voice.begins(ASKED)
    assert voice.changed.is_set()
    assert states(voice) == ["training, round 3 of 2 of aaaaaaaaaaaa"]
    voice.ended(ASKED, Reply(request=ASKED.id, site="east", seconds=1.25))
    state, lines = heard(voice)
    assert state["state"]["doing"] == "idle"
    assert [line["text"] for line in lines["lines"]] == ["train of run aaaaaaaaaaaa, round 3: answered in 1.2 s"]
    voice.begins(replace(ASKED, task="describe", round=0))
    no = Refusal(request="", site="east", code="refused", complaints=(Complaint("it\nmay not", received="secret"),))
    voice.ended(replace(ASKED, task="describe", round=0), no)
    assert "describe of run aaaaaaaaaaaa: refused: it may not" in json.dumps(heard(voice))


def test_a_site_that_works_at_something_else_is_busy_and_a_paused_one_paused() -> None:
    paused = False
    voice = Voice(lambda: paused)
    voice.begins(replace(ASKED, task="keys"))
    assert states(voice) == ["busy (keys), round 3 of 2 of aaaaaaaaaaaa"]
    paused = True
    assert states(voice) == ["paused"]
    assert states(voice) == []


def test_what_could_not_be_sent_is_sent_over_the_next_connection() -> None:
    voice = Voice()
    voice.say("one")
    voice.describe({"ward": {"withheld": "no"}})

    def broken(text: str) -> None:
        raise OSError

    for _ in range(2):
        with pytest.raises(OSError):
            voice.send(broken)
    voice.anew()
    assert [one["tell"] for one in heard(voice)] == ["state", "lines", "catalogue", "catalogue"]
    assert heard(voice) == []
    voice.describe({"ward": {"withheld": "no"}})
    assert heard(voice) == [], "it has not changed"
    voice.anew()
    assert [one["tell"] for one in heard(voice)] == ["state", "catalogue", "catalogue"]


def test_a_connection_that_breaks_off_between_is_told_all_over_again() -> None:
    voice = Voice()
    voice.begins(ASKED)
    voice.describe({"ward": {"withheld": "no"}})
    for _ in range(2):
        # Whatever was being sent as the next connection came may have been lost with the one before.
        voice.send(lambda text: voice.anew() if "state" in text or '"all"' in text else None)
    assert [one["tell"] for one in heard(voice)] == ["state", "catalogue", "catalogue"]


def test_lines_are_few_and_short() -> None:
    voice = Voice()
    for number in range(LINES + 50):
        voice.say(f"{number} " + "ä" * 1000)
    lines = [line["text"] for one in heard(voice) if one["tell"] == "lines" for line in one["lines"]]
    assert len(lines) == LINES
    assert lines[0].startswith("50 ")
    assert max(map(len, lines)) == 500


def test_of_a_table_with_very_many_columns_as_many_are_told_as_go_into_a_message() -> None:
    columns = [{"name": f"column {number} " + "x" * 60, "kind": "numeric", "categories": []} for number in range(3000)]
    told = {"target": "sick", "rows": 5000, "columns": columns, "other_columns": ["y" * 50] * 3000, "policy": []}
    voice = Voice()
    voice.describe({"ward": told})
    (whole,) = [entry(one["entry"]) for one in heard(voice) if "entry" in one]
    assert 100 < len(whole["columns"]) < 3000
    assert whole["left_out"] == 6000 - len(whole["columns"]) - len(whole["other_columns"])


def test_a_study_that_says_nothing_of_rounds_has_none() -> None:
    voice = Voice()
    for text in ("", "{}", '{"algorithm": {"rounds": "x"}}', "[" * 5000):
        voice.begins(replace(ASKED, study=text))
        voice.anew()
        assert states(voice) == ["training of aaaaaaaaaaaa"]


def test_decisions_are_told_once_and_all_of_them_over_another_connection() -> None:
    voice, said = Voice(), list[str]()
    first = {"a" * 64: {"verdict": "waiting", "reason": ""}, "b" * 64: {"verdict": "approved", "reason": ""}}
    voice.decided(first)
    assert voice.changed.is_set()
    voice.send_decisions(said.append)
    voice.decided(first)
    voice.send_decisions(said.append)
    assert [json.loads(one)["studies"] for one in said] == [first]
    later = first | {"a" * 64: {"verdict": "refused", "reason": "no vote"}}
    voice.decided(later)
    voice.send_decisions(said.append)
    assert json.loads(said[-1])["studies"] == {"a" * 64: later["a" * 64]}
    voice.anew()
    voice.send_decisions(said.append)
    assert json.loads(said[-1])["studies"] == later


def test_the_longest_reasons_fit_into_messages() -> None:
    voice, said = Voice(), list[str]()
    voice.decided({f"{one:064x}": {"verdict": "refused", "reason": "\U0001f3e5" * 500} for one in range(200)})
    voice.send_decisions(said.append)
    assert sum(len(json.loads(one)["studies"]) for one in said) == 200
    assert all(len(one.encode()) <= LARGEST for one in said)


def test_the_machine_is_told_with_the_list_of_data_sets_and_again_once_it_may_not_be() -> None:
    voice, machine = Voice(), {"cores": 4, "memory": 8, "gpu": False}
    voice.describe(None, machine)
    assert [one for one in heard(voice) if one["tell"] == "catalogue"] == [
        {"tell": "catalogue", "all": None, "hardware": machine}
    ]
    voice.describe(None, dict(machine))
    assert heard(voice) == [], "nothing has changed"
    voice.describe({"ward": {"withheld": "no"}}, None)
    assert [one for one in heard(voice) if "all" in one] == [{"tell": "catalogue", "all": ["ward"]}]
