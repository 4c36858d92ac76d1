"""Every installed algorithm holds to the contract."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from medfl.errors import SystemFault
from medfl.learn.algorithm import Algorithm
from medfl.learn.averaging import Averaging
from medfl.spec import discover
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
    averages = {"fedavg", "fedprox", "fedavgm", "fedadam", "fedyogi", "fedadagrad", "fedopt", "fednova", "qfedavg"}
    built_in = averages | {"scaffold", "fedmedian", "trimmed-mean", "krum", "multi-krum", "bulyan", "rfa"}
    assert built_in <= {kind_of(part) for part in algorithms()}


def test_two_algorithms_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a package could change what a study means by being installed."""
    package = tmp_path / "others_rules"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "average.py").write_text(
        "from typing import Literal\n"
        "from medfl.learn.averaging import Averaging\n"
        "class Average(Averaging):\n"
        '    kind: Literal["fedavg"] = "fedavg"\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    points = [EntryPoint(name, name, discover.GROUP) for name in ("medfl.learn.algorithms", "others_rules")]
    monkeypatch.setattr(discover, "entry_points", lambda group: points)
    with pytest.raises(SystemFault, match=r"two installed .* 'fedavg'.*fedavg and others_rules\.average"):
        algorithms.__wrapped__()
