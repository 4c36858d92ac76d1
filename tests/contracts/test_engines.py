"""Every engine holds to the contract."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from medfl.run.engine import Engine
from medfl.run.in_process import InProcess
from medfl.run.processes import Processes
from medfl.testing import probe as probing
from medfl.testing.engine_contract import EngineContract, RemoteEngineContract
from medfl.testing.federation import NAMES
from medfl.testing.probe import probe


class TestInProcess(EngineContract):
    def engine(self) -> Engine:
        return InProcess(dict.fromkeys(reversed(NAMES), probe))


@pytest.fixture(scope="module", params=[1, 2], ids="{} workers".format)
def workers(request: pytest.FixtureRequest) -> Iterator[Processes]:
    command = (sys.executable, "-m", probing.__name__)
    with Processes(reversed(NAMES), command=command, opening=b"", workers=request.param) as engine:
        yield engine


class TestProcesses(RemoteEngineContract):
    @pytest.fixture(autouse=True)
    def _started(self, workers: Processes) -> None:
        self.workers = workers

    def engine(self) -> Engine:
        return self.workers
