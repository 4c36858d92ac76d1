"""Reading a study from a file: what is read, and what is told when it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfl.errors import Complaint, MedflError, NotFoundError, SpecError
from medfl.spec.anatomy import tables
from medfl.spec.reading import DEEPEST, data_of, parse, read

GOOD = '[study]\nname = "s"\n\n[data]\ntarget = "y"\n'
SHARED = Path(__file__).parents[3] / "shared" / "studies"


def only(text: str) -> Complaint:
    with pytest.raises(SpecError) as caught:
        parse(text, source="study.toml")
    (complaint,) = caught.value.complaints
    return complaint


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared studies are not here")
@pytest.mark.parametrize("name", ["diabetes", "heart"])
def test_the_shared_studies_are_accepted_as_written(name: str) -> None:
    loaded = read(SHARED / f"{name}.toml")
    assert loaded.base == SHARED.resolve()
    assert set(loaded.study.arms) == {"fedavg", "fedyogi"}


def test_a_file_is_read_with_its_folder_and_text(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())  # as Windows' Notepad saves it
    loaded = read(path)
    assert (loaded.study.study.name, loaded.path, loaded.base) == ("s", path, tmp_path.resolve())
    assert loaded.text == GOOD


def test_a_relative_path_has_an_absolute_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "study.toml").write_text(GOOD, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert read(Path("study.toml")).base == tmp_path.resolve()


@pytest.mark.parametrize(
    ("asked", "remedy"),
    [
        ("hart.toml", "did you mean {0}/heart.toml?"),
        ("zzz.toml", "{0} has heart.toml, lung.toml"),
        ("sub/heart.toml", "there is no folder {0}/sub"),
        ("empty/heart.toml", "{0}/empty has no .toml file"),
    ],
)
def test_a_missing_file_is_not_found(tmp_path: Path, asked: str, remedy: str) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("heart.toml", "lung.toml"):
        (tmp_path / name).write_text(GOOD, encoding="utf-8")
    with pytest.raises(NotFoundError) as caught:
        read(tmp_path / asked)
    assert caught.value.complaints[0].where == str(tmp_path / asked)
    assert remedy.format(tmp_path) in caught.value.complaints[0].remedy


def test_a_folder_is_no_study(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(SpecError, match="this is a folder, not a study") as caught:
        read(tmp_path)
    assert caught.value.complaints[0].remedy == f"did you mean {tmp_path / 'study.toml'}?"


@pytest.mark.parametrize(("body", "line"), [(GOOD.encode("utf-16"), 1), (GOOD.encode() + b'# caf\xe9\n"', 6)])
def test_text_that_is_not_utf8_is_refused_at_its_line(tmp_path: Path, body: bytes, line: int) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(body)
    with pytest.raises(SpecError, match="not UTF-8 text") as caught:
        read(path)
    assert caught.value.complaints[0].where == f"study.toml:{line}"


def test_another_failure_of_the_system_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read: File name too long"):
        read(tmp_path / ("x" * 300))


# -- the version comes first -------------------------------------------------------------------------------------------


def test_a_newer_version_is_told_before_anything_else() -> None:
    complaint = only("version = 2\nstudy = 3\n[federation]\n")
    assert complaint.what == "this study is written for version 2 of the language; this MEDfl reads up to 1"
    assert (complaint.where, complaint.received) == ("study.toml:1 version", "2")
    assert complaint.remedy.startswith("upgrade")


@pytest.mark.parametrize("version", ['"1"', "1.0", "true", "0", "-1", "[1]"])
def test_a_version_is_a_whole_number(version: str) -> None:
    complaint = only(f"version = {version}\n{GOOD}")
    assert complaint.what == "the version of the spec's language must be a whole number, at least 1"
    assert complaint.where.startswith("study.toml:1 ")
    assert complaint.received == version


# -- TOML --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "what", "remedy"),
    [
        ("kind = fedavg", "invalid value", 'put text in quotes: kind = "fedavg"'),
        ("table = ../data.csv", "invalid value", "text stands in quotes"),
        ("nesterov = True", "invalid value", "write nesterov = true"),
        ("nesterov = no  # never", "invalid value", "write nesterov = false"),
        ("alpha = .5", "invalid value", "alpha = 0.5"),
        ("alpha = 0,5", "expected newline", "alpha = 0.5"),
        ('kind "fedavg"', "expected '='", "write key = value"),
        ('kind: "fedavg"', "expected '='", "write key = value"),
        ('target = "x"', "cannot overwrite a value", "keep one of them"),
        ("[study]", "cannot declare ('study',) twice", "open a table once"),
        ("[training", "expected ']' at the end of a table declaration", "as many brackets"),
        ("[[arm]", "expected ']]' at the end of an array declaration", "as many brackets"),
        ('table = "x', "illegal character", "on the same line"),
        ('table = "C:\\data"', "unescaped '\\' in a string", "single quotes"),
        ('model = { kind = "mlp"', "unclosed inline table", "close the bracket or brace"),
        ("a = {x = 1}\n[data.a.b]", "cannot", ""),
        ('rounds = 3 algorithm = "x"', "expected newline or end of document after a statement", "one key a line"),
        ("model = { a = 1, a = 2 }", "duplicate inline table key 'a'", "keep one of them"),
    ],
)
def test_a_syntax_error_is_told_with_line_column_and_hint(row: str, what: str, remedy: str) -> None:
    complaint = only(f"{GOOD}{row}\nlast = 1\n")
    line = 6 + row.count("\n")
    assert complaint.where.startswith(f"study.toml:{line}, column ")
    assert complaint.what.startswith(f"this is not TOML: {what}")
    assert complaint.received == row.splitlines()[-1]
    assert remedy in complaint.remedy


@pytest.mark.parametrize("row", ['features = ["a",', 'positive = """> 0', "sites = { a ="])
def test_a_text_that_breaks_off_is_told_at_its_end(row: str) -> None:
    complaint = only(GOOD + row)
    assert complaint.where == "study.toml:6, at the end of the text"
    assert complaint.remedy == "close the quotes, bracket or brace that was opened last"


def test_deep_nesting_is_refused() -> None:
    for levels in (DEEPEST + 1, 400, 100_000):
        complaint = only(f"{GOOD}x = {'[' * levels}{']' * levels}")
        assert complaint.what == "lists or tables are nested too deeply"


def test_a_key_of_endless_parts_is_refused_before_it_is_read() -> None:
    for dot in (".", " . "):
        complaint = only(f"{GOOD}[{dot.join(['a'] * 40_000)}]")
        assert complaint.what == "lists or tables are nested too deeply"


def test_endless_numbers_are_refused() -> None:
    assert only(f"{GOOD}x = 0x{'f' * 5000}").what == "a number is too large"
    assert only(f"{GOOD}x = {'9' * 5000}").what.startswith("this is not TOML")


@given(st.text())
def test_any_text_is_a_study_or_an_error_of_ours(text: str) -> None:
    try:
        parse(text, source="study.toml")
    except SpecError as error:
        assert error.complaints


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.just("nan"),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
PATHS = st.sampled_from(
    [".".join(path) for path, _ in tables()]
    + [".".join((*path, key)) for path, part in tables() for key in part.model_fields if path[0] != "arm"]
)


@given(st.dictionaries(PATHS, NESTED, max_size=6))
def test_any_data_is_a_study_or_an_error_of_ours(settings: dict[str, object]) -> None:
    text = "\n".join(f"{path} = {_toml(value)}" for path, value in settings.items())
    try:
        study = parse(text, source="study.toml")
    except SpecError as error:
        assert all(complaint.where and complaint.remedy for complaint in error.complaints)
    else:
        assert study.digest


def _toml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str) and value != "nan":
        return "'" + "".join(letter for letter in value if letter.isprintable() and letter != "'") + "'"
    return "{ x = 1 }" if value is None else str(value).lower()


# -- all at once -------------------------------------------------------------------------------------------------------

WRONG = """\
version = 1
[study]
name = "my study"
seeed = 3

[data]
targte = "num"
features = ["age", "age", 3]
categorical = ["sex"]

[model]
kind = "mpl"
hidden = [8, "x"]
drop = 0.1

[training]
nesterov = true
local_epochs = 3
local_steps = 3
rounds = 10

[algorithm]
rounds = "10"
tau = 3

[evaluation]
threshold = 2
baselines = ["local-only", "local-only"]

[privacy]
secure_aggregation = "on"

[[arm]]
name = "a"
algorithm = { kind = "fedyogy", tau = "x" }

[[arm]]
name = "a"
modle = "mlp"
evaluation.bootstrap = -1
"""


def test_everything_that_is_wrong_is_told_at_once_in_the_order_of_lines(
    complaints: Callable[[str], tuple[Complaint, ...]],
) -> None:
    told = [complaint.where.removeprefix("study.toml:") for complaint in complaints(WRONG)]
    assert told == [
        "3 [study] name",
        "4 [study] seeed",
        "6 [data] target",
        "7 [data] targte",
        "8 [data] features[2]",
        "12 [model] kind",
        "13 [model] hidden[1]",
        "14 [model] drop",
        "17 [training] nesterov",
        "18 [training] local_epochs",
        "20 [training] rounds",
        "23 [algorithm] rounds",
        "24 [algorithm] tau",
        "27 [evaluation] threshold",
        "28 [evaluation] baselines[1]",
        "31 [privacy] secure_aggregation",
        "35 [[arm]] a: algorithm.kind",
        "35 [[arm]] a: algorithm.tau",
        "38 [[arm]] a: name",
        "39 [[arm]] a: modle",
        "40 [[arm]] a: evaluation.bootstrap",
    ]


def test_the_error_speaks_every_complaint_and_exits_as_a_mistake_of_the_user() -> None:
    with pytest.raises(SpecError) as caught:
        parse(WRONG, source="study.toml")
    error: MedflError = caught.value
    assert error.exit_code == 2
    assert all(str(complaint) in str(error) for complaint in error.complaints)


def test_a_mark_of_the_encoding_before_the_text_is_no_mistake() -> None:
    assert data_of("\ufeff[study]\nname = 'a'\n", "study.toml") == {"study": {"name": "a"}}


def test_a_key_that_is_written_twice_at_the_end_is_told_so() -> None:
    with pytest.raises(SpecError) as error:
        data_of("[study]\nname = 'a'\nname = 'b'", "study.toml")
    assert error.value.complaints[0].remedy.startswith("write a key once")
