"""What travels comes back as it was, and bytes that are no message are refused as that and nothing else."""

from __future__ import annotations

import io
import json
import random
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from safetensors.numpy import save

from medfl.errors import Complaint, MedflError, WireError
from medfl.messages import (
    LARGEST,
    Message,
    Refusal,
    Reply,
    Request,
    from_bytes,
    nbytes,
    read_frame,
    to_bytes,
    write_frame,
)
from medfl.testing.algorithm_contract import print_of
from medfl.testing.engine_contract import odd_arrays

text = st.text(max_size=12)
finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | finite | text
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3))
contents = st.dictionaries(text, values, max_size=3)
shapes = arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
numbers = st.sampled_from([np.float32, np.float64, np.int64]).flatmap(lambda kind: arrays_of.arrays(kind, shapes))
arrays = st.dictionaries(text, numbers, max_size=3)
requests = st.builds(
    Request,
    run=text,
    round=st.integers(0, 2**40),
    site=text,
    task=st.sampled_from(["describe", "prepare", "train", "evaluate", "alone"]),
    study=text,
    seed=st.integers(0, 2**53),
    content=contents,
    arrays=arrays,
)
replies = st.builds(Reply, request=text, site=text, content=contents, arrays=arrays, seconds=finite)
complaints = st.lists(st.builds(Complaint, text, text, text, text), min_size=1, max_size=3).map(tuple)
refusals = st.builds(Refusal, request=text, site=text, code=text, complaints=complaints)
messages = st.one_of(requests, replies, refusals)

REQUEST = Request(
    run="a-1", round=3, site="north", task="train", study="{}", seed=7, content={"a": [1, None]}, arrays=odd_arrays()
)
REPLY = Reply(request=REQUEST.id, site="north", content={"loss": 0.5}, arrays=odd_arrays(), seconds=0.25)
REFUSAL = Refusal(request=REQUEST.id, site="north", code="data", complaints=(Complaint("no rows", "here", "0", "add"),))
EXAMPLES: list[Message] = [REQUEST, REPLY, REFUSAL]


def same(first: Message, second: Message) -> bool:
    """Compare all fields, arrays bit for bit."""
    if type(first) is not type(second):
        return False
    plain = [
        {field.name: getattr(one, field.name) for field in fields(one) if field.name != "arrays"}
        for one in (first, second)
    ]
    numbers = [print_of(getattr(one, "arrays", {})) for one in (first, second)]
    return plain[0] == plain[1] and numbers[0] == numbers[1]


@settings(deadline=None)
@given(messages)
def test_any_message_comes_back(message: Message) -> None:
    assert same(from_bytes(to_bytes(message)), message)


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_arrays_of_every_kind_come_back_bit_for_bit(message: Message) -> None:
    assert same(from_bytes(to_bytes(message)), message)


@settings(max_examples=30, deadline=None)
@given(messages)
def test_the_same_message_has_the_same_bytes(message: Message) -> None:
    assert to_bytes(message) == to_bytes(from_bytes(to_bytes(message)))


def test_a_request_asked_again_has_the_same_id() -> None:
    assert REQUEST.id == "a-1/3/train/north" == replace(REQUEST, arrays={}).id
    others = [replace(REQUEST, run="b"), replace(REQUEST, round=4), replace(REQUEST, site="w")]
    assert len({REQUEST.id, replace(REQUEST, task="evaluate").id, *(other.id for other in others)}) == 5


def test_nothing_in_a_message_is_executed() -> None:
    body = to_bytes(REPLY)
    length = int.from_bytes(body[:8], "little")
    head = json.loads(body[8 : 8 + length])
    assert set(head) == {"__metadata__", *REPLY.arrays}
    assert json.loads(head["__metadata__"]["message"]) == {
        "is": "Reply", "request": REQUEST.id, "site": "north", "content": {"loss": 0.5}, "seconds": 0.25,
    }  # fmt: skip


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_cut_anywhere_is_refused(message: Message) -> None:
    body = to_bytes(message)
    for length in {*range(0, len(body), max(1, len(body) // 120)), len(body) - 1}:
        with pytest.raises(WireError):
            from_bytes(body[:length])


def test_garbage_is_refused_and_never_anything_else() -> None:
    """A few bytes of a good message changed, or none of it kept: read as a message or refused as no message."""
    draw = random.Random(0)
    bodies = [to_bytes(message) for message in EXAMPLES]
    outcomes = set()
    for case in range(500):
        body = bytearray(draw.choice(bodies))
        if case % 5 == 0:
            body = bytearray(draw.randbytes(draw.randrange(200)))
        elif case % 5 == 1:
            body += draw.randbytes(draw.randrange(1, 9))
        else:
            for _ in range(draw.randrange(1, 6)):
                body[draw.randrange(len(body))] = draw.randrange(256)
        outcomes.add(_outcome(bytes(body)))
    assert outcomes == {"read", "refused"}


@settings(deadline=None)
@given(st.binary(max_size=64))
def test_any_bytes_are_refused(body: bytes) -> None:
    assert _outcome(body) == "refused"
    assert _outcome(len(body).to_bytes(8, "little") + body) == "refused"


HEADERS: list[object] = [
    None,
    [],
    "Reply",
    7,
    {},
    {"is": "Reply"},
    {"is": "Event", "site": "north"},
    {"is": ["Reply"]},
    {"is": "Reply", "request": "r", "site": "s", "content": {}, "seconds": 1, "arrays": {}},
    {"is": "Reply", "request": "r", "site": "s", "content": {}, "seconds": 1, "more": 1},
    {"is": "Reply", "request": "r", "site": "s", "content": [], "seconds": 1},
    {"is": "Reply", "request": "r", "site": 5, "content": {}, "seconds": 1},
    {"is": "Reply", "request": "r", "site": "s", "content": {}, "seconds": "soon"},
    {"is": "Refusal", "request": "r", "site": "s", "code": "data"},
    {"is": "Refusal", "request": "r", "site": "s", "code": "data", "complaints": 5},
    {"is": "Refusal", "request": "r", "site": "s", "code": "data", "complaints": []},
    {"is": "Refusal", "request": "r", "site": "s", "code": "data", "complaints": [[1, 2, 3, 4]]},
    {"is": "Refusal", "request": "r", "site": "s", "code": "data", "complaints": [["a", "b", "c", "d", "e"]]},
    {"is": "Refusal", "request": "r", "site": "s", "code": {}, "complaints": [["a", "b", "c", "d"]]},
    {"is": "Request", "run": "r", "round": "1", "site": "s", "task": "train", "study": "", "seed": 1, "content": {}},
    {"is": "Request", "run": "r", "round": True, "site": "s", "task": "train", "study": "", "seed": 1, "content": {}},
    {"is": "Request", "run": "r", "round": -1, "site": "s", "task": "train", "study": "", "seed": 1, "content": {}},
    {"is": "Request", "run": "r", "round": 1, "site": "s", "task": "delete", "study": "", "seed": 1, "content": {}},
]


@pytest.mark.parametrize("header", HEADERS, ids=json.dumps)
def test_a_header_that_is_not_one_is_refused(header: object) -> None:
    body = save({"update/weight": np.ones(2)}, metadata={"message": json.dumps(header)})
    assert _outcome(body) == "refused"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff" * 8,
        (2**63).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        save({"a": np.ones(2)}),
        save({"a": np.ones(2)}, metadata={"massage": "{}"}),
        save({"a": np.ones(2)}, metadata={"message": "{" * 100_000}),
        save({"a": np.ones(2)}, metadata={"message": "[" * 100_000}),
        save({"a": np.ones(2)}, metadata={"message": "9" * 10_000}),
    ],
    ids=range(10),
)
def test_a_file_that_holds_no_message_is_refused(body: bytes) -> None:
    assert _outcome(body) == "refused"


def test_a_refused_message_says_what_to_do() -> None:
    with pytest.raises(WireError, match=r"cannot be read \(found: 3 bytes, \w+\)\n  → check that hub and sites run"):
        from_bytes(b"abc")


def test_size_is_that_of_the_numbers() -> None:
    assert nbytes({"a": np.zeros((3, 2), np.float32), "b": np.array(1.0), "c": np.zeros(0)}) == 32
    assert nbytes({}) == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=4))
def test_frames_come_back_in_order(bodies: list[bytes]) -> None:
    pipe = io.BytesIO()
    for body in bodies:
        write_frame(pipe, body)
    pipe.seek(0)
    assert [read_frame(pipe) for _ in bodies] == bodies
    assert read_frame(pipe) is None


@pytest.mark.parametrize("length", [1, 7, 8, 9, 11])
def test_a_frame_that_is_cut_off_is_refused(length: int) -> None:
    pipe = io.BytesIO()
    write_frame(pipe, b"body")
    with pytest.raises(WireError, match=r"no believable length|cut off \(found: [013] of 4 bytes"):
        read_frame(io.BytesIO(pipe.getvalue()[:length]))


@pytest.mark.parametrize("length", [LARGEST + 1, 2**64 - 1])
def test_a_frame_of_absurd_length_is_not_even_read(length: int) -> None:
    pipe = io.BytesIO(length.to_bytes(8, "little") + b"x" * 100)
    with pytest.raises(WireError, match="no believable length"):
        read_frame(pipe)
    assert pipe.tell() == 8


def _outcome(body: bytes) -> str:
    """Read bytes; anything but a message or a WireError fails the test."""
    try:
        message = from_bytes(body)
    except WireError as error:
        assert isinstance(error, MedflError)
        return "refused"
    assert isinstance(message, Request | Reply | Refusal)
    to_bytes(message)
    return "read"
