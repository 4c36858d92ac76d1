"""Which coalitions are trained, and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from medfl.errors import PlanError
from medfl.events import Evaluated, RoundFinished, RoundStarted, SiteAnswered
from medfl.run.coalitions import coalitions, drawn, with_coalitions
from medfl.run.loop import Federation, carry_out
from medfl.run.plan import RunPlan, compile
from medfl.spec.evaluation import Contributions
from medfl.spec.study import Study
from medfl.testing.federation import NAMES, Kept, in_process, sites, study, told

LEFT = Contributions(kind="leave-one-out")


def shapley(permutations: int | None = None) -> Contributions:
    return Contributions(kind="shapley", permutations=permutations)


def planned(asked: Study) -> list[RunPlan]:
    return list(with_coalitions(compile(asked), lambda _: NAMES))


def test_each_site_is_left_out_once() -> None:
    assert list(coalitions(LEFT, NAMES, ())) == [("north", "west"), ("east", "west"), ("east", "north")]


def test_all_coalitions_are_trained_where_they_are_few() -> None:
    orders = drawn(shapley(), NAMES, seed=1)
    assert orders == ()
    found = list(coalitions(shapley(), NAMES, orders))
    assert len(found) == len(set(found)) == 2**3 - 2
    assert NAMES not in found


@pytest.mark.parametrize(("permutations", "sampled"), [(2, True), (4, True), (5, False)])
def test_sampling_begins_where_it_is_cheaper(permutations: int, sampled: bool) -> None:
    """Of four sites there are 15 coalitions; m orders have 3 m + 1 at most."""
    assert bool(drawn(shapley(permutations), ("a", "b", "c", "d"), seed=1)) == (permutations * 3 + 1 < 15) == sampled


def test_sampled_orders_need_each_of_their_coalitions_once() -> None:
    names = tuple("abcdefgh")
    orders = drawn(shapley(6), names, seed=3)
    assert len(orders) == 6
    assert all(tuple(sorted(order)) == names for order in orders)
    assert orders == drawn(shapley(6), names, seed=3) != drawn(shapley(6), names, seed=4)
    found = list(coalitions(shapley(6), names, orders))
    needed = {frozenset(order[:size]) for order in orders for size in range(1, 8)}
    assert len(found) == len(needed) < 6 * 7
    assert set(map(frozenset, found)) == needed


def test_coalitions_come_last_for_each_arm_and_seed() -> None:
    asked = study(study={"repeats": 2}, evaluation={"baselines": ["local-only"], "contributions": "leave-one-out"})
    plans = planned(asked)
    assert [(plan.role, plan.seed) for plan in plans[:4]] == [
        ("arm", 7), ("arm", 8), ("local-only", 7), ("local-only", 8),
    ]  # fmt: skip
    assert [(plan.role, plan.seed, len(plan.members)) for plan in plans[4:]] == [
        *[("coalition", 7, 2)] * 3,
        *[("coalition", 8, 2)] * 3,
    ]
    assert plans[4].rounds == plans[0].rounds


def test_nobody_is_asked_for_sites_where_nothing_is_weighed() -> None:
    def refuse(_: Study) -> tuple[str, ...]:
        raise AssertionError

    assert with_coalitions(compile(study()), refuse) == compile(study())


def test_one_site_has_nothing_to_be_left_out_of() -> None:
    with pytest.raises(PlanError, match="one site only"):
        with_coalitions(compile(study(evaluation={"contributions": "shapley"})), lambda _: ("east",))


def test_members_train_and_all_sites_judge(tmp_path: Path) -> None:
    asked = study(evaluation={"contributions": "leave-one-out"}, algorithm={"min_sites": 3})
    plan = next(plan for plan in planned(asked) if plan.members == ("east", "west"))
    events, error = told(carry_out("r", plan, Federation(in_process(sites(tmp_path)), Kept().write)))
    assert error is None
    assert {event.site for event in events if isinstance(event, SiteAnswered)} == {"east", "west"}
    assert all(event.sites == ("east", "west") for event in events if isinstance(event, RoundStarted | RoundFinished))
    (judged,) = (event for event in events if isinstance(event, Evaluated))
    assert (judged.final, tuple(judged.sites)) == (True, NAMES)


def test_a_coalition_of_one_is_that_site_trained_by_rounds(tmp_path: Path) -> None:
    """With one site, federated averaging is the site's own training, one round after the other."""
    asked = study(evaluation={"contributions": "shapley"})
    alone = next(plan for plan in planned(asked) if plan.members == ("north",))
    whole = planned(asked)[0]
    models = {}
    for name, plan in (("alone", alone), ("whole", whole)):
        events, error = told(carry_out("r", plan, Federation(in_process(sites(tmp_path)), Kept().write)))
        assert error is None
        models[name] = [event.model for event in events if isinstance(event, RoundFinished)]
    assert set(models["alone"]).isdisjoint(models["whole"])
    lone = {"north": sites(tmp_path)["north"]}
    recipe_differs, error = told(carry_out("r", compile(study())[0], Federation(in_process(lone), Kept().write)))
    assert error is None
    assert [event.model for event in recipe_differs if isinstance(event, RoundFinished)] != models["alone"], (
        "preprocessing is fitted over all sites"
    )


def test_the_untrained_model_is_told_of_where_sites_are_weighed(tmp_path: Path) -> None:
    def rounds(asked: Study) -> list[int]:
        plan = planned(asked)[0]
        events, _ = told(carry_out("r", plan, Federation(in_process(sites(tmp_path)), Kept().write)))
        return [event.round for event in events if isinstance(event, Evaluated)]

    assert rounds(study()) == [1, 2]
    assert rounds(study(evaluation={"contributions": "shapley"})) == [0, 1, 2]


def test_the_untrained_model_is_judged_by_all_sites_whoever_trains_first(tmp_path: Path) -> None:
    """Else the value of nobody would rest on other patients than that of everybody."""
    asked = study(evaluation={"contributions": "shapley"}, algorithm={"fraction": 0.34})
    events, error = told(carry_out("r", planned(asked)[0], Federation(in_process(sites(tmp_path)), Kept().write)))
    assert error is None
    first = next(event for event in events if isinstance(event, Evaluated))
    assert (first.round, tuple(first.sites)) == (0, NAMES)
    assert all(len(event.sites) == 1 for event in events if isinstance(event, RoundStarted))
