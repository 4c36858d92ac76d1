"""Two answers that differ by one patient, subtracted: what is left is that patient.

What was tried: two studies whose training rows differ by one (a split a little larger; a row dropped because another
feature is asked for; a patient that came between), two outcomes whose patients differ by one, two groups that differ by
one within a study and across two, three studies that only together differ by one, a refused study that is asked again
after a restart, and the memory taken away. What came of it: without a policy the patient's values come out to the last
digit; with one, the second answer is refused, durably. The third of three studies is not: the last test shows it, and
the documentation says so.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medfl.errors import StoreError
from medfl.learn.data.sheet import Sheet
from medfl.messages import Refusal, Reply
from medfl.site.policy import Policy
from medfl.site.remembered import FILE, Remembered
from medfl.spec.study import Study
from medfl.testing.federation import overheard, sites, study, table
from medfl.testing.policies import written

COUNTS = {"counts": {"minimum": 5, "minimum_test_rows": 20, "minimum_difference": 5}}
FEATURES = {"target": "sick", "features": ["age", "colour"]}
ONE = 17


def policy(folder: Path) -> Policy:
    return written(folder, COUNTS)


def everybody() -> pd.DataFrame:
    """A table in which one patient has no dose."""
    frame = table(200, 3)
    frame.loc[ONE, "dose"] = np.nan
    return frame


def without_one() -> pd.DataFrame:
    return everybody().drop(index=ONE).reset_index(drop=True)


def told(
    asked: Study, opener: Callable[[], pd.DataFrame], allows: Policy | None, folder: Path
) -> list[Reply | Refusal]:
    """Return what a site answers, in the order in which it was asked."""
    policies = {} if allows is None else {"east": allows}
    heard = overheard(asked, sites(folder, {"east": opener}, policies=policies))
    return [answer for request, answer in heard if request.site == "east" and request.task != "describe"]


def asking(name: str, **changes: dict[str, Any]) -> Study:
    changes = {"data": FEATURES, "evaluation": {"test_fraction": 0.3, "split_seed": 1}, **changes}
    return study(study={"name": name}, **changes)


LATE = {"target": "sick", "features": ["age", "colour", "dose"]}
BY_AGE = {"target": "colour", "features": ["dose"], "positive": "blue"}
GROUPS = {"test_fraction": 0.5, "split_seed": 1, "smallest_group": 5}


def grouped(cut: float) -> dict[str, Any]:
    return {**GROUPS, "subgroups": {"age": {"column": "age", "cuts": [cut]}}}


AGES = np.sort(everybody()["age"].to_numpy())


def between(place: int) -> float:
    """Return a cut with so many patients below it."""
    return float((AGES[place - 1] + AGES[place]) / 2) if AGES[place] > AGES[place - 1] else between(place + 1)


PAIRS: dict[str, tuple[Study, Study]] = {
    "a row that another feature drops": (
        asking("first", preprocess={"impute": "drop"}),
        asking("second", data=LATE, preprocess={"impute": "drop"}),
    ),
    "a split a little larger": (
        asking("first", evaluation={"test_fraction": 0.3, "split_seed": 1}),
        asking("second", evaluation={"test_fraction": 0.305, "split_seed": 1}),
    ),
    "an outcome with one patient more": (
        asking("first", data={"target": "age", "positive": f"> {between(100)}", "features": ["colour"]}),
        asking("second", data={"target": "age", "positive": f"> {between(101)}", "features": ["colour"]}),
    ),
    "a group with one patient more": (
        asking("first", evaluation=grouped(between(100))),
        asking("second", evaluation=grouped(between(102))),
    ),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_the_second_of_two_studies_that_differ_by_a_few_is_refused(tmp_path: Path, pair: str) -> None:
    allows = policy(tmp_path)
    first, second = (told(asked, everybody, allows, tmp_path / asked.study.name) for asked in PAIRS[pair])
    assert all(isinstance(answer, Reply) for answer in first)
    (refusal,) = (answer for answer in second if isinstance(answer, Refusal))
    assert "rule counts.minimum_difference" in refusal.reason
    assert "could be subtracted" in refusal.reason
    assert second == [refusal], "and nothing of it leaves"


@pytest.mark.parametrize("pair", PAIRS)
def test_without_a_policy_both_are_answered(tmp_path: Path, pair: str) -> None:
    for asked in PAIRS[pair]:
        assert all(isinstance(one, Reply) for one in told(asked, everybody, None, tmp_path / asked.study.name))


def sums(asked: Study, opener: Callable[[], pd.DataFrame], allows: Policy | None, folder: Path) -> Reply | Refusal:
    return told(asked, opener, allows, folder)[0]


def test_what_the_subtraction_gives(tmp_path: Path) -> None:
    """The age of the patient who came between two studies, to the last digit; and what the policy makes of it."""
    # The splits are drawn, so that both studies train on all but a few: the attacker names who is not.
    (tmp_path / "ids.txt").write_text("\n".join(str(row) for row in range(60)), encoding="utf-8")
    by_list = {"id_column": "number", "test_ids": {"east": "ids.txt", "north": "ids.txt", "west": "ids.txt"}}
    asked = asking("before", evaluation=by_list)
    frame = everybody().assign(number=range(200), dose=0.0)
    late = frame.drop(index=150)

    def opener(of: pd.DataFrame) -> Callable[[], pd.DataFrame]:
        return of.copy

    def age_sum(answer: Reply) -> float:
        ages = (frame["age"].max() + frame["age"].min()) / 2
        return float(answer.arrays["sums/sum"][0] + ages * answer.arrays["sums/count"][0])

    def both(allows: Policy | None) -> list[Reply | Refusal]:
        folder = tmp_path
        everyone = {name: opener(frame) for name in ("north", "west")}
        found: list[Reply | Refusal] = []
        for of in (late, frame):
            hospitals = sites(folder, {**everyone, "east": opener(of)}, policies={"east": allows} if allows else {})
            heard = overheard(asked, hospitals)
            found.append(next(a for r, a in heard if r.site == "east" and r.task == "prepare"))
        return found

    before, after = both(None)
    assert isinstance(before, Reply)
    assert isinstance(after, Reply)
    assert age_sum(after) - age_sum(before) == pytest.approx(frame["age"][150]), "the attack works without a policy"
    before, after = both(written(tmp_path, COUNTS, {"accepts": {"test_lists": True}}))
    assert isinstance(before, Reply)
    assert isinstance(after, Refusal)
    assert "minimum_difference" in after.reason


def test_the_memory_outlives_the_program_and_the_order_of_rows(tmp_path: Path) -> None:
    first, second = PAIRS["a row that another feature drops"]
    told(first, everybody, policy(tmp_path), tmp_path / "first")
    shuffled = everybody().sample(frac=1, random_state=1).reset_index(drop=True)
    again = asking("again", data=FEATURES, preprocess={"impute": "drop"})
    assert all(isinstance(one, Reply) for one in told(again, everybody, policy(tmp_path), tmp_path / "again"))
    refused = told(second, everybody, policy(tmp_path), tmp_path / "second")
    assert isinstance(refused[0], Refusal)
    prints = [np.sort(Sheet(frame).prints()) for frame in (everybody(), shuffled)]
    assert (prints[0] == prints[1]).all()


def test_a_value_that_is_called_missing_is_not_counted_by_difference(tmp_path: Path) -> None:
    """How many are 62? Ask how many values are missing if 60 means missing, and again if 60 and 62 do."""

    def opener() -> pd.DataFrame:
        frame = table(200, 3)
        frame = frame.assign(age=frame["age"].round(-1))
        frame.loc[ONE, "age"] = 62
        return frame

    def missing(*spellings: str, allows: Policy | None) -> int | Refusal:
        asked = study(data={"target": "sick", "features": ["age"], "missing": list(spellings)})
        heard = overheard(asked, sites(tmp_path, {"east": opener}, policies={"east": allows} if allows else {}))
        answer = next(answer for request, answer in heard if request.site == "east")
        if isinstance(answer, Refusal):
            return answer
        return int(next(one["missing"] for one in answer.content["schema"]["columns"] if one["name"] == "age"))

    open_ = [missing("60", allows=None), missing("60", "62", allows=None)]
    assert isinstance(open_[0], int)
    assert open_[1] == open_[0] + 1, "the attack works without a policy"
    allows = policy(tmp_path)
    assert missing("60", allows=allows) == open_[0]
    refused = missing("60", "62", allows=allows)
    assert isinstance(refused, Refusal)
    assert "the patients without a value in a column would differ by fewer than 5" in refused.reason
    assert missing("60", allows=allows) == open_[0]


def test_two_studies_at_the_same_moment_are_not_both_answered(tmp_path: Path) -> None:
    """Eight studies that differ by one patient each, asked at once by processes of their own memory of the one file."""
    rows = np.arange(300, dtype=np.uint64)
    start = Barrier(8)

    def asked(number: int) -> str | None:
        memory = Remembered(tmp_path)
        start.wait(timeout=60)
        return memory.too_near({"rows/train": np.delete(rows, number)}, fewest=5)

    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(asked, range(8))]
    assert sorted(map(str, found)) == ["None", *["rows"] * 7]


def test_a_refused_set_is_not_remembered_as_told(tmp_path: Path) -> None:
    memory = Remembered(tmp_path)
    rows = np.arange(100, dtype=np.uint64)
    assert memory.too_near({"rows/train": rows}, fewest=5) is None
    assert memory.too_near({"rows/train": rows[:40], "group/a": rows, "rows/test": rows[1:]}, fewest=5) == "rows"
    assert Remembered(tmp_path).too_near({"group/b": rows[:-1]}, fewest=5) is None, "the group was not told"
    assert memory.too_near({"rows/train": rows[:42]}, fewest=5) is None, "nor were the forty"


def test_two_groupings_of_one_study_are_compared_too(tmp_path: Path) -> None:
    """Age and a column that says nearly the same, in one study."""
    asked = asking(
        "both",
        evaluation={
            **GROUPS,
            "subgroups": {"age": {"column": "age", "cuts": [60]}, "old": {"column": "old"}},
        },
    )

    def opener() -> pd.DataFrame:
        frame = everybody()
        old = (frame["age"] >= 60).astype(str)
        old.iloc[int(np.argmax(frame["age"] >= 60))] = "False"
        return frame.assign(old=old)

    both = dict.fromkeys(("east", "north", "west"), opener)
    heard = overheard(asked, sites(tmp_path, both, policies={"east": policy(tmp_path)}))
    answers = [answer for request, answer in heard if request.site == "east" and request.task == "prepare"]
    frame = opener()
    train_or_test = frame["age"].ge(60).astype(str).ne(frame["old"])
    assert train_or_test.sum() == 1
    refused = [answer for answer in answers if isinstance(answer, Refusal)]
    # The one patient is a test row in half of all splits; only then do the groups differ.
    rows = sites(tmp_path, both)["east"].desk
    request = next(request for request, _ in heard if request.site == "east" and request.task == "prepare")
    test = rows.parts(asked, request)[1].kept
    assert bool(refused) == bool(train_or_test.to_numpy()[test].any())


def test_a_memory_that_is_broken_keeps_everything_in(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()
    (memory / FILE).write_bytes(b"no database" * 1000)
    (refusal,) = told(asking("first"), everybody, policy(tmp_path), tmp_path)
    assert isinstance(refusal, Refusal)
    assert refusal.code == StoreError.code
    assert "without it nothing leaves" in refusal.reason


def test_three_answers_that_only_together_single_out_a_patient_are_not_caught(tmp_path: Path) -> None:
    """What is documented as beyond the rule: A, B and their union but one differ by many from each other."""
    memory = Remembered(tmp_path)
    rows = np.arange(100, dtype=np.uint64)
    for name, of in {"a": rows[:50], "b": rows[50:], "all but one": rows[:-1]}.items():
        assert memory.too_near({f"rows/{name}": of}, fewest=5) is None
