"""The round loop in secure sums: same weights as in clear; sites may drop at any stage; the hub reads no site."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load

from medfl.errors import Complaint, EngineError, MedflError, PlanError, RefusedError, TooFewError
from medfl.events import Evaluated, Event, PrivacySpent, RoundFinished, RunFinished, RunStarted, SiteFailed
from medfl.messages import SECURE, SUMMED, Refusal, Reply, Request
from medfl.run.engine import Engine
from medfl.run.in_process import InProcess
from medfl.run.loop import Federation, carry_out
from medfl.run.plan import compile
from medfl.site.answer import Site
from medfl.spec.study import Study
from medfl.testing.federation import Kept, Through, in_process, sites, study, table, told
from medfl.testing.policies import written

MORE = {name: partial(pd.DataFrame, table(70, 10 + number)) for number, name in enumerate(("central", "south"))}
SECURE_STUDY = {"secure_aggregation": True}
WIDE = {"kind": "mlp", "hidden": [64, 70]}
"""Its 4 900 weights travel in steps; those of small models travel exactly."""

Lost = Callable[[Refusal | Reply], bool]


def asked(*, secure: bool, **changes: Any) -> Study:
    algorithm = {"kind": "fedavg", "rounds": 3} | changes.pop("algorithm", {})
    return study(algorithm=algorithm, privacy={"secure_aggregation": secure}, **changes)


def lost(answer: Reply | Refusal) -> Refusal:
    complaint = Complaint("the connection was cut", remedy="wait")
    return Refusal(request=answer.request, site=answer.site, code=EngineError.code, complaints=(complaint,))


def dropping(engine: Engine, *stages: tuple[str, int, str]) -> Engine:
    """Return an engine that loses the replies to these tasks, in these rounds, of these sites."""
    names = {f"rehearsal/{round}/{task}/{site}" for task, round, site in stages}
    return Through(engine, lambda answers: [lost(one) if one.request in names else one for one in answers])


def run(study: Study, engine: Engine) -> tuple[list[Event], MedflError | None, dict[str, Any]]:
    """Carry a study out; return what happened and the final weights."""
    kept = Kept()
    events, error = told(carry_out("rehearsal", compile(study)[0], Federation(engine, kept.write)))
    ends = [event for event in events if isinstance(event, RunFinished)]
    return events, error, dict(load(kept[ends[0].model])) if ends else {}


def near(weights: dict[str, Any], expected: dict[str, Any]) -> None:
    """Hold the weights to those of sums in clear: the promise is 1e-5, what is left out here is rounding."""
    assert weights.keys() == expected.keys() != set()
    for name, tensor in expected.items():
        np.testing.assert_allclose(weights[name], tensor, atol=1e-6, rtol=1e-6)


def grouped(last: Evaluated) -> list[Any]:
    """Return who is shown where, by group."""
    keys = ("group", "rows", "sites", "suppressed")
    return [tuple(group[key] for key in keys) for each in last.subgroups for group in each["groups"]]


def losing(folder: Path, *stages: tuple[str, int, str]) -> Engine:
    """Return five hospitals that are lost at these stages."""
    return dropping(in_process(sites(folder, MORE)), *stages)


def of(kind: type, events: Iterable[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"algorithm": {"kind": "scaffold"}},
        {"algorithm": {"kind": "fedyogi"}},
        {"model": WIDE},
        {"model": WIDE, "algorithm": {"kind": "scaffold"}},
        {"model": WIDE, "algorithm": {"kind": "qfedavg"}},
        {"data": {"target": "age", "features": ["dose"]}, "model": {"kind": "linear"}},
        {"evaluation": {"subgroups": {"by colour": {"column": "colour"}}, "smallest_group": 2}},
        {"evaluation": {"importance": {}, "threshold": "youden"}},
        {"algorithm": {"fraction": 0.6}},
    ],
    ids=str,
)
def test_the_same_as_in_clear(tmp_path: Path, changes: dict[str, Any]) -> None:
    hospitals = sites(tmp_path, MORE)
    clear, _, expected = run(asked(secure=False, **changes), in_process(hospitals))
    hidden, error, weights = run(asked(secure=True, **changes), in_process(sites(tmp_path, MORE)))
    assert error is None
    assert of(RunStarted, hidden)[0].secure
    assert not of(RunStarted, clear)[0].secure
    near(weights, expected)
    for one, other in zip(of(Evaluated, hidden), of(Evaluated, clear), strict=True):
        assert one.pooled == pytest.approx(other.pooled, abs=1e-6)
        assert str(one.sites) == str(other.sites)
    groups = [
        [
            (group["group"], group["rows"], group["sites"], group["suppressed"])
            for each in last.subgroups
            for group in each["groups"]
        ]
        for last in (of(Evaluated, hidden)[-1], of(Evaluated, clear)[-1])
    ]
    assert groups[0] == groups[1]
    assert bool(groups[0]) == ("subgroups" in changes.get("evaluation", {}))


@pytest.mark.parametrize("task", ["keys", "describe", "prepare", "train", "evaluate"])
def test_a_site_that_is_lost_before_it_sends_is_not_in_the_sum(tmp_path: Path, task: str) -> None:
    """It is as if it had been lost in the clear: the sum over the others is exact."""
    round = {"train": 2, "evaluate": 3}.get(task, 0)
    drop = ("describe" if task == "keys" else task, round, "south")
    clear = asked(secure=False, algorithm={"min_sites": 3})
    expected = run(clear, losing(tmp_path, drop))
    found = run(
        asked(secure=True, algorithm={"min_sites": 3}),
        losing(tmp_path, (task, round, "south")),
    )
    assert found[1] is None
    near(found[2], expected[2])
    assert [event.sites for event in of(RoundFinished, found[0])] == [
        event.sites for event in of(RoundFinished, expected[0])
    ]
    assert of(Evaluated, found[0])[-1].pooled == pytest.approx(of(Evaluated, expected[0])[-1].pooled)
    assert ("south", task) in [(event.site, event.stage) for event in of(SiteFailed, found[0])]


@pytest.mark.parametrize(("round", "who"), [(0, ["south"]), (2, ["south"]), (3, ["east"])])
def test_a_site_that_is_lost_after_it_sent_is_in_the_sum(tmp_path: Path, round: int, who: list[str]) -> None:
    _, _, expected = run(asked(secure=True), in_process(sites(tmp_path, MORE)))
    engine = dropping(in_process(sites(tmp_path, MORE)), *(("unmask", round, site) for site in who))
    events, error, weights = run(asked(secure=True), engine)
    assert error is None
    near(weights, expected)
    assert {(event.site, event.stage) for event in of(SiteFailed, events)} == {(site, "unmask") for site in who}


def test_one_is_lost_before_and_another_after(tmp_path: Path) -> None:
    """The pair mask of two lost sites is put together from the others' shares."""
    drops = [("train", 2, "south"), ("unmask", 2, "east")]
    clear, hidden = (asked(secure=secure, algorithm={"min_sites": 3}) for secure in (False, True))
    _, _, expected = run(clear, dropping(in_process(sites(tmp_path, MORE | EXTRA)), drops[0]))
    _, error, weights = run(hidden, dropping(in_process(sites(tmp_path, MORE | EXTRA)), *drops))
    assert error is None
    near(weights, expected)


EXTRA = {name: partial(pd.DataFrame, table(50, 20 + number)) for number, name in enumerate(("hill", "lake"))}


def test_a_round_that_too_few_answer_is_asked_again_without_the_lost(tmp_path: Path) -> None:
    """Two of five are lost: three are no two thirds of five, but all of three."""
    drops = [("train", 2, "south"), ("train", 2, "east")]
    clear, hidden = (asked(secure=secure, algorithm={"min_sites": 3}) for secure in (False, True))
    _, _, expected = run(clear, losing(tmp_path, *drops))
    events, error, weights = run(hidden, losing(tmp_path, *drops))
    assert error is None
    near(weights, expected)
    assert of(RoundFinished, events)[1].sites == ("central", "north", "west")


def test_a_sum_that_would_not_hide_anybody_is_refused(tmp_path: Path) -> None:
    drops = [("train", 2, site) for site in ("south", "east", "west")]
    events, error, _ = run(asked(secure=True, algorithm={"min_sites": 1}), losing(tmp_path, *drops))
    assert isinstance(error, TooFewError)
    assert "2 of 5, where at least 3 must" in str(error)
    assert of(RoundFinished, events)[-1].round == 1


def test_too_few_shares_stop_the_run_and_it_goes_on_later(tmp_path: Path) -> None:
    drops = [("unmask", 2, site) for site in ("south", "east")]
    _, error, _ = run(asked(secure=True), losing(tmp_path, *drops))
    assert isinstance(error, TooFewError)
    assert "3 of 5, where 4 must be" in str(error)


@pytest.fixture
def heard(tmp_path: Path) -> list[tuple[Request, Reply | Refusal]]:
    """Return all that a hub hears of five sites."""
    said: list[tuple[Request, Reply | Refusal]] = []

    def listening(site: Site) -> Callable[[Request], Reply | Refusal]:
        def answer(request: Request) -> Reply | Refusal:
            said.append((request, site.answer(request)))
            return said[-1][1]

        return answer

    run(
        asked(secure=True, model=WIDE),
        InProcess({name: listening(site) for name, site in sites(tmp_path, MORE).items()}),
    )
    return said


def test_nothing_that_adds_up_is_sent_in_clear(heard: list[tuple[Request, Reply | Refusal]]) -> None:
    arrays: dict[str, set[str]] = {request.task: set() for request, _ in heard}
    for request, reply in heard:
        assert isinstance(reply, Reply)
        arrays[request.task] |= set(reply.arrays)
    masked = {"masked", "bundles", "commitments"}
    assert arrays == {task: masked if task in SUMMED else {"shares"} if task == "unmask" else set() for task in arrays}
    assert {"keys", "describe", "unmask"} | SUMMED <= arrays.keys()


def test_what_is_sent_looks_like_noise(heard: list[tuple[Request, Reply | Refusal]]) -> None:
    """Each byte is as likely as any other (χ² with 255 degrees of freedom, 5 standard deviations)."""
    for request, reply in heard:
        if request.task == "train" and isinstance(reply, Reply):
            counts = np.bincount(reply.arrays["masked"].view(np.uint8), minlength=256)
            expected = counts.sum() / 256
            assert ((counts - expected) ** 2 / expected).sum() < 255 + 5 * np.sqrt(510)


def test_a_site_does_not_send_in_clear_what_its_study_hides(tmp_path: Path) -> None:
    """A hub that leaves secure aggregation out gets nothing."""

    def blinded(site: Site) -> Callable[[Request], Reply | Refusal]:
        def answer(request: Request) -> Reply | Refusal:
            plain = {name: said for name, said in request.content.items() if name != SECURE}
            return site.answer(request if request.task == "keys" else replace(request, content=plain))

        return answer

    hospitals = sites(tmp_path, MORE)
    _, error, _ = run(asked(secure=True), InProcess({name: blinded(site) for name, site in hospitals.items()}))
    assert isinstance(error, RefusedError)
    assert "asks for it in clear" in str(error)


def test_by_default_three_sites_are_hidden_and_two_are_not(tmp_path: Path) -> None:
    open_study = study(privacy={"secure_aggregation": None})
    three = sites(tmp_path)
    two = {name: site for name, site in sites(tmp_path).items() if name != "west"}
    for hospitals, hidden in ((three, True), (two, False)):
        events, error, _ = run(open_study, in_process(hospitals))
        assert error is None
        assert of(RunStarted, events)[0].secure is hidden


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"algorithm": {"kind": "fedmedian"}}, "fedmedian compares single contributions"),
        ({"algorithm": {"fraction": 0.4}}, "of 5 sites a round asks 2"),
        ({"evaluation": {"contributions": "leave-one-out"}}, "what a site contributes is told by training without it"),
    ],
    ids=str,
)
def test_what_sums_do_not_show_is_refused_when_the_sites_are_known(
    tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    plan = compile(study(privacy={"secure_aggregation": None}, **changes))[0]
    _, error = told(carry_out("rehearsal", plan, Federation(in_process(sites(tmp_path, MORE)), Kept().write)))
    assert isinstance(error, PlanError)
    assert what in str(error)
    assert "secure_aggregation = false" in str(error)


def test_numbers_beyond_the_first_bound_are_asked_for_again(tmp_path: Path) -> None:
    """A step of a million times the usual size: the sites say so before they send, and the sum is right."""
    wild = {"model": WIDE, "training": {"learning_rate": 3e6, "batch_size": 512}, "algorithm": {"rounds": 1}}
    _, _, expected = run(asked(secure=False, **wild), in_process(sites(tmp_path, MORE)))
    _, error, weights = run(asked(secure=True, **wild), in_process(sites(tmp_path, MORE)))
    assert error is None
    largest = max(float(np.abs(tensor).max()) for tensor in expected.values())
    assert largest > 65_536
    for name, tensor in expected.items():
        np.testing.assert_allclose(weights[name], tensor, atol=1e-6 * largest)


def test_a_site_whose_policy_keeps_its_groups_is_summed_with_the_others(tmp_path: Path) -> None:
    """It sends zeros of the same names: what is summed in secret must look alike everywhere."""
    silent = written(tmp_path, {"releases": {"statistics": ["sums", "update", "evaluation"]}})
    grouped_by_colour = {"subgroups": {"by colour": {"column": "colour"}}, "smallest_group": 5, "test_fraction": 0.6}
    hospitals = sites(tmp_path, MORE, policies={"south": silent})
    events, error, _ = run(asked(secure=True, evaluation=grouped_by_colour), in_process(hospitals))
    assert error is None
    last = of(Evaluated, events)[-1]
    (told,) = last.subgroups
    assert "south" in told["withheld"]
    assert {site for group in told["groups"] for site in group["sites"]} >= {"north", "west"}
    assert all("south" not in group["sites"] for group in told["groups"])


DECLARED = {"ranges": {"age": [20, 100], "dose": [-4, 4]}}
PROMISE = {"secure_aggregation": True, "dp": {"unit": "site", "epsilon": 8.0, "clip_norm": 0.5, **DECLARED}}


def test_sites_share_the_noise_that_hides_one_of_them(tmp_path: Path) -> None:
    """Each adds a part of it, and only the sum is seen: what was spent is what the study allows."""
    hidden = study(
        privacy=PROMISE,
        preprocess={"scale": "none", "impute": "drop"},
        data={"features": ["age", "dose"], "positive": "1"},
        algorithm={"kind": "fedavg", "rounds": 2, "min_sites": 4},
    )
    events, error, weights = run(hidden, in_process(sites(tmp_path / "one", MORE)))
    assert error is None
    spent = [event for event in events if isinstance(event, PrivacySpent)]
    assert [event.unit for event in spent] == ["site"]
    assert 7.5 < spent[0].sites[""]["epsilon"] <= 8.0
    _, _, again = run(hidden, in_process(sites(tmp_path / "two", MORE)))
    near(again, weights)
    _, error, _ = run(hidden.overridden({"privacy": {"secure_aggregation": False}}), in_process(sites(tmp_path, MORE)))
    assert "asks for it in clear" in str(error)
