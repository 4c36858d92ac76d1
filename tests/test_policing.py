"""``medfl policy`` and ``--policy``: what is typed, what is shown, and what a run makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medfl.errors import NotFoundError, PlanError, RefusedError, SpecError
from medfl.policing import rulings, write
from medfl.simulate import Results, simulate
from medfl.site.rules import Rules
from medfl.site.rules_in_words import explained
from medfl.site.rules_reading import parse, read
from medfl.site.rules_template import template
from medfl.testing.command import typed
from medfl.testing.federation import table

STUDY = """
[study]
name = "toy"
[data]
target = "sick"
sites = { east = "east.csv", north = "north.csv", west = "west.csv" }
[algorithm]
kind = "fedavg"
rounds = 2
[evaluation]
bootstrap = 20
baselines = ["local-only"]
"""
ALLOWING = (
    template()
    .replace("studies = []", 'studies = ["toy"]')
    .replace("secure_aggregation = true", "secure_aggregation = false")
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with a study, its tables and two policies."""
    for number, name in enumerate(("east", "north", "west")):
        table(150 + 20 * number, number).to_csv(tmp_path / f"{name}.csv", index=False)
    (tmp_path / "study.toml").write_text(STUDY, encoding="utf-8")
    (tmp_path / "allowing.toml").write_text(ALLOWING, encoding="utf-8")
    (tmp_path / "closed.toml").write_text(template(), encoding="utf-8")
    monkeypatch.setenv("MEDFL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MEDFL_JOURNAL", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_policy_is_written_and_is_one(folder: Path) -> None:
    said = typed("policy", "init")
    assert (said.code, said.out) == (0, "Policy: policy.toml  (it accepts no study yet: name some in [accepts])\n")
    assert "medfl policy explain policy.toml" in said.err
    assert read("policy.toml") == parse(template(), source="x")
    assert typed("policy", "check", "policy.toml").out == "policy.toml is a policy.\n"


def test_it_is_not_written_over_another(folder: Path) -> None:
    said = typed("policy", "init", "closed.toml")
    assert said.code == 2
    assert "there is such a file already" in said.err
    with pytest.raises(PlanError, match="cannot be written"):
        write(folder / "nowhere" / "policy.toml")


def test_every_key_is_in_what_is_written_with_a_comment() -> None:
    text = template()
    for part in Rules.model_fields.values():
        for name, field in getattr(part.annotation, "model_fields", {}).items():
            assert f"# {field.description}\n" in text
            assert f"{name} = " in text


def test_what_is_commented_out_can_be_written() -> None:
    told = template().replace("# epsilon = {", "epsilon = {").replace("# [budget]", "[budget]")
    told = told.replace("# epsilon = 10.0", "epsilon = 10.0").replace("# delta = 1e-05", "delta = 1e-05")
    rules = parse(told, source="policy.toml")
    assert rules.requires.epsilon is not None
    assert rules.budget is not None
    assert (rules.requires.epsilon.record, rules.budget.epsilon, rules.budget.delta) == (8.0, 10.0, 1e-5)


def test_check_says_what_it_would_say_to_a_study(folder: Path) -> None:
    said = typed("policy", "check", "closed.toml", "--study", "study.toml")
    assert said.code == 2
    assert "no   accepts.studies: the study toy is not accepted" in said.out
    assert "yes  accepts.models: models of kind logistic are accepted" in said.out
    assert 'add "toy", or its digest' in said.err
    open_ = typed("policy", "check", "allowing.toml", "--study", "study.toml")
    assert open_.code == 0
    assert "no  " not in open_.out


def test_check_in_json(folder: Path) -> None:
    refused = typed("policy", "check", "closed.toml", "--study", "study.toml", "--json")
    assert refused.code == 2
    assert not refused.json["ok"]
    base, alone = refused.json["study"]
    assert (base["name"], alone["name"]) == ("base", "local-only")
    assert base["verdicts"][0] == {
        "allowed": False,
        "rule": "accepts.studies",
        "reason": "the study toy is not accepted",
        "remedy": f'add "toy", or its digest "{base["digest"][:12]}", to studies in [accepts]',
    }
    assert all(verdict["allowed"] == (not verdict["remedy"]) for verdict in base["verdicts"])
    assert typed("policy", "check", "allowing.toml", "--json").json == {
        "ok": True,
        "policy": "allowing.toml",
        "study": [],
    }


def test_the_digests_that_check_shows_let_a_study_through(folder: Path) -> None:
    """Each arm and baseline is known by its own, and together they let the whole study run."""
    digests = [ruling.digest[:12] for ruling in rulings(parse(ALLOWING, source="x"), folder / "study.toml")]
    (folder / "by-digest.toml").write_text(ALLOWING.replace('["toy"]', json.dumps(digests)), encoding="utf-8")
    assert typed("policy", "check", "by-digest.toml", "--study", "study.toml").code == 0
    assert typed("run", "study.toml", "--policy", "by-digest.toml").code == 0
    some = ALLOWING.replace('["toy"]', json.dumps(digests[:1]))
    (folder / "some.toml").write_text(some, encoding="utf-8")
    assert typed("run", "study.toml", "--policy", "some.toml").code == 2


def test_the_digest_of_what_each_trains_alone_counts_the_rounds_it_is_asked_in(folder: Path) -> None:
    """With a fraction of three sites a round, a baseline trains as long as a site does in the federation."""
    # Two of three sites are too few to be hidden in their sum.
    some = STUDY.replace("rounds = 2", "rounds = 3\nfraction = 0.5") + "[privacy]\nsecure_aggregation = false\n"
    (folder / "some.toml").write_text(some, encoding="utf-8")
    digests = [ruling.digest for ruling in rulings(parse(ALLOWING, source="x"), folder / "some.toml")]
    (folder / "by-digest.toml").write_text(ALLOWING.replace('["toy"]', json.dumps(digests)), encoding="utf-8")
    assert typed("run", "some.toml", "--policy", "by-digest.toml").code == 0


@pytest.mark.parametrize(
    ("text", "where", "what", "remedy"),
    [
        ("[accept]\n", ":1 [accept]", "accept is not a key here", "did you mean accepts?"),
        ("[accepts]\nminimum_row = 3\n", ":2 [accepts] minimum_row", "is not a key here", "did you mean minimum_rows?"),
        ("[counts]\nmodels = []\n", ":2 [counts] models", "is not a key here", "models belongs to [accepts]"),
        (
            "[counts]\nbanana = 3\n",
            ":2 [counts] banana",
            "not a key here",
            "leave it out; [counts] has the keys minimum",
        ),
        (
            '\n[accepts]\nmodels = ["logistik"]',
            ":3 [accepts] models",
            'knows no "logistik"',
            'did you mean "logistic"?',
        ),
        (
            '[accepts]\nmodels = "logistic"',
            ":2 [accepts] models",
            "must be",
            'write a list of texts in quotes or "any"',
        ),
        (
            '[accepts]\nalgorithms = ["fedavgg"]',
            ":2 [accepts] algorithms",
            'knows no "fedavgg"',
            'did you mean "fedavg"?',
        ),
        ('[releases]\nmetrics = ["aucc"]', ":2 [releases] metrics", 'knows no "aucc"', 'did you mean "auc"?'),
        ('[accepts]\nstudies = ["0123456789"]', ":2 [accepts] studies", "too short for a digest", "write 12 digits"),
        (
            "[accepts]\nminimum_rows = 1",
            ":2 [accepts] minimum_rows",
            "must be a whole number from 2",
            "minimum_rows = 50",
        ),
        ("[accepts]\ncolumns = [1]", ":2 [accepts] columns", "must be a list of texts", "write"),
        ("budget = 3", ":1 budget", "must be a table", "write [budget]"),
        ("requires.epsilon = 3", ":1 [requires] epsilon", "must be a table", "write [requires.epsilon]"),
        ("[budget]\nepsilon = 1.0", ":1 [budget] delta", "delta is missing", "write delta = a number above 0"),
        (
            '[counts]\ntreatment = "round"\nbase = 3',
            ":3 [counts] base",
            "smaller than minimum",
            "write base = 5 or more",
        ),
        ("version = 2", ":1 version", "version must be 1", "version = 1"),
        ("[counts\nbase = 5\n", ":1", "this is not TOML", "]"),
        ("age,sick\n1,2\n", "policy.toml", "this is not a policy", "give the .toml file that describes the policy"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_a_remedy(
    folder: Path, text: str, where: str, what: str, remedy: str
) -> None:
    (folder / "policy.toml").write_text(text, encoding="utf-8")
    said = typed("policy", "check", "policy.toml", "--json")
    assert said.code == 2
    (complaint,) = said.json["error"]["complaints"]
    assert where in complaint["where"]
    assert what in complaint["what"]
    assert remedy in complaint["remedy"]
    assert "Traceback" not in said.err


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(SpecError) as error:
        parse("[accepts]\nminimum_row = 3\n[counts]\nminimum = true\ntreatment = 3\n", source="policy.toml")
    assert [complaint.where for complaint in error.value.complaints] == [
        "policy.toml:2 [accepts] minimum_row",
        "policy.toml:4 [counts] minimum",
        "policy.toml:5 [counts] treatment",
    ]


def test_a_policy_that_is_not_there() -> None:
    with pytest.raises(NotFoundError, match=r"did you mean closed\.toml\?"):
        read("close.toml")
    assert typed("run", "study.toml", "--policy", "close.toml").code == 2


def test_explain_says_what_leaves_and_what_does_not(folder: Path) -> None:
    said = typed("policy", "explain", "closed.toml")
    assert said.code == 0
    for fragment in ("Studies: none.", "secure aggregation", "Counts from 1 to 4 are left out", "other-columns"):
        assert fragment in said.out
    explained_ = typed("policy", "explain", "closed.toml", "--json").json["explained"]
    assert [*explained_] == [section.title for section in explained(read("closed.toml"))]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ('accepts.columns = ["age"]', "Columns that a study may know of: age; for it, there are no others."),
        ("accepts.test_lists = true", "A study may name a file with the IDs of its test rows"),
        ("requires.secure_aggregation = false", "Sums may leave in clear"),
        ("requires.epsilon.patient = 3.0", "with an ε of at most 3 where the unit is one patient"),
        ("budget = { epsilon = 8.0, delta = 1e-6 }", "together may spend ε = 8 and δ = 1e-06"),
        ('releases.statistics = ["update"]', "Each round, how the model changed"),
        ('releases.details = ["loss"]', "The loss in training"),
        ('releases.errors = "details"', "Of a failure, the sentence"),
        ('releases.ranges = "exact"', "values of single patients"),
        ("releases.catalogue = true", "Without any study: of each data set the columns that studies can use"),
        ("releases = { catalogue = true, label_balance = true }", "about which share of the rows each class"),
        ("releases.catalogue = true", "A row is known by all its cells: where a column comes or goes"),
        (
            'accepts.patient_id = "patient"\nreleases.catalogue = true',
            "until 5 of the patients with an outcome are others, by the column patient",
        ),
        (
            "counts.minimum_difference = 1\nreleases.catalogue = true",
            "before and after one patient came, or that something is told at all, can give that patient's outcome away",
        ),
        ("releases.hardware = true", "how many cores the site's machine has, about how much memory, and whether"),
        ('releases.categories = "all"', "also of one that a single patient has"),
        ('counts.treatment = "round"', "Counts are rounded to multiples of 5, up or down at random"),
        ('counts = { treatment = "round", unbiased = false }', "to the nearest"),
        ('counts.treatment = "noise"', "Counts are blurred by about 2; this is no differential privacy."),
        ("counts.minimum_difference = 9", "all but 8 of them or fewer"),
    ],
)
def test_explain_follows_the_rules(change: str, sentence: str) -> None:
    told = [one for section in explained(parse(change, source="x")) for one in section.sentences]
    assert any(sentence in one for one in told), told
    plain = [one for section in explained(parse("", source="x")) for one in section.sentences]
    assert not any(sentence in one for one in plain)


def models(results: Results) -> list[str | None]:
    assert [run.status for run in results.view.runs] == ["finished"] * len(results.view.runs)
    return [run.model for run in results.view.runs]


def test_a_run_under_a_policy_is_the_same_on_either_engine(folder: Path) -> None:
    by = {
        engine: simulate("study.toml", home=folder / engine, engine=engine, policy="allowing.toml", progress=False)
        for engine in ("in-process", "processes")
    }
    assert models(by["in-process"]) == models(by["processes"])
    told = [
        {(event.site, event.text) for run in results.view.every for event in run.notices} for results in by.values()
    ]
    assert told[0] == told[1]
    assert any("widened to round numbers (releases.ranges in the site's policy)" in text for _, text in told[0])


def test_a_run_that_a_policy_refuses_ends_with_its_rule(folder: Path) -> None:
    with pytest.raises(RefusedError) as error:
        simulate("study.toml", home=folder / "home", policy="closed.toml", progress=False)
    assert "rule accepts.studies: the site's policy says no: the study toy is not accepted" in str(error.value)
    assert "sites east, north and west" in str(error.value)


def test_a_sites_own_policy_has_the_last_word(folder: Path) -> None:
    own = folder / "home" / "sites" / "north"
    own.mkdir(parents=True)
    (own / "policy.toml").write_text(template(), encoding="utf-8")
    with pytest.raises(RefusedError, match=r"site north, rule accepts\.studies"):
        simulate("study.toml", home=folder / "home", policy="allowing.toml", progress=False)


def test_a_resumed_run_goes_on_under_the_same_policy(folder: Path) -> None:
    said = typed("run", "study.toml", "--policy", "closed.toml", "--json")
    assert said.code == 2
    (folder / "closed.toml").unlink()
    run = said.json["runs"][0]["run"]
    again = typed("resume", run)
    assert again.code == 2
    assert "rule accepts.studies" in again.err
