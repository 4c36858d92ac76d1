"""The round loop in secure sums where something is wrong: what no site sends, and what no hub believes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load

from medfl.errors import Complaint, EngineError, MedflError, TooFewError
from medfl.events import Evaluated, Event, RoundFinished, RunFinished, RunStarted, SiteFailed
from medfl.messages import SECURE, Json, Refusal, Reply, Request
from medfl.run.engine import Engine
from medfl.run.in_process import InProcess
from medfl.run.loop import Federation, carry_out
from medfl.run.plan import compile
from medfl.site.answer import Site
from medfl.site.pooled import pooled
from medfl.spec.study import Study
from medfl.testing.federation import Kept, Through, in_process, sites, study, table, told

MORE = {name: partial(pd.DataFrame, table(70, 10 + number)) for number, name in enumerate(("central", "south"))}
HIDDEN = {"secure_aggregation": True}
WILD: dict[str, Any] = {
    "model": {"kind": "mlp", "hidden": [64, 70]},
    "training": {"learning_rate": 3e6, "batch_size": 512},
    "algorithm": {"rounds": 1, "min_sites": 3},
}
"""Its long array has entries above the first bound: sites say what they need before they send."""

Asks = Callable[[Request], Reply | Refusal]


def run(asked: Study, engine: Engine) -> tuple[list[Event], MedflError | None, dict[str, Any]]:
    """Carry a study out; return what happened and the final weights."""
    kept = Kept()
    events, error = told(carry_out("rehearsal", compile(asked)[0], Federation(engine, kept.write)))
    ends = [event for event in events if isinstance(event, RunFinished)]
    return events, error, dict(load(kept[ends[0].model])) if ends else {}


def through(hospitals: Mapping[str, Site], change: Callable[[Site, Request], Reply | Refusal]) -> Engine:
    """Return an engine whose sites answer through a function."""
    return InProcess({name: partial(change, site) for name, site in hospitals.items()})


def losing(folder: Path, *names: str) -> Engine:
    """Return five hospitals whose answers to these requests are lost."""

    def kept(answers: Iterable[Reply | Refusal]) -> Iterable[Reply | Refusal]:
        return [lost(one) if one.request in names else one for one in answers]

    return Through(in_process(sites(folder, MORE)), kept)


def lost(answer: Reply | Refusal) -> Refusal:
    complaint = Complaint("the connection was cut", remedy="wait")
    return Refusal(request=answer.request, site=answer.site, code=EngineError.code, complaints=(complaint,))


# What a site must not send.


def test_a_hub_cannot_leave_out_what_is_on_by_default(tmp_path: Path) -> None:
    """The study says nothing; the site knows of two others and does not take the hub's word for how many take part."""

    def blinded(site: Site, request: Request) -> Reply | Refusal:
        plain = {name: said for name, said in request.content.items() if name != SECURE}
        return site.answer(request if request.task in ("keys", "describe") else replace(request, content=plain))

    _, error, _ = run(study(privacy={"secure_aggregation": None}), through(sites(tmp_path), blinded))
    assert error is not None
    assert "asks for it in clear" in str(error)
    assert "nothing was sent" in str(error)


def test_a_site_without_an_identity_sends_nothing_in_clear_either(tmp_path: Path) -> None:
    hospitals = sites(tmp_path)
    for site in hospitals.values():
        site.member = None
    heard: list[Reply | Refusal] = []

    def plain(site: Site, request: Request) -> Reply | Refusal:
        content = {name: said for name, said in request.content.items() if name != SECURE}
        if request.task == "keys":
            return Reply(request=request.id, site=site.name, content={"key": {}})
        heard.append(site.answer(replace(request, content=content)))
        return heard[-1]

    run(study(privacy=HIDDEN), through(hospitals, plain))
    assert [one.code for one in heard if isinstance(one, Refusal)] == ["refused"] * 3
    assert not any(one.arrays for one in heard if isinstance(one, Reply))


def test_the_place_that_has_all_rows_is_seen(tmp_path: Path) -> None:
    """The centralised baseline goes on: its one place has nobody to hide among."""
    hospitals = sites(tmp_path)
    asked = study(privacy=HIDDEN, evaluation={"baselines": ("centralised",)})
    plan = next(plan for plan in compile(asked) if plan.role == "centralised")
    pool = pooled(hospitals, tmp_path)
    kept = Kept()
    federation = Federation(in_process(hospitals), kept.write, InProcess({pool.name: pool.answer}))
    events, error = told(carry_out("all", plan, federation))
    assert error is None
    assert [event.secure for event in events if isinstance(event, RunStarted)] == [True]


@pytest.fixture
def asked_of_east(tmp_path: Path) -> tuple[Site, dict[str, Request]]:
    """Return a site, and by task what a hub asked it in a run."""
    asked: dict[str, Request] = {}

    def listened(site: Site, request: Request) -> Reply | Refusal:
        if site.name == "east":
            asked[request.task] = request
        return site.answer(request)

    hospitals = sites(tmp_path)
    run(study(privacy=HIDDEN), through(hospitals, listened))
    return hospitals["east"], asked


BROKEN: tuple[object, ...] = (None, 3, "x", [1], {}, {"a": 1}, {"terms": None}, {"terms": {"run": 1}}, {"session": 7})


@pytest.mark.parametrize("words", BROKEN, ids=str)
def test_words_that_are_none_are_refused_with_a_sentence(
    asked_of_east: tuple[Site, dict[str, Request]], words: object
) -> None:
    """What is told is what the protocol forbids, never that the site failed in a way it did not foresee."""
    site, asked = asked_of_east
    for task in ("keys", "prepare", "train", "evaluate", "unmask"):
        answer = site.answer(replace(asked[task], content={**asked[task].content, SECURE: words}))
        assert isinstance(answer, Refusal), task
        assert answer.code in ("wire", "secure"), task
        assert answer.complaints[0].remedy


def test_terms_of_another_sum_are_refused(asked_of_east: tuple[Site, dict[str, Request]]) -> None:
    site, asked = asked_of_east
    for task, other in (("prepare", "train"), ("train", "evaluate"), ("evaluate", "prepare")):
        moved = {**asked[task].content, SECURE: asked[other].content[SECURE]}
        answer = site.answer(replace(asked[task], content=moved))
        assert isinstance(answer, Refusal), task
        assert "asks for one thing and would sum another" in answer.reason


def test_names_that_nobody_enrolled_make_no_company(asked_of_east: tuple[Site, dict[str, Request]]) -> None:
    """A hub that could fill a large cohort with names of its own could choose a site's neighbours."""
    site, asked = asked_of_east
    secure = asked["train"].content[SECURE]
    names = sorted([*secure["terms"]["cohort"], *(f"made-up-{number:03}" for number in range(97))])
    terms = {**secure["terms"], "cohort": names, "threshold": 67}
    answer = site.answer(
        replace(asked["train"], content={**asked["train"].content, SECURE: {**secure, "terms": terms}})
    )
    assert isinstance(answer, Refusal)
    assert "a peer is not known here" in answer.reason
    assert "made-up-000" in answer.reason


# What a hub must not believe, or must get over.


def lying(words: Callable[[Json], object], *, task: str) -> Callable[[Site, Request], Reply | Refusal]:
    """Return a way to answer in which south lies in round 2."""

    def answer(site: Site, request: Request) -> Reply | Refusal:
        reply = site.answer(request)
        if isinstance(reply, Reply) and (site.name, request.task, request.round) == ("south", task, 2):
            return replace(reply, content={**reply.content, SECURE: words(reply.content.get(SECURE, {}))})
        return reply

    return answer


LIES: dict[str, Callable[[Json], object]] = {
    "no words": lambda _: 3,
    "nothing": lambda _: {},
    "another order": lambda said: {**said, "layout": said["layout"][::-1]},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_site_that_does_not_make_sense_is_left_out(tmp_path: Path, lie: str) -> None:
    asked = study(privacy=HIDDEN, algorithm={"min_sites": 4})
    events, error, _ = run(asked, through(sites(tmp_path, MORE), lying(LIES[lie], task="train")))
    assert error is None
    rounds = [event.sites for event in events if isinstance(event, RoundFinished)]
    assert [len(names) for names in rounds] == [5, 4]
    assert [(event.site, event.stage) for event in events if isinstance(event, SiteFailed)] == [("south", "mask")]


def test_an_array_twice_is_left_out(tmp_path: Path) -> None:
    """A layout that says a name twice, with as many numbers as it says, would look like the others'."""

    def answer(site: Site, request: Request) -> Reply | Refusal:
        reply = site.answer(request)
        if not (isinstance(reply, Reply) and (site.name, request.task, request.round) == ("south", "train", 2)):
            return reply
        said = reply.content[SECURE]
        layout = [one for each in said["layout"] for one in ([each, each] if each[0] == "update/weight" else [each])]
        assert len(layout) == len(said["layout"]) + 1
        masked = np.append(reply.arrays["masked"], np.zeros(9, "<u8"))
        words = {**reply.content, SECURE: {**said, "layout": layout}}
        return replace(reply, content=words, arrays={**reply.arrays, "masked": masked})

    asked = study(privacy=HIDDEN, algorithm={"min_sites": 4})
    events, error, _ = run(asked, through(sites(tmp_path, MORE), answer))
    assert error is None
    assert [(event.site, event.stage) for event in events if isinstance(event, SiteFailed)] == [("south", "mask")]


def test_shares_that_make_no_sense_are_done_without(tmp_path: Path) -> None:
    def answer(site: Site, request: Request) -> Reply | Refusal:
        reply = site.answer(request)
        if isinstance(reply, Reply) and (site.name, request.task) == ("south", "unmask"):
            return replace(reply, content={SECURE: 3}, arrays={})
        return reply

    events, error, _ = run(study(privacy=HIDDEN), through(sites(tmp_path, MORE), answer))
    assert error is None
    assert all(len(event.sites) == 5 for event in events if isinstance(event, RoundFinished))


def test_a_site_that_says_no_key_is_named(tmp_path: Path) -> None:
    def answer(site: Site, request: Request) -> Reply | Refusal:
        reply = site.answer(request)
        mute = isinstance(reply, Reply) and (site.name, request.task) == ("south", "keys")
        return Reply(request=request.id, site=site.name) if mute else reply

    _, error, _ = run(study(privacy=HIDDEN), through(sites(tmp_path, MORE), answer))
    assert error is not None
    assert "a peer's key is not signed by that peer for this run" in str(error)
    assert "site south" in str(error)


def test_too_few_and_numbers_beyond_the_bound_at_once(tmp_path: Path) -> None:
    """Two of five are lost where the others need other bits: the three of them go on."""
    drops = [f"rehearsal/1/train/{site}" for site in ("south", "east")]
    clear, _, expected = run(study(**WILD), losing(tmp_path, *drops))
    events, error, weights = run(study(privacy=HIDDEN, **WILD), losing(tmp_path, *drops))
    assert error is None
    largest = max(float(np.abs(tensor).max()) for tensor in expected.values())
    assert largest > 65_536
    for name, tensor in expected.items():
        np.testing.assert_allclose(weights[name], tensor, atol=1e-6 * largest)
    rounds = [[event.sites for event in one if isinstance(event, RoundFinished)] for one in (events, clear)]
    assert rounds[0] == rounds[1] == [("central", "north", "west")]


YOUDEN = {"threshold": "youden"}


def test_the_last_model_is_judged_twice_over_the_same_sites_or_once(tmp_path: Path) -> None:
    """A site is lost between the two sums for one model: their difference would be its own numbers."""
    judged: list[Request] = []

    def answer(site: Site, request: Request) -> Reply | Refusal:
        if request.task == "unmask" and request.round == 2:
            judged.append(request)
        reply = site.answer(request)
        second = request.task == "evaluate" and request.content["judge"]["threshold"] is not None
        return lost(reply) if second and site.name == "south" else reply

    asked = study(privacy=HIDDEN, algorithm={"min_sites": 3}, evaluation=YOUDEN)
    _, error, _ = run(asked, through(sites(tmp_path, MORE), answer))
    assert isinstance(error, EngineError)
    assert "south" in str(error)
    lists = {request.content[SECURE]["terms"]["task"]: request.content[SECURE]["survivors"] for request in judged}
    assert lists.keys() == {"train", "evaluate without a threshold"}


def test_a_site_that_is_lost_before_both_judgements_is_in_neither(tmp_path: Path) -> None:
    asked = study(privacy=HIDDEN, algorithm={"min_sites": 3}, evaluation=YOUDEN)

    def answer(site: Site, request: Request) -> Reply | Refusal:
        reply = site.answer(request)
        first = request.task == "evaluate" and request.content["judge"]["threshold"] is None
        return lost(reply) if first and site.name == "south" else reply

    events, error, _ = run(asked, through(sites(tmp_path, MORE), answer))
    assert error is None
    (last,) = (event for event in events if isinstance(event, Evaluated) and event.final)
    assert sorted(last.sites) == ["central", "east", "north", "west"]


def test_a_site_that_is_lost_when_finer_steps_are_asked_for_stops_the_round(tmp_path: Path) -> None:
    """The sum was unmasked once, too coarse: no other list is asked for, which every site would refuse."""
    small: dict[str, Any] = {**WILD, "training": {"learning_rate": 1e-12, "batch_size": 512}}
    asked: list[Request] = []

    def answer(site: Site, request: Request) -> Reply | Refusal:
        asked.append(request)
        reply = site.answer(request)
        again = request.task == "train" and request.content[SECURE]["terms"]["attempt"] > 0
        return lost(reply) if again and site.name == "south" else reply

    _, error, _ = run(study(privacy=HIDDEN, **small), through(sites(tmp_path, MORE), answer))
    assert isinstance(error, TooFewError)
    assert "4 of 5, where 5 must be; without south" in str(error)
    attempts = {request.content[SECURE]["terms"]["attempt"] for request in asked if request.task == "train"}
    assert attempts == {0, 1}
