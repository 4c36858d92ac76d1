"""What catalogues of a hospital, one after the other, say of the patient who came between.

What was tried: a share that is about to be rounded up, and the patient who tips it; a class that is about to be large
enough, or too small, and who makes it so; the same with one who leaves, with one whose diagnosis is corrected, with
four others who have none, after a restart, in a second data set, and with a column more. What came of it: without the
memory the tipping patient's diagnosis is read off, also of a no. With it the hub is told the same as before, word by
word, until five patients with a diagnosis have changed. A column more makes other rows of the same patients where no
column is named that tells them apart: that stays open, and is said.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from medfl.site.catalogue import catalogue
from medfl.site.datasets import DataSet, Datasets
from medfl.site.place import Place
from medfl.site.rules_template import template
from medfl.testing.federation import table

ROWS, SICK = 300, 75
"""75 of 300 are two tenths, and 76 three."""
NAMED = ('# patient_id = "patient"', 'patient_id = "patient"')
ROUNDED = (('"suppress"', '"round"'), ("base = 5", "base = 10"))
SILENT = ("label_balance = true", "label_balance = false")
BEFORE, AFTER = {"parts": {"0": 8, "1": 2}, "of": 10}, {"parts": {"0": 7, "1": 3}, "of": 10}


def ward(rows: int = ROWS, sick: int = SICK) -> pd.DataFrame:
    return table(rows, 5).assign(patient=range(rows), sick=[int(row < sick) for row in range(rows)])


def hospital(folder: Path, *changes: tuple[str, str], names: tuple[str, ...] = ("ward",)) -> Place:
    text = template().replace("catalogue = false", "catalogue = true")
    text = text.replace("label_balance = false", "label_balance = true")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    place = Place(folder / "home")
    for name in names:
        Datasets(place).add(name, DataSet(source=str(folder / f"{name}.csv"), target="sick"))
    place.policy.write_text(text)
    return place


def entry(place: Place, frame: pd.DataFrame, name: str = "ward") -> dict[str, Any]:
    frame.to_csv(place.folder.parent / f"{name}.csv", index=False)
    found: dict[str, Any] = catalogue(place)[name]
    return found


def told(place: Place, frame: pd.DataFrame, name: str = "ward") -> dict[str, Any] | None:
    return entry(place, frame, name).get("balance")


def more(frame: pd.DataFrame, *sick: float | None) -> pd.DataFrame:
    known = range(9000, 9000 + len(sick))
    others = table(len(sick), 6).assign(patient=known, sick=pd.Series(sick, dtype="Int64"))
    return pd.concat([frame, others], ignore_index=True).convert_dtypes()


def corrected() -> pd.DataFrame:
    frame = ward()
    frame.loc[SICK, "sick"] = 1
    return frame


def test_without_a_memory_the_diagnosis_of_one_patient_is_read_off(tmp_path: Path) -> None:
    place = hospital(tmp_path, ("minimum_difference = 5", "minimum_difference = 1"))
    assert told(place, ward()) == BEFORE
    changed = (more(ward(), 0), more(ward(), 1), corrected())
    assert [told(place, frame) for frame in changed] == [BEFORE, AFTER, AFTER]


@pytest.mark.parametrize("named", [[], [NAMED]])
@pytest.mark.parametrize("sick", [0, 1])
def test_one_patient_more_or_less_is_told_of_by_nothing(
    tmp_path: Path, sick: int, named: list[tuple[str, str]]
) -> None:
    place = hospital(tmp_path, *named)
    before = entry(place, ward())
    assert before["balance"] == BEFORE
    assert entry(place, more(ward(), sick)) == before
    assert entry(place, more(ward(), sick, sick, sick, sick)) == before
    assert entry(place, ward().drop(index=0 if sick else ROWS - 1)) == before
    after = entry(place, more(ward(), *[sick] * 5))
    assert after["rows"] == ROWS + 5
    assert entry(Place(place.folder), more(ward(), *[sick] * 5).head(-1)) == after, "nor after a restart"


@pytest.mark.parametrize("named", [[], [NAMED]])
def test_a_diagnosis_that_is_corrected_shows_in_nothing(tmp_path: Path, named: list[tuple[str, str]]) -> None:
    place = hospital(tmp_path, *named)
    before = entry(place, ward())
    assert entry(place, corrected()) == before


@pytest.mark.parametrize("sick", [0, 1])
def test_one_diagnosis_among_many_patients_without_one_shows_in_nothing(tmp_path: Path, sick: int) -> None:
    place = hospital(tmp_path)
    before = entry(place, ward())
    assert entry(place, more(ward(), sick, *[None] * 30)) == before


@pytest.mark.parametrize("sick", [0, 1])
@pytest.mark.parametrize(
    ("rows", "ill", "changes"),
    [(460, 9, ROUNDED), (230, 4, ()), (230, 4, (SILENT,)), (230, 0, ())],
    ids=["too few to share", "too few to name", "too few to name, without shares", "nobody"],
)
def test_a_no_says_nothing_of_the_patient_who_would_make_it_a_yes(
    tmp_path: Path, rows: int, ill: int, changes: tuple[tuple[str, str], ...], sick: int
) -> None:
    place = hospital(tmp_path, *changes)
    before = entry(place, ward(rows, ill))
    assert "balance" not in before
    assert entry(place, more(ward(rows, ill), sick)) == before


@pytest.mark.parametrize("changes", [(), (SILENT,)])
@pytest.mark.parametrize("leaves", [0, 229])
def test_a_yes_says_nothing_of_the_patient_who_would_make_it_a_no(
    tmp_path: Path, leaves: int, changes: tuple[tuple[str, str], ...]
) -> None:
    place = hospital(tmp_path, *changes)
    before = entry(place, ward(230, 5))
    assert "columns" in before
    assert entry(place, ward(230, 5).drop(index=leaves)) == before


def test_a_second_data_set_of_nearly_the_same_patients_tells_nothing(tmp_path: Path) -> None:
    place = hospital(tmp_path, names=("one", "other"))
    more(ward(), 1).to_csv(tmp_path / "other.csv", index=False)
    assert told(place, ward(), "one") == BEFORE
    assert "nearly the same patients" in catalogue(place)["other"]["withheld"]
    assert told(place, ward(), "other") == BEFORE, "of the very same ones it may"


def test_another_policy_tells_nothing_of_nearly_the_same_patients(tmp_path: Path) -> None:
    place = hospital(tmp_path)
    assert told(place, ward()) == BEFORE
    place.policy.write_text(place.policy.read_text().replace("minimum_rows = 50", "minimum_rows = 60"))
    assert "nearly the same patients" in entry(place, more(ward(), 1))["withheld"]
    assert told(place, ward()) == BEFORE


@pytest.mark.parametrize(("named", "then"), [([NAMED], BEFORE), ([], AFTER)])
def test_a_column_more_hides_nobody_where_patients_have_an_id(
    tmp_path: Path, named: list[tuple[str, str]], then: dict[str, Any]
) -> None:
    """Without one it does: rows are known by their cells. That is the attack which stays open."""
    place = hospital(tmp_path, *named)
    assert told(place, ward()) == BEFORE
    assert told(place, more(ward(), 1).assign(extra=1.5)) == then


def test_a_patient_of_several_rows_is_one_patient(tmp_path: Path) -> None:
    place = hospital(tmp_path, NAMED)
    before = entry(place, ward())
    assert entry(place, more(ward(), *[1] * 9).replace({"patient": dict.fromkeys(range(9000, 9009), 9000)})) == before
