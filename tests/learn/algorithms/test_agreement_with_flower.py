"""Ours and Flower's strategies (1.41, ``flwr.serverapp.strategy``) make the same of the same replies, to 1e-6.

Where the two differ by design, the test says so and takes the difference out:

- Flower's FedAdam corrects Adam's bias, counting rounds from 2; Reddi et al., algorithm 2, do not, and start the second
  moment at τ² instead of at 0. So Flower is told that it is in a round so late that no correction is left, and its
  moment is set to τ² in all three adaptive rules.
- Flower's FedAvgM carries the momentum as a gradient, ours as a step: the sign differs, and cancels.
- Flower's q-FedAvg counts every site the same; ours counts by rows. So here the sites have equal rows.
- Flower's (Multi-)Krum averages what it picked by rows; ours counts every site the same, as the paper. Equal rows.
- Flower's trimmed mean rounds down how many it leaves out, ours up: 0.2 of ten sites is two for both.
- Flower's Bulyan picks by one scoring, ours, as the paper, scores anew after each pick. The replies are such that both
  pick the same.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from medfl.learn.algorithms.bulyan import Bulyan
from medfl.learn.algorithms.fedadagrad import FedAdagrad
from medfl.learn.algorithms.fedadam import FedAdam
from medfl.learn.algorithms.fedavg import FedAvg
from medfl.learn.algorithms.fedavgm import FedAvgM
from medfl.learn.algorithms.fedmedian import FedMedian
from medfl.learn.algorithms.fedopt import FedOpt
from medfl.learn.algorithms.fedprox import FedProx
from medfl.learn.algorithms.fedyogi import FedYogi
from medfl.learn.algorithms.krum import Krum
from medfl.learn.algorithms.multi_krum import MultiKrum
from medfl.learn.algorithms.qfedavg import QFedAvg
from medfl.learn.algorithms.trimmed_mean import TrimmedMean
from medfl.learn.averaging import Averaging
from medfl.learn.model import Floats
from medfl.spec.training import SGD
from medfl.testing.scripted import Answer, answered

SIZE = 23
LATE = 10**7
"""A round in which nothing is left of a bias correction."""
RATE = 0.1
"""The sites' learning rate."""


@pytest.fixture(scope="module")
def flower() -> Iterator[Flower]:
    pytest.importorskip("flwr", reason="Flower is not installed: pip install 'medfl[test]'", exc_type=ImportError)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FLWR_TELEMETRY_ENABLED", "0")
        patched.setenv("FLWR_DISABLE_UPDATE_CHECK", "1")
        yield Flower()


class Flower:
    """Flower's strategies, fed with arrays instead of messages over a grid."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            # Typer, which Flower logs with, reads names that click will rename.
            warnings.filterwarnings("ignore", "'click.utils.get_", DeprecationWarning)
            self.app: Any = importlib.import_module("flwr.app")
            self.strategies: Any = importlib.import_module("flwr.serverapp.strategy")

    def record(self, weights: np.ndarray) -> Any:
        return self.app.ArrayRecord({"w": self.app.Array(np.asarray(weights, np.float64))})

    def aggregate(self, strategy: Any, answers: list[Answer], *, round: int) -> np.ndarray:
        replies = []
        for node, answer in enumerate(answers, start=1):
            metrics = self.app.MetricRecord({"num-examples": answer.rows, "train_loss": answer.loss})
            content = self.app.RecordDict({"arrays": self.record(answer.weights), "metrics": metrics})
            replies.append(self.app.Message(content, metadata=self._from(node)))
        arrays, _ = strategy.aggregate_train(round, replies)
        return np.asarray(arrays["w"].numpy())

    def _from(self, node: int) -> Any:
        """Return what a reply that came over a grid says about itself."""
        names = {"message_id": "", "reply_to_message_id": "", "group_id": "", "message_type": "train"}
        nodes = {"run_id": 1, "src_node_id": node, "dst_node_id": 0, "src_task_id": node, "dst_task_id": 0}
        return self.app.Metadata(**names, **nodes, created_at=0.0, ttl=60.0)


def replies(sites: int, start: Floats, *, seed: int, rows: int | None = None) -> list[Answer]:
    draw = np.random.default_rng(seed)
    return [
        Answer(
            (start + draw.normal(0.1, 0.5, SIZE)).astype(np.float32),
            int(draw.integers(5, 90)) if rows is None else rows,
            float(draw.uniform(0.2, 2.0)),
        )
        for _ in range(sites)
    ]


def start() -> Floats:
    return np.random.default_rng(99).normal(size=SIZE).astype(np.float32)


def named(value: object) -> str:
    return str(getattr(value, "kind", value))


STATELESS: list[tuple[Averaging, str, dict[str, object], int | None]] = [
    (FedAvg(), "FedAvg", {}, None),
    (FedProx(mu=0.3), "FedProx", {"proximal_mu": 0.3}, None),
    (FedMedian(), "FedMedian", {}, None),
    (TrimmedMean(trim=0.2), "FedTrimmedAvg", {"beta": 0.2}, None),
    (TrimmedMean(trim=0.0), "FedTrimmedAvg", {"beta": 0.0}, None),
    (Krum(byzantine=1), "Krum", {"num_malicious_nodes": 1}, 20),
    (Krum(byzantine=3), "Krum", {"num_malicious_nodes": 3}, 20),
    (MultiKrum(byzantine=2), "MultiKrum", {"num_malicious_nodes": 2, "num_nodes_to_select": 8}, 20),
    (MultiKrum(byzantine=2, keep=3), "MultiKrum", {"num_malicious_nodes": 2, "num_nodes_to_select": 3}, 20),
]


@pytest.mark.parametrize(("rule", "name", "options", "rows"), STATELESS, ids=named)
def test_rules_without_memory(
    flower: Flower, rule: Averaging, name: str, options: dict[str, object], rows: int | None
) -> None:
    for seed in range(5):
        answers = replies(10, start(), seed=seed, rows=rows)
        theirs = flower.aggregate(getattr(flower.strategies, name)(**options), answers, round=1)
        ours = answered(rule, rule.init(start(), 10), answers).weights
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_bulyan_where_both_pick_the_same(flower: Flower) -> None:
    """One site far away, the others ever nearer to the first: the order of picking does not matter."""
    for seed in range(5):
        draw = np.random.default_rng(seed)
        near = [start() + draw.normal(0, 0.1, SIZE) for _ in range(5)]
        far = [start() + draw.normal(30, 1, SIZE), start() + draw.normal(-30, 1, SIZE)]
        answers = [Answer(weights.astype(np.float32), 20) for weights in [*near, *far]]
        theirs = flower.aggregate(flower.strategies.Bulyan(num_malicious_nodes=1), answers, round=1)
        rule = Bulyan(byzantine=1)
        np.testing.assert_allclose(answered(rule, rule.init(start(), 7), answers).weights, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("q", [0.0, 0.2, 1.0, 5.0])
def test_q_fedavg_with_equal_rows(flower: Flower, q: float) -> None:
    for seed in range(5):
        answers = replies(6, start(), seed=seed, rows=20)
        strategy = flower.strategies.QFedAvg(client_learning_rate=RATE, q=q)
        strategy.current_arrays = flower.record(start())
        theirs = flower.aggregate(strategy, answers, round=1)
        rule = QFedAvg(q=q)
        ours = answered(rule, rule.init(start(), 6), answers, SGD(learning_rate=RATE)).weights
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


ADAPTIVE: list[tuple[Averaging, str, dict[str, float]]] = [
    (FedAdagrad(server_learning_rate=0.1), "FedAdagrad", {"eta": 0.1, "tau": 1e-3}),
    (
        FedYogi(server_learning_rate=0.05, beta1=0.8, beta2=0.95, tau=0.01),
        "FedYogi",
        {"eta": 0.05, "beta_1": 0.8, "beta_2": 0.95, "tau": 0.01},
    ),
    (
        FedAdam(server_learning_rate=0.05, beta1=0.8, beta2=0.95, tau=0.01),
        "FedAdam",
        {"eta": 0.05, "beta_1": 0.8, "beta_2": 0.95, "tau": 0.01},
    ),
]
ADAPTIVE += [
    (
        FedOpt.model_validate(
            {
                "server_optimizer": {
                    "kind": type(rule).__name__.removeprefix("Fed").lower(),
                    "learning_rate": getattr(rule, "server_learning_rate"),  # noqa: B009
                    **{key: getattr(rule, key) for key in ("beta1", "beta2", "tau") if key in type(rule).model_fields},
                }
            }
        ),
        name,
        options,
    )
    for rule, name, options in list(ADAPTIVE)
]


@pytest.mark.parametrize(("rule", "name", "options"), ADAPTIVE, ids=named)
def test_adaptive_servers_over_rounds(flower: Flower, rule: Averaging, name: str, options: dict[str, float]) -> None:
    strategy = getattr(flower.strategies, name)(**options)
    strategy.v_t = {"w": np.full(SIZE, options["tau"] ** 2)}
    state = rule.init(start(), 4)
    for round in range(6):
        # Each round starts from the same float32 weights, so that rounding does not add up; moments are each one's own.
        strategy.current_arrays = {"w": state.weights.astype(np.float64)}
        answers = replies(4, state.weights, seed=round)
        theirs = flower.aggregate(strategy, answers, round=LATE)
        state = answered(rule, state, answers)
        np.testing.assert_allclose(state.weights, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "rule",
    [
        FedAvgM(momentum=0.7, server_learning_rate=0.5),
        FedOpt.model_validate({"server_optimizer": {"kind": "sgd", "momentum": 0.7, "learning_rate": 0.5}}),
    ],
    ids=lambda rule: rule.kind,
)
def test_momentum_over_rounds(flower: Flower, rule: Averaging) -> None:
    strategy = flower.strategies.FedAvgM(server_momentum=0.7, server_learning_rate=0.5)
    state = rule.init(start(), 4)
    for round in range(6):
        strategy.current_arrays = flower.record(state.weights)
        answers = replies(4, state.weights, seed=round)
        theirs = flower.aggregate(strategy, answers, round=round + 1)
        state = answered(rule, state, answers)
        np.testing.assert_allclose(state.weights, theirs, rtol=0, atol=1e-6)
