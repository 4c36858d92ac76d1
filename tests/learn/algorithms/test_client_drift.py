"""SCAFFOLD, FedNova and q-FedAvg on sites that each want something else: quadratics whose answers are known.

Site i has the loss hᵢ/2 ‖w − cᵢ‖² and takes τᵢ exact gradient steps. Over all rows the best weights are
Σ pᵢ hᵢ cᵢ / Σ pᵢ hᵢ. FedAvg does not get there: sites drift to their own cᵢ, the more steps the further.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medfl.learn.algorithm import Algorithm, Local, Memory, Stage, State
from medfl.learn.algorithms.fedavg import FedAvg
from medfl.learn.algorithms.fednova import FedNova
from medfl.learn.algorithms.fedopt import FedOpt
from medfl.learn.algorithms.fedprox import FedProx
from medfl.learn.algorithms.qfedavg import QFedAvg
from medfl.learn.algorithms.scaffold import Scaffold
from medfl.learn.model import Examples, Floats, Layout, Outcome, Pull, Trained
from medfl.learn.models import build
from medfl.spec.model import MLP
from medfl.spec.training import SGD, Adam, LocalTraining
from medfl.testing.scripted import Answer, answered, gathered, sent


@dataclass(frozen=True)
class Bowl:
    """A site's loss, and how many steps it takes."""

    steep: float
    bottom: tuple[float, ...]
    steps: int
    rows: int

    @property
    def layout(self) -> Layout:
        return Layout((("w", (len(self.bottom),)),))

    def init(self, generator: np.random.Generator) -> Floats:
        return np.zeros(len(self.bottom), np.float32)

    def train(
        self,
        weights: Floats,
        examples: Examples,
        how: LocalTraining,
        *,
        generator: np.random.Generator,
        class_weights: Floats | None = None,
        pull: Pull | None = None,
    ) -> Trained:
        place = weights.astype(np.float64)
        loss = self.loss(place)
        velocity = np.zeros_like(place)
        for _ in range(self.steps):
            slope = self.steep * (place - self.bottom)
            if pull is not None and pull.anchor is not None:
                slope = slope + pull.mu * (place - pull.anchor)
            if pull is not None and pull.correction is not None:
                slope = slope + pull.correction
            velocity = (how.momentum if isinstance(how, SGD) else 0.0) * velocity + slope
            place = place - how.learning_rate * velocity
        return Trained(place.astype(np.float32), loss, self.steps)

    def scores(self, weights: Floats, features: Floats) -> Floats:
        return np.zeros(len(features), np.float32)

    def loss(self, place: np.ndarray) -> float:
        return float(self.steep / 2 * np.square(place - self.bottom).sum())


BOWLS = (
    Bowl(1.0, (1.0, 0.0), 2, 10),
    Bowl(0.5, (-3.0, 2.0), 20, 30),
    Bowl(2.0, (0.0, -4.0), 7, 20),
    Bowl(1.5, (5.0, 1.0), 1, 40),
)
LIKE_STEPS = tuple(Bowl(bowl.steep, bowl.bottom, 10, bowl.rows) for bowl in BOWLS)


def best(bowls: Sequence[Bowl]) -> np.ndarray:
    pulls = np.array([bowl.rows * bowl.steep for bowl in bowls])
    return np.asarray(pulls @ np.array([bowl.bottom for bowl in bowls]) / pulls.sum())


@dataclass
class Course:
    """Rounds of a rule over bowls, with the sites' memories."""

    rule: Algorithm
    bowls: Sequence[Bowl]
    how: LocalTraining
    state: State = field(init=False)
    memories: dict[int, Memory] = field(default_factory=dict)
    number: int = 0

    def __post_init__(self) -> None:
        size = len(self.bowls[0].bottom)
        self.state = self.rule.init(np.zeros(size, np.float32), len(self.bowls))

    def round(self, asked: Iterable[int] | None = None) -> None:
        self.number += 1
        told = []
        for site in range(len(self.bowls)) if asked is None else asked:
            bowl = self.bowls[site]
            rows = Examples(np.zeros((bowl.rows, 1), np.float32), np.zeros(bowl.rows, np.float32))
            data = Local(bowl, rows, self.how, None, str(site), self.number)
            statistic, self.memories[site] = self.rule.at_site(self.state.shared, data, self.memories.get(site, {}), 0)
            told.append(statistic)
        self.state = self.rule.at_hub(self.state, gathered(self.rule, told))

    def off(self, rounds: int) -> float:
        """Return the distance to the best weights after so many rounds more."""
        for _ in range(rounds):
            self.round()
        return float(np.linalg.norm(self.state.weights - best(self.bowls)))


def test_fednova_gets_where_fedavg_does_not_with_unequal_steps() -> None:
    """Wang et al., section 3: FedAvg ends where those want it who take many steps."""
    how = SGD(learning_rate=0.002)
    fedavg, fednova = (Course(rule, BOWLS, how).off(4000) for rule in (FedAvg(), FedNova()))
    assert fedavg > 0.5
    assert fednova < 0.02 * fedavg


@pytest.mark.parametrize(("momentum", "mu"), [(0.9, 0.0), (0.0, 5.0)])
def test_fednova_holds_with_momentum_or_a_pull(momentum: float, mu: float) -> None:
    how = SGD(learning_rate=0.0005, momentum=momentum)
    naive = Course(FedProx(mu=mu) if mu else FedAvg(), BOWLS, how).off(6000)
    fednova = Course(FedNova(mu=mu), BOWLS, how).off(6000)
    assert naive > 0.5
    assert fednova < 0.05 * naive


@pytest.mark.parametrize(
    ("rate", "momentum", "mu", "steps"), [(0.1, 0.0, 0.0, 7), (0.1, 0.9, 0.0, 12), (0.1, 0.0, 3.0, 9)]
)
def test_fednovas_reach_is_the_papers(rate: float, momentum: float, mu: float, steps: int) -> None:
    """Closed forms: τ for SGD, (τ − ρ(1 − ρ^τ)/(1 − ρ))/(1 − ρ) with momentum, (1 − (1 − ημ)^τ)/(ημ) with a pull."""
    ours = FedNova(mu=mu).reach(SGD(learning_rate=rate, momentum=momentum), steps)
    expected = float(steps)
    if momentum:
        expected = (steps - momentum * (1 - momentum**steps) / (1 - momentum)) / (1 - momentum)
    if mu:
        expected = (1 - (1 - rate * mu) ** steps) / (rate * mu)
    assert ours == pytest.approx(expected, rel=1e-12)


updates = st.lists(
    st.tuples(st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=2), st.integers(1, 60)), min_size=1, max_size=6
)


@settings(deadline=None)
@given(updates, st.integers(1, 30))
def test_fednova_with_equal_steps_is_fedavg(sites: list[tuple[list[float], int]], steps: int) -> None:
    answers = [Answer(np.array(weights, np.float32), rows, steps=steps) for weights, rows in sites]
    _both_alike(FedNova(), answers)


@settings(deadline=None)
@given(updates)
def test_q_fedavg_with_q_zero_is_fedavg(sites: list[tuple[list[float], int]]) -> None:
    answers = [Answer(np.array(weights, np.float32), rows, 0.5 + rows) for weights, rows in sites]
    _both_alike(QFedAvg(q=0.0), answers)


@settings(deadline=None)
@given(updates)
def test_fedopt_as_it_stands_and_scaffolds_first_round_are_fedavg(sites: list[tuple[list[float], int]]) -> None:
    answers = [Answer(np.array(weights, np.float32), rows) for weights, rows in sites]
    _both_alike(FedOpt(), answers)
    _both_alike(Scaffold(), answers)


def _both_alike(rule: Algorithm, answers: list[Answer]) -> None:
    start = np.array([0.5, -1.0], np.float32)
    ours, plain = (answered(one, one.init(start, len(answers)), answers).weights for one in (rule, FedAvg()))
    np.testing.assert_allclose(ours, plain, rtol=1e-6, atol=1e-6)


def test_scaffold_undoes_the_drift_of_fedavg() -> None:
    """Many local steps, sites that differ, exact gradients; rows differ too."""
    how = SGD(learning_rate=0.1)
    fedavg, scaffold = (Course(rule, LIKE_STEPS, how).off(300) for rule in (FedAvg(), Scaffold()))
    assert fedavg > 0.1
    assert scaffold < 1e-4


def test_scaffold_undoes_it_when_half_of_the_sites_are_asked() -> None:
    course = Course(Scaffold(server_learning_rate=0.5), LIKE_STEPS, SGD(learning_rate=0.03))
    draw = np.random.default_rng(0)
    for _ in range(3000):
        course.round(sorted(draw.choice(4, 2, replace=False)))
    assert np.linalg.norm(course.state.weights - best(LIKE_STEPS)) < 1e-3


def test_scaffold_by_hand() -> None:
    """Two rounds, option II: cᵢ ← cᵢ − c + (x − y) / (K η); c is the mean of all cᵢ by rows, of sites unseen 0."""
    course = Course(Scaffold(), LIKE_STEPS, SGD(learning_rate=0.1))
    course.round([1, 2])
    rows = [bowl.rows for bowl in LIKE_STEPS]
    for site in (1, 2):
        alone = LIKE_STEPS[site].train(
            np.zeros(2, np.float32), Examples(np.zeros((1, 1), np.float32), np.zeros(1, np.float32)),
            course.how, generator=np.random.default_rng(0),
        )  # fmt: skip
        np.testing.assert_allclose(course.memories[site]["variate"], -alone.weights / (10 * 0.1), rtol=1e-6)
    sums = sum(rows[site] * course.memories[site]["variate"] for site in (1, 2))
    # Two of four sites were seen, with 25 rows on average: the four count as 100.
    np.testing.assert_allclose(course.state.shared["variate"], sums / 100, rtol=1e-6)
    course.round([0, 1, 3])
    course.round([2])
    means = np.average([course.memories[site]["variate"] for site in range(4)], axis=0, weights=rows)
    np.testing.assert_allclose(course.state.shared["variate"], means, rtol=1e-5)


def test_scaffolds_variate_with_equal_rows_is_the_papers() -> None:
    """Algorithm 1: c ← c + |S|/N · mean of Δcᵢ."""
    bowls = [Bowl(bowl.steep, bowl.bottom, 5, 12) for bowl in BOWLS]
    course, common = Course(Scaffold(), bowls, SGD(learning_rate=0.1)), np.zeros(2)
    for asked in ([0], [0, 3], [1, 2, 3], [0, 2]):
        before = {site: memory["variate"] for site, memory in course.memories.items()}
        course.round(asked)
        changes = [course.memories[site]["variate"] - before.get(site, np.zeros(2)) for site in asked]
        common = common + len(asked) / 4 * np.mean(changes, axis=0)
        np.testing.assert_allclose(course.state.shared["variate"], common, rtol=1e-5, atol=1e-7)


def test_scaffolds_variate_knows_a_layers_own_rate_and_keeps_that_of_a_frozen_one() -> None:
    """The way gone is a sum of gradients times η r: what r slows down is no smaller gradient."""
    model = build(MLP(hidden=(3,)), features=4, outcome=Outcome("binary", ("no", "yes")))
    draw = np.random.default_rng(0)
    rows = Examples(draw.normal(size=(20, 4)).astype(np.float32), draw.integers(0, 2, 20).astype(np.float32))
    start = model.init(np.random.default_rng(1))
    rates = draw.choice([0.0, 0.25, 1.0], start.size).astype(np.float32)
    how = SGD(learning_rate=0.1, batch_size=20)
    variates = []
    for stages in ((), (Stage(how, rates),)):
        local = Local(model, rows, how, None, "east", 1, stages)
        shared = {"weights": start, "variate": np.zeros_like(start)}
        variates.append(Scaffold().at_site(shared, local, {"variate": np.full(start.size, 0.5)}, 0)[1]["variate"])
    plain, paced = variates
    np.testing.assert_allclose(paced[rates > 0], plain[rates > 0], rtol=1e-4, atol=1e-5)
    assert (paced[rates == 0] == 0.5).all() and (plain[rates == 0] != 0.5).any()


def test_the_servers_step_of_scaffold() -> None:
    answers = [Answer(np.array([1.0, 3.0], np.float32), 4)]
    rule = Scaffold(server_learning_rate=0.5)
    assert answered(rule, rule.init(np.zeros(2, np.float32), 1), answers).weights.tolist() == [0.5, 1.5]


def test_q_fedavg_serves_the_worst_site_better_the_greater_q_is() -> None:
    """What the paper calls fair: the losses lie nearer together."""
    how = SGD(learning_rate=0.02)
    worst = []
    for q in (0.0, 1.0, 5.0):
        course = Course(QFedAvg(q=q), LIKE_STEPS, how)
        for _ in range(800):
            course.round()
        worst.append(max(bowl.loss(course.state.weights.astype(np.float64)) for bowl in LIKE_STEPS))
    assert worst[0] > 1.1 * worst[1] > 1.1 * 1.1 * worst[2]


@settings(deadline=None)
@given(updates, st.floats(0.1, 5.0), st.floats(0.5, 50.0))
def test_q_fedavg_is_the_papers_formula(sites: list[tuple[list[float], int]], q: float, steepness: float) -> None:
    """Algorithm 2, with each site as often as it has rows: w ← w − Σ Δ / Σ h."""
    start = np.array([0.5, -1.0], np.float32)
    answers = [Answer(np.array(weights, np.float32), rows, 0.1 + rows / 50) for weights, rows in sites]
    steps, divisors = np.zeros(2), 0.0
    for answer in answers:
        gradient = steepness * (start.astype(np.float64) - answer.weights)
        steps = steps + answer.rows * answer.loss**q * gradient
        divisors += answer.rows * (q * answer.loss ** (q - 1) * float(gradient @ gradient) + steepness * answer.loss**q)
    rule = QFedAvg(q=q, lipschitz=steepness)
    ours = answered(rule, rule.init(start, len(answers)), answers).weights
    np.testing.assert_allclose(ours, start - steps / divisors, rtol=1e-5, atol=1e-6)


def test_the_lipschitz_constant_is_one_over_the_learning_rate_unless_it_is_given() -> None:
    state = QFedAvg().init(np.zeros(2, np.float32), 1)
    answer, how = Answer(np.array([1.0, 2.0], np.float32), 4), SGD(learning_rate=0.05)
    plain, given = (sent(rule, state, answer, how)[0]["divisor"] for rule in (QFedAvg(), QFedAvg(lipschitz=20.0)))
    assert float(plain) == pytest.approx(float(given), rel=1e-12)
    assert sent(QFedAvg(lipschitz=3.0), state, answer, how)[0]["divisor"] < given


@pytest.mark.parametrize(
    ("rule", "how", "keys"),
    [
        (FedNova(), Adam(), ["optimizer"]),
        (FedNova(), SGD(momentum=0.5, nesterov=True), ["nesterov"]),
        (FedNova(mu=1.0), SGD(momentum=0.5), ["momentum"]),
        (FedNova(mu=30.0), SGD(learning_rate=0.05), ["learning_rate"]),
        (FedNova(mu=3.0), SGD(learning_rate=0.05, weight_decay=0.1, clip_norm=1.0), []),
        (FedNova(), SGD(momentum=0.9), []),
        (Scaffold(), Adam(), ["optimizer"]),
        (Scaffold(), SGD(momentum=0.5), ["momentum"]),
        (Scaffold(), Adam(clip_norm=1.0), ["optimizer", "clip_norm"]),
        (Scaffold(), SGD(weight_decay=0.1), []),
        (QFedAvg(), Adam(), []),
    ],
)
def test_what_the_papers_do_not_cover_is_named(
    rule: FedNova | Scaffold | QFedAvg, how: LocalTraining, keys: list[str]
) -> None:
    assert [key for key, _, _ in rule.misfits(how)] == keys
