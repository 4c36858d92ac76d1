"""Batch normalisation of torch modules in a federation, against direct computations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from medfl.errors import PlanError
from medfl.learn.algorithm import Algorithm, Local, Stage, State
from medfl.learn.algorithms.fedadam import FedAdam
from medfl.learn.algorithms.fedavg import FedAvg
from medfl.learn.algorithms.fedavgm import FedAvgM
from medfl.learn.algorithms.fedmedian import FedMedian
from medfl.learn.algorithms.fedprox import FedProx
from medfl.learn.algorithms.qfedavg import QFedAvg
from medfl.learn.algorithms.scaffold import Scaffold
from medfl.learn.model import Examples, Floats, Outcome
from medfl.learn.models import build
from medfl.learn.models.torch import Registered, TorchModel, torch_model
from medfl.learn.normalised import OWN, around, with_own
from medfl.learn.statistic import Statistic, stacked, total
from medfl.spec.model import Torch
from medfl.spec.training import SGD

pytest.importorskip("torch")
import torch
from torch import nn

pytestmark = pytest.mark.torch

FEATURES, HIDDEN = 3, 2
ROWS = {"east": 40, "north": 25, "west": 12}
RULES = [FedAvg(), FedAvgM(), FedAdam(server_learning_rate=0.5), FedProx(mu=5.0), QFedAvg(q=1.0), Scaffold()]
MOMENTS = ("1.running_mean", "1.running_var")


class Normalising(nn.Module):
    """Keeps a running mean of its own; PyTorch knows nothing of it."""

    running_mean: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(width))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.running_mean.copy_(inputs.mean(0))
        return inputs - self.running_mean


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Registered, "factories", {})

    @torch_model("normalised")
    def normalised(features: int, outcomes: int, affine: bool = True, momentum: float = 1.0) -> nn.Module:
        norm = nn.BatchNorm1d(HIDDEN, affine=affine, momentum=momentum)
        return nn.Sequential(nn.Linear(features, HIDDEN), norm, nn.ReLU(), nn.Linear(HIDDEN, outcomes))

    @torch_model("plain")
    def plain(features: int, outcomes: int) -> nn.Module:
        return nn.Linear(features, outcomes)

    @torch_model("of-my-own")
    def of_my_own(features: int, outcomes: int) -> nn.Module:
        return nn.Sequential(Normalising(features), nn.Linear(features, outcomes))


def model(**settings: Any) -> TorchModel:
    built = build(Torch.model_validate({"name": "normalised"} | settings), features=FEATURES, outcome=BINARY)
    assert isinstance(built, TorchModel)
    return built


BINARY = Outcome("binary", ("no", "yes"))


def examples(site: str) -> Examples:
    """Return rows that lie elsewhere and spread differently at each site."""
    draw = np.random.default_rng(len(site) + ROWS[site])
    features = draw.normal(ROWS[site] / 10, 1 + ROWS[site] / 20, (ROWS[site], FEATURES)).astype(np.float32)
    return Examples(features, (features[:, 0] > features[:, 0].mean()).astype(np.float32))


def local(built: TorchModel, site: str, **changes: Any) -> Local:
    """Return a site that takes one step over all its rows."""
    how = SGD(learning_rate=0.1, batch_size=ROWS[site], local_steps=1)
    return Local(built, examples(site), how, None, site, 1, **changes)


def first(built: TorchModel) -> Floats:
    return built.init(np.random.default_rng(3))


def replies(built: TorchModel, rule: Algorithm, state: State) -> Iterator[Statistic]:
    for site in ROWS:
        yield around(rule, built.layout).at_site(state.shared, local(built, site), {}, 7)[0]


def one_round(built: TorchModel, rule: Algorithm) -> dict[str, Floats]:
    """Return the named weights after a round of all sites."""
    whole = around(rule, built.layout)
    state = whole.init(first(built), len(ROWS))
    return built.layout.split(whole.at_hub(state, total(replies(built, rule, state))).weights)


def passed(built: TorchModel) -> dict[str, np.ndarray]:
    """Return what reaches the normalisation at each site at its one step, shape (rows, hidden)."""
    named = built.layout.split(first(built))
    return {
        site: examples(site).features.astype(np.float64) @ named["0.weight"].T.astype(np.float64) + named["0.bias"]
        for site in ROWS
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_the_pooled_statistics_are_those_of_all_rows_whatever_the_rule(rule: Algorithm) -> None:
    """E[x] and E[Var] + Var[E]: PyTorch divides a site's squares by one row less, which is all that is left of it."""
    built = model()
    seen = passed(built)
    rows = np.array([len(part) for part in seen.values()])
    means = np.stack([part.mean(0) for part in seen.values()])
    variances = np.stack([part.var(0, ddof=1) for part in seen.values()])
    mean = np.concatenate(list(seen.values())).mean(0)
    within = np.average(variances, axis=0, weights=rows)
    between = np.average(np.square(means - mean), axis=0, weights=rows)
    after = one_round(built, rule)
    np.testing.assert_allclose(after["1.running_mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(after["1.running_var"], within + between, rtol=1e-5)
    assert (between > 0.03 * within).all(), "the sites differ, so that a mean of variances would be another number"
    biased = np.average([part.var(0) for part in seen.values()], axis=0, weights=rows) + between
    np.testing.assert_allclose(biased, np.concatenate(list(seen.values())).var(0), rtol=1e-9)
    assert after["1.num_batches_tracked"] == 1.0


def test_a_server_optimiser_moves_weights_as_if_there_were_no_statistics() -> None:
    """The moments are as long as what is learned, and q-FedAvg's divisor does not count the statistics' way."""
    built = model()
    learned = built.layout.size - 2 * HIDDEN - 1
    state = around(FedAdam(), built.layout).init(first(built), 3)
    assert state.kept["moment1"].shape == state.kept["moment2"].shape == (learned,)
    (reply, *_) = replies(built, QFedAvg(q=1.0), state)
    how = QFedAvg(q=1.0)
    loss, start = local(built, "east").loss(first(built), seed=7), first(built)
    change = local(built, "east").train(start, seed=7).weights.astype(np.float64) - start
    is_weight = np.concatenate(
        [np.full(value.size, not name.startswith("1.") or name in ("1.weight", "1.bias"))
         for name, value in built.layout.split(start).items()]
    )  # fmt: skip
    squared = float(np.square(change[is_weight]).sum())
    assert float(reply["divisor"]) == pytest.approx(ROWS["east"] * (how.q * squared / 0.1 + loss), rel=1e-5)


def test_statistics_are_no_affair_of_the_pull() -> None:
    """However strong the pull to the global weights: the statistics are those of the rows."""
    weak, strong = (one_round(model(), FedProx(mu=mu)) for mu in (0.0, 9.0))
    for name in MOMENTS:
        np.testing.assert_array_equal(weak[name], strong[name])


def test_a_poisoned_statistic_does_not_reach_the_model_of_a_robust_rule() -> None:
    built, rule = model(), FedMedian()
    whole = around(rule, built.layout)
    state = whole.init(first(built), 3)
    sent = list(replies(built, rule, state))
    honest = whole.at_hub(state, stacked(sent))
    sent[2] = Statistic(
        {name: array * (1e12 if name.startswith("running/mom") else 1) for name, array in sent[2].arrays.items()}
    )
    spoiled = built.layout.split(whole.at_hub(state, stacked(sent)).weights)
    seen = passed(built)
    means = np.stack([part.mean(0) for part in seen.values()])
    np.testing.assert_allclose(built.layout.split(honest.weights)["1.running_mean"], np.median(means, 0), rtol=1e-5)
    assert (spoiled["1.running_mean"] <= means.max(0) + 1e-4).all()
    assert (spoiled["1.running_var"] < 1e3).all()
    sent[2] = Statistic({name: array * np.nan for name, array in sent[2].arrays.items()})
    assert np.isfinite(whole.at_hub(state, stacked(sent)).weights).all()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_local_normalisation_is_never_sent_and_goes_on_from_where_it_was(rule: Algorithm) -> None:
    """FedBN: the hub's numbers stand still; each site's are its own, learned scale and shift included."""
    built = model(batch_norm="local")
    whole = around(rule, built.layout)
    state = whole.init(first(built), len(ROWS))
    kept, sent = {}, []
    for site in ROWS:
        update, kept[site] = whole.at_site(state.shared, local(built, site), {}, 7)
        sent.append(update)
    sizes = {array.size for update in sent for array in update.arrays.values()}
    assert sizes <= {1, built.layout.size - 4 * HIDDEN - 1}, "no array has room for a normalisation"
    after = whole.at_hub(state, total(sent))
    before, now = (built.layout.split(one) for one in (first(built), after.weights))
    for name in before:
        # A bias right before a normalisation has no effect, and so no gradient.
        assert np.array_equal(before[name], now[name]) == (name.startswith("1.") or name == "0.bias"), name
    seen = passed(built)
    for site in ROWS:
        own = built.layout.split(with_own(after.weights, built.layout, kept[site]))
        np.testing.assert_allclose(own["1.running_mean"], seen[site].mean(0), rtol=1e-4)
        assert not np.array_equal(own["1.weight"], before["1.weight"])
    again = whole.at_site(after.shared, local(built, "west"), kept["west"], 7)[1][OWN]
    fresh = whole.at_site(after.shared, local(built, "west"), {}, 7)[1][OWN]
    assert not np.array_equal(again, fresh), "the second round goes on from the first"


def test_stages_hand_the_statistics_on() -> None:
    """Two stages of one step are two steps: batches seen and the running mean tell of both."""
    built = model(options={"momentum": 0.5})
    how = SGD(learning_rate=1e-9, batch_size=ROWS["east"], local_steps=1)
    stages = (Stage(how, np.ones(built.layout.size, np.float32)), Stage(how, None))
    whole = around(FedAvg(), built.layout)
    state = whole.init(first(built), 1)
    reply, _ = whole.at_site(state.shared, local(built, "east", stages=stages), {}, 7)
    after = built.layout.split(whole.at_hub(state, reply).weights)
    assert after["1.num_batches_tracked"] == 2.0
    np.testing.assert_allclose(after["1.running_mean"], 0.75 * passed(built)["east"].mean(0), rtol=1e-4)


@pytest.mark.parametrize("affine", [True, False])
def test_a_frozen_normalisation_stands_still(affine: bool) -> None:
    """It uses its running statistics, in training too, as the layers that were trained on them expect."""
    built = model(options={"affine": affine})
    start = first(built)
    named = built.layout.split(start)
    named["1.running_mean"][:], named["1.running_var"][:] = [0.5, -0.5], [4.0, 9.0]
    rates = np.concatenate(
        [np.full(value.size, float(name.startswith("3.")), np.float32) for name, value in named.items()]
    )
    how = SGD(learning_rate=0.1, batch_size=ROWS["east"], local_steps=1)
    trained = local(built, "east", stages=(Stage(how, rates),)).train(start, seed=7)
    after = built.layout.split(trained.weights)
    for name in named:
        assert np.array_equal(named[name], after[name]) != name.startswith("3."), name
    logits = built.scores(start, examples("east").features).astype(np.float64)
    truth = examples("east").outcome
    assert trained.loss == pytest.approx(np.mean(np.logaddexp(0, logits) - truth * logits), rel=1e-5)


def test_a_module_of_ones_own_that_keeps_statistics_counts_too() -> None:
    built = model(name="of-my-own", batch_norm="local")
    assert built.layout.own == built.layout.running == ("0.running_mean",)
    shared = model(name="of-my-own")
    mean = np.concatenate([examples(site).features for site in ROWS]).mean(0)
    np.testing.assert_allclose(one_round(shared, FedAvg())["0.running_mean"], mean, rtol=1e-5)


@pytest.mark.parametrize("asked", ["shared", "local"])
def test_where_there_is_none_the_option_is_refused(asked: str) -> None:
    with pytest.raises(PlanError, match='"plain" has no batch normalisation') as refused:
        model(name="plain", batch_norm=asked)
    assert "leave batch_norm out" in str(refused.value)
