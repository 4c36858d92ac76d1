from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from medfl.publish.glance import _how_clear, glance
from medfl.publish.verdicts import apart, verdicts
from medfl.spec.study import Study
from medfl.store.comparison import Comparison, Estimate
from medfl.store.views import ExecutionView

Tell = Callable[..., ExecutionView]
Ask = Callable[..., Study]


def test_the_tiles_are_the_ways_of_learning(demo: ExecutionView, trial: ExecutionView) -> None:
    assert [tile.title for tile in glance(demo).tiles] == ["Each site alone", "Federated", "All rows in one place"]
    assert [tile.title for tile in glance(trial).tiles][1:3] == ["Federated, fedavg", "Federated, fedyogi"]


def test_the_numbers_are_those_of_the_runs(demo: ExecutionView) -> None:
    shown = glance(demo)
    auc = demo.runs[0].metrics["auc"]
    assert shown.metric == "auc"
    assert shown.tiles[1].value == f"{auc:.3f}"
    assert shown.says[0].startswith(f"Together, the four sites reach an AUC of {auc:.3f} (")


def test_one_run_never_claims_a_difference(demo: ExecutionView) -> None:
    text = " ".join(glance(demo).says)
    assert "so this run does not show that one is better than the other" in text
    assert "one repeat cannot tell chance from effect" in text
    assert "more than chance" not in text


def test_what_is_not_shown_is_said(demo: ExecutionView, tell: Tell, ask: Ask) -> None:
    assert any(text.startswith("Everything ran once") for text in glance(demo).cautions)
    assert any("only 112 test rows" in text for text in glance(demo).cautions)
    without = glance(tell(ask(evaluation={"baselines": []})))
    assert any(text.startswith("Nothing was compared with") for text in without.cautions)
    simulated = ask(data={"target": "malignant", "simulate": {"bundled": "breast-cancer", "sites": 4}})
    assert any(text.startswith("This is a simulation") for text in glance(tell(simulated)).cautions)


def test_a_clear_gain_and_a_clear_loss_are_both_said() -> None:
    def at(mean: float) -> Estimate:
        return Estimate(mean, mean - 0.02, mean + 0.02, 1, "bootstrap")

    own = {"a": at(0.7), "b": at(0.9), "c": at(0.8)}
    together = {"a": at(0.8), "b": at(0.8), "c": at(0.81)}
    text = _how_clear(own, together, ["a", "c"], metric="auc")
    assert text == "Where the two intervals do not overlap, it is better at one site and worse at one site"
    assert _how_clear({"b": at(0.9)}, {"b": at(0.8)}, [], metric="auc").endswith("it is worse at one site")


def test_one_split_for_all_repeats_is_said(tell: Tell, ask: Ask) -> None:
    fixed = ask(repeats=2, evaluation={"baselines": ["local-only"], "split_seed": 3})
    assert any(text.startswith("All repeats share one split") for text in glance(tell(fixed)).cautions)


def test_a_site_with_one_outcome_is_named(tell: Tell) -> None:
    shown = glance(tell(one_class=("north",)))
    assert "AUC is not defined at north: the test rows there do not have both outcomes." in shown.cautions
    assert "of 3 sites" in " ".join(shown.says)


def test_nothing_is_said_of_what_was_not_judged(tell: Tell) -> None:
    shown = glance(tell(end="planned"))
    assert (shown.tiles, shown.says, shown.cautions) == ((), (), ())


def test_lower_errors_are_better(tell: Tell, ask: Ask) -> None:
    shown = glance(tell(ask(model={"kind": "linear"}), kind="regression"))
    assert "an RMSE of" in shown.says[0]
    assert "is better at 4 of 4 sites" in shown.says[1]


def difference(mean: float, p: float | None, *, first: str = "fedavg", second: str = "centralised") -> Comparison:
    return Comparison(
        first=first, second=second, metric="auc", scope="pooled", n=5, p=p, p_holm=p,
        difference=Estimate(mean, mean - 0.01, mean + 0.01, 5, "t over repeats"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("p", "verdict"),
    [
        (0.01, "more than chance would explain (p = 0.010 after Holm's correction, 5 repeats)"),
        (0.2, "which chance alone could explain"),
    ],
)
def test_a_test_decides_what_is_claimed(trial: ExecutionView, p: float, verdict: str) -> None:
    (text,) = verdicts(trial, [difference(-0.02, p)], metric="auc")
    assert text.startswith("The AUC of arm fedavg is 0.020 lower than that of all rows in one place")
    assert "(95 % interval of the difference −0.030 to −0.010)" in text
    assert verdict in text


def test_several_comparisons_of_a_kind_are_told_in_short(trial: ExecutionView) -> None:
    (text,) = verdicts(trial, [difference(-0.02, 0.01), difference(0.001, 0.8, first="fedyogi")], metric="auc")
    assert "fedavg −0.020 (p = 0.010) and fedyogi 0.001 (p = 0.800); only fedavg more than chance" in text


def test_arms_that_are_compared_with_each_other_are_both_named(trial: ExecutionView) -> None:
    pairs = [
        difference(-0.02, 0.01, first="fedavg", second="fedyogi"),
        difference(0.03, 0.8, first="fedyogi", second="fedavg"),
    ]
    (text,) = verdicts(trial, pairs, metric="auc")
    assert text.startswith("Difference in AUC between the arms: fedavg vs fedyogi −0.020 (p = 0.010) and fedyogi vs")
    assert "only fedavg vs fedyogi more than chance" in text


def test_equal_repeats_have_no_interval(trial: ExecutionView) -> None:
    same = replace(difference(0.0, None), difference=Estimate(0.0, 0.0, 0.0, 5, "t over repeats"), reason="the same")
    (text,) = verdicts(trial, [same], metric="auc")
    assert text == "The AUC of arm fedavg is as high as that of all rows in one place; the same."


def test_many_comparisons_are_only_counted(trial: ExecutionView) -> None:
    many = [difference(0.01 * place, 0.01 * place, first=f"arm{place}") for place in range(1, 8)]
    (text,) = verdicts(trial, many, metric="auc")
    assert text == (
        "Of 7 differences to all rows in one place, 4 are more than chance would explain, after Holm's correction."
    )


def test_intervals_that_touch_are_not_apart() -> None:
    low, high = Estimate(0.8, 0.7, 0.85, 1, "bootstrap"), Estimate(0.9, 0.85, 0.95, 1, "bootstrap")
    assert not apart(low, high, metric="auc")
    assert apart(low, Estimate(0.9, 0.86, 0.95, 1, "bootstrap"), metric="auc")
    assert not apart(low, Estimate(0.9, None, None, 1, "single value"), metric="auc")
