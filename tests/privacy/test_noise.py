"""The keyed stream: the same for the same key, another for another, and as normal as it claims."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from medfl.errors import StoreError
from medfl.privacy.noise import Keystream, simulated, stream
from medfl.site.purse import secret_in


def test_the_same_names_draw_the_same_and_others_do_not() -> None:
    one, again, other = (stream(b"k" * 32, *names) for names in (("a", "b"), ("a", "b"), ("ab",)))
    first = one.standard_normal(5000)
    assert (first == again.standard_normal(5000)).all()
    assert not np.isin(first, other.standard_normal(5000)).any()
    assert simulated(1, "a") != simulated(2, "a") != simulated(2, "b")


def test_how_many_are_asked_for_at_once_does_not_matter_to_uniform_numbers() -> None:
    whole, parts = Keystream(b"x" * 16), Keystream(b"x" * 16)
    assert (whole.random(9000) == np.concatenate([parts.random(n) for n in (1, 4095, 4904)])).all()


def test_they_are_normal_and_uniform() -> None:
    numbers = Keystream(b"normal, please..").standard_normal(200_000)
    assert stats.kstest(numbers, "norm").pvalue > 1e-3
    assert abs(stats.kurtosis(numbers)) < 0.05
    assert stats.kstest(Keystream(b"uniform, please.").random(200_000), "uniform").pvalue > 1e-3


def test_it_gives_what_a_generator_gives() -> None:
    noise = Keystream(b"y" * 16)
    assert isinstance(noise.standard_normal(), float)
    assert noise.standard_normal((2, 3), dtype=np.float32).dtype == np.float32
    assert noise.normal(5.0, 0.0, (4,)).tolist() == [5.0] * 4
    out = np.empty(3)
    assert noise.random(3, out=out) is out


def test_a_secret_is_drawn_once_and_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "site" / "secret"
    secret = secret_in(path)
    assert len(secret) == 32
    assert secret_in(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"short")
    with pytest.raises(StoreError, match="damaged"):
        secret_in(path)
