"""Bundles from anywhere: whatever was done to their bytes is found, and never ends in a trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bundles.conftest import resign, unpacked
from tests.bundles.test_checking import rewritten

from medfl.bundles import kept
from medfl.bundles.archive import Piece, pack
from medfl.bundles.checking import Verified, verify
from medfl.bundles.contents import JOURNAL
from medfl.bundles.signing import signer_of
from medfl.errors import VersionError
from medfl.testing.fuzzing import CHANGES, EDITS, JSON, altered, damaged, fuzzed

BUNDLE = next((Path(__file__).parents[1] / "golden" / "bundle").glob("*.zip"))
BODY = BUNDLE.read_bytes()
FILES = unpacked(BUNDLE)
WRITTEN = sorted(name for name in FILES if name.endswith((".json", ".jsonl")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


def looked_at(folder: Path, body: bytes) -> Verified:
    path = folder / "bundle.zip"
    path.write_bytes(body)
    return verify(path)


@fuzzed(60)
@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_any_byte_that_is_another_is_found(folder: Path, where: int, flipped: int) -> None:
    body = bytearray(BODY)
    body[where] ^= flipped
    assert not looked_at(folder, bytes(body)).sound


@fuzzed(60)
@given(st.integers(1, 2000), st.integers(1, 255))
def test_so_is_one_where_the_archive_lists_its_files(folder: Path, back: int, flipped: int) -> None:
    body = bytearray(BODY)
    body[-back] ^= flipped
    assert not looked_at(folder, bytes(body)).sound


@fuzzed(40)
@given(EDITS)
def test_damage_of_any_kind_is_found(folder: Path, edits: Any) -> None:
    body = damaged(BODY, edits)
    assert looked_at(folder, body).sound == (body == BODY)


@fuzzed(40)
@given(st.binary(max_size=400))
def test_anything_at_all_is_looked_at(folder: Path, body: bytes) -> None:
    assert not looked_at(folder, body).sound


@fuzzed(100)
@given(st.sampled_from(WRITTEN), st.integers(0, 2**20), CHANGES | JSON)
def test_other_words_in_a_file_that_is_signed_are_read_without_a_trace(
    folder: Path, name: str, which: int, words: Any
) -> None:
    bodies = dict(FILES)
    lines = kept.lines(bodies[name]) if name == JOURNAL else [bodies[name]]
    place = which % len(lines)
    is_change = isinstance(words, list) and bool(words) and isinstance(words[0], tuple)
    said = altered(json.loads(lines[place]), words) if is_change else words
    lines[place] = json.dumps(said).encode("utf-8", "replace")
    bodies[name] = b"\n".join(lines)
    try:
        if name == JOURNAL:
            rewritten(bodies, b"\0", b"")
        resign(bodies, signer_of(folder / "home"))
    except (KeyError, TypeError, AttributeError, ValueError):
        return  # What can no longer be listed is damaged as above.
    with (folder / "signed.zip").open("wb") as out:
        pack([Piece.of(one, "", body) for one, body in bodies.items()], out)
    try:
        found = verify(folder / "signed.zip")
    except VersionError:
        return
    assert found.checks[0].verdict == "sound"
    assert all(check.text for check in found.checks)
