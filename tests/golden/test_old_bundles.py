"""Bundles of earlier releases stay verifiable: one of each is kept here, of a study under differential privacy."""

from __future__ import annotations

from pathlib import Path

import pytest

from medfl.bundles.checking import verify
from medfl.bundles.signing import trusted

BUNDLES = sorted((Path(__file__).parent / "bundle").glob("*.zip"))


def test_there_is_one() -> None:
    assert BUNDLES


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.stem)
def test_an_old_bundle_is_sound(bundle: Path) -> None:
    found = verify(bundle, signer=trusted(str(bundle.with_suffix(".signer"))))
    assert {check.verdict for check in found.checks} == {"sound"}
    assert len(found.checks) == 12
    assert found.study == "tiny"


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.stem)
def test_an_old_bundle_with_one_letter_changed_is_not(bundle: Path, tmp_path: Path) -> None:
    body = bundle.read_bytes()
    changed = tmp_path / "changed.zip"
    changed.write_bytes(body.replace(b'"RunFinished"', b'"RunFailed"  ', 1))
    assert changed.read_bytes() != body
    assert not verify(changed).sound
