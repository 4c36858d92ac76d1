"""What a study may have a site's columns read as is the site's own word: no new name opens a column that is closed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from medfl.messages import Refusal
from medfl.site import admission
from medfl.site.datasets import DataSet
from medfl.site.reception import dataset_for
from medfl.site.remembered import Remembered
from medfl.site.written import Written
from medfl.spec.data import Data
from medfl.spec.study import Info, Study
from medfl.testing.federation import overheard, sites, study, table
from medfl.testing.policies import rules

OPEN = {"harmonise": True}


def harmonised(columns: Mapping[str, Any], **changes: Any) -> Study:
    data = {"features": ["age", "dose", "colour"], "harmonise": {"east": {"columns": columns}}}
    return study(data=data, **changes)


def answers(asked: Study, accepts: Mapping[str, Any], frame: pd.DataFrame, folder: Path) -> list[Any]:
    policies = {"east": Written(rules({"accepts": {**OPEN, **accepts}}), Remembered(folder / "memory"))}
    heard = overheard(asked, sites(folder, {"east": partial(pd.DataFrame, frame)}, policies=policies))
    return [answer for request, answer in heard if request.site == "east"]


def reasons(found: list[Any]) -> str:
    return " ".join(one.reason for one in found if isinstance(one, Refusal))


FRAME = table(90, 1).rename(columns={"dose": "DOSE"}).assign(hiv=[0, 1] * 45)


def test_a_renamed_column_is_answered_about(tmp_path: Path) -> None:
    allowed = {"columns": ("age", "DOSE", "colour", "sick")}
    found = answers(harmonised({"dose": {"called": "DOSE"}}), allowed, FRAME, tmp_path)
    assert reasons(found) == ""
    named = [one["name"] for one in found[0].content["schema"]["columns"]]
    assert "dose" in named
    assert "DOSE" not in [*named, *found[0].content["schema"]["unused"]]


def test_a_closed_column_stays_closed_under_any_name(tmp_path: Path) -> None:
    allowed = {"columns": ("age", "dose", "DOSE", "colour", "sick")}
    found = answers(harmonised({"dose": {"called": "hiv"}}), allowed, FRAME, tmp_path)
    assert all(isinstance(one, Refusal) for one in found)
    assert "columns that it may not know of: 'hiv'" in reasons(found)


def test_a_closed_column_that_is_no_feature_stays_closed_too(tmp_path: Path) -> None:
    asked = harmonised({"dose": {"called": "DOSE"}, "other": {"called": "hiv"}})
    found = answers(asked, {"columns": ("age", "DOSE", "colour", "sick")}, FRAME, tmp_path)
    assert "'hiv'" in reasons(found)


def test_patients_are_told_apart_by_the_sites_own_column(tmp_path: Path) -> None:
    allowed = rules({"accepts": {**OPEN, "patient_id": "patient"}})
    dp = {"unit": "patient", "epsilon": 1.0, "patient_id": "patient", "ranges": {"age": [0, 100]}}
    asked = harmonised({"patient": {"called": "row"}}, privacy={"dp": dp})
    no = next(one for one in admission.of_study(allowed, asked, site="east") if not one.allowed)
    assert no.rule == "accepts.patient_id"
    assert "'row'" in no.reason
    own = harmonised({"person": {"called": "patient"}}, privacy={"dp": {**dp, "patient_id": "person"}})
    assert all(one.allowed for one in admission.of_study(allowed, own, site="east") if "patient" in one.rule)


def test_what_is_not_at_this_site_is_not_held_against_the_study() -> None:
    closed = rules({"accepts": {"columns": ("age", "dose", "colour", "sick")}})
    asked = study(data={"harmonise": {"north": {"columns": {"dose": {"called": "DOSE"}}}}})
    assert all(one.allowed for one in admission.of_study(closed, asked, site="east") if one.rule.startswith("accepts"))
    of_north = {one.rule for one in admission.of_study(closed, asked, site="north") if not one.allowed}
    assert {"accepts.columns", "accepts.harmonise"} <= of_north
    unknown = {one.rule for one in admission.of_study(closed, asked) if not one.allowed}
    assert "accepts.harmonise" in unknown, "who checks a policy without a site's name is told of what any site is asked"


@pytest.mark.parametrize("named", ["sick", "DISEASE"])
def test_the_data_set_is_found_by_its_own_name_of_the_outcome(named: str) -> None:
    columns = {"sick": {"called": named}} if named != "sick" else {"sick": {"codes": {"y": "1"}}}
    data = Data.model_validate({"target": "sick", "harmonise": {"east": {"columns": columns}}})
    asked = Study(study=Info(name="one"), data=data)
    known = {"mine": DataSet(source="/a.csv", target=named), "other": DataSet(source="/b.csv", target="death")}
    assert dataset_for(asked, "east", known) == "mine"
