"""The register of a site's data sets, their dictionary, and what of them the hub may see."""

from __future__ import annotations

import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from medfl.errors import DataError, MedflError, NotFoundError, PlanError, StoreError
from medfl.site.catalogue import catalogue
from medfl.site.datasets import DataSet, Datasets
from medfl.site.dictionary import Meaning, read_dictionary
from medfl.site.place import Place
from medfl.site.rules_template import template
from medfl.testing.federation import table


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "home")


@pytest.fixture
def ward(tmp_path: Path) -> DataSet:
    """Return a data set with rare colours, few missing doses, and a column of names."""
    frame = table(90, 1)
    frame.loc[:3, "dose"] = None
    frame.loc[:2, "colour"] = "Zebediah"
    frame.insert(0, "patient", [f"P{number:03}" for number in range(90)])
    frame.to_csv(tmp_path / "ward.csv", index=False)
    (tmp_path / "words.csv").write_text('column,description,unit,codes\nage,Age,years,\nsick,Toy,,"0=no; 1=yes"\n')
    return DataSet(source=str(tmp_path / "ward.csv"), target="sick", dictionary=str(tmp_path / "words.csv"))


def test_what_was_added_is_there_again_for_its_owner_only(place: Place, ward: DataSet) -> None:
    secret = DataSet(source="postgresql://reader:geheim@db/ward", target="sick", query="SELECT 1")
    Datasets(place).add("ward", ward)
    Datasets(place).add("base", secret)
    assert list(Datasets(place).all().items()) == [("base", secret), ("ward", ward)]
    assert stat.S_IMODE(place.datasets.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700
    assert json.loads(place.datasets.read_text())["ward"]["source"] == ward.source
    assert secret.shown == "postgresql://reader:***@db/ward"


def test_names(place: Place, ward: DataSet) -> None:
    register = Datasets(place)
    register.add("ward", ward)
    with pytest.raises(PlanError, match="there is such a data set already"):
        register.add("ward", ward)
    for name in ("", "../ward", "a b", "x" * 81):
        with pytest.raises(PlanError, match="cannot be called so"):
            register.add(name, ward)
    with pytest.raises(NotFoundError, match="did you mean 'ward'"):
        register.named("wart")
    register.remove("ward")
    assert register.all() == {}
    with pytest.raises(NotFoundError, match="medfl site dataset add"):
        register.remove("ward")


@pytest.mark.parametrize(
    "text", ["", "[]", '{"a": 3}', '{"a": {"target": "x"}}', '{"a": {"source": 1, "target": "x"}}']
)
def test_a_broken_register_is_said(place: Place, text: str) -> None:
    place.folder.mkdir()
    place.datasets.write_text(text)
    with pytest.raises(StoreError, match="register of data sets cannot be read"):
        Datasets(place).all()


def test_the_digest_is_of_what_is_read(ward: DataSet) -> None:
    url = DataSet(source="postgresql://reader:one@db/ward", target="sick", query="SELECT 1")
    assert url.digest == url.model_copy(update={"source": "postgresql://reader:two@db/ward", "added": "now"}).digest
    changes: list[dict[str, Any]] = [
        {"source": "postgresql://reader:one@db/other"},
        {"query": "SELECT 2"},
        {"target": "well"},
        {"missing": ("?",)},
    ]
    assert len({url.digest, *(url.model_copy(update=change).digest for change in changes)}) == 5


def test_spellings_of_missing_values_count_everywhere(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "ward.db")) as file:
        pd.DataFrame({"age": [61, -9, 70], "sex": ["f", "?", "m"], "sick": [0, 1, 1]}).to_sql("ward", file)
    at = DataSet(source=f"sqlite:///{tmp_path}/ward.db", target="sick", query="SELECT * FROM ward", missing=("?", "-9"))
    assert at.table()[["age", "sex"]].isna().sum().tolist() == [1, 1]


def test_columns_are_the_sites_or_else_the_studys(tmp_path: Path) -> None:
    from medfl.spec.data import Data

    (tmp_path / "bare.csv").write_text("1,0\n2,1\n")
    bare = DataSet(source=str(tmp_path / "bare.csv"), target="sick")
    asked = Data(target="sick", columns=("dose", "sick"))
    assert list(bare.table(asked).columns) == ["dose", "sick"]
    assert list(bare.model_copy(update={"columns": ("age", "sick")}).table(asked).columns) == ["age", "sick"]


def test_a_target_that_is_not_there(ward: DataSet) -> None:
    with pytest.raises(DataError, match="did you mean 'sick'"):
        ward.model_copy(update={"target": "sock"}).described()


# -- the dictionary


def test_a_dictionary_in_toml_says_the_same_as_one_in_csv(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('Variable;Label;Units;Values\nsex;Sex;;"1=female | 2.0=male"\nage;Age;years;\n')
    (tmp_path / "a.toml").write_text(
        '[sex]\ndescription = "Sex"\ncodes = { 1 = "female", 2 = "male" }\n[age]\ndescription = "Age"\nunit = "years"\n'
    )
    meanings = {"sex": Meaning("Sex", "", {"1": "female", "2": "male"}), "age": Meaning("Age", "years", {})}
    assert read_dictionary(tmp_path / "a.csv") == meanings
    assert read_dictionary(tmp_path / "a.toml") == meanings


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("a.csv", "what,unit\nage,years\n", "does not say which column each line is about"),
        ("a.csv", "column,unit\n,years\n", "line 2: a line names no column"),
        ("a.csv", "column,codes\nsex,female\n", "line 2: a code without its meaning"),
        ("a.toml", "age = 3\n", r"\[age\]: a column's entry must be a table"),
        ("a.toml", '[age]\nunits = "years"\n', "did you mean 'unit'"),
        ("a.toml", "[age]\nunit = 3\n", "must be texts"),
        ("a.toml", "[age]\ncodes = [3]\n", "codes must be a table of texts"),
        ("b.toml", "", "no such|not"),
    ],
)
def test_what_is_no_dictionary(tmp_path: Path, name: str, text: str, what: str) -> None:
    if text:
        (tmp_path / name).write_text(text)
    with pytest.raises(MedflError, match=what):
        read_dictionary(tmp_path / name)


# -- what the hub may see


def told(place: Place, ward: DataSet, *changes: tuple[str, str]) -> dict[str, Any]:
    text = template()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    Datasets(place).add("ward", ward)
    place.policy.write_text(text)
    entry: dict[str, Any] = catalogue(place)["ward"]
    return entry


def test_the_catalogue_tells_what_the_policy_lets_leave(place: Place, ward: DataSet) -> None:
    entry = told(place, ward)
    columns = {column["name"]: column for column in entry["columns"]}
    assert (entry["rows"], entry["target"], entry["other_columns"]) == (90, "sick", [])
    assert sorted(columns) == ["age", "colour", "dose", "sick"]
    assert columns["age"]["unit"] == "years"
    assert columns["sick"]["codes"] == {"0": "no", "1": "yes"}
    assert columns["dose"]["missing"] == 0, "four are too few to be told"
    assert "(other)" in columns["colour"]["categories"]
    assert "Zebediah" not in json.dumps(entry)
    assert any("rounded" not in note and "widened to round numbers" in note for note in entry["policy"])


@pytest.mark.parametrize(
    ("change", "withheld"),
    [
        (("minimum_rows = 50", "minimum_rows = 100"), "it has fewer than 100 rows"),
        (("minimum = 5", "minimum = 80"), "an outcome has fewer than 80 patients"),
        (('columns = "any"', 'columns = ["age"]'), "no column of it may be told"),
    ],
)
def test_what_a_rule_withholds_is_withheld_with_its_reason(
    place: Place, ward: DataSet, change: tuple[str, str], withheld: str
) -> None:
    entry = told(place, ward, change)
    assert list(entry) == ["withheld"]
    assert withheld in entry["withheld"]


def test_columns_and_details_that_may_not_be_known_are_not_there(place: Place, ward: DataSet) -> None:
    entry = told(
        place,
        ward,
        ('columns = "any"', 'columns = ["age", "sick"]'),
        ('"rows", "classes", "missing"', '"other-columns"'),
    )
    assert "rows" not in entry
    assert [column["name"] for column in entry["columns"]] == ["age", "sick"]
    assert entry["other_columns"] == []


def test_a_table_with_a_patient_more_is_not_told_again(place: Place, ward: DataSet) -> None:
    """Two catalogues of which one counts one missing value more would tell something of that patient."""
    with Path(ward.source).open("a") as file:
        file.writelines(f"P9{number},60.5,,blue,1\n" for number in range(9))
    entry = told(place, ward)
    assert catalogue(place)["ward"] == entry
    with Path(ward.source).open("a") as file:
        file.write("P999,60.5,,blue,1\n")
    assert catalogue(place)["ward"] == entry, "as it was, to the last word"
    with Path(ward.source).open("a") as file:
        file.writelines(f"P99{number},60.5,1.0,blue,1\n" for number in range(4))
    assert "could be subtracted (counts.minimum_difference)" in catalogue(place)["ward"]["withheld"]


def test_a_site_without_a_policy_tells_nothing(place: Place, ward: DataSet) -> None:
    Datasets(place).add("ward", ward)
    assert catalogue(place) == {"ward": {"withheld": "the site has no policy yet"}}


def test_a_table_that_is_away_is_told_without_its_path(place: Place, ward: DataSet) -> None:
    entry = told(place, ward)
    Path(ward.source).unlink()
    assert "withheld" not in entry
    assert catalogue(place) == {"ward": {"withheld": "the data set cannot be read now (data)"}}
