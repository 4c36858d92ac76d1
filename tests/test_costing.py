"""What noise is expected to cost: the accountant's numbers, said of what is known, and of no more."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from medfl.costing import ASSUMED, costs
from medfl.errors import MissingExtraError
from medfl.hub.pages.bench import Cost
from medfl.privacy.budget import budget
from medfl.readiness.tables import Known, Seen, SeenTable
from medfl.run.explain_privacy import lost
from medfl.spec.study import Study
from medfl.testing.federation import study

RANGES = {"age": [0, 120], "dose": [-5, 5]}
DP = {"unit": "record", "epsilon": 3.0, "ranges": RANGES, "categories": {"colour": ["amber", "blue", "clear"]}}
BASE: dict[str, Any] = {
    "data": {"features": ["age", "dose", "colour"], "positive": "1", "sites": {"east": "e.csv", "west": "w.csv"}},
    "preprocess": {"impute": "median"},
}
COLUMNS = {
    name: Seen(name=name, kind=kind, categories=codes)
    for name, kind, codes in (
        ("age", "numeric", ()),
        ("dose", "numeric", ()),
        ("colour", "categorical", ("amber", "blue", "clear")),
        ("sick", "numeric", ("0", "1")),
    )
}


def known(**rows: int | None) -> Known:
    return Known(tables={site: SeenTable(columns=COLUMNS, rows=many) for site, many in rows.items()})


def asked(dp: dict[str, Any], **more: Any) -> Study:
    return study(**{**BASE, **more}, privacy={"secure_aggregation": False, "dp": dp})


def cost(asked_for: Study, seen: Known) -> Cost:
    (one,) = costs(asked_for, seen)
    return one


def test_it_is_the_accountants_noise_for_the_smallest_site() -> None:
    plan = asked(DP)
    found = cost(plan, known(east=1000, west=300))
    dp = plan.privacy.dp
    assert dp is not None
    exact = budget(plan, dp, units=found.units, smallest=60)
    assert (found.site, found.units, found.sites, found.assumed) == ("west", 240, 2, False)
    assert (found.steps, found.rounds, found.weights) == (15, 2, 6)
    assert found.noise is not None
    assert 1.0 <= found.noise / exact.step.noise_multiplier < 1.2, "a little more than the tighter accountant's"
    each = found.noise / 16 * math.sqrt(6)
    assert found.step == pytest.approx(each)
    assert found.round == pytest.approx(each / math.sqrt(2 * 15))
    assert found.whole == pytest.approx(each / math.sqrt(2 * 15 * 2))
    assert found.whole is not None
    assert (found.whole < 0.1, found.loss) == (True, "untold"), "it is a best case, from which nothing follows"
    assert exact.statistics is not None
    assert (found.share, found.tested) == (dp.share, 60)
    assert 1.0 <= (found.statistics or 0.0) / exact.statistics.noise_multiplier < 1.2
    assert 1.0 <= (found.judging or 0.0) / exact.judging.noise_multiplier < 1.2


@pytest.mark.parametrize(("ratio", "loss"), [(0.001, "untold"), (0.4, "untold"), (1.0, "untold"), (1.01, "most")])
def test_only_noise_beyond_the_longest_signal_is_a_verdict(ratio: float, loss: str) -> None:
    assert lost(ratio) == loss


def test_what_needs_no_sums_pays_for_none() -> None:
    found = cost(asked(DP, preprocess={"impute": "none", "scale": "min-max"}), known(east=300, west=300))
    assert (found.share, found.statistics) == (0.0, None)
    assert found.judging is not None


def test_less_privacy_more_rows_and_more_sites_cost_less_and_a_larger_model_more() -> None:
    usual = cost(asked(DP), known(east=300, west=300)).whole or 0.0
    assert (cost(asked({**DP, "epsilon": 9.0}), known(east=300, west=300)).whole or 0.0) < usual
    assert (cost(asked(DP), known(east=900, west=900)).whole or 0.0) < usual
    three = {**BASE["data"], "sites": {"east": "e.csv", "west": "w.csv", "north": "n.csv"}}
    assert (cost(asked(DP, data=three), known(east=300, west=300, north=300)).whole or 0.0) < usual
    large = cost(asked({**DP, "epsilon": 0.1}, model={"kind": "mlp", "hidden": [64, 32]}), known(east=300, west=300))
    assert large.weights == 6 * 64 + 65 * 32 + 33
    assert large.loss == "most"
    assert (large.whole or 0.0) > usual


def test_where_no_rows_are_told_a_number_is_assumed_and_said_to_be() -> None:
    for seen in (Known(), known(east=None, west=None)):
        found = cost(asked(DP), seen)
        assert (found.assumed, found.units, found.site, found.sites) == (True, ASSUMED * 4 // 5, "", 2)
        assert found.weights == 6, "from what the study declares"


def test_of_one_table_each_site_has_its_part() -> None:
    dealt = {**BASE["data"], "sites": None, "simulate": {"sites": 4, "table": "a.csv"}}
    plan = Study.model_validate(
        {**asked(DP).model_dump(mode="json", exclude_none=True), "data": dealt | {"target": "sick"}}
    )
    found = cost(plan, replace(known(all=1000), dealt=True))
    assert (found.units, found.sites, found.site, found.assumed) == (200, 4, "", False)


def test_of_whole_sites_it_is_the_sum_of_a_round_that_carries_the_noise() -> None:
    found = cost(asked({"unit": "site", "epsilon": 1.0, "noise": "central"}), known(east=300, west=300))
    assert found.noise is not None
    assert found.round == pytest.approx(found.noise / 2 * math.sqrt(found.weights or 0))
    assert (found.loss, found.units) == ("most", 0)


def test_what_is_not_known_is_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    found = cost(asked(DP, model={"kind": "torch", "name": "mine"}), known(east=300))
    assert found.noise is not None
    assert (found.weights, found.whole, found.loss) == (None, None, "untold")
    wrong = cost(asked({**DP, "delta": 0.1}), known(east=300, west=300))
    assert wrong.noise is None
    assert "delta is so large" in wrong.unknown

    def missing(*_: object, **__: object) -> None:
        raise MissingExtraError("not there")

    monkeypatch.setattr("medfl.costing.budget", missing)
    assert "pip install 'medfl[dp]'" in cost(asked(DP), known(east=300)).unknown


def test_only_arms_with_a_promise_have_a_cost() -> None:
    plan = study(**BASE)
    assert costs(plan, known(east=300)) == ()
    arms = [{"name": f"of-{epsilon}", "privacy": {"dp": {**DP, "epsilon": epsilon}}} for epsilon in (1.0, 2.0)]
    spec = plan.model_dump(mode="json", exclude_none=True, by_alias=True)
    both = Study.model_validate({**spec, "arm": [{"name": "open"}, *arms]})
    assert [(one.arm, one.epsilon) for one in costs(both, known(east=300))] == [("of-1.0", 1.0), ("of-2.0", 2.0)]
