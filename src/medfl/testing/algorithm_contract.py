# ruff: noqa: D102 - a test's name says what it holds
"""What every aggregation algorithm must hold to, as tests: pure, deterministic, and made of sums.

Subclass :class:`AlgorithmContract` in your own tests, say how to make your algorithm, and let pytest collect the
class. :class:`AveragingContract` asks for more of a rule whose next model is the sites' average itself, as FedAvg's::

    class TestMyRule(AlgorithmContract):
        def algorithm(self) -> Algorithm:
            return MyRule(strength=0.5)
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from medfl import seeds
from medfl.learn.algorithm import Algorithm, Local, Memory, State
from medfl.learn.model import Examples, Floats, Layout, Model, Pull, Trained
from medfl.learn.models import build
from medfl.learn.statistic import ZERO, Array, Statistic, stacked, total
from medfl.run.checkpoint import Checkpoint, restored, stored
from medfl.site.memory import FolderVault
from medfl.spec.algorithm import AlgorithmPart
from medfl.spec.discover import algorithms, kind_of
from medfl.spec.model import MLP
from medfl.spec.training import LocalTraining
from medfl.testing.federation import BINARY, FEATURES, Kept, examples, local

ROWS = {"coast": 31, "east": 40, "hill": 17, "north": 23, "south": 9, "valley": 28, "west": 64}
"""Training rows of the sites on which an algorithm is tried; enough of them for a rule that must outvote one."""
SEED = 7


class AlgorithmContract:
    """Tests of one algorithm."""

    @abstractmethod
    def algorithm(self) -> Algorithm:
        """Return the algorithm under test."""

    def model(self) -> Model:
        """Return the model it is tried on."""
        return build(MLP(hidden=(5,)), features=FEATURES, outcome=BINARY)

    def trial(self) -> Trial:
        """Return the algorithm at work."""
        return Trial(self.algorithm(), self.model())

    def test_its_kind_is_its_own(self) -> None:
        part = self.algorithm()
        assert isinstance(part, AlgorithmPart), "derive it from AlgorithmPart, so that a spec can ask for it"
        installed = {kind_of(other): other for other in algorithms()}
        assert installed.get(part.kind, type(part)) is type(part), "another algorithm has that name"

    def test_every_parameter_is_described(self) -> None:
        part = self.algorithm()
        assert isinstance(part, AlgorithmPart)
        described = {name: field.description for name, field in type(part).model_fields.items() if name != "kind"}
        assert [name for name, text in described.items() if not text] == []

    def test_it_starts_from_the_given_weights(self) -> None:
        trial = self.trial()
        first, again = trial.start().state, trial.start().state
        assert prints(first) == prints(again)
        assert first.weights.tobytes() == trial.fresh().tobytes()

    def test_a_site_changes_nothing_it_was_given(self) -> None:
        trial = self.trial()
        for moment in trial.moments(3):
            shared, memory = read_only(moment.state.shared), read_only(moment.memories["east"])
            data = trial.data(moment, "east")
            rows = {"features": data.examples.features, "outcome": data.examples.outcome}
            before = print_of(shared), print_of(memory), print_of(rows)
            trial.algorithm.at_site(shared, data, memory, SEED)
            assert (print_of(shared), print_of(memory), print_of(rows)) == before

    def test_a_site_asked_twice_answers_twice_the_same(self) -> None:
        trial = self.trial()
        for moment in trial.moments(2):
            first, again = (trial.at_site(moment, "east") for _ in range(2))
            assert print_of(first[0].arrays) == print_of(again[0].arrays)
            assert print_of(first[1]) == print_of(again[1])

    def test_the_hub_changes_nothing_it_was_given(self) -> None:
        trial = self.trial()
        for moment in trial.moments(3):
            state = State(read_only(moment.state.shared), read_only(moment.state.kept))
            summed = Statistic(read_only(trial.gathered(trial.sent(moment)).arrays))
            before = prints(state), print_of(summed.arrays)
            first, again = (trial.algorithm.at_hub(state, summed) for _ in range(2))
            assert prints(first) == prints(again)
            assert (prints(state), print_of(summed.arrays)) == before

    def test_weights_stay_flat_float32_and_finite(self) -> None:
        trial = self.trial()
        weights = [moment.state.weights for moment in trial.moments(4)]
        for flat in weights:
            assert (str(flat.dtype), flat.shape) == ("float32", (trial.model.layout.size,))
            assert np.isfinite(flat).all()
        assert weights[0].tobytes() != weights[-1].tobytes(), "three rounds changed nothing"

    def test_what_sites_send_adds_up_whatever_the_grouping(self) -> None:
        trial = self.trial()
        for moment in trial.moments(2):
            a, b, c, d = trial.sent(moment)[:4]
            close(a + b + c + d, (a + b) + (c + d))
            close(a + b + c + d, d + (c + (b + a)))
            assert print_of((ZERO + a).arrays) == print_of((a + ZERO).arrays) == print_of(a.arrays)

    def test_what_sites_send_has_types_that_add_exactly_enough(self) -> None:
        trial = self.trial()
        for moment in trial.moments(2):
            for statistic in trial.sent(moment):
                assert {str(array.dtype) for array in statistic.arrays.values()} <= {"float64", "int64"}

    def test_a_state_survives_its_checkpoint(self) -> None:
        trial = self.trial()
        for moment in trial.moments(3):
            loaded = Moment(moment.number, through_a_checkpoint(moment.state, trial.model.layout), moment.memories)
            assert prints(loaded.state) == prints(moment.state)
            assert prints(trial.after(loaded).state) == prints(trial.after(moment).state)

    def test_a_memory_survives_its_vault(self, tmp_path: Path) -> None:
        vault = FolderVault(tmp_path)
        for moment in self.trial().moments(3):
            vault.keep("contract", moment.number, moment.memories["east"])
            assert print_of(vault.recall("contract", moment.number)) == print_of(moment.memories["east"])

    def test_where_nothing_is_learned_nothing_moves(self) -> None:
        weights = [moment.state.weights for moment in Trial(self.algorithm(), Still(self.model())).moments(4)]
        np.testing.assert_allclose(weights[-1], weights[0], rtol=1e-6, atol=1e-7)


class AveragingContract(AlgorithmContract):
    """Tests of an algorithm whose next model is the average of the sites', weighted by their rows."""

    def test_the_average_of_one_site_is_its_own_model(self) -> None:
        trial = self.trial()
        start = trial.start()
        own, _ = trial.at_site(start, "east")
        expected = start.state.weights + own["delta"] / own["weight"]
        np.testing.assert_allclose(trial.algorithm.at_hub(start.state, own).weights, expected, rtol=1e-6, atol=1e-7)

    def test_a_site_counts_by_its_rows(self) -> None:
        trial = self.trial()
        start = trial.start()
        alone = [trial.algorithm.at_hub(start.state, sent).weights for sent in trial.sent(start)]
        expected = np.average(np.stack(alone).astype(np.float64), axis=0, weights=list(ROWS.values()))
        np.testing.assert_allclose(trial.after(start).state.weights, expected, rtol=1e-6, atol=1e-7)


@dataclass(frozen=True, slots=True)
class Moment:
    """The start of a round: what the hub knows, and what each site kept."""

    number: int
    state: State
    memories: Mapping[str, Memory]


@dataclass(frozen=True, slots=True)
class Trial:
    """An algorithm at work on a model, at four sites of different sizes."""

    algorithm: Algorithm
    model: Model

    def fresh(self) -> Floats:
        """Return the weights before the first round."""
        return self.model.init(seeds.generator(SEED, purpose="init"))

    def start(self) -> Moment:
        """Return the start of the first round."""
        return Moment(1, self.algorithm.init(self.fresh(), len(ROWS)), {site: {} for site in ROWS})

    def moments(self, rounds: int) -> Iterator[Moment]:
        """Yield the start of each round."""
        moment = self.start()
        for _ in range(rounds):
            yield moment
            moment = self.after(moment)

    def data(self, moment: Moment, site: str) -> Local:
        """Return what the algorithm sees of a site."""
        rows = examples(BINARY, rows=ROWS[site], seed=list(ROWS).index(site))
        return local(self.model, rows, site=site, round=moment.number)

    def at_site(self, moment: Moment, site: str) -> tuple[Statistic, Memory]:
        """Return what a site sends, and what it keeps."""
        return self.algorithm.at_site(moment.state.shared, self.data(moment, site), moment.memories[site], SEED)

    def sent(self, moment: Moment) -> list[Statistic]:
        """Return what each site sends."""
        return [self.at_site(moment, site)[0] for site in ROWS]

    def gathered(self, sent: Sequence[Statistic]) -> Statistic:
        """Return what the hub gets: the sum, or for a rule that needs single contributions their stack."""
        part = self.algorithm
        return stacked(sent) if isinstance(part, AlgorithmPart) and part.single_contributions else total(sent)

    def after(self, moment: Moment) -> Moment:
        """Return the start of the next round."""
        answers = {site: self.at_site(moment, site) for site in ROWS}
        state = self.algorithm.at_hub(moment.state, self.gathered([sent for sent, _ in answers.values()]))
        return Moment(moment.number + 1, state, {site: memory for site, (_, memory) in answers.items()})


@dataclass(frozen=True, slots=True)
class Still:
    """A model that is as good as it will ever be: training leaves it where it was."""

    model: Model

    @property
    def layout(self) -> Layout:
        """Names and shapes of its parameters."""
        return self.model.layout

    def init(self, generator: np.random.Generator) -> Floats:
        """Return fresh weights."""
        return self.model.init(generator)

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
        """Return the same weights."""
        return Trained(np.array(weights, np.float32), 0.5, 1)

    def scores(self, weights: Floats, features: Floats) -> Floats:
        """Return raw scores."""
        return self.model.scores(weights, features)


def print_of(arrays: Mapping[str, Array]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Return all there is to arrays: equal prints, equal arrays."""
    return {name: (str(array.dtype), array.shape, array.tobytes()) for name, array in sorted(arrays.items())}


def prints(state: State) -> tuple[object, object]:
    """Return all there is to a state."""
    return print_of(state.shared), print_of(state.kept)


def read_only(arrays: Mapping[str, Array]) -> Mapping[str, Array]:
    """Return copies that cannot be written, as arrays that came over a wire are."""
    copies = {name: np.array(array) for name, array in arrays.items()}
    for copy in copies.values():
        copy.setflags(write=False)
    return MappingProxyType(copies)


def through_a_checkpoint(state: State, layout: Layout) -> State:
    """Return a state after it was stored and read again."""
    kept = Kept()
    model, rest = stored(state, layout, kept.write)
    return restored(Checkpoint(1, kept[model], kept[rest]), layout)


def close(first: Statistic, second: Statistic) -> None:
    """Hold that two sums differ by no more than rounding."""
    assert set(first.arrays) == set(second.arrays)
    for name, array in first.arrays.items():
        largest = float(np.max(np.abs(array), initial=0.0))
        np.testing.assert_allclose(array, second[name], rtol=1e-12, atol=1e-12 * largest, err_msg=name)
