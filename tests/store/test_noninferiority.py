"""Non-inferiority claims what the interval of the paired difference shows, and no more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from medfl.events import Evaluated
from medfl.store.folding import view_execution
from medfl.store.noninferiority import NonInferiority, noninferiority
from medfl.store.views import RunView


def judged(ours: list[float], theirs: list[float], *, margin: Any = 0.02, metric: str = "auc") -> NonInferiority:
    spec = {"evaluation": {"split_seed": 1, **({"margin": margin} if margin is not None else {})}}

    def run(seed: int, value: float, role: Any, place: int) -> RunView:
        final = Evaluated(run="r", round=1, pooled={metric: value}, sites={}, final=True)
        return RunView(
            run=f"{role}-{seed}", execution="x", study="s", digest="", spec=spec, base="", engine="", role=role,
            arm="a" if role == "arm" else role, seed=seed, status="finished", final=final, latest=final, place=place,
        )  # fmt: skip

    runs = [run(seed, value, "arm", seed) for seed, value in enumerate(ours)]
    runs += [run(seed, value, "centralised", 100 + seed) for seed, value in enumerate(theirs)]
    (found,) = noninferiority(view_execution(runs), metric)
    return found


THEIRS = [0.80, 0.82, 0.81, 0.79, 0.83]


def moved(by: float, *, noise: float = 0.002) -> list[float]:
    return [value + by + noise * (-1) ** place for place, value in enumerate(THEIRS)]


@pytest.mark.parametrize(
    ("by", "verdict"), [(0.0, "non-inferior"), (-0.01, "non-inferior"), (-0.02, "not shown"), (-0.05, "inferior")]
)
def test_the_verdict_is_where_the_interval_lies(by: float, verdict: str) -> None:
    found = judged(moved(by), THEIRS)
    assert found.verdict == verdict
    assert found.comparison.difference is not None
    assert found.comparison.difference.mean == pytest.approx(by, abs=0.001)


@pytest.mark.parametrize(("by", "verdict"), [(0.01, "non-inferior"), (0.05, "inferior"), (-0.05, "non-inferior")])
def test_of_an_error_less_is_better(by: float, verdict: str) -> None:
    assert judged(moved(by), THEIRS, metric="rmse").verdict == verdict


@given(st.lists(st.floats(-0.1, 0.1), min_size=3, max_size=8), st.floats(0.001, 0.1))
def test_the_p_value_says_the_same_as_the_interval(gaps: list[float], margin: float) -> None:
    assume(np.std(gaps) > 1e-4)
    theirs = [0.5] * len(gaps)
    found = judged([0.5 + gap for gap in gaps], theirs, margin=margin)
    expected = float(stats.ttest_1samp(np.array(gaps), -margin, alternative="greater").pvalue)
    assert found.p == pytest.approx(expected, abs=1e-6)
    assume(abs(expected - 0.025) > 1e-6)
    assert (found.verdict == "non-inferior") == (expected < 0.025)


def test_one_repeat_is_not_tested() -> None:
    found = judged([0.8], [0.8])
    assert (found.verdict, found.p) == ("not tested", None)
    assert "one repeat" in found.comparison.reason


def test_repeats_that_do_not_differ_are_not_tested() -> None:
    assert judged(THEIRS, THEIRS).verdict == "not tested"


def test_without_a_margin_there_is_no_test() -> None:
    with pytest.raises(ValueError, match="not enough values"):
        judged(moved(0.0), THEIRS, margin=None)


def test_an_arm_has_the_margin_that_it_sets() -> None:
    assert judged(moved(-0.03), THEIRS, margin=0.02).verdict == "inferior"
    assert judged(moved(-0.03), THEIRS, margin=0.05).verdict == "non-inferior"
