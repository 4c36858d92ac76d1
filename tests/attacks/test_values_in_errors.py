"""Damaged tables with a secret in some cell: whatever goes wrong, the secret stays at the site.

What was tried: the secret as text or as a number, in any column, with every kind of damage to the table and to its
file, in studies of every kind and at every stage. What came of it: no refusal, event or reply under a policy of the
site's own had the secret in it; without a policy, no refusal had. A first version quoted the names of columns that
stand twice; in a file without a header these are a patient's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medfl.events import to_json
from medfl.learn.data.tables import read_table
from medfl.messages import Refusal, to_bytes
from medfl.site.policy import Policy
from medfl.spec.study import Study
from medfl.testing.federation import in_process, overheard, rehearse, sites, study, table
from medfl.testing.policies import written

TEXT = "Xq7Zsecret"
NUMBER = 86753.0625
SECRET = re.compile(rf"{TEXT}|(?<![\d.])86753(?!\d)|(?<!\d)8\.67530?625")
SUBGROUPS = {"subgroups": {"colour": {"column": "colour"}, "age": {"column": "age", "cuts": [55, 65]}}}
STUDIES: dict[str, Study] = {
    "binary": study(evaluation={"baselines": ["local-only"], **SUBGROUPS}, preprocess={"impute": "median"}),
    "missing refused": study(),
    "dropped": study(preprocess={"impute": "drop"}, training={"class_weight": "balanced"}),
    "weights of classes": study(training={"class_weight": {"0": 1.0, "9": 2.0}}),
    "positive by number": study(data={"target": "age", "positive": "> 60"}),
    "positive by text": study(data={"target": "colour", "positive": "blue"}),
    "three classes": study(data={"target": "colour"}, model={"kind": "mlp", "hidden": [3]}),
    "regression": study(data={"target": "dose"}, model={"kind": "linear"}, preprocess={"impute": "mean"}),
    "per site": study(preprocess={"scale": "standard-per-site", "impute": "most-frequent-per-site"}),
    "by list": study(
        data={"features": ["age", "dose"]}, evaluation={"id_column": "colour", "test_ids": {"east": "ids.txt"}}
    ),
    "categories of numbers": study(data={"target": "sick", "categorical": ["age"]}),
    "importance": study(evaluation={"importance": {"repeats": 1}, "fine_tune": {"local_epochs": 1}}),
}
PROTECTED: dict[str, dict[str, Any]] = {
    "accepts": {"test_lists": True, "columns": ("age", "dose", "colour", "sick")},
    "releases": {"ranges": "rounded", "categories": "pooled"},
    "counts": {"minimum": 5, "minimum_test_rows": 2},
}


def in_cell(frame: pd.DataFrame, column: str, row: int, value: Any) -> pd.DataFrame:
    frame = frame.astype({column: object})
    frame.at[row % len(frame), column] = value
    return frame


SAME: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda frame: frame,
    "few rows": lambda frame: frame.head(3),
    "no rows": lambda frame: frame.head(0),
    "a column less": lambda frame: frame.drop(columns="dose"),
    "no target": lambda frame: frame.drop(columns="sick"),
    "all text": lambda frame: frame.astype(str),
    "categories": lambda frame: frame.assign(colour=frame["colour"].astype("category")),
    "twice each": lambda frame: pd.concat([frame, frame], ignore_index=True),
    "blank column": lambda frame: frame.assign(dose=np.nan),
    "infinite": lambda frame: in_cell(frame, "dose", 0, np.inf),
    "one class": lambda frame: frame.assign(sick=1),
    "identifier": lambda frame: frame.assign(colour=[f"{TEXT}{row}" for row in range(len(frame))]),
    "names of columns": lambda frame: frame.rename(columns={"dose": f"{TEXT}-column"}),
    "lists in cells": lambda frame: in_cell(frame, "colour", 1, [TEXT, NUMBER]),
    "bytes in cells": lambda frame: in_cell(frame, "colour", 1, TEXT.encode()),
    "a date among numbers": lambda frame: in_cell(frame, "age", 1, pd.Timestamp("1958-03-01")),
}
CELLS = (
    TEXT,
    NUMBER,
    f"{NUMBER}",
    f"{NUMBER},5",
    f" {TEXT} ",
    f"{TEXT}\n{TEXT}",
    -NUMBER * 1e300,
    f"{NUMBER}e400",
    None,
)


@dataclass(frozen=True)
class Damage:
    """A table with the secret in one cell, and something wrong with it beside."""

    column: str
    row: int
    value: object
    kind: str

    def table(self) -> pd.DataFrame:
        frame = in_cell(table(60, 0), self.column, self.row, self.value)
        return pd.DataFrame(SAME[self.kind](frame))


damages = st.builds(
    Damage,
    st.sampled_from(["age", "dose", "colour", "sick"]),
    st.integers(0, 59),
    st.sampled_from(CELLS),
    st.sampled_from(sorted(SAME)),
)


def told(
    asked: Study, opener: Callable[[], pd.DataFrame], policy: Policy | None, folder: Path
) -> list[tuple[str, str]]:
    """Return everything that leaves the damaged site, and everything that is written down, each with its kind."""
    (folder / "ids.txt").write_text(f"amber\n{TEXT}\n", encoding="utf-8")
    hospitals = sites(folder, {"east": opener}, policies={} if policy is None else {"east": policy})
    left = []
    for request, answer in overheard(asked, hospitals):
        if request.site == "east":
            kind = "refusal" if isinstance(answer, Refusal) else "reply"
            left.append((kind, to_bytes(answer).decode("latin-1")))
            arrays = {} if isinstance(answer, Refusal) else answer.arrays
            assert not any(np.isin(array, [NUMBER, -NUMBER]).any() for array in arrays.values()), request.task
    events, error = rehearse(asked, in_process(hospitals))
    return [
        *left,
        *(("event", json.dumps(to_json(event), ensure_ascii=False)) for event in events),
        ("error", str(error)),
    ]


def secrets_in(text: str) -> list[str]:
    return SECRET.findall(text)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damages, st.sampled_from(sorted(STUDIES)))
def test_under_a_policy_the_secret_is_in_nothing_that_leaves(damage: Damage, name: str) -> None:
    with TemporaryDirectory() as folder:
        policy = written(Path(folder), PROTECTED)
        for kind, text in told(STUDIES[name], damage.table, policy, Path(folder)):
            assert not secrets_in(text), (kind, damage, text[:2000])


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damages, st.sampled_from(sorted(STUDIES)))
def test_without_a_policy_no_failure_quotes_it(damage: Damage, name: str) -> None:
    """Names of categories and columns, and the ends of ranges, are told then; so they are no failure's to hide."""
    if damage.kind == "names of columns":
        return
    with TemporaryDirectory() as folder:
        for kind, text in told(STUDIES[name], damage.table, None, Path(folder)):
            if kind == "refusal":
                assert not secrets_in(text), (damage, text[:2000])


FILES: Mapping[str, bytes] = {
    # Without a policy the first patient's cells are the names of columns here, and names of columns are told.
    "no header, no name twice": f"{TEXT},Roe,amber,yes\n".encode() + b"61.2,0.3,amber,1\n" * 40,
    "no header": f"{TEXT},Roe,{TEXT},{NUMBER}\n".encode() + b"61.2,0.3,amber,1\n" * 40,
    "a header twice": b"age,age,colour,sick\n" + f"61,{NUMBER},{TEXT},1\n".encode() * 40,
    "ragged": b"age,dose,colour,sick\n" + f"61,{NUMBER},{TEXT},1,{TEXT}\n".encode(),
    "open quote": b"age,dose,colour,sick\n" + f'61,{NUMBER},"{TEXT},1\n'.encode(),
    "quote inside": b"age,dose,colour,sick\n" + f'61,{NUMBER},"{TEXT}"{TEXT}",1\n'.encode(),
    "latin-1": b"age,dose,colour,sick\n" + f"61,{NUMBER},{TEXT} é,1\n".encode("latin-1"),
    "zeros": b"age,dose,colour,sick\n" + f"61,{NUMBER},{TEXT},\0\n".encode(),
    "spaces": f"age dose colour sick\n61 {NUMBER} {TEXT} 1\n".encode(),
    "empty": b"",
    "a row alone": f"{TEXT} {NUMBER}".encode(),
    "thousands": b"age;dose;colour;sick\n" + f"61,5;86.753,06;{TEXT};1\n".encode() * 9,
}


@pytest.mark.parametrize("damage", FILES)
@pytest.mark.parametrize("own_policy", [True, False])
def test_a_damaged_file_is_not_quoted(tmp_path: Path, damage: str, own_policy: bool) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(FILES[damage])
    policy = written(tmp_path, PROTECTED) if own_policy else None
    heard = told(STUDIES["binary"], partial(read_table, path), policy, tmp_path)
    assert any(kind in ("refusal", "error") for kind, _ in heard)
    for kind, text in heard:
        if own_policy or kind == "refusal":
            assert not secrets_in(text), (kind, text[:2000])


def test_a_failure_that_nobody_foresaw_says_its_kind_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Errors of the libraries underneath quote values freely; of those only the kind travels."""

    def broken(*_: object, **__: object) -> None:
        raise ValueError(f"could not convert string to float: {TEXT!r}")

    monkeypatch.setattr("medfl.learn.data.schema._feature", broken)
    heard = told(STUDIES["binary"], partial(table, 60, 0), None, tmp_path)
    assert "ValueError" in dict(heard)["refusal"]
    assert not any(secrets_in(text) for _, text in heard)
    assert TEXT in caplog.text, "the trace is for the site's own people"
