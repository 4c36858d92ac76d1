"""What sites answer, as the hub's loop reads it: a site that says anything at all does not bring a run's process down.

One site of three changes its answers; the run ends, with a model or with an error on purpose that names the site, and
all its events can be written down.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfl.errors import Complaint, WireError
from medfl.events import SiteFailed
from medfl.messages import Refusal, Reply, Request, from_bytes, to_bytes
from medfl.run.flower.engine import _read
from medfl.run.replies import understood
from medfl.testing.federation import Through, in_process, rehearse, sites, study
from medfl.testing.fuzzing import CHANGES, JSON, WORDS, altered, fuzzed

ASKED = {
    secure: study(
        algorithm={"rounds": 1, "min_sites": 2},
        evaluation={"bootstrap": 10, "importance": {"repeats": 1}},
        preprocess={"impute": "median"},
        privacy={"secure_aggregation": secure},
    )
    for secure in (False, True)
}
LIES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "nothing": lambda array: array.reshape(-1)[:0],
    "one axis more": lambda array: array[np.newaxis],
    "no axis": lambda array: np.zeros((), array.dtype),
    "less than nothing": lambda array: (array.astype(np.float64) - 1e9).astype(array.dtype),
    "no numbers": lambda array: np.full(array.shape, np.nan),
    "huge": lambda array: array.astype(np.float64) * 1e300,
    "half as exact": lambda array: array.astype(np.float32),
    "truth": lambda array: array.astype(bool),
}
_LIE = st.tuples(st.integers(0, 2**20), st.sampled_from(sorted(LIES)))


def lying(which: int, changes: Any, arrays: Any) -> Callable[[list[Reply | Refusal]], Iterator[Reply | Refusal]]:
    """Return what changes the answers of one site: the one that comes so late, or all of them."""
    count = 0

    def change(answers: list[Reply | Refusal]) -> Iterator[Reply | Refusal]:
        nonlocal count
        for answer in answers:
            if answer.site == "north" and isinstance(answer, Reply):
                if which in (count, 8):
                    yield travelled(answer, changes, arrays)
                    count += 1
                    continue
                count += 1
            yield answer

    return change


def travelled(answer: Reply, changes: Any, lies: Any) -> Reply | Refusal:
    """Return an altered answer as it comes over the wire."""
    arrays = dict(answer.arrays)
    for place, lie in lies:
        if arrays:
            name = sorted(arrays)[place % len(arrays)]
            with np.errstate(all="ignore"):
                arrays[name] = np.asarray(LIES[lie](arrays[name]))
    body = to_bytes(replace(answer, content=altered(answer.content, changes), arrays=arrays))
    try:
        read = from_bytes(body)
    except WireError as error:
        return Refusal(request=answer.request, site=answer.site, code=error.code, complaints=error.complaints)
    assert isinstance(read, Reply)
    return read


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@fuzzed(50)
@given(which=st.integers(0, 8), changes=CHANGES | st.just([]), arrays=st.lists(_LIE, max_size=2), secure=st.booleans())
def test_a_run_survives_whatever_one_site_says(
    tmp_path_factory: pytest.TempPathFactory, which: int, changes: Any, arrays: Any, secure: bool
) -> None:
    engine = Through(in_process(sites(tmp_path_factory.mktemp("run"))), lying(which, changes, arrays))
    events, _ = rehearse(ASKED[secure], engine)
    for event in events:
        assert json.dumps(asdict(event)).encode()


def test_the_site_that_says_nonsense_is_named_and_the_run_goes_on(tmp_path: Path) -> None:
    def change(answers: list[Reply | Refusal]) -> Iterator[Reply | Refusal]:
        for one in answers:
            if one.site == "north" and isinstance(one, Reply) and "metrics" in one.content:
                yield replace(one, content={**one.content, "metrics": "x"})
            else:
                yield one

    events, error = rehearse(ASKED[False], Through(in_process(sites(tmp_path)), change))
    assert error is None
    failed = [event for event in events if isinstance(event, SiteFailed)]
    assert {(event.site, event.code) for event in failed} == {("north", "wire")}
    assert "the site's answer cannot be read at the stage 'train'" in failed[0].reason
    assert "under metrics" in failed[0].reason


@fuzzed(60)
@given(text=WORDS)
def test_a_sites_refusal_does_not_steer_the_terminal(text: str) -> None:
    request = Request(run="r", round=1, site="north", task="train", study="{}", seed=7)
    refusal = Refusal(request=request.id, site="north", code=text, complaints=(Complaint(text, text, text, text),))
    read = understood(refusal, request)
    assert isinstance(read, Refusal)
    assert "\x1b" not in read.reason + read.code and "\x00" not in read.reason


@fuzzed(80)
@given(said=JSON, other=st.sampled_from(["", "east", "north"]))
def test_any_answer_to_a_request_is_that_or_a_reason(said: Any, other: str) -> None:
    """Also one in another site's name, or to another request."""
    request = Request(run="r", round=1, site="north", task="train", study="{}", seed=7)
    content = said if isinstance(said, dict) else {}
    for body in (to_bytes(Reply(request=request.id, site=other, content=content)), b"x", b""):
        answer, fault = _read(request, body)
        assert fault.what
        assert answer is None or (answer.request, answer.site, other) == (request.id, "north", "north")
