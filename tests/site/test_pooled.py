"""All rows in one place: every site's rows as that site prepares them, one after the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medfl.messages import Reply, Request
from medfl.site.answer import Site
from medfl.site.pooled import NAME, pooled
from medfl.testing.federation import NAMES, overheard, sites, study

ASKED = study(algorithm={"kind": "fedavg", "rounds": 1}, training={"batch_size": 10_000})


@pytest.fixture
def hospitals(tmp_path: Path) -> dict[str, Site]:
    return sites(tmp_path)


@pytest.fixture
def requests(hospitals: dict[str, Site]) -> dict[str, Request]:
    """Return what each hospital was asked to train from."""
    return {request.site: request for request, _ in overheard(ASKED, hospitals) if request.task == "train"}


def test_it_has_every_row_once(hospitals: dict[str, Site], requests: dict[str, Request], tmp_path: Path) -> None:
    pool = pooled(hospitals, tmp_path)
    everyone = [hospitals[name].desk.prepared(ASKED, requests[name]) for name in NAMES]
    everything = pool.desk.prepared(ASKED, replace(requests["east"], site=NAME))
    for part in ("train", "test"):
        parts = [getattr(one, part) for one in everyone]
        whole = getattr(everything, part)
        assert whole.features.tobytes() == np.concatenate([one.features for one in parts]).tobytes()
        assert whole.outcome.tobytes() == np.concatenate([one.outcome for one in parts]).tobytes()


def test_one_step_on_all_rows_is_the_average_of_each_sites_step(
    hospitals: dict[str, Site], requests: dict[str, Request], tmp_path: Path
) -> None:
    """The gradient of all rows is the mean of the sites', weighted by rows: one whole batch, one step of SGD."""
    updates = [_update(hospitals[name], requests[name]) for name in NAMES]
    weights = [update["update/weight"] for update in updates]
    mean = sum(update["update/delta"] for update in updates) / sum(weights)
    pool = pooled(hospitals, tmp_path)
    pooled_update = _update(pool, replace(requests["east"], site=NAME, run="pool"))
    assert float(pooled_update["update/weight"]) == sum(weights)
    np.testing.assert_allclose(pooled_update["update/delta"] / sum(weights), mean, rtol=1e-4, atol=1e-8)


def _update(site: Site, request: Request) -> dict[str, np.ndarray]:
    answer = site.answer(request)
    assert isinstance(answer, Reply), answer.reason
    return dict(answer.arrays)
