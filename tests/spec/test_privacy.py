"""What does not go with differential privacy is refused, with what to do instead."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from medfl.spec.checks import contradictions
from medfl.spec.merging import merge
from medfl.spec.study import Study

DP: dict[str, Any] = {
    "unit": "record",
    "epsilon": 3.0,
    "ranges": {"age": [0, 120]},
    "categories": {"colour": ["a", "b"], "sick": ["no", "yes"]},
}
BASE: dict[str, Any] = {
    "study": {"name": "private"},
    "data": {"target": "sick", "features": ["age", "colour"], "simulate": {"sites": 3, "table": "t.csv"}},
    "preprocess": {"impute": "drop"},
    "privacy": {"dp": DP},
}
PATIENT = {"privacy": {"dp": {"unit": "patient", "patient_id": "who"}}}
SITE = {"privacy": {"dp": {"unit": "site", "noise": "central"}}, "preprocess": {"scale": "min-max"}}


def said(*changes: dict[str, Any]) -> str:
    spec = BASE
    for change in changes:
        spec = merge(spec, change)
    return "\n".join(f"{finding.what} -> {finding.remedy}" for finding in contradictions(Study.model_validate(spec)))


def test_a_sound_study_is_not_complained_of() -> None:
    assert said() == ""
    assert said(PATIENT) == ""
    assert said(SITE) == ""


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"evaluation": {"subgroups": {"age": {"column": "age", "cuts": [50]}}}}, "subgroups would release more"),
        ({"evaluation": {"contributions": "leave-one-out"}}, "contributions would release more"),
        ({"evaluation": {"importance": {}}}, "importance would release more"),
        ({"evaluation": {"fine_tune": {}}}, "fine_tune would release more"),
        ({"evaluation": {"baselines": ["local-only"]}}, "a baseline is trained without noise"),
        ({"preprocess": {"impute": "none"}}, "tells that somebody has one"),
        ({"preprocess": {"scale": "min-max-per-site"}}, "those of single patients"),
        ({"preprocess": {"impute": "mean-per-site"}}, "not bounded by one unit"),
        ({"training": {"clip_norm": 1.0}}, "clipped already"),
        ({"algorithm": {"kind": "qfedavg"}}, "weighs sites by their training loss"),
        ({"model": {"kind": "torch", "name": "n", "batch_norm": "shared"}}, "mixes the rows of a batch"),
        ({"data": {"features": ["age", "colour", "dose"]}}, "neither a range nor categories are declared for dose"),
        ({"data": {"target": "ill"}}, "neither a range nor categories are declared for ill"),
        (
            {"data": {"columns": ["age", "colour", "sick"]}, "privacy": {"dp": {"ranges": {"aeg": [0, 1]}}}},
            "there is no column aeg",
        ),
    ],
)
def test_what_breaks_the_promise_to_a_record_is_refused(change: dict[str, Any], what: str) -> None:
    assert what in said(change)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"algorithm": {"kind": "scaffold"}}, "scaffold needs more of a site than its clipped update"),
        ({"algorithm": {"kind": "fedmedian"}}, "fedmedian needs more of a site"),
        ({"preprocess": {"scale": "standard"}}, "fitted over all sites goes out with the model"),
        ({"training": {"class_weight": "balanced"}}, "balanced weights come from the classes' counts"),
        (
            {"privacy": {"secure_aggregation": False, "dp": {"noise": "distributed"}}},
            "hides nothing unless only the sum is seen",
        ),
        ({"privacy": {"dp": {"noise": "distributed"}}}, "set min_sites"),
        ({"model": {"kind": "torch", "name": "n", "batch_norm": "shared"}}, "averaged without noise"),
    ],
)
def test_what_breaks_the_promise_to_a_site_is_refused(change: dict[str, Any], what: str) -> None:
    assert what in said(SITE, change)


def test_a_patients_rows_stay_together() -> None:
    listed = {"evaluation": {"test_ids": {f"site-0{n}": f"{n}.txt" for n in (1, 2, 3)}, "id_column": "visit"}}
    assert "an exact answer about what is in a column" in said(PATIENT, listed)
    assert "learned from as well" in said(PATIENT, {"privacy": {"dp": {"patient_id": "age"}}})


def test_an_arm_may_promise_what_baselines_beside_it_do_not() -> None:
    """In a simulation: the study itself goes without, so that its baselines show what the noise costs."""
    spec = {key: value for key, value in BASE.items() if key != "privacy"}
    spec |= {
        "evaluation": {"baselines": ["centralised"]},
        "arm": [{"name": "dp", "privacy": {"dp": DP}}, {"name": "no"}],
    }
    assert contradictions(Study.model_validate(spec)) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"unit": "patient"}, "set patient_id"),
        ({"patient_id": "who"}, 'belongs to unit = "patient"'),
        ({"noise": "central"}, 'belongs to unit = "site"'),
        ({"clip_quantile": 0.5}, 'belongs to unit = "site"'),
        ({"unit": "site", "statistics_share": 0.2}, "leave statistics_share out"),
        ({"ranges": {"age": [5, 5]}}, "does not rise"),
        ({"categories": {"colour": ["a", "a"]}}, "has one twice"),
        ({"categories": {"age": ["young"]}}, "both a range and categories"),
        ({"epsilon": 0}, "greater than 0"),
        ({"delta": 1.0}, "less than 1"),
        ({"speed": 1}, "Extra inputs"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(change: dict[str, Any], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        Study.model_validate(merge(BASE, {"privacy": {"dp": change}}))


def test_a_study_without_it_keeps_its_digest() -> None:
    spec = {key: value for key, value in BASE.items() if key != "privacy"}
    assert Study.model_validate(spec).canonical == Study.model_validate({**spec, "privacy": {"dp": None}}).canonical
    assert '"dp"' not in Study.model_validate(spec).canonical
