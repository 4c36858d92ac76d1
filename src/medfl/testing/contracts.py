"""The contracts in one place, for the tests of what other packages bring: subclass one, and let pytest collect it."""

from __future__ import annotations

from medfl.testing import probe as _probe
from medfl.testing.algorithm_contract import AlgorithmContract, AveragingContract
from medfl.testing.engine_contract import EngineContract, RemoteEngineContract
from medfl.testing.federation import BINARY, FEATURES, MULTICLASS, NAMES, REGRESSION
from medfl.testing.journal_contract import JournalContract
from medfl.testing.model_contract import ModelContract

PROBE = _probe.__name__
"""Name of the module that answers in the contract of engines, in the place of sites."""

__all__ = [
    "BINARY",
    "FEATURES",
    "MULTICLASS",
    "NAMES",
    "PROBE",
    "REGRESSION",
    "AlgorithmContract",
    "AveragingContract",
    "EngineContract",
    "JournalContract",
    "ModelContract",
    "RemoteEngineContract",
]
