"""What a hospital's people type about studies and the log, and what they are shown."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from medfl.chain import FILE
from medfl.hospital import changes, fit
from medfl.messages import Refusal, Reply, Request
from medfl.run.in_process import InProcess
from medfl.site.approvals import Approvals
from medfl.site.datasets import DataSet, Datasets
from medfl.site.place import Place
from medfl.site.reception import Reception
from medfl.site.rules_template import template
from medfl.spec.study import Study
from medfl.testing.command import Said, typed, typed_apart
from medfl.testing.federation import DECLARED, rehearse, study, table

TEXT = """
[study]
name = "toy"
[data]
target = "sick"
sites = { east = "east.csv", north = "north.csv", west = "west.csv" }
[algorithm]
kind = "fedavg"
rounds = 2
[evaluation]
baselines = ["local-only", "centralised"]
[[arm]]
name = "short"
[[arm]]
name = "long"
algorithm = { rounds = 20 }
"""
ALLOWING = template().replace("secure_aggregation = true", "secure_aggregation = false")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Stand in a folder with a table that is registered at a site with a policy."""
    table(90, 1).to_csv(tmp_path / "ward.csv", index=False)
    monkeypatch.setenv("MEDFL_SITE_HOME", str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    assert typed("site", "dataset", "add", "ward", "ward.csv", "--target", "sick").code == 0
    place = Place()
    place.policy.write_text(ALLOWING)
    return place


def ask(place: Place, asked: Study, *, run: str = "ab12cd34-1") -> Reply | Refusal:
    request = Request(run=run, round=0, site="east", task="describe", study=asked.canonical, seed=asked.study.seed)
    return Reception(place, "east").answer(request)


def site(*words: object) -> Said:
    said = typed("site", *words)
    assert said.code == 0, said.err
    return said


def columns(said: Said, number: int) -> list[str]:
    """Return the words of a table's column; its cells have no spaces before that."""
    return [line.split()[number] for line in said.out.splitlines()[1:]]


LONGER = study(algorithm={"kind": "fedavg", "rounds": 3})


def test_empty_states_say_what_comes_next() -> None:
    assert site("studies").out == "No studies yet: the hub has asked for none. Once it does, they are listed here.\n"
    assert site("log").out == "Nothing in the log yet: whatever the site is asked will be there.\n"
    assert "Nothing in the log about toy yet" in site("log", "--study", "toy").out
    assert site("log", "--verify").out == "The log is empty.\n"
    assert site("studies", "--json").json == site("log", "--json").json == []


def test_a_study_is_listed_read_approved_and_answered(place: Place) -> None:
    short = study().digest[:12]
    assert isinstance(ask(place, study()), Refusal)
    listed = site("studies")
    head, line = listed.out.splitlines()
    assert head.split() == ["STUDY", "DIGEST", "ASKED", "(UTC)", "VERDICT"]
    assert line.split()[:2] == ["tiny", short]
    assert line.endswith("waiting")
    assert f"Read one: medfl site show {short}" in listed.err
    wanted = site("show", short)
    for part in (
        f"tiny  ({short})  waiting",
        "What leaves a site",
        "Every rule accepts it, once a person has approved it.",
        "Data set ward: it has all columns that the study asks for.",
    ):
        assert part in wanted.out
    assert "What is different" not in wanted.out
    assert f"To decide: medfl site approve {short}" in wanted.err
    assert site("approve", short).out == f"Approved: tiny ({short}), with the data set ward.\n"
    assert isinstance(ask(place, study()), Reply)
    assert columns(site("studies"), 4) == ["ward"]
    (words,) = site("studies", "--json").json
    assert (words["verdict"], words["by"], words["dataset"]) == ("approved", "person", "ward")


def test_what_differs_from_the_last_approved_one_is_told_key_by_key(place: Place) -> None:
    for asked in (study(), LONGER):
        ask(place, asked)
    site("approve", study().digest)
    wanted = site("show", LONGER.digest[:12])
    assert f"What is different from {study().digest[:12]}, approved 20" in wanted.out
    assert "rounds in [algorithm]: was 2, is now 3 (Exchanges between hub and sites)." in wanted.out
    (words,) = site("show", LONGER.digest[:12], "--json").json
    (title,) = [title for title in words["wants"] if title.startswith("What is different")]
    assert words["wants"][title] == ["rounds in [algorithm]: was 2, is now 3 (Exchanges between hub and sites)."]


def test_changes_of_every_kind() -> None:
    plain = study(privacy={"secure_aggregation": None})
    other = study(
        model={"kind": "mlp", "hidden": [8]},
        training={"optimizer": "adam"},
        data={"units": {"age": "years"}, "features": ["age"]},
        privacy={"secure_aggregation": True},
    )
    told = list(changes(plain, other))
    for part in (
        'kind in [model]: was "logistic", is now "mlp"',
        "New: hidden in [model] = [8] (",
        'optimizer in [training]: was "sgd", is now "adam"',
        'New: features in [data] = ["age"] (Columns to learn from; all but the target where left out).',
        'New: age in [data.units] = "years".',
        "New: secure_aggregation in [privacy] = true",
        "Gone: momentum in [training], which was 0.0",
    ):
        assert any(part in sentence for sentence in told), (part, told)
    assert list(changes(plain, plain)) == []
    assert all(len(sentence) < 500 for sentence in changes(plain, study(data={"features": ["x" * 50] * 50})))


def test_what_does_not_fit_is_told_before_anybody_decides(place: Place, tmp_path: Path) -> None:
    (tmp_path / "words.csv").write_text("column,unit\ndose,mg\n")
    ward = DataSet(source=str(tmp_path / "ward.csv"), target="sick", dictionary=str(tmp_path / "words.csv"))
    (told,) = fit(study(data={"features": ["age", "weight"]}), ward)
    assert told == "it does not have 'weight', so the study will fail here."
    assert list(fit(study(data={"units": {"dose": "g"}}), ward)) == [
        "the study takes dose for g, and the data dictionary says mg.",
        "it has all columns that the study asks for.",
    ]
    frame = table(90, 1)
    frame.insert(0, "patient", [f"P{number}" for number in range(90)])
    frame.to_csv(tmp_path / "ward.csv", index=False)
    (told,) = fit(study(), ward)
    assert "takes 'patient' into use, which it cannot" in told
    assert list(fit(study(), ward, ("age", "sick"))) == ["it has all columns that the study asks for."]
    (tmp_path / "ward.csv").unlink()
    ask(place, study())
    assert "no such file" in site("show", study().digest[:12]).out


def test_a_file_is_approved_with_all_that_it_asks_sites_for(place: Place, tmp_path: Path) -> None:
    (tmp_path / "toy.toml").write_text(TEXT)
    head = site("show", "toy.toml").out.partition("What is asked")[0].splitlines()
    assert head[0] == "toy  asked for as:"
    assert [line.split("  ")[0] for line in head[3:6]] == ["toy, short", "toy, long", "toy, local-only"]
    assert all(line.endswith("not asked yet") for line in head[3:6])
    approved = site("approve", "toy.toml").out.splitlines()
    assert [line.split("(")[0] for line in approved] == [
        "Approved: toy, short ",
        "Approved: toy, long ",
        "Approved: toy, local-only ",
    ]
    assert columns(site("studies"), 0) == ["toy"] * 3
    (tmp_path / "toy.toml").write_text(TEXT.replace("rounds = 20", "rounds = 30"))
    wanted = site("show", "toy.toml").out
    assert wanted.count("What is different") == 1
    assert "What is different of toy, long from " in wanted
    (tmp_path / "toy.toml").write_text(TEXT)
    assert site("refuse", "toy.toml", "--reason", "no ethics vote").out.count("Refused: toy, ") == 3
    assert {one["verdict"] for one in site("studies", "--json").json} == {"refused"}


def test_the_policy_says_no_before_a_person_says_yes(place: Place) -> None:
    place.policy.write_text(ALLOWING.replace("maximum_rounds = 200", "maximum_rounds = 2"))
    ask(place, LONGER)
    assert "against the policy: accepts.maximum_rounds" in site("studies").out
    assert "No, by accepts.maximum_rounds: rounds asked for: 3; accepted: 2 at most" in site("show", LONGER.digest).out
    said = typed("site", "approve", LONGER.digest)
    assert (said.code, "write rounds = 2 or fewer" in said.err) == (2, True)
    place.policy.unlink()
    said = typed("site", "approve", LONGER.digest)
    assert (said.code, f"medfl policy init {place.policy}" in said.err) == (2, True)
    assert "There is no policy yet, so nobody is answered" in site("show", LONGER.digest).out


def test_which_data_set_must_be_clear(place: Place) -> None:
    site("dataset", "add", "second", "ward.csv", "--target", "sick")
    ask(place, study())
    said = typed("site", "approve", study().digest)
    assert (said.code, "name one with --dataset: second and ward" in said.err) == (2, True)
    assert typed("site", "approve", study().digest, "--dataset", "third").code == 2
    assert "with the data set second" in site("approve", study().digest, "--dataset", "second").out
    site("dataset", "remove", "second")
    assert "waiting: its data set has changed" in site("studies").out
    site("dataset", "remove", "ward")
    said = typed("site", "approve", study().digest)
    assert (said.code, "medfl site dataset add" in said.err) == (2, True)


def test_the_name_that_enrolment_gave_the_site_finds_its_data_set(place: Place) -> None:
    site("dataset", "add", "second", "ward.csv", "--target", "sick")
    (place.folder / "enrolment.json").write_text('{"site": "east"}')
    asked = study(data={"sites": {"east": "second"}})
    ask(place, asked)
    assert "with the data set second" in site("approve", asked.digest).out
    for text in ("", "[]", '{"site": 3}'):
        (place.folder / "enrolment.json").write_text(text)
        assert place.name == ""


def test_pause_and_continue(place: Place) -> None:
    ask(place, study())
    site("approve", study().digest)
    assert site("pause").out == "The site is paused: it answers nobody.\n"
    assert site("pause").out == "The site was paused already.\n"
    assert "paused and answers nobody" in site("studies").err
    assert isinstance(ask(place, study()), Refusal)
    assert site("continue").out == "The site answers again.\n"
    assert site("continue").out == "The site was not paused.\n"
    assert isinstance(ask(place, study()), Reply)
    assert site("log").out.endswith("answered   left: policy, schema; held back by 1 rule\n")
    assert [line["verdict"] for line in site("log", "--json").json] == [
        *("refused", "approved", "paused", "refused", "continued", "answered"),
    ]


def test_the_log_is_shown_newest_last_and_of_one_study(place: Place) -> None:
    for asked in (study(), LONGER, study(study={"name": "other"})):
        ask(place, asked)
    said = site("log", "--last", "2")
    assert said.out.splitlines()[0].split() == [
        "LINE",
        "TIME",
        "(UTC)",
        "STUDY",
        "RUN",
        "ROUND",
        "WHAT",
        "VERDICT",
        "WHY",
    ]
    assert columns(said, 0) == ["2", "3"]
    assert columns(site("log", "--study", "tiny"), 0) == ["1", "2"]
    assert columns(site("log", "--study", LONGER.digest[:12]), 0) == ["2"]


def test_verify_says_whole_or_where_it_broke(place: Place) -> None:
    ask(place, study())
    ask(place, LONGER)
    said = site("log", "--verify")
    assert said.out.startswith("The log is whole: 2 lines, none changed, taken out or put in. Hash: ")
    remembered = said.out.split()[-1]
    assert site("log", "--remembered", remembered, "--json").json["ok"] is True
    path = place.log / FILE
    path.write_bytes(path.read_bytes().replace(b"waits", b"hates", 1))
    said = typed("site", "log", "--verify")
    assert said.code == 1
    assert "the chain breaks between lines 1 and 2" in said.err
    assert "Traceback" not in said.err
    assert typed("site", "log", "--verify", "--json").json["error"]["code"] == "store"


def test_what_a_hub_writes_cannot_steer_the_terminal(place: Place) -> None:
    nasty = study(study={"question": "\x1b[2J\x1b]0;owned\x07 Approved.\r\nhello\u202e"})
    ask(place, nasty, run="\x1b[31mred")
    out = site("show", nasty.digest).out + site("log").out + site("studies").out
    assert not {"\x1b", "\x07", "\r", "\u202e"} & {*out}
    assert json.loads((place.log / FILE).read_text())["run"] == "\x1b[31mred"


def test_a_study_that_is_not_there_is_the_users_mistake(place: Place) -> None:
    for verb in ("show", "approve", "refuse"):
        for word in ("abcd", "nowhere.toml"):
            assert typed("site", verb, word).code == 2
    assert typed("site", "refuse", "abcd", "--reason", "x").code == 2
    assert typed("site", "show", "abcd", "--json").json["error"]["code"] == "not-found"
    assert typed("site", "show").code == 2
    ask(place, study())
    said = typed("site", "refuse", study().digest, "--reason", "x" * 501)
    assert (said.code, "the reason is too long" in said.err) == (2, True)


def test_what_was_spent_is_told_by_data_set(place: Place) -> None:
    pytest.importorskip("dp_accounting", reason="the dp extra is not installed")
    assert site("budget").out == "No run under differential privacy has spent anything yet.\n"
    assert site("budget", "--json").json == []
    dp = {"unit": "record", "epsilon": 4.0, **DECLARED}
    asked = study(privacy={"secure_aggregation": False, "dp": dp}, preprocess={"impute": "mean"})
    site("dataset", "add", "second", "ward.csv", "--target", "sick")
    Approvals(place).approve(asked, "second", Datasets(place).named("second"), by="person")
    _, error = rehearse(asked, InProcess({"east": Reception(place, "east").answer}))
    assert error is None
    (words,) = site("budget", "--json").json
    assert (words["dataset"], words["runs"], words["delta"]) == ("second", 1, 1e-5)
    assert 3.5 < words["epsilon"] <= 4.0
    assert site("budget").out.startswith("second: ε = ")
    assert stat.S_IMODE((place.folder / "keys" / "noise").stat().st_mode) == 0o600


def test_two_processes_decide_and_one_log_tells_it(place: Place) -> None:
    ask(place, study())
    said = typed_apart("site", "approve", study().digest, "--home", place.folder)
    assert said.code == 0, said.err
    assert isinstance(ask(place, study()), Reply)
    assert [line["verdict"] for line in site("log", "--json").json] == ["refused", "approved", "answered"]
