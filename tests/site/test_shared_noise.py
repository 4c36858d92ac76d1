"""Each site's share of the noise is enough for the smallest sum that the protocol lets anybody see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medfl.learn.statistic import Statistic
from medfl.messages import SECURE, Request
from medfl.privacy.budget import between
from medfl.site.guard import as_promised
from medfl.site.purse import purse_in
from medfl.spec.study import Study
from medfl.testing.federation import DECLARED, study

pytest.importorskip("dp_accounting")

SIZE = 20_000


def asked(min_sites: int) -> Study:
    return study(
        algorithm={"kind": "fedavg", "rounds": 2, "min_sites": min_sites},
        preprocess={"impute": "drop", "scale": "min-max"},
        privacy={"secure_aggregation": True, "dp": {"unit": "site", "epsilon": 4.0, **DECLARED}},
    )


def noise(min_sites: int, opening: object, folder: Path) -> np.ndarray:
    """Return the noise of a site that has nothing to say, over that of the whole sum."""
    one, dp = asked(min_sites), asked(min_sites).privacy.dp
    assert dp is not None
    content: dict[str, Any] = {} if opening is None else {SECURE: opening}
    request = Request(run="one", round=1, site="east", task="train", study=one.canonical, seed=7, content=content)
    nothing = Statistic({"delta": np.zeros(SIZE), "weight": np.array(5.0)})
    found = as_promised(nothing, one, request, purse_in(folder, "east"))["delta"]
    return found / (dp.clip_norm * between(dp, times=2).noise_multiplier)


@pytest.mark.parametrize(
    ("min_sites", "opening", "fewest"),
    [
        (4, {"terms": {"threshold": 7}}, 4),
        (10, {"terms": {"threshold": 7}}, 7),
        (10, {"terms": {"threshold": "10"}}, 1),
        (10, {"terms": []}, 1),
        (10, "terms", 1),
        (10, None, 1),
    ],
    ids=["min_sites", "the hub may finish with fewer", "no number", "no terms", "no opening", "in clear"],
)
def test_a_share_is_as_large_as_the_smallest_sum_that_may_be_seen_needs(
    min_sites: int, opening: object, fewest: int, tmp_path: Path
) -> None:
    assert noise(min_sites, opening, tmp_path).std() == pytest.approx(fewest**-0.5, rel=0.05)


def test_a_sum_asked_again_with_another_quorum_shows_no_more_than_the_quieter_of_both(tmp_path: Path) -> None:
    """Two sizes of one noise would give the sum without any: the noisier answer is the other with more noise on it."""
    loud, quiet = (noise(10, {"terms": {"threshold": quorum}}, tmp_path) for quorum in (7, 10))
    added = loud - quiet
    assert quiet.std() == pytest.approx(10**-0.5, rel=0.05)
    assert added.std() == pytest.approx((1 / 7 - 1 / 10) ** 0.5, rel=0.05)
    assert abs(np.corrcoef(added, quiet)[0, 1]) < 0.03
