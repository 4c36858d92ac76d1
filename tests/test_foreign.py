"""Words from elsewhere: what is read, what is refused where it arrives, and what people are shown."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from medfl.foreign import DEEPEST, LARGEST, LONGEST, printable, understood
from medfl.testing.fuzzing import JSON, WORDS, fuzzed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1),
        '{"a":' * (DEEPEST + 1) + "1" + "}" * (DEEPEST + 1),
        '"\\ud800"',
        '{"\\udfff": 1}',
        '[["\\ud800x"]]',
        str(LARGEST + 1),
        f"[-{LARGEST + 1}]",
        "9" * 10_000,
    ],
)
def test_what_would_break_later_is_refused_at_once(text: str) -> None:
    with pytest.raises(ValueError):
        understood(text)


def test_what_is_meant_is_read() -> None:
    said = {"a": [1, -2.5, None, True, "é", "\N{SNOWMAN}"], "b": {"c": []}, "d": LARGEST}
    assert understood(json.dumps(said)) == understood(json.dumps(said).encode()) == said
    assert understood("[" * (DEEPEST - 1) + "]" * (DEEPEST - 1))


@fuzzed(100)
@given(said=JSON)
def test_what_is_read_can_be_written_down(said: object) -> None:
    try:
        read = understood(json.dumps(said))
    except ValueError:
        return
    assert json.dumps(read, ensure_ascii=False).encode()


@fuzzed(60)
@given(text=WORDS)
def test_what_is_shown_steers_no_terminal(text: str) -> None:
    assert all(one.isprintable() or one == "\n" for one in printable(text))
    assert len(printable(text * LONGEST)) <= LONGEST + 1
