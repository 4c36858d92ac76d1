"""Messages that are not what they should be: too large, of another kind, deep, empty, not finite.

What was tried: bytes with absurd lengths, deep and wide JSON, numbers of many digits, layouts of absurd shapes, and
honest requests with one thing in them replaced: another type, another shape, NaN, infinity, nothing. What came of it:
each is refused as what it is, in little time and memory; the site goes on to answer the next honest request as before,
and no refusal has a number of the site's rows in it.
"""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from medfl.errors import WireError
from medfl.messages import LARGEST, LARGEST_HEAD, Refusal, Reply, Request, from_bytes, read_frame, to_bytes
from medfl.site.answer import Site
from medfl.testing.algorithm_contract import print_of
from medfl.testing.federation import overheard, sites, study, tables

REQUEST = Request(run="a", round=1, site="east", task="train", study="{}", seed=7)


def raw(header: bytes, rest: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + rest


def worded(**words: object) -> bytes:
    plain = {"is": "Request", "run": "a", "round": 1, "site": "east", "task": "train", "study": "{}"}
    plain |= {"seed": 7, "content": {}}
    return save({}, metadata={"message": json.dumps({**plain, **words})})


def laid_out(shape: list[int], kind: str = "F64", offsets: tuple[int, int] = (0, 0)) -> bytes:
    message = json.loads(to_bytes(REQUEST)[8:].decode())["__metadata__"]
    body = {"__metadata__": message, "weights": {"dtype": kind, "shape": shape, "data_offsets": list(offsets)}}
    return raw(json.dumps(body).encode())


BYTES: dict[str, bytes] = {
    "nothing": b"",
    "a length without a body": (2**63).to_bytes(8, "little"),
    "a length of its own": (2**64 - 1).to_bytes(8, "little") + b"{}",
    "deep lists": raw(b'{"__metadata__": ' + b"[" * 200_000),
    "deep words": raw(json.dumps({"__metadata__": {"message": "[" * 100_000}}).encode()),
    "a number of many digits": raw(json.dumps({"__metadata__": {"message": "1" * 100_000}}).encode()),
    "a head without an end": (LARGEST_HEAD + 1).to_bytes(8, "little") + b'{"__metadata__": ' + b"[]," * 1000,
    "half a letter": raw(json.dumps({"__metadata__": {"message": '{"is": "\\ud800"}'}}).encode()),
    "an absurd shape": laid_out([2**62, 4]),
    "a shape that overflows to nothing": laid_out([2**32, 2**32]),
    "an offset beyond the end": laid_out([1], offsets=(0, 8)),
    "an offset before the beginning": laid_out([1], offsets=(8, 0)),
    "a negative shape": laid_out([-1]),
    "an unknown type": laid_out([0], kind="F1024"),
    "a task that is none": worded(task="export"),
    "a round that is none": worded(round=-1),
    "a round that is a list": worded(round=[1]),
    "a site that is a number": worded(site=3),
    "a word too much": worded(command="rm"),
    "a kind that is none": worded(**{"is": "Command"}),
}


@pytest.mark.parametrize("attack", BYTES)
def test_bytes_that_are_no_message_are_refused_in_little_memory(attack: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(WireError):
            from_bytes(BYTES[attack])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 * len(BYTES[attack]) + 2_000_000


@pytest.mark.parametrize("length", [LARGEST + 1, 2**63, 2**64 - 1])
def test_a_frame_that_is_too_large_is_refused_unread(length: int) -> None:
    pipe = io.BytesIO(length.to_bytes(8, "little") + b"x" * 100)
    with pytest.raises(WireError, match="no believable length"):
        read_frame(pipe)
    assert pipe.tell() == 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("malformed")


@pytest.fixture(scope="module")
def honest(folder: Path) -> list[Request]:
    """One request of each task."""
    asked = study(
        evaluation={"baselines": ["local-only"], "fine_tune": {"local_epochs": 1}, "importance": {"repeats": 1}},
        preprocess={"impute": "median"},
    )
    heard = overheard(asked, sites(folder))
    mine = {request.task: request for request, _ in heard if request.site == "east"}
    assert len(mine) == 6
    return list(mine.values())


@pytest.fixture(scope="module")
def east(folder: Path) -> Site:
    return sites(folder)["east"]


ARRAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "empty": lambda weights: weights[:0],
    "longer": lambda weights: np.concatenate([weights, weights]),
    "one less": lambda weights: weights[:-1],
    "a matrix": lambda weights: weights[np.newaxis],
    "a scalar": lambda weights: np.float32(0.5) * np.ones(()),
    "NaN": lambda weights: np.full_like(weights, np.nan),
    "one infinity": lambda weights: np.where(np.arange(len(weights)) == 0, np.inf, weights),
    "whole numbers": lambda weights: weights.astype(np.int64),
    "double": lambda weights: weights.astype(np.float64) * 1e300,
    "truth": lambda weights: weights > 0,
}


@pytest.mark.parametrize("attack", ARRAYS)
def test_arrays_of_another_kind_are_an_answer_too(east: Site, honest: list[Request], attack: str) -> None:
    for request in honest:
        if "weights" in request.arrays:
            change = {"weights": np.asarray(ARRAYS[attack](request.arrays["weights"]))}
            answer = east.answer(replace(request, arrays={**request.arrays, **change}))
            assert isinstance(answer, Reply | Refusal)
            if attack in ("NaN", "one infinity", "empty", "longer", "one less"):
                assert isinstance(answer, Refusal), request.task
            if isinstance(answer, Reply):
                assert all(np.isfinite(array).all() for array in answer.arrays.values())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], by: object) -> Any:
    if not path:
        return by
    key, *rest = path
    if isinstance(value, Mapping):
        return {**value, key: replaced(value[key], tuple(rest), by)}
    return [replaced(one, tuple(rest), by) if place == key else one for place, one in enumerate(value)]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_a_word_replaced_is_an_answer_too(east: Site, honest: list[Request], data: st.DataObject) -> None:
    """Whatever stands in the agreement, the recipe or the judging in place of what should: a reply, or a refusal."""
    request = data.draw(st.sampled_from([one for one in honest if one.content]), label="request")
    path = data.draw(st.sampled_from(places(dict(request.content))[1:]), label="place")
    by = data.draw(JSON, label="by")
    answer = east.answer(replace(request, content=replaced(dict(request.content), path, by)))
    assert isinstance(answer, Reply | Refusal)
    if isinstance(answer, Refusal):
        cells = {f"{value!r}" for value in tables()["east"]["dose"] if abs(value) > 0.01}
        assert not [cell for cell in cells if cell in answer.reason and cell not in repr(by)]


def test_after_all_that_the_site_answers_as_before(east: Site, folder: Path, honest: list[Request]) -> None:
    fresh = sites(folder)["east"]
    for request in honest:
        broken = replace(request, arrays={"weights": np.zeros(3, np.float32)}, content={})
        east.answer(broken)
        mine, other = east.answer(request), fresh.answer(request)
        assert isinstance(mine, Reply)
        assert isinstance(other, Reply)
        assert mine.content == other.content
        assert print_of(mine.arrays) == print_of(other.arrays)
