"""FedAvg, FedProx and FedAvgM against what their papers' formulas give by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medfl.learn.algorithm import Local, State
from medfl.learn.algorithms.fedavg import FedAvg
from medfl.learn.algorithms.fedavgm import FedAvgM
from medfl.learn.algorithms.fedprox import FedProx
from medfl.learn.averaging import AdaptiveServer, Averaging
from medfl.learn.model import Examples
from medfl.learn.models import build
from medfl.learn.statistic import Statistic, total
from medfl.spec.model import MLP, Linear
from medfl.spec.training import SGD
from medfl.testing.federation import BINARY, FEATURES, REGRESSION, examples, local

LINE = build(Linear(), features=1, outcome=REGRESSION)
"""y = w·x + b: two weights."""


def line(xs: list[float], ys: list[float], **how: object) -> Local:
    """Return a site with these rows, which takes one step down the gradient of all of them at once."""
    rows = Examples(np.array(xs, np.float32)[:, np.newaxis], np.array(ys, np.float32))
    asked = SGD.model_validate({"batch_size": 100, "learning_rate": 0.25} | how)
    return local(LINE, rows, site="north", round=1, how=asked)


def weights(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def sent(delta: list[float], rows: int, loss: float = 1.0) -> Statistic:
    """Return what a site with so many rows sends whose weights changed by `delta`."""
    return Statistic({"delta": np.array(delta) * rows, "loss": np.array(loss * rows), "weight": np.array(float(rows))})


# One step at learning rate 1/4 from w = 1, b = 0, on the mean squared error:
#   site A, row (x=2, y=1):            error 1, gradient (2·1·2, 2·1) = (4, 2), new (0, -1/2)
#   site B, rows (1, 0), (1, 0), (-1, 1), errors 1, 1, -2: gradient (2/3)(1+1+2, 1+1-2) = (8/3, 0), new (1/3, 0)
A, B = line([2], [1]), line([1, 1, -1], [0, 0, 1])


def test_fedavg_by_hand() -> None:
    state = FedAvg().init(weights(1, 0), 1)
    a, _ = FedAvg().at_site(state.shared, A, {}, 0)
    b, _ = FedAvg().at_site(state.shared, B, {}, 0)
    np.testing.assert_allclose(a["delta"], [-1, -0.5], rtol=1e-6)
    np.testing.assert_allclose(b["delta"], [3 * (1 / 3 - 1), 0], rtol=1e-6, atol=1e-7)
    assert [float(a["weight"]), float(b["weight"])] == [1, 3]
    assert [float(a["loss"]), float(b["loss"])] == pytest.approx([1, 6]), "rows times the mean squared error"
    after = FedAvg().at_hub(state, a + b)
    np.testing.assert_allclose(after.weights, [(1 * 0 + 3 * (1 / 3)) / 4, (1 * -0.5 + 3 * 0) / 4], rtol=1e-6)
    assert dict(after.kept) == {}


def test_fedavg_goes_on_from_the_average() -> None:
    state = FedAvg().init(weights(1, 0), 1)
    for change in ([0.5, -0.25], [0.25, 0.25]):
        state = FedAvg().at_hub(state, total([sent(change, 7), sent(change, 2)]))
    assert state.weights.tolist() == [1.75, 0.0]


def test_one_site_alone_gets_its_own_model_back() -> None:
    state = FedAvg().init(weights(1, 0), 1)
    own, _ = FedAvg().at_site(state.shared, B, {}, 0)
    expected = B.train(state.weights, seed=0).weights
    assert FedAvg().at_hub(state, own).weights.tobytes() == expected.tobytes()


sites = st.lists(
    st.tuples(st.lists(st.floats(-10, 10), min_size=3, max_size=3), st.integers(1, 10_000)), min_size=1, max_size=6
)


@settings(deadline=None)
@given(sites)
def test_the_average_weighs_by_rows(sites: list[tuple[list[float], int]]) -> None:
    state = FedAvg().init(weights(1, -2, 0.5), 1)
    after = FedAvg().at_hub(state, total(sent(delta, rows) for delta, rows in sites)).weights
    rows = sum(count for _, count in sites)
    for place, before in enumerate((1, -2, 0.5)):
        mean = math.fsum(delta[place] * count for delta, count in sites) / rows
        assert float(after[place]) == pytest.approx(before + mean, rel=1e-6, abs=1e-6)


@settings(deadline=None)
@given(sites, st.integers(2, 50))
def test_only_shares_of_rows_count(sites: list[tuple[list[float], int]], times: int) -> None:
    """The same sites with so many times the rows: the same average; and it stays between the least and the greatest."""
    state = FedAvg().init(weights(0, 0, 0), 1)
    once, often = (
        FedAvg().at_hub(state, total(sent(delta, rows * by) for delta, rows in sites)).weights for by in (1, times)
    )
    np.testing.assert_allclose(once, often, rtol=1e-6, atol=1e-9)
    deltas = np.array([delta for delta, _ in sites])
    assert (once >= deltas.min(axis=0) - 1e-5).all()
    assert (once <= deltas.max(axis=0) + 1e-5).all()


def test_fedprox_by_hand() -> None:
    """Two steps from (1, 0), with μ = 2: the first feels no pull; the second is pulled back by μ times the way gone."""
    rule = FedProx(mu=2.0)
    state = rule.init(weights(1, 0), 1)
    data = line([2], [1], local_steps=2, learning_rate=0.05)
    own, _ = rule.at_site(state.shared, data, {}, 0)
    w, b = 1 - 0.05 * 4, 0 - 0.05 * 2
    error = 2 * w + b - 1
    w, b = w - 0.05 * (4 * error + 2 * (w - 1)), b - 0.05 * (2 * error + 2 * (b - 0))
    np.testing.assert_allclose(own["delta"], [w - 1, b], rtol=1e-5)


def network(mu: float | None, *, epochs: int = 5, learning_rate: float = 0.01) -> np.ndarray:
    """Return how far a network's weights move at a site in one round."""
    model = build(MLP(hidden=(5,)), features=FEATURES, outcome=BINARY)
    how = SGD(batch_size=8, local_epochs=epochs, learning_rate=learning_rate)
    data = local(model, examples(BINARY, rows=60), site="north", round=2, how=how)
    rule: Averaging = FedAvg() if mu is None else FedProx(mu=mu)
    shared = {"weights": model.init(np.random.default_rng(0))}
    own, _ = rule.at_site(shared, data, {}, 7)
    return np.asarray(own["delta"] / own["weight"])


def test_fedprox_without_pull_is_fedavg_bit_for_bit() -> None:
    assert network(0.0).tobytes() == network(None).tobytes()


def test_the_stronger_the_pull_the_nearer_to_the_start() -> None:
    lengths = [float(np.linalg.norm(network(mu))) for mu in (0.0, 1.0, 10.0, 50.0)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] < 0.1 * lengths[0]


def test_fedprox_sums_up_as_fedavg_does() -> None:
    state, contributions = State({"weights": weights(1, 0)}), sent([1, 2], 3) + sent([0, -1], 1)
    assert FedProx().at_hub(state, contributions).weights.tolist() == [1.75, 1.25]


def test_fedavgm_by_hand() -> None:
    """v ← βv + Δ; w ← w + ηv, with β = 0.5, η = 0.25 and Δ = 1, 1, −2."""
    rule = FedAvgM(momentum=0.5, server_learning_rate=0.25)
    state = rule.init(weights(0), 1)
    assert state.kept["velocity"].tolist() == [0.0]
    velocities, places = [], []
    for change in (1.0, 1.0, -2.0):
        state = rule.at_hub(state, total([sent([change - 1], 10), sent([change + 1], 10)]))
        velocities.append(float(state.kept["velocity"][0]))
        places.append(float(state.weights[0]))
    assert velocities == [1.0, 1.5, -1.25]
    assert places == [0.25, 0.625, 0.3125]


def test_fedavgm_at_rest_and_without_momentum_is_fedavg() -> None:
    state = FedAvg().init(weights(1, 0), 1)
    contributions = sent([1, 2], 3) + sent([0, -1], 1)
    plain = FedAvgM(momentum=0.0)
    assert plain.at_hub(plain.init(weights(1, 0), 1), contributions).weights.tobytes() == (
        FedAvg().at_hub(state, contributions).weights.tobytes()
    )


def test_a_server_optimiser_must_say_how_its_second_moment_grows() -> None:
    class Unfinished(AdaptiveServer):
        """Says nothing."""

    rule = Unfinished(kind="unfinished")
    with pytest.raises(TypeError, match="Unfinished does not say how"):
        rule.at_hub(rule.init(weights(1), 1), sent([1], 1))
