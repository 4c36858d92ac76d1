"""Sites that answer what a test says: their weights after training, their loss, and how many steps they took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medfl.learn.algorithm import Algorithm, Local, Memory, State
from medfl.learn.model import Examples, Floats, Layout, Pull, Trained
from medfl.learn.statistic import Statistic, stacked, total
from medfl.spec.algorithm import AlgorithmPart
from medfl.spec.training import SGD, LocalTraining


@dataclass(frozen=True)
class Answer:
    """What a site's training gives, whatever it is asked.

    Parameters
    ----------
    weights
        Its weights after training, flat.
    rows
        Its training rows.
    loss
        Its mean loss, before training and during it.
    steps
        Optimiser steps it took.
    """

    weights: Floats
    rows: int
    loss: float = 1.0
    steps: int = 1


@dataclass(frozen=True)
class Scripted:
    """A model whose training was written down before."""

    answer: Answer

    @property
    def layout(self) -> Layout:
        """One vector."""
        return Layout((("w", self.answer.weights.shape),))

    def init(self, generator: np.random.Generator) -> Floats:
        """Return zeros."""
        return np.zeros_like(self.answer.weights)

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
        """Return what was written down."""
        return Trained(self.answer.weights, self.answer.loss, self.answer.steps)

    def scores(self, weights: Floats, features: Floats) -> Floats:
        """Return zeros."""
        return np.zeros(len(features), np.float32)


def answered(rule: Algorithm, state: State, answers: Sequence[Answer], how: LocalTraining | None = None) -> State:
    """Return the state after a round in which the sites answered so, each for the first time."""
    return rule.at_hub(state, gathered(rule, [sent(rule, state, answer, how)[0] for answer in answers]))


def sent(rule: Algorithm, state: State, answer: Answer, how: LocalTraining | None = None) -> tuple[Statistic, Memory]:
    """Return what one site sends and keeps."""
    rows = Examples(np.zeros((answer.rows, 1), np.float32), np.zeros(answer.rows, np.float32))
    return rule.at_site(state.shared, Local(Scripted(answer), rows, how or SGD(), None, "north", 1), {}, 0)


def gathered(rule: Algorithm, contributions: Sequence[Statistic]) -> Statistic:
    """Return what the hub gets of them."""
    assert isinstance(rule, AlgorithmPart)
    return stacked(contributions) if rule.single_contributions else total(contributions)
