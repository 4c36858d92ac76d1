"""The law: what two sites measure, added, is what one site with all their rows would measure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medfl.learn.metrics import judge
from medfl.learn.model import Floats, Outcome
from medfl.learn.statistic import ZERO, Statistic, total

OUTCOMES = (
    Outcome("binary", ("no", "yes")),
    Outcome("multiclass", ("a", "b", "c")),
    Outcome("regression"),
)
some = settings(max_examples=40, deadline=None, derandomize=True)
every_outcome = pytest.mark.parametrize("outcome", OUTCOMES, ids=[outcome.kind for outcome in OUTCOMES])


def drawn(outcome: Outcome, seed: int, rows: int) -> tuple[Floats, Floats]:
    random = np.random.default_rng(seed)
    shape = (rows, 3) if outcome.kind == "multiclass" else (rows,)
    truth = (
        random.normal(60, 10, rows)
        if outcome.kind == "regression"
        else random.integers(len(outcome.classes), size=rows)
    )
    return random.normal(0, 3, shape).astype(np.float32), truth.astype(np.float32)


def same(left: Statistic, right: Statistic) -> bool:
    if set(left.arrays) != set(right.arrays):
        return False
    for name, array in left.arrays.items():
        if array.dtype != right[name].dtype or array.dtype not in (np.int64, np.float64):
            return False
        tolerance = 0.0 if array.dtype == np.int64 else 1e-9
        if not np.allclose(array, right[name], rtol=tolerance, atol=tolerance):
            return False
    return True


@every_outcome
@some
@given(data=st.data())
def test_the_sum_of_parts_is_the_measure_of_the_whole_in_any_order(outcome: Outcome, data: st.DataObject) -> None:
    scores, truth = drawn(outcome, data.draw(st.integers(0, 999)), data.draw(st.integers(1, 120)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(truth)), max_size=3)))
    threshold = data.draw(st.sampled_from([0.5, 0.2, None]))
    bounds = zip([0, *cuts], [*cuts, len(truth)], strict=True)
    parts = [judge.measure(outcome, scores[a:b], truth[a:b], threshold=threshold) for a, b in bounds]
    whole = judge.measure(outcome, scores, truth, threshold=threshold)
    shuffled = data.draw(st.permutations(range(len(truth))))

    assert same(total(parts), whole)
    assert same(total(reversed(parts)), whole)
    assert same(judge.measure(outcome, scores[shuffled], truth[shuffled], threshold=threshold), whole)


@every_outcome
def test_no_rows_measure_zero(outcome: Outcome) -> None:
    scores, truth = drawn(outcome, 1, 50)
    some_rows, no_rows = judge.measure(outcome, scores, truth), judge.measure(outcome, scores[:0], truth[:0])

    assert not any(array.any() for array in no_rows.arrays.values())
    assert same(some_rows + no_rows, some_rows)
    assert same(some_rows + ZERO, some_rows)


@every_outcome
def test_the_same_rows_give_the_same_bytes(outcome: Outcome) -> None:
    scores, truth = drawn(outcome, 1, 5000)
    first, second = (judge.measure(outcome, scores, truth) for _ in range(2))

    assert {n: a.tobytes() for n, a in first.arrays.items()} == {n: a.tobytes() for n, a in second.arrays.items()}
