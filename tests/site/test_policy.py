"""The site has the last word: a policy's no is a refusal with its rule and its reason, before and after the work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medfl.errors import RefusedError
from medfl.learn.data.prints import Prints
from medfl.learn.statistic import Statistic
from medfl.messages import Refusal, Request
from medfl.site.admission import of_study
from medfl.site.policy import RELEASED_ARRAYS, RELEASED_WORDS, AllButRows, Facts, Release, Verdict
from medfl.spec.study import Study
from medfl.testing.federation import in_process, overheard, rehearse, sites, study
from medfl.testing.policies import rules

REQUEST = Request(run="a", round=1, site="east", task="train", study="{}", seed=7)


@dataclass(frozen=True)
class Strict(AllButRows):
    """Admits no training, or releases no losses."""

    training: bool = True
    losses: bool = True

    def admits(self, request: Request, study: Study, *, facts: Facts) -> Verdict:
        return Verdict(self.training or request.task != "train", "no-training", "the data may be counted only")

    def releases(self, release: Release) -> Verdict:
        return Verdict(self.losses or "loss" not in release.content, "no-losses", "a loss says too much")


@pytest.mark.parametrize(
    ("policy", "rule", "reason"),
    [
        (Strict(training=False), "no-training", "the data may be counted only"),
        (Strict(losses=False), "no-losses", "a loss says too much"),
    ],
    ids=["before the work", "after the work"],
)
def test_a_no_has_its_rule_and_its_reason(tmp_path: Path, policy: Strict, rule: str, reason: str) -> None:
    heard = overheard(study(), sites(tmp_path, policies={"east": policy}))
    refusals = [answer for _, answer in heard if isinstance(answer, Refusal)]
    assert [(answer.site, answer.code) for answer in refusals] == [("east", "refused")]
    assert refusals[0].reason == (
        f"rule {rule}: the site's policy says no: {reason}\n  → ask east to change its policy, or change the study"
    )


def test_what_the_work_found_does_not_leave_with_a_no(tmp_path: Path) -> None:
    heard = overheard(study(), sites(tmp_path, policies={"east": Strict(losses=False)}))
    (refusal,) = (answer for _, answer in heard if isinstance(answer, Refusal))
    assert not hasattr(refusal, "arrays")
    assert not hasattr(refusal, "content")


def test_the_default_takes_part_in_every_study() -> None:
    verdict = AllButRows().admits(REQUEST, study(), facts=Nothing())
    assert (verdict.allowed, verdict.rule) == (True, "open")
    assert verdict.reason


class Nothing:
    """Facts that nobody asks for."""

    def prints(self) -> Prints:
        raise NotImplementedError

    def counted(self, column: str) -> Mapping[str, int]:
        raise NotImplementedError

    def used(self) -> Mapping[str, Prints]:
        raise NotImplementedError


def release(arrays: Mapping[str, Any] | None = None, **content: object) -> Release:
    statistic = Statistic(arrays or {})
    return Release(request=REQUEST, study=study(), content=content, statistic=statistic, facts=Nothing())


def verdict_on(odd: Release) -> Verdict:
    found = AllButRows().releases(odd)
    assert isinstance(found, Verdict)
    return found


@pytest.mark.parametrize("name", RELEASED_ARRAYS)
def test_the_default_releases_what_is_known_to_hold_no_rows(name: str) -> None:
    words = dict.fromkeys(RELEASED_WORDS, 1)
    verdict = verdict_on(release({f"{name}/delta": np.ones(1)}, **words))
    assert (verdict.allowed, verdict.rule) == (True, "all-but-rows")


@pytest.mark.parametrize(
    ("odd", "named"),
    [
        (release({"features": np.ones((3, 2))}), "features"),
        (release({"updates/delta": np.ones(1)}), "updates/delta"),
        (release({"update/delta": np.ones(1), "rows/age": np.ones(1), "ids": np.ones(1)}), "ids, rows/age"),
        (release(patients=["Jane Roe"]), "patients"),
        (release({"table": np.ones(1)}, loss=1, trace="…"), "table, trace"),
    ],
)
def test_the_default_holds_back_what_it_does_not_know(odd: Release, named: str) -> None:
    verdict = verdict_on(odd)
    assert (verdict.allowed, verdict.rule) == (False, "all-but-rows")
    assert verdict.reason == f"not known to be free of rows: {named}"


def test_a_run_ends_with_the_sites_own_sentence(tmp_path: Path) -> None:
    _, error = rehearse(study(), in_process(sites(tmp_path, policies={"west": Strict(training=False)})))
    assert isinstance(error, RefusedError)
    assert error.exit_code == 2
    assert str(error).startswith("site west, round 1, rule no-training: the site's policy says no: ")


def test_the_column_that_tells_patients_apart_is_one_that_a_study_may_know_of() -> None:
    """Else the check says yes, and the site then does not find the column."""
    known: dict[str, dict[str, Any]] = {"accepts": {"columns": ("age", "sick")}}
    dp: dict[str, Any] = {"unit": "patient", "patient_id": "who", "epsilon": 1.0}
    asked = study(data={"target": "sick", "features": ["age"]}, privacy={"dp": dp})
    no = [verdict for verdict in of_study(rules(known), asked) if not verdict.allowed]
    assert [verdict.rule for verdict in no] == ["accepts.columns", "accepts.patient_id"]
    assert "'who'" in no[0].reason


@pytest.mark.parametrize("named", [None, "number"])
def test_a_study_does_not_make_patients_of_whomever_it_likes(named: str | None) -> None:
    """By a column such as a diagnosis, the numbers of rows on either side would count them, for no ε."""
    dp: dict[str, Any] = {"unit": "patient", "patient_id": "hiv", "epsilon": 1.0}
    asked = study(data={"target": "sick", "features": ["age"]}, privacy={"dp": dp})
    no = [verdict for verdict in of_study(rules({"accepts": {"patient_id": named}}), asked) if not verdict.allowed]
    assert [verdict.rule for verdict in no] == ["accepts.patient_id"]


def test_a_required_epsilon_bounds_delta_and_does_not_rest_on_the_hub() -> None:
    needed = rules({"requires": {"epsilon": {"record": 3.0, "site": 3.0}, "delta": 1e-6}})

    def said(**dp: Any) -> bool:
        asked = study(data={"target": "sick"}, privacy={"dp": {"epsilon": 1.0, **dp}})
        return all(verdict.allowed for verdict in of_study(needed, asked) if verdict.rule == "requires.epsilon")

    assert said(unit="record", delta=1e-6)
    assert not said(unit="record", delta=2e-6)
    assert not said(unit="record"), "left out, δ may be 1e-5"
    assert said(unit="site", delta=1e-7)
    assert not said(unit="site", delta=1e-7, noise="central")


def test_the_column_may_be_the_one_that_the_policy_names() -> None:
    dp: dict[str, Any] = {"unit": "patient", "patient_id": "who", "epsilon": 1.0}
    asked = study(data={"target": "sick", "features": ["age"]}, privacy={"dp": dp})
    known = {"accepts": {"columns": ("age", "sick", "who"), "patient_id": "who"}}
    assert all(verdict.allowed for verdict in of_study(rules(known), asked))
