"""A study becomes runs; what cannot be carried out is refused with all reasons at once."""

from __future__ import annotations

import pytest

from medfl.errors import PlanError
from medfl.run.plan import compile, whole_budget
from medfl.spec.discover import algorithms, kind_of
from medfl.spec.study import Study
from medfl.spec.training import Training
from medfl.testing.federation import study


def two_arms(**changes: object) -> Study:
    base = study(evaluation={"baselines": ["centralised", "local-only"]}).model_dump(mode="json", exclude_none=True)
    arms = [{"name": "plain"}, {"name": "yogi", "algorithm": {"kind": "fedyogi", "min_sites": 4}}]
    return Study.model_validate(base | {"study": {"name": "tiny", "seed": 7, "repeats": 2}, "arm": arms} | changes)


def test_every_arm_for_every_seed_then_every_baseline_for_every_seed() -> None:
    assert [(plan.role, plan.arm, plan.seed) for plan in compile(two_arms())] == [
        ("arm", "plain", 7),
        ("arm", "plain", 8),
        ("arm", "yogi", 7),
        ("arm", "yogi", 8),
        ("centralised", "centralised", 7),
        ("centralised", "centralised", 8),
        ("local-only", "local-only", 7),
        ("local-only", "local-only", 8),
    ]


def test_a_plan_carries_its_arm_as_a_study_of_its_own() -> None:
    plans = {plan.arm: plan for plan in compile(two_arms())}
    assert [plans[name].study.algorithm.kind for name in ("plain", "yogi", "centralised")] == [
        "fedavg",
        "fedyogi",
        "fedavg",
    ]
    assert all(not plan.study.arm for plan in plans.values())
    assert (plans["plain"].rounds, plans["centralised"].rounds) == (2, 1)


def test_one_arm_alone_has_no_baselines() -> None:
    assert {(plan.role, plan.arm) for plan in compile(two_arms(), only="yogi")} == {("arm", "yogi")}


def test_a_study_without_arms_is_its_own_arm() -> None:
    (plan,) = compile(study())
    assert (plan.role, plan.arm, plan.seed) == ("arm", "base", 7)


def test_refusals_are_collected() -> None:
    with pytest.raises(PlanError) as refused:
        compile(two_arms(), sites=["east", "north", "west"], only="yogy")
    first, second = refused.value.complaints
    assert (first.where, first.received) == ("--arm", "yogy")
    assert first.remedy == "choose one of: plain, yogi"
    assert second.where == "[algorithm] min_sites of arm 'yogi'"
    assert second.received == "4 required, 3 take part"
    assert second.remedy == "set min_sites to 3 or less"


def test_as_many_sites_as_are_required_will_do() -> None:
    assert compile(two_arms(), sites=["a", "b", "c", "d"])
    assert compile(two_arms()), "sites need not be known"


@pytest.mark.parametrize(
    ("training", "sites", "expected"),
    [
        ({"local_epochs": 3}, 5, (6, None)),
        ({}, 5, (2, None)),
        ({"local_steps": 10}, 5, (1, 100)),
        ({"local_steps": 10}, 1, (1, 20)),
    ],
    ids=["epochs", "the one epoch of a round", "steps of five sites", "steps of one site"],
)
def test_a_baseline_trains_in_one_round_what_the_study_trains_in_all(
    training: dict[str, int], sites: int, expected: tuple[int, int | None]
) -> None:
    (plan,) = compile(study(training=training | {"batch_size": 16, "learning_rate": 0.02}))
    whole = whole_budget(plan, sites=sites)
    how: Training = whole.study.training
    assert (how.epochs, how.local_steps) == expected
    assert (how.batch_size, how.learning_rate) == (16, 0.02)
    assert (whole.study.algorithm.kind, whole.study.algorithm.rounds) == ("fedavg", 1)
    assert (whole.role, whole.arm, whole.seed) == (plan.role, plan.arm, plan.seed)


def test_a_baseline_has_no_server_optimiser() -> None:
    (plan,) = compile(study(algorithm={"kind": "fedadam", "rounds": 9, "server_learning_rate": 0.3}))
    assert whole_budget(plan, sites=3).study.algorithm.model_dump(exclude_none=True) == {"kind": "fedavg", "rounds": 1}


@pytest.mark.parametrize(
    ("algorithm", "sites", "what", "received", "remedy"),
    [
        ({"kind": "krum", "byzantine": 2}, 6, "needs 7 contributions", "6 take part", "set byzantine to 1 at most"),
        ({"kind": "bulyan", "fraction": 0.5}, 12, "needs 7", "6 of 12 are asked each round", "choose fedmedian"),
        ({"kind": "trimmed-mean", "trim": 0.3}, 2, "nothing is left", "2 take part", "lower trim"),
        ({"fraction": 0.5, "min_asked": 9}, 4, "more sites are required", "9 required, 4 take part", "min_asked to 4"),
    ],
)
def test_too_few_sites_for_a_rule_are_refused_before_anything_runs(
    algorithm: dict[str, object], sites: int, what: str, received: str, remedy: str
) -> None:
    asked = study(algorithm={"kind": "fedavg", "rounds": 2} | algorithm)
    with pytest.raises(PlanError) as refused:
        compile(asked, sites=[str(number) for number in range(sites)])
    (complaint,) = refused.value.complaints
    assert what in complaint.what
    assert complaint.received == received
    assert remedy in complaint.remedy
    assert compile(asked, sites=[str(number) for number in range(40)])


@pytest.mark.parametrize("kind", [kind_of(part) for part in algorithms()])
def test_secure_aggregation_and_single_contributions_exclude_each_other(kind: str) -> None:
    single = {"fedmedian", "trimmed-mean", "krum", "multi-krum", "bulyan", "rfa"}
    hidden = study(algorithm={"kind": kind}, privacy={"secure_aggregation": True})
    assert compile(study(algorithm={"kind": kind}, privacy={"secure_aggregation": False}))
    if kind not in single:
        assert compile(hidden)
        return
    with pytest.raises(PlanError) as refused:
        compile(hidden)
    (complaint,) = refused.value.complaints
    assert complaint.what.startswith(f"{kind} compares single contributions of sites")
    assert complaint.where == "[algorithm] kind of arm 'base'"
    assert "choose a rule of sums" in complaint.remedy
    assert "secure_aggregation = false" in complaint.remedy


@pytest.mark.parametrize(
    ("training", "sites", "expected"),
    [({"local_epochs": 3}, 5, (3, None)), ({"local_steps": 10}, 5, (1, 50)), ({"local_steps": 3}, 1, (1, 3))],
)
def test_a_baseline_trains_as_often_as_a_site_is_asked_on_average(
    training: dict[str, int], sites: int, expected: tuple[int, int | None]
) -> None:
    (plan,) = compile(study(training=training))
    how = whole_budget(plan, sites=sites, share=0.5).study.training
    assert (how.epochs, how.local_steps) == expected
