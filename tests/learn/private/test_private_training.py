"""DP-SGD as a whole: what a step adds to what it was given, who takes part, and what is left as it is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from medfl import seeds
from medfl.errors import DataError, PlanError
from medfl.learn.algorithm import Local, Stage
from medfl.learn.algorithms.fedavg import FedAvg
from medfl.learn.algorithms.qfedavg import QFedAvg
from medfl.learn.algorithms.scaffold import Scaffold
from medfl.learn.model import Examples, Floats, Model, PrivateTraining, Pull, Trained
from medfl.learn.models import build
from medfl.learn.private.training import Privately, shared_out
from medfl.spec.model import MLP, Logistic
from medfl.spec.training import SGD, Adam, AdamW, LocalTraining, Training
from medfl.testing.federation import BINARY, FEATURES, examples
from medfl.testing.scripted import Answer, Scripted

ROWS = 60
SPEC = MLP(hidden=(8, 6), layer_norm=True)
HOW: dict[str, Training] = {
    "momentum": SGD(momentum=0.9, nesterov=True),
    "adam": Adam(weight_decay=0.1),
    "adamw": AdamW(clip_norm=0.5),
}


def noise(seed: int = 1) -> np.random.Generator:
    return seeds.generator(seed, purpose="noise")


def private(**changes: float) -> PrivateTraining:
    return replace(PrivateTraining(1.0, 0.8, 0.2, 12, noise=noise()), **changes)  # type: ignore[arg-type]


def trained(
    how: LocalTraining, private: PrivateTraining, *, model: Model | None = None, pull: Pull | None = None
) -> tuple[Floats, Trained]:
    """Return the start and what came of it."""
    model = model or build(SPEC, features=FEATURES, outcome=BINARY)
    start = model.init(np.random.default_rng(5))
    rows = examples(BINARY, rows=ROWS)
    before = start.tobytes()
    result = Privately(model, private).train(start, rows, how, generator=np.random.default_rng(3), pull=pull)
    assert start.tobytes() == before
    return start, result


@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
def test_without_noise_clipping_and_chance_it_is_plain_training(how: Training) -> None:
    """All take part, no gradient is as long as the bound, and no noise: whole batches, one a step."""
    model = build(SPEC, features=FEATURES, outcome=BINARY)
    anchor = np.full(model.layout.size, 0.1, np.float32)
    pull = Pull(0.3, anchor, np.linspace(-0.1, 0.1, len(anchor), dtype=np.float32))
    start, result = trained(how, private(clip_norm=1e6, noise_multiplier=0.0, sample_rate=1.0), pull=pull)
    whole = how.model_copy(update={"batch_size": ROWS, "local_steps": 12})
    rows = examples(BINARY, rows=ROWS)
    plain = model.train(start, rows, whole, generator=np.random.default_rng(3), pull=pull)
    np.testing.assert_allclose(result.weights, plain.weights, rtol=1e-4, atol=2e-5)
    assert result.steps == plain.steps
    assert np.isnan(result.loss), "a loss would tell more of the rows than the noised weights do"


def test_the_noise_has_the_size_it_is_accounted_for() -> None:
    """Weights that only noise moves: each by N(0, (rate σ C / (q n))²) a step, added up over the steps."""
    model = build(MLP(hidden=(64, 32)), features=FEATURES, outcome=BINARY)
    how, few = SGD(learning_rate=0.5), private(clip_norm=0.7, noise_multiplier=2.5, sample_rate=1e-9, steps=4)
    start, result = trained(how, few, model=model)
    moved = result.weights.astype(np.float64) - start
    spread = np.sqrt(4) * 0.5 * 2.5 * 0.7 / (1e-9 * ROWS)
    chance = stats.chi2.cdf(np.sum((moved / spread) ** 2), len(moved))
    assert 1e-4 < chance < 1 - 1e-4
    assert stats.kstest(moved / spread, "norm").pvalue > 1e-4


def test_a_step_is_divided_by_how_many_are_expected_not_by_how_many_came() -> None:
    """Rows that are all alike say C each: the way gone counts those that came, in units of C / (q n)."""
    model = build(Logistic(), features=FEATURES, outcome=BINARY)
    alike = Examples(np.ones((ROWS, FEATURES), np.float32), np.ones(ROWS, np.float32))
    start, came = np.zeros(FEATURES + 1, np.float32), []
    for seed in range(40):
        how = PrivateTraining(0.01, 0.0, 0.2, 1, noise=noise(seed))
        after = Privately(model, how).train(start, alike, SGD(learning_rate=1.0), generator=np.random.default_rng(0))
        came.append(float(np.linalg.norm(after.weights)) / (0.01 / (0.2 * ROWS)))
    np.testing.assert_allclose(came, np.round(came), atol=1e-3)
    assert len({round(number) for number in came}) > 4
    assert np.mean(came) == pytest.approx(0.2 * ROWS, abs=5 * np.sqrt(0.16 * ROWS / 40))


def test_the_same_noise_gives_the_same_weights_bit_for_bit_in_every_thread() -> None:
    def once(seed: int) -> bytes:
        return trained(Adam(), replace(private(), noise=noise(seed)))[1].weights.tobytes()

    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(once, [1] * 8))
    assert set(again) == {once(1)}
    assert once(2) != once(1)


def test_the_systems_noise_is_never_twice_the_same() -> None:
    system = replace(private(), noise=None)
    assert trained(SGD(), system)[1].weights.tobytes() != trained(SGD(), system)[1].weights.tobytes()


def test_a_frozen_layer_stays_bit_for_bit_and_gets_no_noise() -> None:
    model = build(SPEC, features=FEATURES, outcome=BINARY)
    rates = np.ones(model.layout.size, np.float32)
    for name, part in model.layout.split(rates).items():
        part[...] = 0.0 if name.startswith("layer1") else 1.0
    for how in HOW.values():
        start, result = trained(how, private(), pull=Pull(rates=rates))
        assert result.weights[rates == 0].tobytes() == start[rates == 0].tobytes()
        assert (result.weights[rates > 0] != start[rates > 0]).all()


def test_dropout_is_drawn_by_the_other_generator() -> None:
    model = build(MLP(hidden=(8, 6), dropout=0.5), features=FEATURES, outcome=BINARY)
    rows, start = examples(BINARY, rows=ROWS), model.init(np.random.default_rng(5))

    def once(seed: int) -> bytes:
        how = replace(private(noise_multiplier=0.0, sample_rate=1.0), noise=noise())
        return Privately(model, how).train(start, rows, SGD(), generator=np.random.default_rng(seed)).weights.tobytes()

    assert once(1) == once(1)
    assert once(1) != once(2)


def test_patients_are_drawn_whole() -> None:
    """With one patient of all rows, a step has all rows or none."""
    labels = np.zeros(ROWS, np.int64)
    model = build(Logistic(), features=FEATURES, outcome=BINARY)
    rows, start = examples(BINARY, rows=ROWS), np.zeros(FEATURES + 1, np.float32)
    plain = model.train(start, rows, SGD(learning_rate=1.0, batch_size=ROWS), generator=np.random.default_rng(0))
    moves = []
    for seed in range(40):
        how = PrivateTraining(10.0, 0.0, 0.3, 1, labels, noise(seed))
        moved = Privately(model, how).train(start, rows, SGD(learning_rate=0.3), generator=np.random.default_rng(0))
        moves.append(bool(moved.weights.any()))
        if moves[-1]:  # divided by 0.3 patients expected, and times the rate
            np.testing.assert_allclose(moved.weights, plain.weights, rtol=1e-5, atol=1e-6)
    assert 3 < sum(moves) < 25


@pytest.mark.parametrize(
    ("numbers", "what"),
    [
        ((0.0, 1.0, 0.1, 1), "clip_norm"),
        ((1.0, -1.0, 0.1, 1), "noise_multiplier"),
        ((1.0, np.inf, 0.1, 1), "finite"),
        ((1.0, 1.0, 0.0, 1), "sample_rate"),
        ((1.0, 1.0, 1.1, 1), "sample_rate"),
        ((1.0, 1.0, 0.1, 0), "steps"),
    ],
)
def test_numbers_out_of_their_range(numbers: tuple[float, float, float, int], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        PrivateTraining(*numbers)


def test_no_rows_and_strange_models_are_refused() -> None:
    model = build(Logistic(), features=FEATURES, outcome=BINARY)
    nothing = Examples(np.zeros((0, FEATURES), np.float32), np.zeros(0, np.float32))
    with pytest.raises(DataError, match="no rows"):
        Privately(model, private()).train(
            np.zeros(FEATURES + 1, np.float32), nothing, SGD(), generator=np.random.default_rng(0)
        )
    scripted = Scripted(Answer(np.zeros(3, np.float32), rows=3))
    with pytest.raises(PlanError, match="does not tell each row's gradient apart"):
        Privately(scripted, private()).train(
            np.zeros(3, np.float32), examples(BINARY), SGD(), generator=np.random.default_rng(0)
        )


# -- in an algorithm's hands -------------------------------------------------------------------------------------------


def local(**changes: object) -> Local:
    model = build(SPEC, features=FEATURES, outcome=BINARY)
    whole = Local(model, examples(BINARY, rows=ROWS), SGD(), None, "east", 1, private=private())
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_an_algorithm_trains_privately_and_sends_the_noised_change() -> None:
    data = local()
    start = data.model.init(np.random.default_rng(5))
    sent, _ = FedAvg().at_site({"weights": start}, data, {}, 7)
    how = replace(private(), noise=noise())
    alone = Privately(data.model, how).train(
        start, data.examples, data.how, generator=seeds.generator(7, round=1, site="east", purpose="train")
    )
    np.testing.assert_array_equal(sent["delta"], (alone.weights.astype(np.float64) - start) * ROWS)


def test_scaffold_reads_its_variate_off_the_noised_way_alone() -> None:
    data = local()
    start = data.model.init(np.random.default_rng(5))
    shared = {"weights": start, "variate": np.zeros_like(start)}
    sent, memory = Scaffold().at_site(shared, data, {}, 7)
    way = -sent["delta"] / ROWS
    np.testing.assert_allclose(memory["variate"], way / (12 * data.how.learning_rate), rtol=1e-12)


def test_a_rule_that_asks_for_the_loss_is_refused() -> None:
    data = local()
    start = data.model.init(np.random.default_rng(5))
    with pytest.raises(PlanError, match="training loss, which differential privacy does not cover"):
        QFedAvg(q=1.0).at_site({"weights": start}, data, {}, 7)


def test_steps_are_shared_out_over_the_stages_of_a_training() -> None:
    how = SGD()
    stages = tuple(Stage(how.model_copy(update={"local_epochs": epochs}), None) for epochs in (1, 3, 2))
    data = local(stages=stages)
    trained = data.train(data.model.init(np.random.default_rng(5)), seed=7)
    assert trained.steps == 12
    counts = [None if part is None else part.steps for part in shared_out(private(), [1, 3, 2])]
    assert counts == [2, 6, 4]
    assert [None if part is None else part.steps for part in shared_out(private(steps=1), [1, 1, 1])] == [None, 1, None]


@pytest.mark.parametrize("labels", [None, np.arange(ROWS) // 3], ids=["rows", "patients"])
def test_rows_that_cannot_be_used_keep_their_place_and_say_nothing(labels: np.ndarray | None) -> None:
    """Whatever is in them, the weights are the same; and a step is divided by all places, not by who says something."""
    model, usable = build(Logistic(), features=FEATURES, outcome=BINARY), np.arange(ROWS) % 3 == 0
    how = PrivateTraining(0.01, 0.0, 1.0, 1, labels, usable=usable)
    start, found = np.zeros(FEATURES + 1, np.float32), []
    for filling in (0.0, 1.0, 1e30):
        features = np.where(usable[:, np.newaxis], np.float32(1.0), np.float32(filling)).astype(np.float32)
        alike = Examples(features, np.ones(ROWS, np.float32))
        trained = Privately(model, how).train(start, alike, SGD(learning_rate=1.0), generator=np.random.default_rng(0))
        found.append(trained.weights.tobytes())
    assert len(set(found)) == 1
    units = ROWS if labels is None else ROWS // 3
    length = float(np.linalg.norm(np.frombuffer(found[0], np.float32)))
    assert length == pytest.approx(0.01 * (ROWS // 3) / units, rel=1e-3)
