"""A study under differential privacy chooses its own filter, and counts whom it lets through.

What leaves without noise (numbers of rows, weights of updates, refusals and their reasons) must be the same whoever a
patient is: each attack looks at two tables in which one patient differs, and fails where it can tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medfl.messages import LEDGERS, Refusal, Reply, Request
from medfl.site.answer import Site
from medfl.spec.merging import Override, merge
from medfl.spec.study import Study
from medfl.testing.federation import DECLARED, NAMES, overheard, sites, study, table
from medfl.testing.policies import written

pytest.importorskip("dp_accounting")

KNOWN: Mapping[str, Any] = {"age": 93.0, "dose": 2.5, "colour": "blue", "sick": 1}
"""The patient whom the attack is about."""
PLAIN: dict[str, Any] = {"unit": "record", "epsilon": 4.0, **DECLARED}
ONE_COLOUR = {**DECLARED["categories"], "colour": ["blue"]}
ATTACKS: dict[str, dict[str, Override]] = {
    "categories and drop": {
        "preprocess": {"impute": "drop"},
        "privacy": {"dp": {**PLAIN, "categories": ONE_COLOUR}},
    },
    "missing and drop": {
        "data": {"missing": ["blue"]},
        "preprocess": {"impute": "drop"},
        "privacy": {"dp": PLAIN},
    },
    "no outcome": {"data": {"missing": ["1"]}, "privacy": {"dp": PLAIN}},
    "another outcome": {"privacy": {"dp": {**PLAIN, "categories": {**DECLARED["categories"], "sick": ["0", "2"]}}}},
    "text taken for numbers": {
        "data": {"missing": ["amber", "clear"]},
        "privacy": {
            "dp": {**PLAIN, "ranges": {**DECLARED["ranges"], "colour": [0, 1]}, "categories": {"sick": ["0", "1"]}}
        },
    },
    "text compared with a number": {
        "data": {"target": "colour", "positive": "> 1", "missing": ["amber", "clear"], "features": ["age", "dose"]},
        "privacy": {"dp": PLAIN},
    },
    "rare outcome": {
        "data": {"target": "age", "positive": "> 90", "features": ["dose"]},
        "privacy": {"dp": PLAIN},
    },
    "nobody else": {
        "data": {"missing": ["amber", "clear"], "features": ["colour", "dose"]},
        "preprocess": {"impute": "drop"},
        "privacy": {"dp": {**PLAIN, "categories": {"colour": ["blue"], "sick": ["0", "1"]}}},
    },
}


def asked(changes: Mapping[str, Override]) -> Study:
    base = merge(study().model_dump(mode="json", exclude_none=True), {"preprocess": {"impute": "mean"}})
    return Study.model_validate(merge(base, dict(changes)))


def frame(patient: Mapping[str, Any], *, others_blue: bool) -> pd.DataFrame:
    found = table(80, 0)
    if not others_blue:
        found["colour"] = np.where(np.arange(80) % 2, "amber", "clear")
    for name, value in patient.items():
        found[name] = found[name].astype(object if isinstance(value, str) else float)
        found.loc[0, name] = value
    return found


def hospitals(folder: Path, patient: Mapping[str, Any], *, others_blue: bool, cautious: bool) -> dict[str, Site]:
    openers = {"east": lambda: frame(patient, others_blue=others_blue)}
    rules: dict[str, dict[str, Any]] = {
        "requires": {"epsilon": {"record": 8.0}},
        "counts": {"minimum": 3, "minimum_difference": 5},
    }
    policies = {name: written(folder / "policies" / name, rules) for name in NAMES} if cautious else {}
    return sites(folder, openers, policies=policies)


def seen(heard: list[tuple[Request, Reply | Refusal]]) -> list[Any]:
    """Return all that one site lets out without noise."""
    return [exact(request, answer) for request, answer in heard if request.site == "east"]


def exact(request: Request, answer: Reply | Refusal) -> Any:
    if isinstance(answer, Refusal):
        return request.task, answer.complaints
    words = {name: value for name, value in answer.content.items() if name not in ("metrics", "privacy")}
    privacy = {name: value for name, value in answer.content.get("privacy", {}).items() if name != "head"}
    plain = {name: array.tolist() for name, array in answer.arrays.items() if name in ("sums/rows", "update/weight")}
    shapes = {name: array.shape for name, array in answer.arrays.items()}
    finite = all(np.isfinite(array).all() for array in answer.arrays.values())
    return request.task, words, privacy, plain, shapes, finite


@pytest.mark.parametrize("cautious", [False, True], ids=["open", "under a policy"])
@pytest.mark.parametrize("others_blue", [True, False], ids=["among others", "alone"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_without_noise_tells_who_a_patient_is(
    attack: str, others_blue: bool, cautious: bool, tmp_path: Path
) -> None:
    study_asked = asked(ATTACKS[attack])
    other = {"age": 50.0, "dose": 0.0, "colour": "clear", "sick": 0}
    found = [
        seen(overheard(study_asked, hospitals(tmp_path / name, who, others_blue=others_blue, cautious=cautious)))
        for name, who in (("a", KNOWN), ("b", other))
    ]
    assert found[0] == found[1]
    assert {"describe", "prepare", "train", "evaluate"} <= {task for task, *_ in found[0]}


NUMBER: dict[str, Override] = {
    "data": {"target": "dose", "features": ["age", "colour"]},
    "model": {"kind": "linear"},
    "privacy": {"dp": {**PLAIN, "categories": {"colour": DECLARED["categories"]["colour"]}}},
}
FORGED: dict[str, dict[str, Any]] = {
    "no spread": {"spread": 0.0, "centre": 2.5},
    "not a number": {"spread": float("nan")},
    "overflow": {"spread": 1e-300, "centre": 2.5},
}


def unnoised(
    study_asked: Study, forge: Callable[[Request], Request], patient: Mapping[str, Any], folder: Path
) -> list[Any]:
    """Return what a site lets out without noise to a hub that forges the requests of a sound run."""
    heard = overheard(study_asked, hospitals(folder / "sound", patient, others_blue=True, cautious=False))
    east = hospitals(folder / "forged", patient, others_blue=True, cautious=False)["east"]
    asked_again = [request for request, _ in heard if request.site == "east" and request.task != "describe"]
    plain = [
        replace(one, content={key: value for key, value in one.content.items() if key != LEDGERS})
        for one in asked_again
    ]
    return [exact(request, east.answer(request)) for request in map(forge, plain)]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("forged", FORGED)
def test_a_recipe_that_makes_numbers_of_one_patient_that_are_none_shows_nobody(forged: str, tmp_path: Path) -> None:
    """(y − 2.5) / 0 is no number for whoever has 2.5: the sum of errors would be none, noise or not."""

    def forge(request: Request) -> Request:
        content = dict(request.content)
        if "recipe" in content:
            content["recipe"] = {**content["recipe"], **FORGED[forged]}
        return replace(request, content=content)

    first, second = (
        unnoised(asked(NUMBER), forge, {**KNOWN, "dose": dose}, tmp_path / name)
        for name, dose in (("a", 2.5), ("b", 0))
    )
    assert first == second
    assert [seen[-1] for seen in first] == [True] * 4


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("change", [{"privacy": {"dp": PLAIN}}, NUMBER], ids=["classes", "a number"])
def test_weights_so_large_that_one_patients_score_is_no_number_show_nobody(
    change: dict[str, Override], tmp_path: Path
) -> None:
    """Weights of 3e38 and −3e38 give infinity less infinity for whoever is far out in both columns."""

    def forge(request: Request) -> Request:
        huge = {
            name: np.where(np.arange(array.size) % 2, -3e38, 3e38).astype(array.dtype)
            for name, array in request.arrays.items()
        }
        return replace(request, arrays=huge)

    other = {"age": 50.0, "dose": 0.0, "colour": "clear", "sick": 0}
    first, second = (unnoised(asked(change), forge, who, tmp_path / name) for name, who in (("a", KNOWN), ("b", other)))
    assert first == second
    assert [seen[-1] for seen in first] == [True] * 4


UNFIT: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "a category less": lambda recipe: {
        "features": [{**one, "categories": one["categories"][:1]} for one in recipe["features"]]
    },
    "a class less": lambda _: {"class_counts": [5]},
    "other classes": lambda recipe: {"outcome": {**recipe["outcome"], "classes": ["0"]}},
    "the site's own range": lambda _: {"scale": "min-max-per-site"},
}


@pytest.mark.parametrize("unfit", UNFIT)
def test_a_recipe_that_fails_for_one_patient_or_reads_extremes_fails_for_all(unfit: str, tmp_path: Path) -> None:
    """Whoever has the category that is missing would make the site fail; the ends of a range are two patients."""

    def forge(request: Request) -> Request:
        content = dict(request.content)
        if "recipe" in content:
            content["recipe"] = {**content["recipe"], **UNFIT[unfit](content["recipe"])}
        return replace(request, content=content)

    change: dict[str, Override] = {"training": {"class_weight": "balanced"}, "privacy": {"dp": PLAIN}}
    _, *rest = unnoised(asked(change), forge, KNOWN, tmp_path)
    assert {complaints[0].what for _, complaints in rest} == {
        "the preprocessing that the hub sends is not made for what the study declares"
    }
