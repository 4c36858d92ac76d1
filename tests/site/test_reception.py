"""The reception of a hospital: who is paused, who waits, who is approved, and that all of it is in the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from medfl.chain import FILE
from medfl.errors import NotFoundError, PlanError, StoreError
from medfl.messages import Refusal, Reply, Request
from medfl.run.in_process import InProcess
from medfl.site import approvals
from medfl.site.approvals import Approvals
from medfl.site.audit import AuditLog
from medfl.site.begun import RUNS, BegunWith
from medfl.site.datasets import DataSet, Datasets
from medfl.site.place import Place
from medfl.site.reception import Reception, dataset_for
from medfl.site.rules_template import template
from medfl.spec.study import Study
from medfl.testing.federation import Kept, in_process, overheard, rehearse, sites, study, tables

ALLOWING = (
    template()
    .replace("secure_aggregation = true", "secure_aggregation = false")
    .replace('ranges = "rounded"', 'ranges = "exact"')
    .replace("minimum_rows = 50", "minimum_rows = 40")
    .replace("minimum = 5", "minimum = 1")
    .replace("minimum_test_rows = 20", "minimum_test_rows = 1")
    .replace("minimum_difference = 5", "minimum_difference = 1")
)
BY_RULE = ALLOWING.replace('mode = "each"', 'mode = "within-policy"')
Changed = Callable[..., Place]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return the folder of hospital east, with its table and an open policy."""
    return hospital(tmp_path, "east")


def hospital(folder: Path, name: str) -> Place:
    tables()[name].to_csv(folder / f"{name}.csv", index=False)
    place = Place(folder / f"site-{name}")
    Datasets(place).add("ward", DataSet(source=str(folder / f"{name}.csv"), target="sick"))
    place.policy.write_text(ALLOWING)
    return place


def approve(place: Place, asked: Study) -> None:
    Approvals(place).approve(asked, "ward", Datasets(place).named("ward"), by="person")


def ask(place: Place, asked: Study, seed: int = 7) -> Reply | Refusal:
    request = Request(run="r-1", round=0, site="east", task="describe", study=asked.canonical, seed=seed)
    return Reception(place, "east").answer(request)


def no(answer: Reply | Refusal) -> str:
    assert isinstance(answer, Refusal)
    assert answer.code == "refused"
    return answer.reason


def lines(place: Place) -> list[dict[str, object]]:
    assert AuditLog(place.log).verify().trouble == ""
    return list(AuditLog(place.log).read())


def test_an_unknown_study_waits_until_a_person_has_approved_it(place: Place) -> None:
    asked = study()
    reason = no(ask(place, asked))
    short = asked.digest[:12]
    assert f"study {short}: the study waits for approval by the site's people" in reason
    assert f"medfl site show {short}" in reason
    digest, waiting = Approvals(place).named(short)
    assert (digest, waiting.verdict, waiting.study) == (asked.digest, "waiting", asked)
    approve(place, asked)
    assert isinstance(ask(place, asked), Reply)


def test_through_receptions_a_run_gives_the_same_model(tmp_path: Path) -> None:
    asked, kept, plain = study(), Kept(), Kept()
    receptions = {}
    for name in tables():
        approve(place := hospital(tmp_path, name), asked)
        receptions[name] = Reception(place, name).answer
    events, error = rehearse(asked, InProcess(receptions), kept=kept)
    assert error is None
    others, _ = rehearse(asked, in_process(sites(tmp_path / "plain")), kept=plain)
    assert sorted(kept) == sorted(plain)
    assert len(events) >= len(others)


def test_an_approval_is_of_one_digest_and_of_one_data_set(place: Place, tmp_path: Path) -> None:
    asked = study()
    approve(place, asked)
    assert "waits for approval" in no(ask(place, study(algorithm={"kind": "fedavg", "rounds": 3})))
    (tmp_path / "east.csv").rename(tmp_path / "other.csv")
    Datasets(place).remove("ward")
    assert "a data set that has changed" in no(ask(place, asked))
    Datasets(place).add("ward", DataSet(source=str(tmp_path / "other.csv"), target="sick"))
    assert "a data set that has changed" in no(ask(place, asked))
    approve(place, asked)
    assert isinstance(ask(place, asked), Reply)


def test_an_approval_holds_for_the_seeds_of_the_study(place: Place) -> None:
    approve(place, study())
    assert "holds for the seeds of the study" in no(ask(place, study(), seed=8))


def test_a_refused_study_stays_refused_with_its_reason(place: Place) -> None:
    asked = study()
    approve(place, asked)
    Approvals(place).refuse(asked, reason="no ethics vote")
    assert "the site's people have refused this study: no ethics vote" in no(ask(place, asked))
    with pytest.raises(PlanError, match="too long"):
        Approvals(place).refuse(asked, reason="x" * 501)


def test_what_the_policy_forbids_no_approval_lets_in(place: Place) -> None:
    asked = study(algorithm={"kind": "fedavg", "rounds": 300})
    approve(place, asked)
    assert "rule accepts.maximum_rounds: the site's policy says no" in no(ask(place, asked))


def test_within_the_policy_a_standing_rule_approves(place: Place) -> None:
    place.policy.write_text(BY_RULE.replace("studies = []", 'studies = ["tiny"]'))
    assert isinstance(ask(place, study()), Reply)
    known = Approvals(place).all()[study().digest]
    assert (known.verdict, known.by, known.dataset) == ("approved", "policy", "ward")
    assert [(line["is"], line["verdict"]) for line in lines(place)] == [
        ("decision", "approved"),
        ("request", "answered"),
    ]


def test_what_the_standing_rule_does_not_know_waits(place: Place, tmp_path: Path) -> None:
    place.policy.write_text(BY_RULE)
    assert "waits for approval" in no(ask(place, study())), "its name is not in the policy"
    place.policy.write_text(BY_RULE.replace("studies = []", 'studies = "any"'))
    Datasets(place).add("second", DataSet(source=str(tmp_path / "east.csv"), target="sick"))
    assert "waits for approval" in no(ask(place, study())), "two data sets have the target"
    Datasets(place).remove("second")
    assert isinstance(ask(place, study()), Reply)


def test_which_data_set_a_study_means() -> None:
    ward, other = (DataSet(source="/a.csv", target=target) for target in ("sick", "well"))
    named = study(data={"sites": {"east": "b"}})
    assert dataset_for(study(), "east", {"a": ward, "b": other}) == "a"
    assert dataset_for(named, "east", {"a": ward, "b": ward}) == "b"
    assert dataset_for(named, "west", {"a": ward, "b": ward}) is None
    assert dataset_for(study(), "east", {}) is None


def test_a_paused_site_answers_nobody(place: Place) -> None:
    approve(place, study())
    place.pause.touch()
    assert "the site is paused by its own people" in no(ask(place, study()))
    place.pause.unlink()
    assert isinstance(ask(place, study()), Reply)


def test_one_paused_site_of_three_is_lost_for_the_round(tmp_path: Path) -> None:
    asked = study(algorithm={"kind": "fedavg", "rounds": 2, "min_sites": 2})
    places = {name: hospital(tmp_path, name) for name in tables()}
    for place in places.values():
        approve(place, asked)
    receptions = {name: Reception(place, name).answer for name, place in places.items()}
    places["west"].pause.touch()
    _, error = rehearse(asked, InProcess(receptions))
    assert error is None
    places["north"].pause.touch()
    _, error = rehearse(asked, InProcess(receptions))
    assert "paused" in str(error)


def test_a_site_without_a_sound_policy_answers_nobody(place: Place) -> None:
    approve(place, study())
    place.policy.write_text("[accepts]\nminimum_row = 3\n")
    assert "has a mistake in it" in no(ask(place, study()))
    place.policy.unlink()
    assert "has no policy" in no(ask(place, study()))


def test_a_changed_policy_counts_at_once(place: Place) -> None:
    approve(place, study())
    reception = Reception(place, "east")
    request = Request(run="r", round=0, site="east", task="describe", study=study().canonical, seed=7)
    assert isinstance(reception.answer(request), Reply)
    place.policy.write_text(ALLOWING.replace("minimum_rows = 40", "minimum_rows = 100"))
    assert "accepts.minimum_rows" in no(reception.answer(request))


def test_a_run_sees_the_table_as_it_was_when_it_began(place: Place, tmp_path: Path) -> None:
    approve(place, study())
    reception = Reception(place, "east")
    first = Request(run="r-1", round=0, site="east", task="describe", study=study().canonical, seed=7)

    def rows(run: str) -> int:
        answer = reception.answer(replace(first, run=run))
        assert isinstance(answer, Reply), answer.reason
        found: int = answer.content["schema"]["rows"]
        return found

    assert rows("r-1") == 60
    with (tmp_path / "east.csv").open("a") as file:
        file.write("61.5,0.25,blue,1\n")
    assert (rows("r-1"), rows("r-2"), rows("r-1")) == (60, 61, 60)
    place.policy.write_text(ALLOWING.replace("maximum_rounds = 200", "maximum_rounds = 100"))
    assert "the table has changed since this run began" in no(reception.answer(first))
    # Nor does another process of the site go on with other rows.
    restarted = Reception(place, "east")
    assert "the table has changed since this run began" in no(restarted.answer(first))
    assert isinstance(restarted.answer(replace(first, run="r-3")), Reply)


def test_another_process_goes_on_with_what_the_database_gave_or_not_at_all(place: Place, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ward.db'}"
    east, engine = tables()["east"], create_engine(url)
    east.to_sql("ward", engine, index=False)
    Datasets(place).remove("ward")
    Datasets(place).add("ward", DataSet(source=url, query="SELECT * FROM ward", target="sick"))
    approve(place, study())
    assert isinstance(ask(place, study()), Reply)
    assert isinstance(ask(place, study()), Reply), "the same rows, in another process"
    east.head(1).to_sql("ward", engine, index=False, if_exists="append")
    engine.dispose()
    assert "the table has changed since this run began" in no(ask(place, study()))


def test_what_runs_began_with_is_bounded_and_may_be_damaged(tmp_path: Path) -> None:
    kept = BegunWith(tmp_path / "begun.json")
    for number in range(RUNS + 5):
        assert kept.stamp(f"r-{number}", "d", (number, 1)) == (number, 1)
    assert BegunWith(tmp_path / "begun.json").stamp("r-10", "d", "now") == (10, 1)
    assert BegunWith(tmp_path / "begun.json").stamp("r-1", "d", "now") == "now", "long ago"
    for damaged in ("", "{}", "[[1]]", "[3]"):
        (tmp_path / "begun.json").write_text(damaged)
        assert BegunWith(tmp_path / "begun.json").stamp("r-10", "d", "now") == "now"
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="which table a run began with"):
        BegunWith(tmp_path / "file" / "begun.json").stamp("r", "d", "now")


def test_what_is_wrong_in_the_sites_own_folder_stays_there(place: Place) -> None:
    approve(place, study())
    place.datasets.write_text("Zebediah")
    reason = no(ask(place, study()))
    assert "something in its own folder" in reason
    assert str(place.folder) not in reason
    assert "Zebediah" not in reason


# -- the log


def test_each_request_and_its_verdict_are_logged(place: Place) -> None:
    ask(place, study())
    approve(place, study())
    answer = ask(place, study())
    assert isinstance(answer, Reply)
    first, second = lines(place)
    assert (first["verdict"], first["dataset"], first["code"]) == ("refused", "", "refused")
    assert "waits for approval" in str(first["reasons"])
    assert (second["verdict"], second["study"], second["digest"]) == ("answered", "tiny", study().digest)
    assert (second["dataset"], second["run"], second["task"], second["words"]) == (
        "ward",
        "r-1",
        "describe",
        ["schema", "sitting"],
    )
    assert first["asked"] == second["asked"]


def test_no_value_of_a_row_is_in_the_log(tmp_path: Path) -> None:
    frame = tables()["east"]
    frame["age"] = frame["age"].astype(object)
    frame.loc[3, "age"] = "Zebediah"
    place = hospital(tmp_path, "east")
    frame.to_csv(tmp_path / "east.csv", index=False)
    approve(place, study())
    assert isinstance(ask(place, study()), Refusal)
    frame.loc[3, "age"] = 987.125
    frame.to_csv(tmp_path / "east.csv", index=False)
    rehearse(study(), InProcess({"east": Reception(place, "east").answer}))
    text = (place.log / FILE).read_text()
    assert '"train"' in text
    told = [str(value) for line in map(json.loads, text.splitlines()) for value in _words(line)]
    assert not [value for value in told if "Zebediah" in value or "987" in value]


def _words(line: dict[str, object]) -> list[object]:
    """Return what a line says, without hashes and times, in which any digits may stand."""
    return [value for name, value in line.items() if name not in ("before", "asked", "said", "digest", "bytes", "at")]


def test_the_line_is_there_before_the_answer_and_without_it_nothing_leaves(place: Place) -> None:
    approve(place, study())
    reception = Reception(place, "east")
    request = Request(run="r", round=0, site="east", task="describe", study=study().canonical, seed=7)
    with patch.object(AuditLog, "append", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        reception.answer(request)
    with patch("os.fsync", side_effect=OSError(28, "No space left on device")):
        assert "something in its own folder" in no(reception.answer(request))
    assert isinstance(reception.answer(request), Reply)
    path = place.log / FILE
    path.write_bytes(path.read_bytes().replace(b"answered", b"refused "))
    assert isinstance(reception.answer(request), Refusal), "a log that was tampered with stops everything"


def test_asked_again_after_a_crash_the_answer_is_the_same_and_logged_again(place: Place) -> None:
    approve(place, study())
    first, again = ask(place, study()), ask(place, study())
    assert isinstance(first, Reply)
    assert isinstance(again, Reply)
    assert first.content["sitting"] != again.content["sitting"], "another process says so, and nothing else"
    assert {**first.content, "sitting": ""} == {**again.content, "sitting": ""}
    assert [line["verdict"] for line in lines(place)] == ["answered", "answered"]


# -- whatever a hub sends


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"study": {"name": 3}}', "[" * 100_000, '"\\ud800"'])
def test_a_study_that_is_none_is_refused_and_logged(place: Place, text: str) -> None:
    request = Request(run="x" * 5000, round=0, site="east", task="describe", study=text, seed=0)
    answer = Reception(place, "east").answer(request)
    assert isinstance(answer, Refusal)
    assert answer.code == "wire"
    (line,) = lines(place)
    assert len(str(line["run"])) == 200
    assert not place.studies.exists()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_request_gets_past_the_reception_unlogged(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    place = hospital(tmp_path_factory.mktemp("east"), "east")
    json_like = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
        max_leaves=8,
    )
    words = json.loads(study().canonical)
    words[data.draw(st.sampled_from([*words, "extra"]))] = data.draw(json_like)
    request = Request(
        run=data.draw(st.text(max_size=20)),
        round=data.draw(st.integers()),
        site=data.draw(st.sampled_from(["east", "west", ""])),
        task="describe",
        study=json.dumps(words),
        seed=data.draw(st.integers()),
    )
    assert isinstance(Reception(place, "east").answer(request), Refusal)
    assert len(lines(place)) == 1


def test_a_hub_cannot_fill_the_disk_with_studies(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approvals, "MOST_WAITING", 3)
    for rounds in range(1, 6):
        reason = no(ask(place, study(algorithm={"kind": "fedavg", "rounds": rounds})))
    assert "too many studies wait for approval" in reason
    assert len(Approvals(place).all()) == 3
    monkeypatch.setattr(approvals, "LARGEST", 100)
    assert "too large" in no(ask(place, study(algorithm={"kind": "fedavg", "rounds": 9})))


# -- what is kept


def test_studies_are_found_by_some_digits(place: Place) -> None:
    ask(place, study())
    known = Approvals(place)
    assert known.named(study().digest[:6])[0] == study().digest
    for digits in ("", "abc", "..", "*", "f" * 64):
        with pytest.raises(NotFoundError, match="no study with this digest"):
            known.named(digits)


@pytest.mark.parametrize("text", ["", "{}", '{"text": "{}", "asked": "now"}'])
def test_a_damaged_decision_is_no_approval(place: Place, text: str) -> None:
    approve(place, study())
    path = place.studies / f"{study().digest}.json"
    path.write_text(text)
    with pytest.raises(StoreError, match="cannot be read"):
        Approvals(place).all()
    assert "something in its own folder" in no(ask(place, study()))


def test_an_approval_cannot_be_moved_to_another_study(place: Place) -> None:
    approve(place, study())
    other = study(algorithm={"kind": "fedavg", "rounds": 3})
    (place.studies / f"{study().digest}.json").rename(place.studies / f"{other.digest}.json")
    with pytest.raises(StoreError, match="another study than its name says"):
        Approvals(place).find(other.digest)


def test_baselines_and_repeats_pass_once_each_is_approved(tmp_path: Path) -> None:
    """All that a hub asks for of a whole study holds to the digests and seeds that a person has read."""
    asked = study(study={"repeats": 2}, evaluation={"baselines": ["local-only"]})
    places = {name: hospital(tmp_path, name) for name in tables()}
    for request, answer in overheard(asked, sites(tmp_path / "plain")):
        assert isinstance(answer, Reply)
        approve(places[request.site], Study.model_validate_json(request.study))
    receptions = {name: Reception(place, name) for name, place in places.items()}
    for request, answer in overheard(asked, sites(tmp_path / "again")):
        again = receptions[request.site].answer(request)
        assert isinstance(again, Reply), again.reason
        assert isinstance(answer, Reply)
        assert all(np.array_equal(again.arrays[name], array) for name, array in answer.arrays.items())


def test_that_a_run_was_stopped_is_noted_and_looks_at_nothing(place: Place) -> None:
    place.pause.touch()
    told = Request(run="r-1", round=3, site="east", task="stopped", study=study().canonical, seed=7)
    answer = Reception(place, "east").answer(told)
    assert isinstance(answer, Reply)
    assert (answer.content, answer.arrays) == ({}, {})
    (line,) = lines(place)
    assert (line["task"], line["verdict"], line["run"], line["round"]) == ("stopped", "answered", "r-1", 3)
    assert Approvals(place).all() == {}, "nobody is asked to decide on it"


def test_a_site_says_before_a_run_whether_a_study_may_use_it_and_opens_no_table(place: Place, tmp_path: Path) -> None:
    asked = study()
    question = Request(run="r-1", round=0, site="east", task="consider", study=asked.canonical, seed=7)
    (tmp_path / "east.csv").unlink()

    def said() -> tuple[str, str]:
        answer = Reception(place, "east").answer(question)
        assert isinstance(answer, Reply)
        assert answer.arrays == {}
        return answer.content["verdict"], answer.content["why"]

    assert said() == ("waiting", "the study waits for approval by the site's people")
    approve(place, asked)
    assert said() == ("approved", "")
    Approvals(place).refuse(asked, reason="no ethics vote")
    assert said() == ("refused", "the site's people have refused this study: no ethics vote")
    place.pause.touch()
    assert "paused" in no(Reception(place, "east").answer(question))
    assert {line["task"] for line in lines(place) if line["is"] == "request"} == {"consider"}
