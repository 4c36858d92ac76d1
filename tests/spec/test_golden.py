"""The digest of a published spec never changes: journals and reports name studies by it.

A spec that is added here stays. When one of these fails, the change to the spec's language is what is wrong: a new key
must be optional and absent unless it is asked for.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from medfl.spec.reading import read
from medfl.spec.study import Study

GOLDEN = Path(__file__).parents[1] / "golden" / "spec"
SPECS = sorted(GOLDEN.glob("*.toml"))
DIGESTS = {name: digest for digest, name in map(str.split, (GOLDEN / "SHA256SUMS").read_text().splitlines())}


def test_there_is_one_digest_for_each_spec() -> None:
    assert sorted(DIGESTS) == [f"{spec.stem}.json" for spec in SPECS]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.stem)
def test_canonical_text_and_digest_stay(spec: Path) -> None:
    study, canonical = read(spec).study, spec.with_suffix(".json").read_text(encoding="utf-8")
    assert study.canonical == canonical
    assert study.digest == hashlib.sha256(canonical.encode()).hexdigest() == DIGESTS[f"{spec.stem}.json"]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.stem)
def test_an_old_canonical_text_is_still_a_study(spec: Path) -> None:
    study = Study.model_validate_json(spec.with_suffix(".json").read_text(encoding="utf-8"))
    assert study == read(spec).study
    assert study.digest == DIGESTS[f"{spec.stem}.json"]
