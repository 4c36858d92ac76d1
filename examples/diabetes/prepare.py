"""The tables that the studies read, cut from the one public table; nothing of it is kept in the project."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

CHUNKS = 5
PUBLIC_AGE = 40.0
COLUMNS = ("gender", "age", "smoking_history", "bmi", "HbA1c_level", "blood_glucose_level", "diabetes")


def prepare(source: Path, folder: Path, *, rows: int | None = None) -> None:
    """Write every table into the folder.

    Parameters
    ----------
    source
        The diabetes prediction data set, 100 000 people, as one CSV file.
    folder
        Where the tables go.
    rows
        Take so many people only, drawn at random, to try things out; all of them where None.

    Raises
    ------
    SystemExit
        If the file is not that table.
    """
    people = pd.read_csv(source)
    if not set(COLUMNS) <= set(people.columns):
        raise SystemExit(
            f"{source} is not the diabetes table: it has no column {min(set(COLUMNS) - set(people.columns))}"
        )
    if rows is not None:
        people = people.sample(rows, random_state=1).sort_index()
    folder.mkdir(parents=True, exist_ok=True)
    second = people.iloc[len(people) // 2 :]
    chunk = np.arange(len(second)) * CHUNKS // len(second) + 1
    shuffled = people.sample(frac=1.0, random_state=1)
    tables = {
        "all": people,
        "second-half": second.assign(chunk=[f"hospital-{number}" for number in chunk]),
        "under-40": people[people["age"] < PUBLIC_AGE],
        "from-40": people[people["age"] >= PUBLIC_AGE],
        "half-a": shuffled.iloc[: len(shuffled) // 2],
        "half-b": shuffled.iloc[len(shuffled) // 2 :],
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
