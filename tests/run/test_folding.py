"""Replies are added up in the order of the sites' names: who was fastest changes no bit of the result."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from itertools import permutations
from pathlib import Path

import pytest

from medfl.events import DataPrepared, Evaluated, RoundFinished, SiteAnswered
from medfl.messages import Refusal, Reply
from medfl.testing.federation import NAMES, Through, in_process, rehearse, sites, study

Answers = list[Reply | Refusal]
ARRIVALS: dict[str, Callable[[Answers], Iterable[Reply | Refusal]]] = {
    "the last first": lambda answers: reversed(answers),
    "at random": lambda answers: random.Random(len(answers)).sample(answers, len(answers)),
    "the middle first": lambda answers: [*answers[1:2], *answers[:1], *answers[2:]],
}
ASKED = study(algorithm={"kind": "fedadam", "rounds": 3}, model={"kind": "mlp", "hidden": [6]})


def outcome(folder: Path, change: Callable[[Answers], Iterable[Reply | Refusal]]) -> list[object]:
    events, error = rehearse(ASKED, Through(in_process(sites(folder)), change))
    assert error is None
    return [
        *((event.model, event.state, event.loss) for event in events if isinstance(event, RoundFinished)),
        *((event.pooled, event.sites, event.curves) for event in events if isinstance(event, Evaluated)),
        *((event.recipe, list(event.sites)) for event in events if isinstance(event, DataPrepared)),
    ]


@pytest.mark.parametrize("arrival", ARRIVALS)
def test_the_order_of_arrival_changes_nothing(tmp_path: Path, arrival: str) -> None:
    assert outcome(tmp_path, ARRIVALS[arrival]) == outcome(tmp_path, lambda answers: answers)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_events_speak_of_answers_as_they_arrive(tmp_path: Path, order: tuple[int, ...]) -> None:
    engine = Through(in_process(sites(tmp_path)), lambda answers: [answers[place] for place in order])
    events, error = rehearse(study(algorithm={"kind": "fedavg", "rounds": 1}), engine)
    assert error is None
    told = [event.site for event in events if isinstance(event, SiteAnswered)]
    assert told == [NAMES[place] for place in order]
