"""The balance of an outcome's classes leaves a site where its policy says so, and as coarsely as it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from medfl.errors import SpecError
from medfl.site.catalogue import catalogue
from medfl.site.datasets import DataSet, Datasets
from medfl.site.place import Place
from medfl.site.rules_reading import parse
from medfl.site.rules_template import template
from medfl.testing.federation import table

TOLD = (("catalogue = false", "catalogue = true"), ("label_balance = false", "label_balance = true"))


def ward(rows: int, sick: int) -> pd.DataFrame:
    return table(rows, 3).assign(sick=[int(row < sick) for row in range(rows)])


def entry(folder: Path, frame: pd.DataFrame, *changes: tuple[str, str]) -> dict[str, Any]:
    place, text = Place(folder / "home"), template()
    frame.to_csv(folder / "ward.csv", index=False)
    if "ward" not in Datasets(place).all():
        Datasets(place).add("ward", DataSet(source=str(folder / "ward.csv"), target="sick"))
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    place.policy.write_text(text)
    found: dict[str, Any] = catalogue(place)["ward"]
    return found


def held_back(said: dict[str, Any]) -> str:
    return " ".join(text for text in said["policy"] if "balance" in text)


def test_nothing_is_told_unless_the_policy_says_so(tmp_path: Path) -> None:
    said = entry(tmp_path, ward(200, 60), TOLD[0])
    assert "balance" not in said
    assert held_back(said) == ""


def test_what_the_policy_lets_leave_is_told_in_tenths(tmp_path: Path) -> None:
    said = entry(tmp_path, ward(230, 60), *TOLD)
    assert said["balance"] == {"parts": {"0": 7, "1": 3}, "of": 10}
    assert entry(tmp_path, ward(230, 60), *TOLD) == said, "and again, as long as nothing changes"


def test_a_small_table_is_told_in_coarser_parts(tmp_path: Path) -> None:
    assert entry(tmp_path, ward(90, 30), *TOLD)["balance"] == {"parts": {"0": 3, "1": 1}, "of": 4}


@pytest.mark.parametrize(
    ("frame", "changes", "why"),
    [
        (ward(60, 12), [("minimum = 5", "minimum = 10")], "too few rows, or too few of a class (counts.minimum"),
        (ward(60, 12), [('"suppress"', '"round"'), ("base = 5", "base = 10")], "too few rows, or too few of a class"),
        (ward(60, 0), [], "the outcome has no two classes that are told (releases.label_balance"),
        (ward(60, 12).assign(sick=range(60)), [], "the outcome has no two classes that are told"),
        (ward(60, 12), [("minimum_difference = 5", "minimum_difference = 99")], "fewer than 99 rows have an outcome"),
        (
            ward(60, 12).assign(sick=["L" * 120 + str(row % 2) for row in range(60)]),
            [],
            "its classes are more than 64, or their names alike in the first 120 letters",
        ),
    ],
)
def test_what_stays_is_said_with_its_reason(
    tmp_path: Path, frame: pd.DataFrame, changes: list[tuple[str, str]], why: str
) -> None:
    said = entry(tmp_path, frame, *TOLD, *changes)
    assert "balance" not in said
    assert why in held_back(said)


def test_a_class_of_few_keeps_all_shares_back(tmp_path: Path) -> None:
    assert entry(tmp_path, ward(200, 4), *TOLD).keys() == {"withheld"}


def test_without_a_catalogue_the_key_is_refused() -> None:
    with pytest.raises(SpecError, match="write catalogue = true, or leave it out"):
        parse("[releases]\nlabel_balance = true\n", source="policy.toml")
