"""What the parts of a study must agree on: each contradiction at its line, in the study or in the arm that has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from medfl.errors import Complaint, SpecError
from medfl.spec.checks import check
from medfl.spec.reading import parse
from medfl.spec.study import Study

Complaints: TypeAlias = Callable[[str], tuple[Complaint, ...]]

GOOD = '[study]\nname = "s"\n[data]\ntarget = "y"\n'
"""Lines 1 to 4; a case goes on in [data], at line 5."""

CASES = [
    ("simulate = { table = 'a' }", "5 [data.simulate] sites", "sites is missing", "", "say how many sites"),
    (
        'simulate = { sites = 2, names = ["a"] }',
        "5 [data.simulate] sites",
        "sites says 2 but names has 1",
        "2",
        "make them agree or leave one out",
    ),
    (
        "simulate = { sites = 2 }\n[data.sites]\na = 'a.csv'",
        "6 [data] sites",
        "data.sites and data.simulate exclude each other",
        "",
        "keep one of them",
    ),
    (
        'simulate = { sites = 2, partition = "quantiles" }',
        "5 [data.simulate] partition",
        "column is missing",
        '"quantiles"',
        'write column = "…": the numeric column',
    ),
    ("[training]\nlocal_steps = 1\nlocal_epochs = 1", "7 [training] local_epochs", "exclude", "1", "keep one of them"),
    ("[training]\nnesterov = true", "6 [training] nesterov", "needs a momentum above 0", "true", "set momentum"),
    ('features = ["a", "y"]', "5 [data] features[1]", "would give the answer away", '"y"', "take it out"),
    ('features = ["a", "b", "a"]', "5 [data] features[2]", "features has a twice", '"a"', "keep one of them"),
    ('columns = ["a", "y", "y"]', "5 [data] columns[2]", "columns has y twice", '"y"', "keep one of them"),
    ('columns = ["age", "x"]', "4 [data] target", "no column y in data.columns", '"y"', "add it to data.columns"),
    (
        'columns = ["age", "y"]\nfeatures = ["agge"]',
        "6 [data] features[0]",
        "there is no column agge in data.columns",
        '"agge"',
        "did you mean age?",
    ),
    (
        'features = ["ward"]\ncategorical = ["wrad"]',
        "6 [data] categorical[0]",
        "there is no column wrad in data.features",
        '"wrad"',
        "did you mean ward?",
    ),
    ('features = ["ward"]\nunits.age = "a"', "6 [data.units] age", "no column age", '"a"', "add it to data.features"),
    (
        'columns = ["y", "x"]\nsimulate = { partition = { kind = "column", column = "site" } }',
        "6 [data.simulate.partition] column",
        "no column site in data.columns",
        '"site"',
        "add it to data.columns",
    ),
    (
        'features = ["x", "site"]\nsimulate = { partition = { kind = "column", column = "site" } }',
        "5 [data] features[1]",
        "site deals the rows",
        '"site"',
        "take it out of the features",
    ),
    (
        'simulate = { sites = 3, partition = { kind = "quantiles", column = "y" } }',
        "5 [data.simulate.partition] column",
        "rows are dealt by the target y",
        '"y"',
        "name another column",
    ),
    (
        'categorical = ["c"]\nsimulate = { sites = 3, partition = { kind = "quantiles", column = "c" } }',
        "6 [data.simulate.partition] column",
        "c is categorical",
        '"c"',
        'partition = { kind = "column", column = "c" }',
    ),
    (
        'columns = ["y"]\nsimulate = { sites = 3, bundled = "breast-cancer" }',
        "5 [data] columns",
        "breast-cancer has column names of its own",
        '["y"]',
        "leave columns out",
    ),
    ('positive = "> high"', "5 [data] positive", "a comparison needs a number", '"> high"', 'such as "> 0"'),
    ('positive = "1"\noutcome = "multiclass"', "5 [data] positive", "yes or no", '"1"', "leave positive out"),
    (
        'outcome = "binary"\n[model]\nkind = "linear"',
        "7 [model] kind",
        "a linear model predicts numbers; the outcome is binary",
        '"linear"',
        'choose kind = "logistic" or "mlp"',
    ),
    (
        'outcome = "regression"\n[model]\nkind = "logistic"',
        "7 [model] kind",
        "a logistic model predicts classes",
        '"logistic"',
        'choose kind = "linear" or "mlp"',
    ),
    (
        '[model]\nkind = "linear"\n[training]\nclass_weight = "balanced"',
        "8 [training] class_weight",
        "class_weight weighs classes",
        '"balanced"',
        "leave class_weight out",
    ),
    (
        '[model]\nkind = "linear"\n[evaluation]\nthreshold = "youden"',
        "8 [evaluation] threshold",
        "a threshold divides classes",
        '"youden"',
        "leave threshold out",
    ),
    (
        'outcome = "multiclass"\n[evaluation]\nthreshold = 0.3',
        "7 [evaluation] threshold",
        "a threshold divides two classes",
        "0.3",
        "leave threshold out",
    ),
    ("sites = { 'st gallen' = 'a' }", "5 [data.sites] st gallen", "cannot be used", '"a"', "such as st-gallen"),
    ("sites = { '../x' = 'a' }", "5 [data.sites] ../x", "part of file names", '"a"', "such as x"),
    (
        'simulate = { names = ["a", "ü"] }',
        "5 [data.simulate] names[1]",
        "cannot be used",
        '"ü"',
        "letters, digits, dots",
    ),
    ('simulate = { names = ["a", "a"] }', "5 [data.simulate] names[1]", "has a twice", '"a"', "keep one"),
    (
        "sites = { a = 'x.csv', b = 'x.csv' }",
        "5 [data.sites] b",
        "the same file as a",
        '"x.csv"',
        "give b its own file",
    ),
    ("sites = { a = '' }", "5 [data.sites] a", "a has no file", '""', "write the file's path"),
    ("simulate = { sites = 2, table = '' }", "5 [data.simulate] table", "names no file", '""', "write its path"),
    (
        "simulate = { sites = 3 }\n[algorithm]\nmin_sites = 4",
        "7 [algorithm] min_sites",
        "min_sites asks for 4 sites; there are 3",
        "4",
        "write 3 at most",
    ),
    (
        "simulate = { sites = 3 }\n[algorithm]\nfraction = 0.5\nmin_asked = 4",
        "8 [algorithm] min_asked",
        "min_asked asks for 4 sites; there are 3",
        "4",
        "write 3 at most",
    ),
    (
        "simulate = { sites = 3 }\n[algorithm]\nmin_asked = 2",
        "7 [algorithm] min_asked",
        "without fraction every round asks all",
        "2",
        "set fraction as well",
    ),
    (
        "simulate = { sites = 6 }\n[algorithm]\nkind = 'krum'\nbyzantine = 2",
        "7 [algorithm] kind",
        "krum with byzantine = 2 needs 7 contributions or more a round; there are 6 sites",
        '"krum"',
        "set byzantine to 1 at most",
    ),
    (
        "simulate = { sites = 9 }\n[algorithm]\nkind = 'bulyan'\nfraction = 0.5",
        "7 [algorithm] kind",
        "bulyan with byzantine = 1 needs 7 contributions or more a round; 5 of 9 sites are asked",
        '"bulyan"',
        "raise fraction or min_asked, choose fedmedian",
    ),
    (
        "simulate = { sites = 4 }\n[algorithm]\nkind = 'trimmed-mean'\ntrim = 0.45",
        "7 [algorithm] kind",
        "leaves out 2 of 4 contributions at either end, and nothing is left",
        '"trimmed-mean"',
        "lower trim",
    ),
    (
        "[algorithm]\nkind = 'scaffold'\n[training]\noptimizer = 'adam'",
        "8 [training] optimizer",
        "an adaptive optimiser rescales",
        '"adam"',
        'set optimizer = "sgd"',
    ),
    (
        "[algorithm]\nkind = 'fednova'\n[training]\nmomentum = 0.9\nnesterov = true",
        "9 [training] nesterov",
        "not for Nesterov's",
        "true",
        "leave nesterov out",
    ),
    (
        "sites = { a = 'a' }\n[evaluation]\nid_column = 'y'",
        "7 [evaluation] id_column",
        "y identifies rows and is the target as well",
        '"y"',
        "name another column",
    ),
    (
        "sites = { a = 'a' }\n[evaluation]\ntest_ids = { a = 'ids' }",
        "7 [evaluation] test_ids",
        "no column is said to hold them",
        "",
        'id_column = "…"',
    ),
    (
        "sites = { basel = 'a' }\n[evaluation]\nid_column = 'id'\ntest_ids = { basel = 'i', bsael = 'j' }",
        "8 [evaluation.test_ids] bsael",
        "there is no site bsael",
        '"j"',
        "did you mean basel?",
    ),
    (
        "simulate.names = ['a', 'b']\n[evaluation]\nid_column = 'id'\ntest_ids = { a = 'i' }",
        "8 [evaluation] test_ids",
        "test_ids has no list for b",
        "",
        'add b = "FILE"',
    ),
    (
        'simulate = { sites = 2, partition = "dirichlet" }\n[evaluation]\ntest_fraction = 0.95',
        "7 [evaluation] test_fraction",
        "leaves none to train on",
        "0.95",
        "lower test_fraction",
    ),
    (
        '[evaluation]\nbaselines = ["centralised", "centralised"]',
        "6 [evaluation] baselines[1]",
        "baselines has centralised twice",
        '"centralised"',
        "keep one of them",
    ),
    (
        'simulate = { table = "a.csv", sites = 2 }\n[privacy]\nsecure_aggregation = true',
        "7 [privacy] secure_aggregation",
        "secure aggregation needs at least 3 sites, as of two each can subtract itself; there are 2",
        "true",
        "leave secure_aggregation out",
    ),
]


@pytest.mark.parametrize(("text", "where", "what", "received", "remedy"), CASES)
def test_a_contradiction_is_told_at_its_place_with_a_remedy(
    text: str, where: str, what: str, received: str, remedy: str, complaints: Complaints
) -> None:
    told = {complaint.where: complaint for complaint in complaints(GOOD + text)}
    complaint = told[f"study.toml:{where}"]
    assert what in complaint.what
    assert complaint.received == received
    assert remedy in complaint.remedy


# -- arms --------------------------------------------------------------------------------------------------------------


def test_what_is_wrong_in_every_arm_is_told_once_of_the_study(complaints: Complaints) -> None:
    text = GOOD + 'features = ["y"]\n[[arm]]\nname = "a"\n[[arm]]\nname = "b"\nalgorithm = "fedyogi"\n'
    assert [complaint.where for complaint in complaints(text)] == ["study.toml:5 [data] features[0]"]


def test_what_every_arm_mends_is_not_wrong() -> None:
    text = GOOD + 'features = ["y"]\n[[arm]]\nname = "a"\ndata.features = ["x"]\n'
    assert list(parse(text, source="study.toml").arms) == ["a"]


def test_what_one_arm_does_not_mend_is_told_of_the_others(complaints: Complaints) -> None:
    text = GOOD + 'features = ["y"]\n[[arm]]\nname = "a"\ndata.features = ["x"]\n[[arm]]\nname = "b"\n'
    assert [complaint.where for complaint in complaints(text)] == ["study.toml:9 [[arm]] b: data.features[0]"]


def test_an_arm_with_fewer_features_may_leave_categorical_as_it_is() -> None:
    text = GOOD + 'features = ["age", "ward"]\ncategorical = ["ward"]\n[[arm]]\nname = "a"\ndata.features = ["age"]\n'
    assert parse(text, source="study.toml").arms["a"].data.features == ("age",)


def test_a_contradiction_that_an_arm_brings_in_is_told_at_what_it_changes(complaints: Complaints) -> None:
    text = GOOD + '[training]\nclass_weight = "balanced"\n[[arm]]\nname = "a"\nmodel = "linear"\n'
    (complaint,) = complaints(text)
    assert complaint.where == "study.toml:7 [[arm]] a: training.class_weight"
    assert complaint.what == "class_weight weighs classes; the outcome is a number"


# -- studies from Python -----------------------------------------------------------------------------------------------


def test_a_study_from_python_is_checked_in_the_same_words() -> None:
    body = {"study": {"name": "s"}, "data": {"target": "y", "features": ["x", "y"]}}
    study = Study.model_validate(body | {"arm": [{"name": "a"}, {"name": "b", "algorithm": "fedyogy"}]})
    with pytest.raises(SpecError) as caught:
        check(study)
    assert [(complaint.where, complaint.received) for complaint in caught.value.complaints] == [
        ("[data] features[1]", '"y"'),
        ("[[arm]] b: algorithm", '"fedyogy"'),
    ]


def test_a_good_study_from_python_passes() -> None:
    check(parse(GOOD, source="study.toml"))
