"""A contract is worth what it finds: each of these breaks one promise, and the test of that promise says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from medfl.learn.algorithm import Algorithm, Local, Memory, State
from medfl.learn.algorithms.fedavg import FedAvg
from medfl.learn.model import Examples, Floats, Model, Trained
from medfl.learn.models import build
from medfl.learn.statistic import Array, Statistic
from medfl.messages import Refusal, Reply
from medfl.run.engine import Engine
from medfl.run.in_process import InProcess
from medfl.spec.model import Logistic
from medfl.spec.training import LocalTraining
from medfl.testing.algorithm_contract import AlgorithmContract
from medfl.testing.engine_contract import EngineContract
from medfl.testing.federation import BINARY, FEATURES, NAMES, Through
from medfl.testing.model_contract import ModelContract
from medfl.testing.probe import probe


class Greedy(FedAvg):
    """Writes into the weights it was sent."""

    def at_site(self, shared: Mapping[str, Array], data: Local, memory: Memory, seed: int) -> tuple[Statistic, Memory]:
        sent, memory = super().at_site(shared, data, memory, seed)
        weights = shared["weights"]
        weights.setflags(write=True)
        weights += 1
        return sent, memory


class Fickle(FedAvg):
    """Does not take its random numbers from where they come from."""

    def at_site(self, shared: Mapping[str, Array], data: Local, memory: Memory, seed: int) -> tuple[Statistic, Memory]:
        sent, memory = super().at_site(shared, data, memory, seed)
        noise = np.random.default_rng().normal(size=sent["delta"].shape)
        return Statistic({**sent.arrays, "delta": sent["delta"] + noise}), memory


class Mean(FedAvg):
    """Sends averages in single precision, as if they added up."""

    def at_site(self, shared: Mapping[str, Array], data: Local, memory: Memory, seed: int) -> tuple[Statistic, Memory]:
        sent, memory = super().at_site(shared, data, memory, seed)
        return Statistic({name: array.astype(np.float32) for name, array in sent.arrays.items()}), memory


class Restless(FedAvg):
    """Moves the weights although nothing was learned, and says nothing of its parameter."""

    push: float = 0.1

    def at_hub(self, state: State, total: Statistic) -> State:
        after = super().at_hub(state, total)
        return State({"weights": after.weights + np.float32(self.push)})


@pytest.mark.parametrize(
    ("algorithm", "promise"),
    [
        (Greedy, "a_site_changes_nothing_it_was_given"),
        (Fickle, "a_site_asked_twice_answers_twice_the_same"),
        (Mean, "what_sites_send_adds_up_whatever_the_grouping"),
        (Mean, "what_sites_send_has_types_that_add_exactly_enough"),
        (Restless, "where_nothing_is_learned_nothing_moves"),
        (Restless, "every_parameter_is_described"),
        (Restless, "its_kind_is_its_own"),
    ],
)
def test_algorithms(algorithm: Callable[[], Algorithm], promise: str) -> None:
    class Contract(AlgorithmContract):
        def algorithm(self) -> Algorithm:
            return algorithm()

    _broken(Contract(), promise)


Answers = list[Reply | Refusal]


def narrowed(answers: Answers) -> Iterator[Reply | Refusal]:
    for answer in answers:
        assert isinstance(answer, Reply)
        yield replace(answer, arrays={name: np.atleast_1d(array) for name, array in answer.arrays.items()})


@pytest.mark.parametrize(
    ("change", "promise"),
    [
        (lambda answers: answers[:-1], "each_request_gets_one_answer_whatever_the_order"),
        (lambda answers: [*answers, *answers], "each_request_gets_one_answer_whatever_the_order"),
        (narrowed, "arrays_arrive_and_return_bit_for_bit"),
        (
            lambda answers: [one for one in answers if isinstance(one, Reply)],
            "a_refusal_is_carried_and_the_others_answer",
        ),
    ],
    ids=["one is lost", "all come twice", "scalars become vectors", "refusals are dropped"],
)
def test_engines(change: Callable[[Answers], Iterable[Reply | Refusal]], promise: str) -> None:
    class Contract(EngineContract):
        def engine(self) -> Engine:
            return Through(InProcess(dict.fromkeys(NAMES, probe)), change)

    _broken(Contract(), promise)


def test_an_engine_that_loses_its_order_of_sites() -> None:
    class Unsorted(InProcess):
        def sites(self) -> tuple[str, ...]:
            return NAMES[::-1]

    class Contract(EngineContract):
        def engine(self) -> Engine:
            return Unsorted(dict.fromkeys(NAMES, probe))

    _broken(Contract(), "sites_are_named_in_sorted_order")


class Careless:
    """A logistic regression that trains in place, forgets its generator, or scores in another shape."""

    def __init__(self, fault: str) -> None:
        self.model, self.fault = build(Logistic(), features=FEATURES, outcome=BINARY), fault
        self.layout = self.model.layout

    def init(self, generator: np.random.Generator) -> Floats:
        return self.model.init(np.random.default_rng() if self.fault == "init" else generator)

    def train(self, weights: Floats, examples: Examples, how: LocalTraining, **rest: Any) -> Trained:
        pull = None if self.fault == "pull" else rest.pop("pull", None)
        rest.pop("pull", None)
        trained = self.model.train(weights, examples, how, pull=pull, **rest)
        if self.fault == "in place":
            weights.setflags(write=True)
            weights[:] = trained.weights
        return trained

    def scores(self, weights: Floats, features: Floats) -> Floats:
        scores = self.model.scores(weights, features)
        return scores[:, np.newaxis] if self.fault == "shape" else scores


@pytest.mark.parametrize(
    ("fault", "promise"),
    [
        ("init", "fresh_weights_are_finite_and_named_by_the_generator"),
        ("in place", "training_changes_nothing_it_was_given"),
        ("pull", "a_pull_is_added_to_the_gradient_of_what_is_trained"),
        ("shape", "scores_have_their_shape_and_change_nothing"),
    ],
)
def test_models(fault: str, promise: str) -> None:
    class Contract(ModelContract):
        outcome = BINARY

        def model(self) -> Model:
            return Careless(fault)

    _broken(Contract(), promise)


def _broken(contract: AlgorithmContract | EngineContract | ModelContract, promise: str) -> None:
    """Hold that the test of this promise fails."""
    with pytest.raises(AssertionError):
        getattr(contract, f"test_{promise}")()
