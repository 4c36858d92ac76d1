"""The engine over Ray holds to the contract of every engine whose sites can be lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from medfl.run.engine import Engine
from medfl.run.ray.cluster import Cluster
from medfl.run.ray.engine import RayEngine
from medfl.testing import probe
from medfl.testing.engine_contract import RemoteEngineContract
from medfl.testing.federation import NAMES

pytest.importorskip("ray")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Start Ray with two workers, once."""
    with Cluster(wanted=2) as two:
        yield two


class TestRay(RemoteEngineContract):
    @pytest.fixture(autouse=True)
    def _started(self, cluster: Cluster) -> None:
        self.carried = RayEngine(reversed(NAMES), cluster=cluster, module=probe.__name__, opening=b"")

    def engine(self) -> Engine:
        return self.carried
