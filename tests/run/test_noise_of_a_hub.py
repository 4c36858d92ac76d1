"""The noise that a hub adds: the same for a round that is done again, another one in another run of the same study."""

from __future__ import annotations

import numpy as np
import pytest

from medfl.learn.statistic import Statistic
from medfl.run.guarded import Between
from medfl.run.plan import compile
from medfl.spec.study import Study

STUDY = Study.model_validate(
    {
        "study": {"name": "noisy"},
        "data": {"target": "sick", "sites": {name: f"{name}.csv" for name in "abcd"}},
        "privacy": {"dp": {"unit": "site", "epsilon": 3, "clip_norm": 1.0, "noise": "central"}},
        "algorithm": {"kind": "fedavg", "rounds": 2},
    }
)


def noisy(run: str, *, secret: bytes | None, round: int = 1) -> bytes:
    (plan, *_) = compile(STUDY)
    total = Statistic({"delta": np.zeros(5), "weight": np.array(4.0)})
    found = Between(plan, ("a", "b", "c", "d"), secret).summed(total, {}, run=run, round=round)
    return b"".join(found.arrays[name].tobytes() for name in sorted(found.arrays))


@pytest.mark.parametrize("secret", [b"of the hub", None])
def test_a_round_that_is_done_again_meets_the_same_noise(secret: bytes | None) -> None:
    assert noisy("one-1", secret=secret) == noisy("one-1", secret=secret)
    assert noisy("one-1", secret=secret) != noisy("one-1", secret=secret, round=2)


def test_another_run_of_the_same_study_meets_other_noise_at_a_hub() -> None:
    """Else a site that takes part in only one of the two would be told, without noise, by their difference."""
    assert noisy("one-1", secret=b"of the hub") != noisy("two-1", secret=b"of the hub")


def test_a_simulation_gives_the_same_model_whatever_its_run_is_called() -> None:
    assert noisy("one-1", secret=None) == noisy("two-1", secret=None)
