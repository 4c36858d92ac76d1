"""Test rows by a list of IDs that stays at the site."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medfl.errors import DataError
from medfl.events import DataPrepared
from medfl.messages import to_bytes
from medfl.spec.study import Study
from medfl.testing.federation import NAMES, in_process, overheard, rehearse, sites, study, tables

BY_FILE = {"id_column": "number", "test_ids": {name: f"{name}-test.txt" for name in NAMES}}
ASKED = study(evaluation=BY_FILE)


def numbered(name: str) -> pd.DataFrame:
    frame = tables()[name]
    return frame.assign(number=[f"{name}-{row:04}" for row in range(len(frame))])


@pytest.fixture
def lists(tmp_path: Path) -> Callable[..., None]:
    """Return a function that writes the sites' lists of test IDs; every fifth row where nothing else is said."""

    def write(**other: Iterable[str]) -> None:
        for name in NAMES:
            ids = other.get(name, numbered(name)["number"][::5])
            (tmp_path / f"{name}-test.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")

    write()
    return write


def prepared(folder: Path, asked: Study = ASKED, **openers: Callable[[], pd.DataFrame]) -> dict[str, tuple[int, int]]:
    everyone = sites(folder, {name: partial(numbered, name) for name in NAMES} | openers)
    events, error = rehearse(asked, in_process(everyone))
    if error is not None:
        raise error
    told = next(event for event in events if isinstance(event, DataPrepared))
    return {name: (rows["train_rows"], rows["test_rows"]) for name, rows in told.sites.items()}


@pytest.mark.usefixtures("lists")
def test_the_listed_rows_are_the_test_rows(tmp_path: Path) -> None:
    assert prepared(tmp_path) == {"east": (48, 12), "north": (72, 18), "west": (96, 24)}


@pytest.mark.usefixtures("lists")
def test_the_very_rows_are_taken_in_the_tables_order(tmp_path: Path) -> None:
    everyone = sites(tmp_path, {name: partial(numbered, name) for name in NAMES})
    request = next(request for request, _ in overheard(ASKED, everyone) if request.task == "train")
    rows = everyone["east"].desk.prepared(ASKED, request)
    outcome = numbered("east")["sick"].to_numpy()
    assert rows.test.outcome.tolist() == outcome[::5].tolist()
    assert rows.train.outcome.tolist() == np.delete(outcome, slice(None, None, 5)).tolist()


@pytest.mark.usefixtures("lists")
def test_the_id_is_no_feature_and_does_not_leave(tmp_path: Path) -> None:
    everyone = sites(tmp_path, {name: partial(numbered, name) for name in NAMES})
    for request, answer in overheard(ASKED, everyone):
        assert f"{request.site}-00".encode() not in to_bytes(answer)
    request = next(request for request, _ in overheard(ASKED, everyone) if request.task == "train")
    assert request.content["agreement"]["features"][0]["name"] == "age"
    assert "number" not in [feature["name"] for feature in request.content["agreement"]["features"]]


@pytest.mark.usefixtures("lists")
def test_every_repeat_has_the_same_test_rows(tmp_path: Path) -> None:
    other = ASKED.overridden({}).model_copy(update={"study": ASKED.study.model_copy(update={"seed": 99})})
    assert prepared(tmp_path, other) == prepared(tmp_path)


def test_blank_lines_and_spaces_mean_nothing(tmp_path: Path, lists: Callable[..., None]) -> None:
    lists(east=["", "  east-0003 ", "east-0004\t", "", ""])
    assert prepared(tmp_path)["east"] == (58, 2)


def test_whole_numbers_are_ids_too(tmp_path: Path, lists: Callable[..., None]) -> None:
    """An ID that a table holds as a number, and that a missing value made a decimal of it, is the number one writes."""
    lists(east=["3", "4", "17"])

    def counted() -> pd.DataFrame:
        return numbered("east").assign(number=np.arange(60.0))

    assert prepared(tmp_path, east=counted)["east"] == (57, 3)


def test_a_listed_patient_whose_row_is_left_out_is_no_error(tmp_path: Path, lists: Callable[..., None]) -> None:
    lists(east=["east-0003", "east-0004"])

    def gap() -> pd.DataFrame:
        frame = numbered("east").astype({"sick": float})
        frame.loc[3, "sick"] = np.nan
        return frame

    assert prepared(tmp_path, east=gap)["east"] == (58, 1)


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        (["east-0003", "east-9999", "Jane Roe"], "2 of 3 listed test IDs are not in the table"),
        ([], "0 of 60 usable rows are listed as test rows"),
        ([f"east-{row:04}" for row in range(60)], "60 of 60 usable rows are listed as test rows"),
    ],
    ids=["unknown ones", "none", "all"],
)
def test_a_list_that_does_not_fit_is_refused_and_no_id_is_quoted(
    tmp_path: Path, lists: Callable[..., None], ids: list[str], reason: str
) -> None:
    lists(east=ids)
    with pytest.raises(DataError, match=reason) as refused:
        prepared(tmp_path)
    assert refused.value.complaints[0].where.startswith("site east")
    assert "Jane" not in str(refused.value)
    assert "9999" not in str(refused.value)


def test_a_list_that_cannot_be_read_names_its_place(tmp_path: Path, lists: Callable[..., None]) -> None:
    (tmp_path / "east-test.txt").unlink()
    with pytest.raises(DataError, match=r"site east, .*east-test\.txt: the list of test IDs cannot be read"):
        prepared(tmp_path)
    (tmp_path / "east-test.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"\(found: UnicodeDecodeError\)"):
        prepared(tmp_path)


@pytest.mark.usefixtures("lists")
def test_a_site_without_a_list_is_named(tmp_path: Path) -> None:
    some = study(evaluation={"id_column": "number", "test_ids": {"east": "east-test.txt", "north": "north-test.txt"}})
    with pytest.raises(DataError, match="no list of test IDs for this site") as refused:
        prepared(tmp_path, some)
    assert [complaint.where.split(",")[0] for complaint in refused.value.complaints] == ["site west"]
    assert 'add west = "FILE"' in str(refused.value)


@pytest.mark.usefixtures("lists")
def test_an_id_column_that_a_table_lacks_is_named(tmp_path: Path) -> None:
    asked = study(evaluation=BY_FILE, data={"target": "sick", "features": ["age", "dose"]})
    with pytest.raises(DataError, match=r"no such ID column \(found: number\)\n  → did you mean 'numbers'\?"):
        prepared(tmp_path, asked, east=lambda: numbered("east").rename(columns={"number": "numbers"}))
