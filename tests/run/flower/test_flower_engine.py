"""The engine over a real SuperLink: the contract, with TLS, node authentication and sites that are killed."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from medfl.run.engine import Engine
from medfl.run.flower.rehearsal import Rehearsal
from medfl.testing.engine_contract import RemoteEngineContract
from medfl.testing.federation import NAMES

PROBE = (sys.executable, "-c", """
import json, sys
from medfl.messages import read_frame
from medfl.run.flower.orphans import end_with
from medfl.run.flower.rehearsal import serve_as_told
from medfl.testing.probe import probe

words = json.loads(read_frame(sys.stdin.buffer))
end_with(sys.stdin.buffer)
serve_as_told(words, probe)
""")  # fmt: skip


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    with Rehearsal(tmp_path_factory.mktemp("flower"), NAMES, command=PROBE) as engine:
        yield engine


class TestFlowerEngine(RemoteEngineContract):
    @pytest.fixture(autouse=True)
    def open(self, rehearsal: Rehearsal) -> None:
        self.opened = rehearsal

    def engine(self) -> Engine:
        return self.opened
