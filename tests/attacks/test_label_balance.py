"""What two catalogues of a hospital, subtracted, say of the patient who came between.

What was tried: a share that is about to be rounded up, and the patient who tips it; the same with one who leaves, with
one whose diagnosis is corrected, with four others who have none, and after a restart. What came of it: without the
memory the tipping patient's diagnosis is read off; with it nothing is told until five patients with a diagnosis have
changed, and whether anything is told depends on nobody's diagnosis.
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


def everybody() -> pd.DataFrame:
    return table(ROWS, 5).assign(sick=[int(row < SICK) for row in range(ROWS)])


def hospital(folder: Path, *, memory: bool = True) -> Place:
    text = template().replace("catalogue = false", "catalogue = true")
    text = text.replace("label_balance = false", "label_balance = true")
    place = Place(folder / "home")
    Datasets(place).add("ward", DataSet(source=str(folder / "ward.csv"), target="sick"))
    place.policy.write_text(text if memory else text.replace("minimum_difference = 5", "minimum_difference = 1"))
    return place


def told(place: Place, frame: pd.DataFrame) -> dict[str, Any] | None:
    frame.to_csv(place.folder.parent / "ward.csv", index=False)
    found: dict[str, Any] | None = catalogue(place)["ward"].get("balance")
    return found


def with_more(*sick: float | None) -> pd.DataFrame:
    more = table(len(sick), 6).assign(sick=pd.Series(sick, dtype="Int64"))
    return pd.concat([everybody(), more], ignore_index=True).convert_dtypes()


def corrected() -> pd.DataFrame:
    frame = everybody()
    frame.loc[SICK, "sick"] = 1
    return frame


def test_without_a_memory_the_diagnosis_of_one_patient_is_read_off(tmp_path: Path) -> None:
    place = hospital(tmp_path, memory=False)
    before = told(place, everybody())
    assert before == {"parts": {"0": 8, "1": 2}, "of": 10}
    after = {"parts": {"0": 7, "1": 3}, "of": 10}
    assert [told(place, frame) for frame in (with_more(0), with_more(1), corrected())] == [before, after, after]


@pytest.mark.parametrize("sick", [0, 1])
def test_one_patient_more_or_less_is_told_of_by_nothing(tmp_path: Path, sick: int) -> None:
    place = hospital(tmp_path)
    assert told(place, everybody()) is not None
    assert told(place, with_more(sick)) is None
    assert told(place, with_more(sick, sick, sick, sick)) is None
    assert told(place, everybody().drop(index=0 if sick else ROWS - 1)) is None
    assert told(place, with_more(sick, sick, sick, sick, sick)) is not None
    assert told(hospital_again(place), with_more(sick, sick, sick, sick)) is None, "nor after a restart"


def hospital_again(place: Place) -> Place:
    return Place(place.folder)


def test_a_diagnosis_that_is_corrected_shows_in_nothing(tmp_path: Path) -> None:
    place = hospital(tmp_path)
    assert told(place, everybody()) is not None
    assert told(place, corrected()) is None


@pytest.mark.parametrize("sick", [0, 1])
def test_one_diagnosis_among_many_patients_without_one_shows_in_nothing(tmp_path: Path, sick: int) -> None:
    place = hospital(tmp_path)
    assert told(place, everybody()) is not None
    assert told(place, with_more(sick, *[None] * 30)) is None
