"""Each rule of a written policy refuses or changes what it should, and lets pass what it should.

Every key of the policy's language stands in the table below: in one case the key lets the study through or the answer
out, in the other the same study is refused with the rule's name, or something of the answer is another one. A key that
is added to the language and not to this table fails the first test.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medfl.events import Noticed, RunFinished
from medfl.messages import Refusal, Reply, Request
from medfl.site import leaving
from medfl.site.remembered import Remembered
from medfl.site.rules import Rules
from medfl.site.rules_reading import parse
from medfl.site.rules_template import template
from medfl.site.written import Written
from medfl.spec.anatomy import parts_of
from medfl.spec.part import Part
from medfl.spec.privacy import DifferentialPrivacy
from medfl.spec.study import Study
from medfl.testing.federation import in_process, overheard, rehearse, sites, study, table
from medfl.testing.policies import DETAILS, STATISTICS, rules, written


@dataclass(frozen=True)
class Case:
    """A rule's two ways.

    Parameters
    ----------
    closed
        Laid over the open policy: with it the study is refused by `rule`, or the answer is another one.
    opened
        Laid over it instead: with it the study goes through, and with :attr:`refused` unset is told as it is.
    rule
        The rule that refuses; None where it changes what is told.
    asked
        What is asked for.
    """

    closed: Mapping[str, Any]
    opened: Mapping[str, Any] = field(default_factory=dict)
    rule: str | None = None
    asked: Study = field(default_factory=lambda: study(evaluation={"baselines": ["local-only"]}))


GROUPED = study(evaluation={"subgroups": {"colour": {"column": "colour"}}, "smallest_group": 4, "test_fraction": 0.5})
TESTED = study(evaluation={"id_column": "number", "test_ids": dict.fromkeys(("east", "north", "west"), "ids.txt")},
               data={"features": ["age", "dose", "colour"]})  # fmt: skip
ROUND = {"counts": {"treatment": "round", "base": 7}}
NOISE = {"counts": {"treatment": "noise"}}
IMPORTANCE = study(evaluation={"importance": {"repeats": 1}})
COLOURS = {"colour": {"codes": {"blue": "amber"}}}
HARMONISED = study(data={"harmonise": {"east": {"columns": COLOURS}}})
NARROW = study(data={"target": "sick", "features": ["age", "colour"]})


CASES: dict[str, Case] = {
    "accepts.studies": Case(
        {"accepts": {"studies": ("other",)}}, {"accepts": {"studies": ("tiny",)}}, "accepts.studies"
    ),
    "accepts.models": Case({"accepts": {"models": ("mlp",)}}, {"accepts": {"models": ("logistic",)}}, "accepts.models"),
    "accepts.algorithms": Case(
        {"accepts": {"algorithms": ("fedprox",)}}, {"accepts": {"algorithms": ("fedavg",)}}, "accepts.algorithms"
    ),
    "accepts.columns": Case(
        {"accepts": {"columns": ("age", "sick")}},
        {"accepts": {"columns": ("age", "colour", "sick", "number", "dose")}},
        "accepts.columns",
        NARROW,
    ),
    "accepts.minimum_rows": Case({"accepts": {"minimum_rows": 200}}, {}, "accepts.minimum_rows"),
    "accepts.maximum_rounds": Case(
        {"accepts": {"maximum_rounds": 1}}, {"accepts": {"maximum_rounds": 2}}, "accepts.maximum_rounds"
    ),
    "accepts.harmonise": Case({}, {"accepts": {"harmonise": True}}, "accepts.harmonise", HARMONISED),
    "accepts.test_lists": Case({}, {"accepts": {"test_lists": True}}, "accepts.test_lists", TESTED),
    "requires.secure_aggregation": Case(
        {"requires": {"secure_aggregation": True}}, {}, "requires.secure_aggregation"
    ),
    "requires.epsilon": Case({"requires": {"epsilon": {"record": 1.0}}}, {}, "requires.epsilon"),
    "releases.statistics": Case({"releases": {"statistics": ("sums",)}}, {}, "releases.statistics"),
    "releases.details": Case({"releases": {"details": ("missing",)}}, {}, "releases.details"),
    "releases.metrics": Case({"releases": {"metrics": ("auc",)}}, {}),
    "releases.ranges": Case({"releases": {"ranges": "rounded"}}, {}),
    "releases.categories": Case({"releases": {"categories": "pooled"}, "counts": {"minimum": 4}}, {}),
    "releases.errors": Case({"releases": {"errors": "kind"}}, asked=study(data={"positive": "> a"})),
    "counts.minimum": Case({"counts": {"minimum": 5}}, {}, "counts.minimum", GROUPED),
    "counts.treatment": Case(ROUND, {}),
    "counts.base": Case(ROUND, {"counts": {"treatment": "round", "base": 9}}),
    "counts.unbiased": Case({"counts": {**ROUND["counts"], "unbiased": False}}, ROUND),
    "counts.noise": Case({"counts": {**NOISE["counts"], "noise": 30.0}}, NOISE),
    "counts.minimum_test_rows": Case({"counts": {"minimum_test_rows": 100}}, {}),
}  # fmt: skip
UNITS = ("record", "patient", "site")


def keys(part: type[Part], prefix: str = "") -> list[str]:
    """Return every key that a policy may have, dotted."""
    found = []
    for name, one in part.model_fields.items():
        parts = parts_of(one)
        found += keys(parts[0], f"{prefix}{name}.") if parts else [f"{prefix}{name}"]
    return found


def test_every_key_has_a_case() -> None:
    bounds = {f"requires.epsilon.{unit}" for unit in UNITS}
    # Approval is asked for by the reception of an enrolled site, not by the policy.
    elsewhere = {"version", "counts.minimum_difference", "budget.epsilon", "budget.delta", "approval.mode"}
    elsewhere |= {"accepts.patient_id", "requires.delta", "releases.catalogue"}
    # What is told without a study: tests/site/test_balance.py and tests/site/test_machine.py.
    elsewhere |= {"releases.label_balance", "releases.hardware"}
    assert {*keys(Rules)} == ({*CASES} - {"requires.epsilon"}) | bounds | elsewhere


def hospital() -> pd.DataFrame:
    """Return a table with a rare category, and an ID."""
    frame = table(90, 4)
    frame.loc[[3, 50], "colour"] = "violet"
    frame.loc[[5, 6], "dose"] = np.nan
    return frame.assign(number=[f"n{row}" for row in range(90)])


def answers(allowed: Rules, asked: Study, folder: Path) -> list[tuple[Request, Reply | Refusal]]:
    folder.mkdir(exist_ok=True)
    (folder / "ids.txt").write_text("\n".join(f"n{row}" for row in range(0, 60, 3)), encoding="utf-8")
    asked = asked.overridden({"preprocess": {"impute": "median"}})
    if asked.data.features is None:
        asked = asked.overridden({"data": {"features": ["age", "dose", "colour"]}})
    policies = {"east": Written(allowed, Remembered(folder / "memory"))}
    everyone = dict.fromkeys(("east", "north", "west"), hospital)
    heard = overheard(asked, sites(folder, everyone, policies=policies))
    return [(request, answer) for request, answer in heard if request.site == "east"]


def spoken(heard: list[tuple[Request, Reply | Refusal]]) -> str:
    return json.dumps(
        [
            [answer.reason]
            if isinstance(answer, Refusal)
            else [dict(answer.content), {name: array.tolist() for name, array in answer.arrays.items()}]
            for _, answer in heard
        ]
    )


@pytest.mark.parametrize("key", CASES)
def test_a_rule_refuses_or_changes(tmp_path: Path, key: str) -> None:
    case = CASES[key]
    closed = answers(rules(case.closed), case.asked, tmp_path / "closed")
    opened = answers(rules(case.opened), case.asked, tmp_path / "opened")
    assert spoken(closed) != spoken(opened)
    if case.rule is None:
        return
    refusals = [answer for _, answer in closed if isinstance(answer, Refusal)]
    assert refusals
    for refusal in refusals:
        assert refusal.code == "refused"
        assert f"rule {case.rule}: the site's policy says no: " in refusal.reason
        assert "\n  → " in refusal.reason, "a remedy"
        assert "ask east" not in refusal.reason, "a remedy of its own"


@pytest.mark.parametrize("key", [key for key, case in CASES.items() if key != "releases.errors"])
def test_a_rule_lets_pass(tmp_path: Path, key: str) -> None:
    heard = answers(rules(CASES[key].opened), CASES[key].asked, tmp_path)
    assert [answer.reason for _, answer in heard if isinstance(answer, Refusal)] == []
    assert {request.task for request, _ in heard} >= {"describe", "prepare", "train", "evaluate"}


def test_the_open_policy_tells_what_none_tells(tmp_path: Path) -> None:
    groups = {"colour": {"column": "colour"}}
    asked = study(
        evaluation={"baselines": ["local-only"], "importance": {"repeats": 1}, "subgroups": groups},
        data={"features": ["age", "dose", "colour"]},
        preprocess={"impute": "median"},
    )
    everyone = dict.fromkeys(("east", "north", "west"), hospital)
    plain = [
        (request, answer)
        for request, answer in overheard(asked, sites(tmp_path / "plain", everyone))
        if request.site == "east"
    ]
    assert spoken(answers(rules(), asked, tmp_path / "ruled")) == spoken(plain)


def test_a_digest_names_a_study(tmp_path: Path) -> None:
    asked = study(data={"features": ["age", "dose", "colour"]}, preprocess={"impute": "median"})
    other = asked.overridden({"algorithm": {"rounds": 1}})
    allowed = rules({"accepts": {"studies": (asked.arms["base"].digest[:16],)}})
    assert all(isinstance(answer, Reply) for _, answer in answers(allowed, asked, tmp_path / "same"))
    assert all(isinstance(answer, Refusal) for _, answer in answers(allowed, other, tmp_path / "other"))


def test_nothing_leaves_under_a_policy_that_says_nothing(tmp_path: Path) -> None:
    allowed = parse("", source="policy.toml")
    heard = answers(allowed, study(), tmp_path)
    assert heard
    assert all(isinstance(answer, Refusal) for _, answer in heard)


@pytest.mark.parametrize("left_out", [*STATISTICS])
def test_a_statistic_that_is_not_named_is_told_as_zero_or_refused(tmp_path: Path, left_out: str) -> None:
    allowed = rules({"releases": {"statistics": tuple(name for name in STATISTICS if name != left_out)}})
    asked = IMPORTANCE.overridden({"evaluation": {"subgroups": {"colour": {"column": "colour"}}}})
    for request, answer in answers(allowed, asked, tmp_path):
        if left_out in ("sums", "update"):
            assert isinstance(answer, Refusal)
            continue
        assert isinstance(answer, Reply), answer.reason
        assert not any(array.any() for name, array in answer.arrays.items() if name.startswith(f"{left_out}/"))
        if request.task == "evaluate":
            assert "the site's policy" in answer.content["policy"][0]
        if request.task == "evaluate" and left_out == "subgroups":
            assert answer.content["subgroups"]["colour"] == {"withheld": True, "shown": [], "suppressed": []}


@pytest.mark.parametrize("left_out", [*DETAILS])
def test_a_detail_that_is_not_named_stays(tmp_path: Path, left_out: str) -> None:
    allowed = rules({"releases": {"details": tuple(name for name in DETAILS if name != left_out)}})
    said: dict[str, Any] = {}
    for request, answer in answers(allowed, study(), tmp_path):
        if left_out == "rows":
            assert isinstance(answer, Refusal)
            return
        assert isinstance(answer, Reply), answer.reason
        said |= {f"{request.task}/{name}": words for name, words in answer.content.items()}
    metrics = [value for words in (said["train/metrics"], said["evaluate/metrics"]) for value in words.values()]
    columns = said["describe/schema"]["columns"]
    told = {
        "missing": sum(column["missing"] for column in columns) > 0,
        "classes": bool(said["prepare/rows"]["train_classes"]),
        "other-columns": "number" in said["describe/schema"]["unused"],
        "loss": "train/loss" in said,
        "metrics": any(value is not None for value in metrics),
        "intervals": bool(said["evaluate/intervals"]),
    }
    # Without its metrics, nothing is told of their intervals either.
    assert [name for name, is_told in told.items() if not is_told] == sorted(
        {left_out, *(["intervals"] if left_out == "metrics" else [])}, key=[*told].index
    )


@pytest.mark.parametrize("unit", UNITS)
def test_an_epsilon_is_bounded_by_its_unit(unit: str) -> None:
    from medfl.site.admission import of_study

    allowed = rules({"requires": {"epsilon": {unit: 3.0}}})
    asked = study()

    def said(epsilon: float, of: str) -> bool:
        of_patients = {"patient_id": "number"} if of == "patient" else {}
        protected = DifferentialPrivacy.model_validate({"unit": of, "epsilon": epsilon, **of_patients})
        privacy = asked.privacy.model_copy(update={"dp": protected})
        with_dp = asked.model_copy(update={"privacy": privacy})
        return all(verdict.allowed for verdict in of_study(allowed, with_dp) if verdict.rule == "requires.epsilon")

    assert said(3.0, unit)
    assert said(0.5, unit)
    assert not said(3.1, unit)
    assert not any(said(0.5, other) for other in UNITS if other != unit)


def test_what_is_summed_securely_is_left_as_it_is(tmp_path: Path) -> None:
    """The hub sees the sum only, so that counts in it need no change; what the site says of itself does."""
    asked = study(data={"features": ["age", "dose", "colour"]}, preprocess={"impute": "median"})
    allowed = rules({"counts": {"minimum": 5, "minimum_test_rows": 10}, "requires": {"secure_aggregation": True}})
    heard = overheard(asked, sites(tmp_path, dict.fromkeys(("east", "north", "west"), hospital)))
    site = sites(tmp_path, {"east": hospital})["east"]
    for request, plain in heard:
        if request.site != "east":
            continue
        assert isinstance(plain, Reply)
        found = {secure: released(site, request, plain, allowed, secure=secure) for secure in (True, False)}
        kept = found[True].statistic
        assert all((kept[name] == array).all() for name, array in plain.arrays.items())
        said = [{name: words for name, words in one.content.items() if name != "policy"} for one in found.values()]
        assert said[0] == said[1]
        changed = [name for name, array in plain.arrays.items() if (found[False].statistic[name] != array).any()]
        assert bool(changed) == (request.task != "describe"), request.task


def released(site: Any, request: Request, plain: Reply, allowed: Rules, *, secure: bool) -> Any:
    from medfl.learn.statistic import Statistic
    from medfl.site.looking import Looking
    from medfl.site.policy import Release

    asked, _ = site.desk.study(request.study)
    facts = Looking(site.desk, asked, request)
    release = Release(
        request=request,
        study=asked,
        content=plain.content,
        statistic=Statistic(plain.arrays),
        facts=facts,
        secure=secure,
    )
    return leaving.changed(allowed, release)


def test_in_clear_nothing_is_summed_where_it_must_be_secure(tmp_path: Path) -> None:
    """Two sites are too few to be hidden: a study that leaves it open asks them in clear."""
    policies = {"east": written(tmp_path, {"requires": {"secure_aggregation": True}})}
    everyone = sites(tmp_path, dict.fromkeys(("east", "west"), hospital), policies=policies)
    two = {name: site for name, site in everyone.items() if name != "north"}
    open_study = study(
        privacy={"secure_aggregation": None}, preprocess={"impute": "median"}, data={"features": ["age", "dose"]}
    )
    heard = overheard(open_study, two)
    by_task = {request.task: answer for request, answer in heard if request.site == "east"}
    assert isinstance(by_task["describe"], Reply), "no sum is in it"
    assert isinstance(by_task["prepare"], Refusal)
    assert "rule requires.secure_aggregation" in by_task["prepare"].reason


def test_a_study_that_wants_its_sums_seen_is_not_admitted_there(tmp_path: Path) -> None:
    heard = answers(rules({"requires": {"secure_aggregation": True}}), study(), tmp_path)
    (refusal,) = (answer for _, answer in heard)
    assert isinstance(refusal, Refusal)
    assert "rule requires.secure_aggregation" in refusal.reason


def test_a_rare_outcome_keeps_the_site_out(tmp_path: Path) -> None:
    allowed = rules({"counts": {"minimum": 5, "minimum_test_rows": 2}})
    heard = answers(allowed, study(data={"target": "colour", "features": ["age"]}), tmp_path)
    (refusal,) = (answer for _, answer in heard)
    assert isinstance(refusal, Refusal)
    assert "rule counts.minimum: the site's policy says no: an outcome has fewer than 5 patients" in refusal.reason
    assert "violet" not in refusal.reason


def test_the_values_of_a_numeric_outcome_are_no_classes_to_be_named(tmp_path: Path) -> None:
    """With more than twenty of them the outcome is a number, and each may be one patient's."""

    def stays() -> pd.DataFrame:
        return hospital().assign(days=np.arange(90) % 30)

    asked = study(data={"target": "days", "features": ["age"]}, model={"kind": "mlp", "hidden": [2]})
    policies = {"east": written(tmp_path, {"counts": {"minimum": 5}, "releases": {"categories": "pooled"}})}
    heard = overheard(asked, sites(tmp_path, dict.fromkeys(("east", "north", "west"), stays), policies=policies))
    mine = [answer for request, answer in heard if request.site == "east"]
    assert all(isinstance(answer, Reply) for answer in mine)
    assert len(mine) > 3
    (days,) = (one for one in mine[0].content["schema"]["columns"] if one["name"] == "days")  # type: ignore[union-attr]
    assert days["categories"] == []


@pytest.mark.parametrize(("how", "told"), [("all", "violet"), ("pooled", "(other)"), ("withheld", None)])
def test_rare_categories(tmp_path: Path, how: str, told: str | None) -> None:
    asked = study(data={"features": ["age", "colour"]})
    allowed = rules({"releases": {"categories": how}, "counts": {"minimum": 4}})
    heard = answers(allowed, asked, tmp_path)
    (schema,) = (answer.content["schema"] for request, answer in heard if request.task == "describe")  # type: ignore[union-attr]
    (colour,) = (column for column in schema["columns"] if column["name"] == "colour")
    assert colour["categories"] == sorted({"amber", "blue", "clear", *([told] if told else [])})


def test_the_template_is_a_policy_and_releases_nothing_before_a_study_is_named() -> None:
    allowed = parse(template(), source="policy.toml")
    assert allowed.accepts.studies == ()
    assert allowed.requires.secure_aggregation
    assert allowed.releases.categories == "pooled"


def test_the_budget_is_there_for_the_ledger(tmp_path: Path) -> None:
    assert written(tmp_path).budget is None
    budget = written(tmp_path, {"budget": {"epsilon": 8.0, "delta": 1e-6}}).budget
    assert budget is not None
    assert (budget.epsilon, budget.delta) == (8.0, 1e-6)


TREATMENTS: dict[str, dict[str, Any]] = {
    "a lot suppressed": {"treatment": "suppress", "minimum": 20},
    "rounded to fifties": {"treatment": "round", "base": 50},
    "some noise": {"treatment": "noise", "noise": 5.0},
    "more noise than patients": {"treatment": "noise", "noise": 300.0},
}


@pytest.mark.parametrize("how", TREATMENTS)
@pytest.mark.parametrize(
    "changes",
    [
        {"preprocess": {"impute": "median"}, "training": {"class_weight": "balanced"}},
        {"preprocess": {"impute": "mean", "scale": "min-max"}},
        {"preprocess": {"impute": "most-frequent-per-site", "scale": "standard-per-site"}},
        {"data": {"target": "dose", "features": ["age", "colour"]}, "model": {"kind": "linear"}},
    ],
)
def test_a_study_runs_to_its_end_however_counts_are_changed(tmp_path: Path, how: str, changes: dict[str, Any]) -> None:
    """What adds up at the hub then fits together badly, and must still give a model, and say what was changed."""
    asked = study(**{"data": {"features": ["age", "dose", "colour"]}, **changes})
    everyone = dict.fromkeys(("east", "north", "west"), hospital)
    policies = {name: written(tmp_path / name, {"counts": TREATMENTS[how]}) for name in everyone}
    events, error = rehearse(asked, in_process(sites(tmp_path, everyone, policies=policies)))
    assert error is None
    assert any(isinstance(event, Noticed) and "the site's policy" in event.text for event in events)
    assert isinstance(events[-1], RunFinished)
