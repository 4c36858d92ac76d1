"""Groups of patients at a site: what leaves adds up to the site's total, and what is too small stays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medfl.errors import DataError
from medfl.events import Evaluated
from medfl.learn.metrics.subgroups import named
from medfl.learn.statistic import Statistic
from medfl.messages import Reply, Request, to_bytes
from medfl.site.answer import Site
from medfl.site.breakdown import by_feature
from medfl.spec.study import Study
from medfl.testing.federation import NAMES, in_process, overheard, rehearse, sites, study, tables

GROUPED = {"sex": {"column": "sex"}, "age": {"column": "age", "cuts": [55, 65]}}


def frame(name: str, rare: int = 0) -> pd.DataFrame:
    """Return a hospital's table with a column that is no feature; `rare` rows of one more kind."""
    table = tables()[name]
    sex = np.random.default_rng(len(table)).choice(["f", "m"], len(table))
    sex[:rare] = "x"
    return table.assign(sex=sex)


def asked(**evaluation: Any) -> Study:
    return study(
        data={"target": "sick", "features": ["age", "dose", "colour"]},
        evaluation={"test_fraction": 0.5, "smallest_group": 3, "subgroups": GROUPED, "bootstrap": 20, **evaluation},
    )


def hospitals(folder: Path, rare: int = 0) -> dict[str, Site]:
    return sites(folder, {name: partial(frame, name, rare) for name in NAMES})


def judged(what: Study, folder: Path, rare: int = 0) -> Evaluated:
    events, error = rehearse(what, in_process(hospitals(folder, rare)))
    assert error is None
    return next(event for event in events if isinstance(event, Evaluated) and event.final)


def replies(what: Study, folder: Path, rare: int = 0) -> list[tuple[Request, Reply]]:
    heard = overheard(what, hospitals(folder, rare))
    return [(request, reply) for request, reply in heard if request.task == "evaluate" and isinstance(reply, Reply)]


def grouping(event: Evaluated, name: str) -> Mapping[str, Any]:
    return next(entry for entry in event.subgroups if entry["grouping"] == name)


def test_groups_add_up_to_the_site(tmp_path: Path) -> None:
    for _, reply in replies(asked(), tmp_path):
        whole, parts = Statistic(reply.arrays).under("evaluation"), Statistic(reply.arrays).under("subgroups")
        words = reply.content["subgroups"]["sex"]
        assert (words["shown"], words["suppressed"], words["withheld"]) == (["f", "m"], [], False)
        for array in whole.arrays:
            total = sum(parts.under(named("sex", group))[array] for group in words["shown"])
            np.testing.assert_allclose(total, whole[array])


def test_the_pooled_number_of_a_group_is_that_of_its_rows(tmp_path: Path) -> None:
    event = judged(asked(), tmp_path)
    men, women = (grouping(event, "sex")["groups"][place] for place in (1, 0))
    assert (women["group"], men["group"]) == ("f", "m")
    assert women["rows"] + men["rows"] == 135
    right = sum(one["metrics"]["accuracy"] * one["rows"] for one in (women, men))
    assert right / 135 == pytest.approx(event.pooled["accuracy"])
    assert women["sites"] == list(NAMES)
    low, high = women["intervals"]["auc"]
    assert low < women["metrics"]["auc"] < high
    assert [group["group"] for group in grouping(event, "age")["groups"]] == ["< 55", "55 to < 65", "≥ 65"]


def test_a_group_that_is_too_small_stays_and_takes_another_with_it(tmp_path: Path) -> None:
    for _, reply in replies(asked(smallest_group=6), tmp_path, rare=4):
        words = reply.content["subgroups"]["sex"]
        assert words["withheld"] or "x" in words["suppressed"]
        assert words["withheld"] or len(words["suppressed"]) > 1
        sent = {json.loads(name.split("/")[1])[1] for name in reply.arrays if name.startswith('subgroups/["sex"')}
        assert sent == set(words["shown"])
        assert named("sex", "x").encode() not in to_bytes(reply)
    groups = grouping(judged(asked(smallest_group=6), tmp_path, rare=4), "sex")
    hidden = [group for group in groups["groups"] if group["group"] == "x"]
    assert all((group["rows"], group["metrics"], group["intervals"]) == (None, {}, {}) for group in hidden)


def test_where_nothing_can_be_shown_no_group_is_named(tmp_path: Path) -> None:
    what = asked(smallest_group=1000)
    for _, reply in replies(what, tmp_path):
        assert reply.content["subgroups"] == {
            name: {"withheld": True, "shown": [], "suppressed": []} for name in GROUPED
        }
        assert not any(name.startswith("subgroups/") for name in reply.arrays)
    assert all((entry["withheld"], entry["groups"]) == (list(NAMES), []) for entry in judged(what, tmp_path).subgroups)


def test_each_setting_changes_what_is_told(tmp_path: Path) -> None:
    variants = [
        asked(),
        asked(smallest_group=8),
        asked(subgroups={"sex": {"column": "sex"}}),
        asked(subgroups={"sex": {"column": "sex"}, "age": {"column": "age", "cuts": [55, 66]}}),
        asked(subgroups={"sex": {"column": "colour"}, "age": {"column": "age", "cuts": [55, 65]}}),
    ]
    told = [json.dumps(judged(what, tmp_path).subgroups) for what in variants]
    assert len(set(told)) == len(variants)


def test_the_late_threshold_holds_for_groups_too(tmp_path: Path) -> None:
    event = judged(asked(threshold="youden"), tmp_path)
    for entry in event.subgroups:
        for group in entry["groups"]:
            assert group["metrics"]["threshold"] == pytest.approx(event.pooled["threshold"])


def test_what_is_wrong_with_a_column_is_told_before_training(tmp_path: Path) -> None:
    wrong = asked(subgroups={"a": {"column": "sex", "cuts": [1]}})
    events, error = rehearse(wrong, in_process(hospitals(tmp_path)))
    assert isinstance(error, DataError)
    assert "text in a column with cuts" in str(error)
    assert not any(type(event).__name__ == "RoundStarted" for event in events)
    _, error = rehearse(asked(subgroups={"a": {"column": "sx"}}), in_process(hospitals(tmp_path)))
    assert "there is no column 'sx'" in str(error)


@pytest.mark.parametrize("target", ["colour", "dose"])
def test_other_outcomes_have_groups_and_importance(tmp_path: Path, target: str) -> None:
    what = study(
        data={"target": target, "features": ["age", "sick"]},
        model={"kind": "linear" if target == "dose" else "mlp"},
        evaluation={
            "test_fraction": 0.5, "smallest_group": 2, "subgroups": {"sex": {"column": "sex"}}, "bootstrap": 20,
            "importance": {"repeats": 2},
        },
    )  # fmt: skip
    event = judged(what, tmp_path)
    metric = "rmse" if target == "dose" else "auc"
    assert all(metric in group["metrics"] for group in grouping(event, "sex")["groups"])
    assert [entry["feature"] for entry in event.importance] == ["age", "sick"]
    assert all(len(entry["metrics"][metric]) == 2 for entry in event.importance)


def last(what: Study, folder: Path) -> tuple[Request, Reply]:
    return replies(what, folder)[-1]


def test_with_numbers_as_outcome_only_sums_over_all_rows_leave_for_importance(tmp_path: Path) -> None:
    """A bin of predicted numbers may hold one patient, and the same outcome in it would tell whose value moved."""
    what = study(
        data={"target": "dose", "features": ["age", "sick"]},
        model={"kind": "linear"},
        evaluation={"test_fraction": 0.5, "importance": {"repeats": 2}, "bootstrap": 0},
    )
    sent = Statistic(last(what, tmp_path)[1].arrays).under("importance")
    assert {name.rpartition("/")[2] for name in sent.arrays} == {"moments"}
    assert {array.shape for array in sent.arrays.values()} == {(1, 6)}


def test_the_hub_cannot_redo_a_shuffle(tmp_path: Path) -> None:
    """It knows seed, site and feature: with the orders too, many sums would be equations for single patients."""
    what = asked(importance={"repeats": 1})
    request, _ = last(what, tmp_path)
    site = hospitals(tmp_path)[request.site]
    prepared = site.desk.prepared(site.desk.study(request.study)[0], request)
    only_age = np.zeros_like(request.arrays["weights"])
    only_age[0] = 1.0
    unused = prepared.test.features.copy()
    unused[:, 1] += 1.0
    other = replace(prepared, test=replace(prepared.test, features=unused))
    first, again, second = (
        by_feature(one, only_age, repeats=1, seed=request.seed, site=request.site)["0/0/losses"]
        for one in (prepared, prepared, other)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)
