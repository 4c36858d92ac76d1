"""A study designed by clicks, as a text and in Python is one study, and nothing that is typed breaks the form."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medfl.errors import BusyError, MedflError, NotFoundError
from medfl.hub.pages.design.drafts import Drafts
from medfl.hub.pages.design.editing import changed, forked, with_table, without_arm
from medfl.hub.pages.design.form import STEPS as STEPS_OF_STUDY
from medfl.hub.pages.design.form import Field, Group, arms_of, steps_of
from medfl.hub.pages.design.picture import picture_of
from medfl.hub.pages.design.shape import meant, spelled, widget_of
from medfl.hub.pages.plan import LONGEST
from medfl.hub.pages.starters import starting_text
from medfl.spec.anatomy import chosen
from medfl.spec.reading import findings, parse
from medfl.spec.study import Study
from medfl.testing.pages import STUDY, Visitor

CLICKS = (
    ("study.name", "risk"),
    ("study.question", "Who is ill?"),
    ("study.repeats", "2"),
    ("data.target", "sick"),
    ("data.sites", "east = east.csv\nwest = west.csv"),
    ("data.features", "age\nweight"),
    ("model.kind", "mlp"),
    ("model.hidden", "16, 8"),
    ("training.optimizer", "adam"),
    ("training.learning_rate", "0.01"),
    ("algorithm.kind", "fedprox"),
    ("algorithm.mu", "0.1"),
    ("privacy.secure_aggregation", "no"),
    ("evaluation.baselines", "local-only"),
    ("evaluation.threshold", "0.4"),
)
PYTHON = Study.model_validate(
    {
        "study": {"name": "risk", "question": "Who is ill?", "repeats": 2},
        "data": {"target": "sick", "sites": {"east": "east.csv", "west": "west.csv"}, "features": ["age", "weight"]},
        "model": {"kind": "mlp", "hidden": [16, 8]},
        "training": {"optimizer": "adam", "learning_rate": 0.01},
        "algorithm": {"kind": "fedprox", "mu": 0.1},
        "privacy": {"secure_aggregation": False},
        "evaluation": {"baselines": ["local-only"], "threshold": 0.4},
    }
)


def test_clicks_text_and_python_have_one_digest() -> None:
    text = ""
    for path, value in CLICKS:
        text = changed(text, path, value)
    assert parse(text, source="study.toml").digest == PYTHON.digest


@pytest.mark.parametrize("name", ["breast-cancer", "breast-cancer-arms"])
def test_a_field_shows_what_it_would_write(name: str) -> None:
    text = starting_text(name)
    tables = tomllib.loads(text)
    fields = [field for step in steps_of(tables, ()) for field in _fields(step.group)]
    fields += [field for arm in arms_of(tables, ()) for group in arm.groups for field in _fields(group)]
    again = text
    for field in fields:
        again = changed(again, field.path, field.value)
    assert parse(again, source="a").digest == parse(text, source="b").digest


def test_comments_stay_where_their_author_put_them() -> None:
    text = changed(starting_text("breast-cancer"), "algorithm.rounds", "7")
    assert text.startswith("# Four hospitals, one question")
    assert parse(text, source="a").algorithm.rounds == 7


def test_every_key_of_the_language_has_a_field_or_says_where_it_is_written() -> None:
    shown = {field.path for step in steps_of({}, ()) for field in _fields(step.group)}
    for name in STEPS_OF_STUDY:
        part = chosen(Study.model_fields[name], None)
        assert part is not None
        keys = {f"{name}.{key}" for key, inner in part.model_fields.items() if widget_of(inner) != "elsewhere"}
        assert keys - shown <= {f"{name}.kind", f"{name}.optimizer"}


def test_what_is_wrong_stands_at_its_field() -> None:
    text = changed(STUDY, "algorithm.rounds", "many")
    tables = tomllib.loads(text)
    _, found = findings(tables)
    (rounds,) = [
        field for step in steps_of(tables, found) for field in _fields(step.group) if field.path == "algorithm.rounds"
    ]
    assert rounds.value == "many"
    assert rounds.wrong
    assert [step.name for step in steps_of(tables, found) if step.group.faulty] == ["algorithm"]


def test_a_fork_is_an_arm_that_differs_in_one_step() -> None:
    text = forked(STUDY, "algorithm")
    text = changed(text, "arm.1.algorithm.kind", "fedyogi")
    study = parse(text, source="study.toml")
    assert list(study.arms) == ["as-designed", "algorithm-2"]
    assert [arm.algorithm.kind for arm in study.arms.values()] == ["fedavg", "fedyogi"]
    picture = picture_of(arms_of(tomllib.loads(text), ()))
    assert picture.words == "as-designed: as designed; algorithm-2: algorithm"
    assert [len(branch.points) for branch in picture.branches] == [0, 1]
    assert parse(without_arm(text, 1), source="a").digest == parse(STUDY, source="b").digest


def test_a_table_that_may_be_left_out_is_put_in_and_taken_out() -> None:
    text = with_table(STUDY, "privacy.dp", there=True)
    assert "[privacy.dp]" in text
    assert parse(with_table(text, "privacy.dp", there=False), source="a").digest == parse(STUDY, source="b").digest


def test_two_people_cannot_overwrite_each_other(tmp_path: Path) -> None:
    drafts = Drafts(tmp_path / "drafts")
    draft = drafts.begin("a")
    drafts.change(draft.name, lambda _: "b", seen=draft.revision, by="east")
    with pytest.raises(BusyError, match="somebody else has changed this draft"):
        drafts.change(draft.name, lambda _: "c", seen=draft.revision, by="west")
    assert drafts.read(draft.name).text == "b"
    assert [one.name for one in drafts.every()] == [draft.name]
    assert (tmp_path / "drafts" / f"{draft.name}.json").stat().st_mode & 0o777 == 0o600


def test_a_page_that_is_faster_than_its_answers_is_no_conflict(tmp_path: Path) -> None:
    drafts = Drafts(tmp_path / "drafts")
    draft = drafts.begin("")
    for number in range(3):
        drafts.change(draft.name, lambda text, number=number: f"{text}{number}", seen=draft.revision, by="east")  # type: ignore[misc]
    assert drafts.read(draft.name).text == "012"
    drafts.change(draft.name, lambda text: f"{text}w", seen=4, by="west")
    with pytest.raises(BusyError):
        drafts.change(draft.name, lambda _: "lost", seen=4, by="east")


@pytest.mark.parametrize("name", ["", "..", "../../etc", "a" * 12 + "/x", "A" * 12, "zzzzzzzzzzzz"])
def test_no_draft_is_read_from_elsewhere(name: str, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        Drafts(tmp_path).read(name)


STEPS = ("arm", "0", "1", "algorithm", "rounds", "data", "sites", "kind", "x.y", "")
TEXTS = (STUDY, starting_text("breast-cancer-arms"), 'arm = 3\ndata = "x"\nstudy = []\n', "= broken", "")


@settings(max_examples=150, deadline=None)
@given(
    path=st.lists(
        st.sampled_from(["arm", "0", "1", "algorithm", "rounds", "data", "sites", "kind", "x.y", ""]), min_size=1
    ).map(".".join),
    value=st.text(max_size=30),
    text=st.sampled_from(
        [STUDY, starting_text("breast-cancer-arms"), 'arm = 3\ndata = "x"\nstudy = []\n', "= broken", ""]
    ),
)
def test_no_change_breaks_more_than_the_study(path: str, value: str, text: str) -> None:
    try:
        after = changed(text, path, value)
    except MedflError:
        return
    tables = tomllib.loads(after)
    _, found = findings(tables)
    steps_of(tables, found)
    arms_of(tables, found)


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), max_size=4))
def test_a_list_is_read_as_it_is_spelled(words: list[str]) -> None:
    assert (meant(("data", "missing"), spelled(words)) or []) == words


@pytest.mark.parametrize("typed", ["0,120", "0, 120", "0; 120", "0 to 120", "0 120", "0.0, 120.0"])
def test_a_range_is_two_numbers_however_they_are_parted(typed: str) -> None:
    assert meant(("privacy", "dp", "ranges"), f"age = {typed}\ndose = -9,5; 9,5") == {
        "age": [0, 120],
        "dose": [-9.5, 9.5],
    }


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)))
)
def test_ranges_are_read_as_they_are_spelled(ranges: dict[str, tuple[float, float]]) -> None:
    found = meant(("privacy", "dp", "ranges"), spelled(ranges)) or {}
    assert found == {name: list(both) for name, both in ranges.items()}


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}", fullmatch=True),
        st.lists(st.from_regex(r'[A-Za-z0-9,";é-]{1,12}', fullmatch=True), min_size=1, max_size=4),
    )
)
def test_categories_are_read_as_they_are_spelled(categories: dict[str, list[str]]) -> None:
    assert (meant(("privacy", "dp", "categories"), spelled(categories)) or {}) == categories


def test_only_numbers_share_a_line_of_a_list() -> None:
    assert meant(("data", "missing"), "<0,5\nNA") == ["<0,5", "NA"]
    assert meant(("data", "features"), "Age, years\nsex") == ["Age, years", "sex"]
    assert meant(("model", "hidden"), "64, 32") == meant(("model", "hidden"), "64\n32") == [64, 32]


def test_what_a_name_stands_for_keeps_its_kind() -> None:
    assert meant(("data", "sites"), "a = 12\nb = x.csv") == {"a": "12", "b": "x.csv"}
    assert meant(("training", "class_weight"), "0 = 1,5\n1 = 2") == {"0": 1.5, "1": 2}


def test_the_page_follows_the_text_and_the_text_follows_the_form(visitor: Visitor) -> None:
    headers = {"x-csrf-token": visitor.token}
    begun = visitor.client.post("/drafts", data={"text": STUDY}, headers=headers, follow_redirects=False)
    address = begun.headers["location"]
    assert "This study is sound" in visitor.client.get(address).text
    sent = {"path": "algorithm.rounds", "value": "9", "revision": "1"}
    part = visitor.client.post(f"{address}/set", data=sent, headers=headers).text
    assert 'id="algorithm.rounds" name="value" value="9"' in part
    assert "rounds = 9" in part
    part = visitor.client.post(f"{address}/set", data=sent, headers=headers).text
    assert "somebody else has changed this draft" in part
    text = STUDY.replace("rounds = 2", "rounds = 4")
    part = visitor.client.post(f"{address}/text", data={"text": text, "revision": "2"}, headers=headers).text
    assert 'id="algorithm.rounds" name="value" value="4"' in part
    assert '<textarea id="text"' not in part
    told = visitor.client.get(f"/api{address}").json()
    assert told["digest"] == parse(text, source="a").digest
    assert told["draft"]["revision"] == 3


def _fields(group: Group) -> Iterator[Field]:
    yield from group.fields
    for inner in group.groups:
        yield from _fields(inner)


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("0.5", 0.5),
        ("0,5", 0.5),
        ("-0,25", -0.25),
        ("1,5e-3", 0.0015),
        ("0,005", 0.005),
        ("12,3456", 12.3456),
        ("10 000", 10000),
        ("10\u202f000,5", 10000.5),
        ("1e-3", 0.001),
        ("1,2,3", "1,2,3"),
        ("1 2", "1 2"),
    ],
)
def test_a_number_is_read_as_its_writer_writes_it(typed: str, number: object) -> None:
    assert meant(("training", "learning_rate"), typed) == number


@pytest.mark.parametrize("typed", ["1,000", "12,500", "-1,000"])
def test_a_number_that_may_be_two_is_asked_about(typed: str, visitor: Visitor) -> None:
    with pytest.raises(MedflError, match="two ways"):
        meant(("training", "batch_size"), typed)
    page = visitor.client.post("/drafts", data={"csrf": visitor.token, "text": STUDY}).url.path
    sent = {"csrf": visitor.token, "path": "training.batch_size", "value": typed, "revision": "1"}
    told = visitor.client.post(f"{page}/set", data=sent, headers={"Accept-Language": "fr"})
    assert "de deux façons" in told.text
    assert f"écrivez {typed.replace(',', '')} ou {typed.replace(',', '.')}" in told.text


def test_a_field_shows_numbers_as_its_reader_writes_them(visitor: Visitor) -> None:
    text = STUDY + "\n[training]\nlearning_rate = 0.25\n"
    page = visitor.client.post("/drafts", data={"csrf": visitor.token, "text": text}).url.path
    shown = visitor.client.get(page, headers={"Accept-Language": "fr"}).text
    assert 'name="value" value="0,25"' in shown
    assert "learning_rate = 0.25" in shown


def test_what_is_wrong_in_the_text_is_counted_on_its_tab_and_told_above_it(visitor: Visitor) -> None:
    headers = {"x-csrf-token": visitor.token}
    begun = visitor.client.post("/drafts", data={"text": STUDY}, headers=headers, follow_redirects=False)
    address = begun.headers["location"]
    assert 'class="count"' not in visitor.client.get(address).text
    broken = STUDY.replace("rounds = 2", 'rounds = "two"').replace("[study]", "[study]\nrepeets = 2")
    part = visitor.client.post(f"{address}/text", data={"text": broken, "revision": "1"}, headers=headers).text
    for page in (part, visitor.client.get(address).text):
        assert '<span class="count" aria-hidden="true">2</span>' in page
        (worst,) = re.findall(r'<div id="worst".*?</div>', page)
        assert "repeets is not a key" in worst
        assert "and one more" in worst
    part = visitor.client.post(f"{address}/text", data={"text": "= broken", "revision": "2"}, headers=headers).text
    (worst,) = re.findall(r'<div id="worst".*?</div>', part)
    assert "study.toml" in worst


def test_a_text_that_is_too_long_is_refused_where_it_is_seen(visitor: Visitor) -> None:
    headers = {"x-csrf-token": visitor.token}
    begun = visitor.client.post("/drafts", data={"text": STUDY}, headers=headers, follow_redirects=False)
    address, long = begun.headers["location"], STUDY + "# " + "a" * LONGEST
    answer = visitor.client.post(f"{address}/text", data={"text": long, "revision": "1"}, headers=headers)
    assert answer.status_code == 200  # htmx takes in nothing else.
    assert "too long to be a study" in answer.text
    assert str(LONGEST) in answer.text
    assert visitor.client.get(f"/api{address}").json()["draft"]["text"] == STUDY
    answer = visitor.client.post("/drafts", data={"text": long}, headers=headers)
    assert answer.status_code == 400
    assert "too long to be a study" in answer.text


def test_what_htmx_is_refused_is_told_beside_the_form(visitor: Visitor) -> None:
    headers = {"x-csrf-token": visitor.token, "hx-request": "true"}
    begun = visitor.client.post("/drafts", data={"text": STUDY}, headers=headers, follow_redirects=False)
    address = begun.headers["location"]
    sent = {"path": "a" * 300, "value": "9", "revision": "1"}
    answer = visitor.client.post(f"{address}/set", data=sent, headers=headers)
    assert (answer.status_code, "what was sent does not fit" in answer.text) == (200, True)
    assert answer.text.lstrip().startswith('<div id="said" hx-swap-oob="true"')
    plain = visitor.client.post(f"{address}/set", data=sent, headers={"x-csrf-token": visitor.token})
    assert plain.status_code == 422
    assert f'href="{address}"' in plain.text


def test_no_label_of_the_picture_reaches_its_neighbour_in_french(visitor: Visitor) -> None:
    headers = {"x-csrf-token": visitor.token}
    text = starting_text("breast-cancer-arms")
    begun = visitor.client.post("/drafts", data={"text": text}, headers=headers, follow_redirects=False)
    page = visitor.client.get(begun.headers["location"], headers={"accept-language": "fr"}).text
    labels = re.findall(r'<text class="step" x="(\d+)" y="12">(.*?)</text>', page)
    assert len(labels) == len(STEPS_OF_STUDY)
    lines = [re.findall(r'<tspan x="(\d+)" dy="(?:0|13)">(.*?)</tspan>', label) for _, label in labels]
    assert [text for _, text in lines[4]] == ["Entraînement", "sur site"]
    assert all({x for x, _ in inner} == {at} for (at, _), inner in zip(labels, lines, strict=True))
    # Some seven pixels a letter, 120 from one step to the next.
    assert all(len(text) <= 16 for inner in lines for _, text in inner)
