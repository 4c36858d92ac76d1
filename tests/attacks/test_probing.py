"""A hub that probes: for the IDs of known patients, for files of the site, for more than the study says.

What was tried: lists of test IDs that lie elsewhere, by absolute paths, by ``..`` and through a link; guesses of IDs
against the site's answers; a request for another site; requests that ask for more than their study: more bootstrap
samples, finer histograms, columns that the study must not know of. What came of it: each was refused, and neither a
refusal nor its remedy said whether a patient is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from medfl.messages import Refusal, Reply, Request, to_bytes
from medfl.site.answer import Site
from medfl.spec.study import Study
from medfl.testing.federation import overheard, sites, study, tables
from medfl.testing.policies import written

KNOWN = "east-0007"


def numbered() -> pd.DataFrame:
    frame = tables()["east"]
    return frame.assign(number=[f"east-{row:04}" for row in range(len(frame))])


def by_list(path: str) -> Study:
    return study(evaluation={"id_column": "number", "test_ids": dict.fromkeys(("east", "north", "west"), path)})


def asking(**changes: dict[str, Any]) -> Study:
    return study(data={"target": "sick", "features": ["age", "dose", "colour"]}, **changes)


def replies(asked: Study, site: Site, folder: Path) -> list[tuple[Request, Reply]]:
    return [(request, answer) for request, answer in answers(asked, site, folder) if isinstance(answer, Reply)]


def answers(asked: Study, site: Site, folder: Path) -> list[tuple[Request, Reply | Refusal]]:
    everyone = {**sites(folder), site.name: site}
    return [(request, answer) for request, answer in overheard(asked, everyone) if request.site == site.name]


def east(folder: Path, laid: Mapping[str, Any] | None = None) -> Site:
    folder.mkdir(exist_ok=True)
    policies = {} if laid is None else {"east": written(folder, laid)}
    return sites(folder, {"east": numbered}, policies=policies)["east"]


@pytest.mark.parametrize("way", ["absolute", "upwards", "link", "folder", "nothing", "null"])
def test_a_list_of_ids_elsewhere_is_not_read(tmp_path: Path, way: str) -> None:
    """The list would say whether the IDs in any file of the hub's choice are patients."""
    base = tmp_path / "base"
    site = east(base)
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text(f"{KNOWN}\n", encoding="utf-8")
    (base / "link.txt").symlink_to(elsewhere)
    path = {
        "absolute": str(elsewhere),
        "upwards": "../elsewhere.txt",
        "link": "link.txt",
        "folder": ".",
        "nothing": "",
        "null": "a\0b",
    }[way]
    heard = answers(by_list(path), site, base)
    refusals = [answer for request, answer in heard if request.task == "prepare"]
    assert refusals
    for refusal in refusals:
        assert isinstance(refusal, Refusal)
        assert refusal.code == "data"
        assert "outside the folder that studies may read from" in refusal.reason
        assert KNOWN not in refusal.reason
        assert "elsewhere" not in refusal.reason, "not even whether there is such a file"


def test_guessed_ids_are_not_confirmed_one_by_one(tmp_path: Path) -> None:
    """A wrong ID and a right one, each beside the same others: the refusals differ in nothing but a count."""
    base = tmp_path / "base"
    site = east(base)
    told = []
    for guess in (KNOWN, "east-9999"):
        (base / "list.txt").write_text(f"nobody-1\nnobody-2\n{guess}\n", encoding="utf-8")
        heard = answers(by_list("list.txt"), site, base)
        (refusal,) = {answer.reason for _, answer in heard if isinstance(answer, Refusal)}
        assert guess not in refusal
        told.append(refusal)
    assert told[0].replace("2 of 3", "3 of 3") == told[1]
    closed = east(tmp_path / "closed", {"accepts": {"test_lists": False}})
    kept = [str(answer) for _, answer in answers(by_list("list.txt"), closed, tmp_path / "closed")]
    assert all("rule accepts.test_lists" in reason for reason in kept), "a site's policy closes this, too"


def honest(site: Site, folder: Path, task: str) -> Request:
    heard = answers(asking(evaluation={"importance": {"repeats": 1}}), site, folder)
    return next(request for request, answer in heard if request.task == task and isinstance(answer, Reply))


def test_a_request_for_another_site_is_not_answered(tmp_path: Path) -> None:
    site = east(tmp_path)
    answer = site.answer(replace(honest(site, tmp_path, "describe"), site="west"))
    assert isinstance(answer, Refusal)
    assert answer.site == "east"
    assert "meant for another" in answer.reason


MORE: dict[str, dict[str, Any]] = {
    "samples": {"samples": 10**12},
    "samples that are no number": {"samples": "all"},
    "a threshold beside the scale": {"threshold": 7.0},
    "repeats": {"importance": 10**12},
    "groups that nobody asked for": {"subgroups": True},
    "neither brief nor not": {"brief": "no"},
}


@pytest.mark.parametrize("asked", MORE)
def test_a_request_asks_for_no_more_than_its_study(tmp_path: Path, asked: str) -> None:
    site = east(tmp_path)
    plain = honest(site, tmp_path, "evaluate")
    content = {**plain.content, "judge": {**plain.content["judge"], **MORE[asked]}}
    answer = site.answer(replace(plain, content=content))
    assert isinstance(answer, Refusal)
    assert "says something of judging that its study does not" in answer.reason


@pytest.mark.parametrize("round_", [-1, 3, 10**9])
def test_no_round_beside_those_of_the_study(tmp_path: Path, round_: int) -> None:
    site = east(tmp_path)
    answer = site.answer(replace(honest(site, tmp_path, "train"), round=round_))
    assert isinstance(answer, Refusal)
    assert "the round" in answer.reason


def test_a_column_that_a_study_may_not_know_of_does_not_exist(tmp_path: Path) -> None:
    """Neither its name in the schema, nor its sums when the hub pretends that it was agreed on, nor a hint."""
    site = east(tmp_path, {"accepts": {"columns": ("age", "colour", "sick")}})
    everyone = sites(tmp_path, {"east": numbered}) | {"east": site}
    heard = overheard(study(data={"target": "sick", "features": ["age", "colour"]}), everyone)
    mine = [(request, answer) for request, answer in heard if request.site == "east"]
    assert all(isinstance(answer, Reply) for _, answer in mine)
    assert not [answer for _, answer in mine if b"dose" in to_bytes(answer) or b"number" in to_bytes(answer)]
    prepare = next(request for request, _ in mine if request.task == "prepare")
    agreement = prepare.content["agreement"]
    pretended = [*agreement["features"], {**agreement["features"][0], "name": "dose"}]
    answer = site.answer(replace(prepare, content={"agreement": {**agreement, "features": pretended}}))
    assert isinstance(answer, Refusal)
    assert "rule accepts.columns" in answer.reason
    asked = study(data={"target": "sick", "features": ["age", "dos"]})
    (first, *_) = answers(asked, site, tmp_path)
    assert isinstance(first[1], Refusal)
    assert "'dose'" not in first[1].reason


def test_the_memory_and_the_lists_are_for_their_owner_only(tmp_path: Path) -> None:
    site = east(tmp_path, {"counts": {"minimum_difference": 5}})
    answers(asking(), site, tmp_path)
    file = tmp_path / "memory" / "told.db"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_the_same_probe_again_gives_the_same_noise(tmp_path: Path) -> None:
    """Asking often averages nothing out."""
    noise = {"counts": {"treatment": "noise", "noise": 3.0}}
    told = set()
    for time in range(5):
        site = east(tmp_path / str(time), noise)
        heard = replies(asking(study={"name": f"another-{time}"}), site, tmp_path / str(time))
        rows = (answer.content["rows"] for request, answer in heard if request.task == "prepare")
        told.add(str(next(rows)))
    assert len(told) == 1
