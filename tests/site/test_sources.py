"""Where a study's rows come from: one file a site, one frame a site, or one table dealt out."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from medfl.errors import DataError, PlanError
from medfl.inspection import opened
from medfl.messages import Refusal, Reply, Request
from medfl.site.sources import Sources, Tables
from medfl.spec.study import Study
from medfl.testing.command import typed
from medfl.testing.federation import NAMES, study, table, tables


def rows(asked: Study, folder: Path, tables: Tables | None = None) -> dict[str, int]:
    """Return how many rows each site describes."""
    found = {}
    for name, site in Sources(folder, folder / "vaults", tables).sites(asked).items():
        request = Request(run="a", round=0, site=name, task="describe", study=asked.canonical, seed=asked.study.seed)
        answer = site.answer(request)
        assert isinstance(answer, Reply), answer.reason
        found[name] = answer.content["schema"]["rows"]
    return found


def simulated(**how: object) -> Study:
    return Study.model_validate({"study": {"name": "dealt"}, "data": {"target": "sick", "simulate": how}})


def test_one_file_a_site(tiny: Path) -> None:
    assert rows(opened(tiny)[0], tiny.parent) == {"east": 60, "north": 90, "west": 120}


def test_one_frame_a_site_in_sorted_order(tmp_path: Path) -> None:
    frames = {name: tables()[name] for name in reversed(NAMES)}
    assert list(rows(study(), tmp_path, frames).items()) == [("east", 60), ("north", 90), ("west", 120)]


def test_a_table_dealt_out(tmp_path: Path) -> None:
    dealt = rows(simulated(sites=4), tmp_path, table(100, 0))
    assert dealt == {f"site-0{number}": 25 for number in (1, 2, 3, 4)}
    table(100, 0).to_csv(tmp_path / "all.csv", index=False)
    assert rows(simulated(sites=4, table="all.csv"), tmp_path) == dealt


def test_a_table_dealt_by_a_column_that_is_then_no_feature(tmp_path: Path) -> None:
    frame = table(90, 0)
    asked = simulated(partition={"kind": "column", "column": "colour"})
    assert rows(asked, tmp_path, frame) == frame["colour"].value_counts().sort_index().to_dict()


def test_a_frame_that_was_passed_is_not_changed(tmp_path: Path) -> None:
    frame = table(40, 0)
    before = frame.copy(deep=True)
    rows(simulated(sites=2), tmp_path, frame)
    rows(study(), tmp_path, dict.fromkeys(NAMES, frame))
    pd.testing.assert_frame_equal(frame, before)


def test_a_missing_file_is_the_sites_own_answer(tiny: Path) -> None:
    """Opening the sites opens no file: each site says itself that it cannot."""
    (tiny.parent / "north.csv").unlink()
    asked = opened(tiny)[0]
    hospitals = Sources(tiny.parent, tiny.parent / "vaults").sites(asked)
    assert tuple(hospitals) == NAMES
    request = Request(run="a", round=0, site="north", task="describe", study=asked.canonical, seed=7)
    answer = hospitals["north"].answer(request)
    assert isinstance(answer, Refusal)
    assert "north.csv" in answer.reason


@pytest.mark.parametrize(
    ("asked", "frames", "reason"),
    [
        (study(), None, r"\[data\]: the study does not say where the rows are"),
        (study(), table(9, 0), r"\[data\]: one table was passed, and the study does not say how to deal it out"),
        (simulated(sites=2), None, r"\[data.simulate\]: there is no table to deal out"),
    ],
)
def test_what_the_study_leaves_open_is_asked_for(
    tmp_path: Path, asked: Study, frames: Tables | None, reason: str
) -> None:
    with pytest.raises(PlanError, match=reason):
        Sources(tmp_path, tmp_path, frames).sites(asked)


def test_a_table_without_the_target_cannot_be_dealt(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\[data\] target: .* \(found: sick\)\n  → the columns are: age, dose, colour"):
        Sources(tmp_path, tmp_path, table(9, 0).drop(columns="sick")).sites(simulated(sites=2))


def test_two_sites_do_not_read_one_file_of_this_machine(tmp_path: Path) -> None:
    """What could be the name of a data set that several hospitals have is a file in a simulation."""
    table(60, 0).to_csv(tmp_path / "heart", index=False)
    text = "[data]\ntarget = 'sick'\nsites = { east = 'heart', west = 'heart' }\n[model]\nkind = 'logistic'\n"
    (tmp_path / "study.toml").write_text(f"[study]\nname = 'twice'\n{text}[algorithm]\nrounds = 1\n")
    said = typed("run", tmp_path / "study.toml", "--home", tmp_path / "home")
    assert said.code == 2 and "west reads the same file as east" in said.err
