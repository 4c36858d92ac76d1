"""``medfl site dataset``: what is typed and what is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from medfl.aligned import aligned, shown
from medfl.testing.command import typed, typed_apart
from medfl.testing.federation import table

CSV_WORDS = 'column,description,unit,codes\nage,Age at admission,years,\nsick,Toy disease,,"0=no; 1=yes"\ngone,,,\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with a table and its dictionary."""
    frame = table(90, 1)
    frame.insert(0, "patient", [f"P{number:03}" for number in range(90)])
    frame.to_csv(tmp_path / "ward.csv", index=False)
    (tmp_path / "words.csv").write_text(CSV_WORDS)
    monkeypatch.setenv("MEDFL_SITE_HOME", str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def add(*more: str) -> str:
    said = typed("site", "dataset", "add", "ward", "ward.csv", "--target", "sick", *more)
    assert said.code == 0, said.err
    return said.out


def test_an_empty_register_says_what_to_do() -> None:
    assert typed("site", "dataset", "list").out == (
        "No data sets yet. Add one: medfl site dataset add NAME FILE --target COLUMN\n"
    )
    assert "--home other" in typed("site", "dataset", "check", "--home", "other").out
    assert typed("site", "dataset", "list", "--json").json == []


def test_adding_says_what_studies_can_use(folder: Path) -> None:
    assert add("--dictionary", "words.csv") == (
        "Data set ward: 90 rows, 4 columns that studies can use.\n"
        "  Not for studies: patient: 90 different texts in 90 values: it looks like an identifier or free text\n"
    )
    (listed,) = typed("site", "dataset", "list", "--json").json
    assert (listed["name"], listed["kind"], listed["source"]) == ("ward", "CSV", str(folder / "ward.csv"))
    head, line = typed("site", "dataset", "list").out.splitlines()
    assert head.split() == ["NAME", "KIND", "TARGET", "ADDED", "(UTC)", "SOURCE"]
    assert line.startswith("ward  CSV   sick    20")
    assert head.index("SOURCE") == line.index(str(folder))


def test_nothing_is_kept_of_what_cannot_be_read() -> None:
    said = typed("site", "dataset", "add", "ward", "wart.csv", "--target", "sick")
    assert (said.code, "did you mean 'ward.csv'?" in said.err) == (2, True)
    said = typed("site", "dataset", "add", "ward", "ward.csv", "--target", "sock")
    assert (said.code, "did you mean 'sick'?" in said.err) == (2, True)
    assert typed("site", "dataset", "list", "--json").json == []


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["sqlite:///ward.db"], "write --query"),
        (["ward.csv", "--query", "SELECT 1"], "leave --query out"),
    ],
)
def test_a_query_belongs_to_a_database(words: list[str], remedy: str) -> None:
    said = typed("site", "dataset", "add", "ward", *words, "--target", "sick")
    assert (said.code, remedy in said.err) == (2, True)


def test_a_password_is_asked_for_and_never_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("click.prompt", lambda *_, **__: "geh@im")
    monkeypatch.setattr("medfl.site.datasets.read_query", lambda *_: table(60, 0))
    said = typed(
        *("site", "dataset", "add", "base", "postgresql://reader@db/ward", "--password"),
        *("--query", "SELECT * FROM ward", "--target", "sick"),
    )
    assert said.code == 0, said.err
    assert "geh%40im" in (folder / "site" / "datasets.json").read_text()
    for verb in (["show", "base"], ["list"], ["show", "base", "--json"], ["list", "--json"], ["check"]):
        said = typed("site", "dataset", *verb)
        assert said.code == 0
        assert "geh" not in said.out + said.err


def test_a_password_on_the_command_line_is_remarked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medfl.site.datasets.read_query", lambda *_: table(60, 0))
    url, query = "postgresql://reader:geheim@db/ward", ("--query", "SELECT * FROM ward")
    said = typed("site", "dataset", "add", "base", url, *query, "--target", "sick")
    assert "--password asks for it instead" in said.err
    assert "geheim" not in said.out + said.err
    assert "Note" not in typed("site", "dataset", "add", "ward", "ward.csv", "--target", "sick").err


def test_show_tells_columns_units_and_codes() -> None:
    add("--dictionary", "words.csv")
    said = typed("site", "dataset", "show", "ward")
    lines = {line.split("  ")[0]: line for line in said.out.splitlines()}
    assert "numeric" in lines["age"]
    assert lines["age"].endswith("Age at admission")
    assert "0 = no and 1 = yes" in lines["sick"]
    assert "names columns that the table does not have: gone" in said.err
    words = typed("site", "dataset", "show", "ward", "--json").json
    assert (words["rows"], [*words["unusable"]]) == (90, ["patient"])
    assert [column["name"] for column in words["columns"]] == ["age", "dose", "colour", "sick"]


def test_as_hub_shows_what_the_policy_lets_leave() -> None:
    add()
    said = typed("site", "dataset", "show", "ward", "--as-hub")
    assert said.out == "Nothing of ward may be told: the site has no policy yet.\n"
    assert "medfl policy init" in said.err
    assert typed("policy", "init", "site/policy.toml").code == 0
    said = typed("site", "dataset", "show", "ward", "--as-hub")
    assert "ward  90 rows, target sick" in said.out
    assert "Held back: ranges of columns were widened" in said.out
    assert "patient" not in said.out
    assert typed("site", "dataset", "show", "ward", "--as-hub", "--json").json["rows"] == 90


def test_check_says_all_that_is_wrong_and_goes_on(folder: Path) -> None:
    add()
    typed("site", "dataset", "add", "other", "ward.csv", "--target", "dose", "--dictionary", "words.csv")
    assert typed("site", "dataset", "check").code == 0
    (folder / "words.csv").write_text('column,codes\ncolour,"amber=A; blue=B"\n')
    said = typed("site", "dataset", "check", "other")
    assert "colour: values that are no code of the data dictionary: 1" in said.err
    (folder / "words.csv").unlink()
    said = typed("site", "dataset", "check", "--json")
    assert said.code == 2
    assert said.json["ok"] is False
    assert [*said.json["datasets"]] == ["other", "ward"]
    assert "words.csv: no such file" in said.err
    assert typed("site", "dataset", "remove", "other").code == 0
    assert typed("site", "dataset", "check", "--json").json["ok"] is True


def test_a_name_that_is_not_there() -> None:
    for verb in ("show", "check", "remove"):
        said = typed("site", "dataset", verb, "ward")
        assert (said.code, "no such data set" in said.err) == (2, True)
    assert typed("site", "dataset", "show", "ward", "--json").json["error"]["code"] == "not-found"


def test_in_a_process_of_its_own(folder: Path) -> None:
    said = typed_apart("site", "dataset", "add", "a", "ward.csv", "--target", "sick", "--home", "there", cwd=folder)
    assert said.code == 0, said.err
    assert json.loads((folder / "there" / "datasets.json").read_text())["a"]["source"] == str(folder / "ward.csv")
    assert "--as-hub --home there" in said.err


def test_what_a_terminal_would_obey_is_not_shown_as_it_is() -> None:
    assert shown("a\x1b[31mb\n\u202ec") == "a�[31mb��c"
    assert aligned(("A", "B", "C"), [("1", "", "x\x07"), ("22", "", "y")]) == "A   C\n1   x�\n22  y"


def test_a_german_file_is_read_and_what_was_found_is_told(folder: Path) -> None:
    frame = pd.read_csv(folder / "ward.csv")
    frame.to_csv(folder / "ward.csv", index=False, sep=";", decimal=",", encoding="windows-1252")
    told = "  Decimals have a comma, and semicolons separate cells: 12,5 is read as twelve and a half."
    assert add().splitlines()[1] == told
    assert told in typed("site", "dataset", "check").out


def test_what_stands_before_decimals_can_be_said(folder: Path) -> None:
    rows = "".join(f"1,{234 + 10 * number};{number % 2}\n" for number in range(40))
    (folder / "ward.csv").write_text(f"dose;sick\n{rows}")
    assert "Not for studies: dose: decimal commas: 40 of 40 values" in add()
    typed("site", "dataset", "remove", "ward")
    assert "2 columns that studies can use" in add("--decimal", ",")
    (listed,) = typed("site", "dataset", "list", "--json").json
    assert listed["decimal"] == ","
