"""What a hub keeps of what sites tell: bounded, readable whatever came, and compared with studies before a run."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfl.channel import DATASETS, DECISIONS, LINES, State
from medfl.errors import WireError
from medfl.hub.fitting import doubts, misfits, tables, untold
from medfl.hub.told import FOLDER, UNREAD, Told
from medfl.testing.federation import study
from medfl.versions import here

AGE = {"name": "age", "kind": "numeric", "unit": "years", "minimum": 30, "maximum": 90, "missing": 2}
COLOUR = {"name": "colour", "kind": "categorical", "categories": ["amber", "blue"]}
SICK = {"name": "sick", "kind": "categorical", "categories": ["0", "1"]}
ASKED = study(data={"sites": {"east": "ward", "west": "ward"}, "features": ["age", "colour"]})


def told(*columns: dict[str, Any], **more: Any) -> Told:
    said = Told()
    said.hear({"tell": "catalogue", "all": ["ward"]})
    entry = {"target": "sick", "columns": [*columns], "other_columns": [], "policy": [], **more}
    said.hear({"tell": "catalogue", "dataset": "ward", "entry": json.loads(json.dumps(entry))})
    return said


def test_it_is_kept_and_read_back(tmp_path: Path) -> None:
    said = told(AGE, COLOUR, SICK, rows=120)
    said.speaks = here()
    said.hear({"tell": "state", "state": State("training", "r-1", "train", 2, rounds=9, since=5.0).to_json()})
    said.hear({"tell": "lines", "lines": [{"at": 1, "text": "train of r-1: answered\x1b[31m"}]})
    said.keep(tmp_path, "east")
    found = Told.at(tmp_path, "east")
    assert found == said
    assert found.shown()["doing"] == "training, round 2 of 9 of r-1"
    assert found.lines[0]["text"] == "train of r-1: answered [31m", "nothing that a terminal would obey"
    assert oct((tmp_path / FOLDER / "east.json").stat().st_mode)[-3:] == "600"
    assert Told.at(tmp_path, "west") == Told()
    for damaged in ("", "[]", '{"state": 3}', '{"lines": [1]}', '{"datasets": {"a": 1}}', '{"speaks": []}'):
        (tmp_path / FOLDER / "east.json").write_text(damaged)
        assert Told.at(tmp_path, "east") == Told()


def test_what_its_machine_is_like_is_told_with_the_catalogue_or_without(tmp_path: Path) -> None:
    said, machine = Told(), {"cores": 8, "memory": 16, "gpu": False}
    said.hear({"tell": "catalogue", "all": None, "hardware": machine})
    assert (said.known, str(said.hardware)) == (False, "8 cores, about 16 GB of memory, no GPU")
    said.keep(tmp_path, "east")
    assert Told.at(tmp_path, "east") == said
    assert said.shown()["hardware"] == machine
    said.hear({"tell": "catalogue", "all": ["ward"]})
    assert said.hardware is None, "nor what is not told any more"
    broken: tuple[Any, ...] = (3, [], {}, machine | {"gpu": 1}, machine | {"cores": -1}, machine | {"memory": "16"})
    for damaged in broken:
        with pytest.raises(WireError):
            said.hear({"tell": "catalogue", "all": ["ward"], "hardware": damaged})


@pytest.mark.parametrize(
    "damaged",
    [None, [], {"parts": {"0": 9}, "of": 10}, {"parts": {"0": 9, "1": 2}, "of": 10}, {"parts": {"0": -1, "1": 11}},
     {"parts": {"0": 1, "1": 0}, "of": 1}, {"parts": {"0": 9.5, "1": 0.5}, "of": 10},
     {"parts": {str(n): 0 for n in range(99)} | {"x": 10}, "of": 10}],
)  # fmt: skip
def test_a_balance_is_one_or_nothing_of_the_data_set_is_told(damaged: object) -> None:
    """And no reason to part from the site, which would tell the same as soon as it is back."""
    whole = {"parts": {"0": 9, "1": 1}, "of": 10}
    assert told(AGE, SICK, balance=whole).datasets["ward"]["balance"] == whole
    assert told(AGE, SICK, balance=damaged).datasets == {"ward": {"withheld": UNREAD}}


def test_it_does_not_grow() -> None:
    said = Told()
    for number in range(LINES * 3):
        said.hear({"tell": "lines", "lines": [{"at": number, "text": "x" * 9000}]})
    assert len(said.lines) == LINES
    assert len(said.lines[-1]["text"]) == 500
    with pytest.raises(WireError):
        said.hear({"tell": "catalogue", "all": [str(number) for number in range(DATASETS + 1)]})
    with pytest.raises(WireError):
        said.hear({"tell": "catalogue", "dataset": "unknown", "entry": {"withheld": "x"}})
    said.hear({"tell": "catalogue", "all": ["a", "b"]})
    said.hear({"tell": "catalogue", "all": ["b"]})
    assert list(said.datasets) == ["b"]


def test_decisions_are_kept_and_one_that_is_told_once_more_is_no_news(tmp_path: Path) -> None:
    said, digest = Told(), "a" * 64
    said.hear({"tell": "decisions", "studies": {digest: {"verdict": "waiting", "reason": ""}}})
    first = said.decisions[digest]
    said.hear({"tell": "decisions", "studies": {digest: {"verdict": "waiting"}}})
    assert said.decisions[digest] is first
    said.hear({"tell": "decisions", "studies": {digest: {"verdict": "refused", "reason": "no\x1b vote", "heard": 1}}})
    assert (said.decisions[digest].verdict, said.decisions[digest].reason) == ("refused", "no  vote")
    assert said.decisions[digest].heard >= first.heard > 1, "by the hub's own clock"
    said.keep(tmp_path, "east")
    assert Told.at(tmp_path, "east") == said
    for number in range(DECISIONS + 50):
        said.hear({"tell": "decisions", "studies": {f"{number:064x}": {"verdict": "approved"}}})
    assert len(said.decisions) == DECISIONS
    broken: tuple[Any, ...] = (None, [], {"x": {}}, {digest: {}}, {digest: {"verdict": "maybe"}}, {digest: 3})
    for damaged in broken:
        with pytest.raises(WireError):
            said.hear({"tell": "decisions", "studies": damaged})


WORDS = st.sampled_from(
    ["state", "lines", "all", "dataset", "entry", "doing", "idle", "ward", "columns", "name", "at", "balance", "of"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=20,
)


@given(st.dictionaries(WORDS, JSON), st.sampled_from(["state", "lines", "catalogue", "decisions", "x"]))
def test_whatever_comes_is_taken_or_refused_and_can_be_kept(said: dict[str, Any], kind: str) -> None:
    book = told(AGE)
    with suppress(WireError):
        book.hear(said | {"tell": kind})
    assert Told.read(json.loads(book.to_bytes())).to_bytes() == book.to_bytes()


def test_a_study_that_fits_or_of_which_nothing_is_known_is_let_through() -> None:
    both = {"east": told(AGE, COLOUR, SICK), "west": told(COLOUR, AGE, SICK)}
    assert misfits(ASKED, both) == []
    assert untold(ASKED, both) == []
    assert misfits(ASKED, {}) == []
    assert untold(ASKED, {}) == ["east", "west"]
    for none, wrong in (([], True), (None, False)):
        silent = Told()
        silent.hear({"tell": "catalogue", "all": none})
        assert bool(misfits(ASKED, {"east": silent, "west": both["west"]})) is wrong
    silent.hear({"tell": "catalogue", "all": ["ward"]})
    assert misfits(ASKED, {"east": silent, "west": both["west"]}) == []
    assert untold(ASKED, {"east": silent, "west": both["west"]}) == ["east"]
    cut = told(SICK, left_out=40)
    assert misfits(ASKED, {"east": cut, "west": both["west"]}) == [], "what was left out may be there"


@pytest.mark.parametrize(
    ("east", "said"),
    [
        (
            (COLOUR, SICK, {**AGE, "name": "agee"}),
            "site east: east has no column 'age'; 'agee' may be it",
        ),
        ((COLOUR, SICK, {**AGE, "name": "agee"}), 'write in [data.harmonise.east.columns]: age = { called = "agee" }'),
        (
            ({**COLOUR, "kind": "numeric", "categories": []}, AGE, SICK),
            "east writes 'colour' as numbers, and west as 'amber' and 'blue'",
        ),
        (({**AGE, "unit": "months"}, COLOUR, SICK), "west has 'age' in years, and east in months"),
    ],
)
def test_what_cannot_be_is_said_before_a_run(east: tuple[dict[str, Any], ...], said: str) -> None:
    complaints = misfits(ASKED, {"east": told(*east), "west": told(AGE, COLOUR, SICK)})
    assert [one for one in map(str, complaints) if said in one], complaints


def test_the_studys_own_unit_counts_and_codes_may_be_numbers() -> None:
    both = {"east": told({**COLOUR, "kind": "numeric"}, AGE, SICK), "west": told(AGE, COLOUR, SICK)}
    codes = ASKED.overridden({"data": {"categorical": ["colour"]}})
    assert misfits(codes, both) == []
    months = codes.overridden({"data": {"units": {"age": "months"}}})
    assert ["has 'age' in years, and the study in months" in str(one) for one in misfits(months, both)] == [True, True]
    written = {"columns": {"age": {"factor": 12.0, "unit": "years"}}}
    assert misfits(months.overridden({"data": {"harmonise": {"east": written, "west": written}}}), both) == []


def test_a_data_set_that_is_not_there_is_said_with_those_that_are() -> None:
    other = study(data={"sites": {"east": "wards", "west": "ward"}})
    said = [str(one) for one in misfits(other, {"east": told(AGE, SICK), "west": told(AGE, SICK)})]
    assert said == ["[data.sites] east: the site has no such data set (found: 'wards')\n  → did you mean 'ward'?"]


def test_what_is_doubtful_is_told_apart_from_what_cannot_be() -> None:
    both = {"east": told({**AGE, "minimum": 360, "maximum": 900}, COLOUR, SICK), "west": told(AGE, COLOUR, SICK)}
    assert misfits(ASKED, both) == []
    assert [(gap.kind, gap.column) for gap in doubts(ASKED, both)] == [("range", "age")]
    known = tables(ASKED.data, both)
    assert sorted(known.tables) == ["east", "west"]
    assert known.unread == {}
