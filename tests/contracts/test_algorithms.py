"""Every installed algorithm holds to the contract."""

from __future__ import annotations

import pytest

from medfl.learn.algorithm import Algorithm
from medfl.learn.averaging import Averaging
from medfl.spec.algorithm import AlgorithmPart
from medfl.spec.discover import algorithms, kind_of
from medfl.testing.algorithm_contract import AlgorithmContract, AveragingContract


class Discovered:
    """The algorithm that a parameter of the test names."""

    part: type[AlgorithmPart]

    def algorithm(self) -> Algorithm:
        algorithm = self.part(kind=kind_of(self.part))
        assert isinstance(algorithm, Algorithm)
        return algorithm


class TestEveryAlgorithm(Discovered, AlgorithmContract):
    @pytest.fixture(autouse=True, params=algorithms(), ids=kind_of)
    def _found(self, request: pytest.FixtureRequest) -> None:
        self.part = request.param


class TestEveryPlainAverage(Discovered, AveragingContract):
    @pytest.fixture(
        autouse=True,
        params=[part for part in algorithms() if getattr(part, "at_hub", None) is Averaging.at_hub],
        ids=kind_of,
    )
    def _found(self, request: pytest.FixtureRequest) -> None:
        self.part = request.param


def test_the_built_in_algorithms_are_found() -> None:
    built_in = {"fedavg", "fedprox", "fedavgm", "fedadam", "fedyogi", "fedadagrad"}
    assert built_in <= {kind_of(part) for part in algorithms()}
