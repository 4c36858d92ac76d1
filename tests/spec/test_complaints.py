"""What a wrong study gets: each mistake at its line, with what was found and what to write instead."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from medfl.errors import Complaint, SpecError
from medfl.spec.reading import parse

HEAD = '[study]\nname = "s"\n[data]\ntarget = "y"\n'
"""Lines 1 to 4; a case goes on in [data], at line 5."""


class Case(NamedTuple):
    """What is written below the head, and the complaint it gets."""

    text: str
    where: str
    what: str
    received: str
    remedy: str


KEYS = [
    Case('targte = "x"', "5 [data] targte", "targte is not a key here", '"x"', "did you mean target?"),
    Case("local_epochs = 2", "5 [data] local_epochs", "not a key here", "2", "local_epochs belongs to [training]"),
    Case("seed = 2", "5 [data] seed", "not a key here", "2", "seed belongs to [study]"),
    Case('model = "mlp"', "5 [data] model", "not a key here", '"mlp"', "the top of the study, as a table of its own"),
    Case("version = 1", "5 [data] version", "not a key here", "1", "version belongs to the top of the study"),
    Case("xyzzy = 1", "5 [data] xyzzy", "not a key here", "1", "leave it out; [data] has the keys target, positive"),
    Case("[trainig]\nmomentum = 0", "5 [trainig]", "not a key here", "", "did you mean training?"),
    Case("[training]\nlr = 0.1", "6 [training] lr", "not a key here", "0.1", "write learning_rate instead of lr"),
    Case('[training]\nkind = "sgd"', "6 [training] kind", "not a key here", '"sgd"', "write optimizer instead of kind"),
    Case(
        "[training]\nbeta1 = 0.9", "6 [training] beta1", "not a parameter of sgd", "0.9", "choose adam or adamw, which"
    ),
    Case(
        '[algorithm]\nkind = "fedavg"\nrounds = 3\n\ntau = 1e-3',
        "9 [algorithm] tau",
        "tau is not a parameter of fedavg",
        "0.001",
        "leave it out, or choose fedadagrad, fedadam or fedyogi, which have it",
    ),
    Case(
        'simulate = { sites = 2,  partition = { kind = "dirichlet", alfa = 1 } }',
        "5 [data.simulate.partition] alfa",
        "alfa is not a key here",
        "1",
        "did you mean alpha?",
    ),
    Case("[privacy]\nsecure_agregation = false", "6 [privacy] secure_agregation", "not a key", "false", "did you mean"),
    Case(
        "[privacy.dp]\nepsilon = 1", "5 [privacy] dp", "differential privacy is not available", "", "only if the study"
    ),
    Case(
        "[privacy]\nk_anonymity = 5",
        "6 [privacy] k_anonymity",
        "k_anonymity is not available",
        "5",
        "only if the study",
    ),
]
KINDS = [
    Case(
        '[algorithm]\nkind = "fedyogy"',
        "6 [algorithm] kind",
        'no kind "fedyogy"',
        '"fedyogy"',
        'did you mean "fedyogi"?',
    ),
    Case(
        '[algorithm]\nkind = "FedAvg"', "6 [algorithm] kind", 'no kind "FedAvg"', '"FedAvg"', 'did you mean "fedavg"?'
    ),
    Case(
        '[algorithm]\nkind = "zzz"',
        "6 [algorithm] kind",
        'no kind "zzz"',
        '"zzz"',
        'the choices are "fedadagrad", "fed',
    ),
    Case(
        '[training]\noptimizer = "sdg"', "6 [training] optimizer", 'no optimizer "sdg"', '"sdg"', 'did you mean "sgd"?'
    ),
    Case("[model]\nkind = 3", "6 [model] kind", "no kind 3", "3", 'the choices are "logistic", "linear", "mlp"'),
    Case('[preprocess]\nencode = "onehot"', "6 [preprocess] encode", 'no kind "onehot"', '"onehot"', '"one-hot"?'),
    Case('[preprocess]\nscale = "minmax"', "6 [preprocess] scale", 'scale knows no "minmax"', '"minmax"', '"min-max"?'),
    Case(
        'outcome = "survival"',
        "5 [data] outcome",
        "outcome knows no",
        '"survival"',
        'are "binary", "multiclass", "regr',
    ),
]
VALUES = [
    Case(
        '[algorithm]\nrounds = "ten"',
        "6 [algorithm] rounds",
        "must be a whole number of at least 1",
        '"ten"',
        "rounds = 10",
    ),
    Case('[algorithm]\nrounds = "25"', "6 [algorithm] rounds", "must be a whole number", '"25"', "write rounds = 25"),
    Case("[algorithm]\nrounds = 5.0", "6 [algorithm] rounds", "must be a whole number", "5.0", "write rounds = 5"),
    Case(
        "[algorithm]\nrounds = true", "6 [algorithm] rounds", "must be a whole number", "true", "rounds = 10, which is"
    ),
    Case(
        "[algorithm]\nrounds = 0", "6 [algorithm] rounds", "a whole number of at least 1", "0", "rounds = 10, which is"
    ),
    Case("[algorithm]\nmin_sites = 0", "6 [algorithm] min_sites", "of at least 1", "0", "at least 1, or leave it out"),
    Case("[training]\nmomentum = 1", "6 [training] momentum", "a number from 0 to below 1", "1", "momentum = 0.0"),
    Case("[training]\nlearning_rate = nan", "6 [training] learning_rate", "a number above 0", "nan", "= 0.05"),
    Case("[training]\nlearning_rate = inf", "6 [training] learning_rate", "a number above 0", "inf", "= 0.05"),
    Case('[training]\nnesterov = "false"', "6 [training] nesterov", "true or false", '"false"', "nesterov = false"),
    Case(
        "[evaluation]\nthreshold = 2",
        "6 [evaluation] threshold",
        '"youden" or a number above 0',
        "2",
        "threshold = 0.5",
    ),
    Case(
        '[evaluation]\nthreshold = "yuden"', "6 [evaluation] threshold", "knows no", '"yuden"', 'did you mean "youden"?'
    ),
    Case(
        '[evaluation]\nbaselines = "local-only"', "6 [evaluation] baselines", "a list", '"local-only"', '["local-only"]'
    ),
    Case(
        '[evaluation]\nbaselines = ["pooled"]', "6 [evaluation] baselines[0]", "knows no", '"pooled"', '"centralised"'
    ),
    Case("positive = 1", "5 [data] positive", "must be text in quotes", "1", 'write positive = "1"'),
    Case('features = "age"', "5 [data] features", "a list of one or more texts", '"age"', 'write features = ["age"]'),
    Case('features = [\n"age",\n3]', "7 [data] features[1]", "each of features must be text", "3", 'write "3"'),
    Case("features = []", "5 [data] features", "a list of one or more texts", "[]", "or leave it out"),
    Case(
        '[model]\nkind = "mlp"\nhidden = [64, 0]', "7 [model] hidden[1]", "from 1 to 65 536", "0", "whole number from 1"
    ),
    Case(
        '[model]\nkind = "mlp"\nhidden = 64', "7 [model] hidden", "a list of one or more whole", "64", "hidden = [64]"
    ),
    Case("sites.a = 3", "5 [data.sites] a", "a must be text in quotes", "3", 'write "3"'),
    Case(
        "[training.class_weight]\nyes = -1", "6 [training.class_weight] yes", "a number above 0", "-1", "number above 0"
    ),
    Case(
        "[training]\nclass_weight = 3",
        "6 [training] class_weight",
        '"balanced" or a table of numbers',
        "3",
        "leave it out",
    ),
    Case("positive = 1979-05-27", "5 [data] positive", "must be text in quotes", "1979-05-27", "text in quotes"),
    Case(
        "[[data.simulate]]\nsites = 3",
        "5 [data] simulate",
        "simulate is one table, not a list",
        "[{ sites = 3 }]",
        "[simulate]",
    ),
    Case("[arm]\nname = 'a'", "5 [[arm]]", "each arm is a table of its own", "", "write [[arm]], in two brackets"),
    Case(
        "[[model]]\nkind = 'mlp'",
        "5 [model]",
        "model is one table, not a list",
        '[{ kind = "mlp" }]',
        "single brackets",
    ),
    Case("[[arm]]\nname = 'a b'", "6 [[arm]] a b: name", "must be a short name", '"a b"', 'write name = "a-b"'),
    Case("[[arm]]", "5 [[arm]] number 1: name", "name is missing", "", 'write name = "…": the arm\'s name'),
]
TOGETHER = [
    Case("simulate = { table = 'a' }", "5 [data.simulate] sites", "sites is missing", "", "say how many sites"),
    Case(
        'simulate = { sites = 2, names = ["a"] }',
        "5 [data.simulate] sites",
        "sites says 2 but names has 1",
        "2",
        "make them agree or leave one out",
    ),
    Case(
        "simulate = { sites = 2 }\n[data.sites]\na = 'a.csv'",
        "6 [data] sites",
        "data.sites and data.simulate exclude each other",
        "",
        "keep one of them",
    ),
    Case(
        'simulate = { sites = 2, partition = "quantiles" }',
        "5 [data.simulate] partition",
        "column is missing",
        '"quantiles"',
        'write column = "…": the numeric column',
    ),
    Case(
        "[training]\nlocal_steps = 1\nlocal_epochs = 1", "7 [training] local_epochs", "exclude", "1", "keep one of them"
    ),
    Case("[training]\nnesterov = true", "6 [training] nesterov", "needs a momentum above 0", "true", "set momentum"),
    Case('features = ["a", "y"]', "5 [data] features[1]", "would give the answer away", '"y"', "take it out"),
    Case('features = ["a", "b", "a"]', "5 [data] features[2]", "features has a twice", '"a"', "keep one of them"),
    Case('columns = ["a", "y", "y"]', "5 [data] columns[2]", "columns has y twice", '"y"', "keep one of them"),
    Case('columns = ["age", "x"]', "4 [data] target", "no column y in data.columns", '"y"', "add it to data.columns"),
    Case(
        'columns = ["age", "y"]\nfeatures = ["agge"]',
        "6 [data] features[0]",
        "there is no column agge in data.columns",
        '"agge"',
        "did you mean age?",
    ),
    Case(
        'features = ["ward"]\ncategorical = ["wrad"]',
        "6 [data] categorical[0]",
        "there is no column wrad in data.features",
        '"wrad"',
        "did you mean ward?",
    ),
    Case(
        'features = ["ward"]\nunits.age = "a"', "6 [data.units] age", "no column age", '"a"', "add it to data.features"
    ),
    Case(
        'columns = ["y", "x"]\nsimulate = { partition = { kind = "column", column = "site" } }',
        "6 [data.simulate.partition] column",
        "no column site in data.columns",
        '"site"',
        "add it to data.columns",
    ),
    Case(
        'features = ["x", "site"]\nsimulate = { partition = { kind = "column", column = "site" } }',
        "5 [data] features[1]",
        "site deals the rows",
        '"site"',
        "take it out of the features",
    ),
    Case(
        'simulate = { sites = 3, partition = { kind = "quantiles", column = "y" } }',
        "5 [data.simulate.partition] column",
        "rows are dealt by the target y",
        '"y"',
        "name another column",
    ),
    Case(
        'categorical = ["c"]\nsimulate = { sites = 3, partition = { kind = "quantiles", column = "c" } }',
        "6 [data.simulate.partition] column",
        "c is categorical",
        '"c"',
        'partition = { kind = "column", column = "c" }',
    ),
    Case(
        'columns = ["y"]\nsimulate = { sites = 3, bundled = "breast-cancer" }',
        "5 [data] columns",
        "breast-cancer has column names of its own",
        '["y"]',
        "leave columns out",
    ),
    Case('positive = "> high"', "5 [data] positive", "a comparison needs a number", '"> high"', 'such as "> 0"'),
    Case('positive = "1"\noutcome = "multiclass"', "5 [data] positive", "yes or no", '"1"', "leave positive out"),
    Case(
        'outcome = "binary"\n[model]\nkind = "linear"',
        "7 [model] kind",
        "a linear model predicts numbers; the outcome is binary",
        '"linear"',
        'choose kind = "logistic" or "mlp"',
    ),
    Case(
        'outcome = "regression"\n[model]\nkind = "logistic"',
        "7 [model] kind",
        "a logistic model predicts classes",
        '"logistic"',
        'choose kind = "linear" or "mlp"',
    ),
    Case(
        '[model]\nkind = "linear"\n[training]\nclass_weight = "balanced"',
        "8 [training] class_weight",
        "class_weight weighs classes",
        '"balanced"',
        "leave class_weight out",
    ),
    Case(
        '[model]\nkind = "linear"\n[evaluation]\nthreshold = "youden"',
        "8 [evaluation] threshold",
        "a threshold divides classes",
        '"youden"',
        "leave threshold out",
    ),
    Case(
        'outcome = "multiclass"\n[evaluation]\nthreshold = 0.3',
        "7 [evaluation] threshold",
        "a threshold divides two classes",
        "0.3",
        "leave threshold out",
    ),
    Case(
        'outcome = "regression"\n[model]\nkind = "mlp"\n[data.simulate]\nsites = 2\npartition = "dirichlet"',
        "10 [data.simulate] partition",
        "a Dirichlet partition shares out classes",
        '"dirichlet"',
        '{ kind = "quantiles", column = "y" }',
    ),
    Case("sites = { 'st gallen' = 'a' }", "5 [data.sites] st gallen", "cannot be used", '"a"', "such as st-gallen"),
    Case("sites = { '../x' = 'a' }", "5 [data.sites] ../x", "part of file names", '"a"', "such as x"),
    Case(
        'simulate = { names = ["a", "ü"] }',
        "5 [data.simulate] names[1]",
        "cannot be used",
        '"ü"',
        "letters, digits, dots",
    ),
    Case('simulate = { names = ["a", "a"] }', "5 [data.simulate] names[1]", "has a twice", '"a"', "keep one"),
    Case("sites = { a = 'x', b = 'x' }", "5 [data.sites] b", "the same file as a", '"x"', "give b its own file"),
    Case("sites = { a = '' }", "5 [data.sites] a", "a has no file", '""', "write the file's path"),
    Case("simulate = { sites = 2, table = '' }", "5 [data.simulate] table", "names no file", '""', "write its path"),
    Case(
        "simulate = { sites = 3 }\n[algorithm]\nmin_sites = 4",
        "7 [algorithm] min_sites",
        "min_sites asks for 4 sites; there are 3",
        "4",
        "write 3 at most",
    ),
    Case(
        "sites = { a = 'a' }\n[evaluation]\nid_column = 'y'",
        "7 [evaluation] id_column",
        "y identifies rows and is the target as well",
        '"y"',
        "name another column",
    ),
    Case(
        "sites = { a = 'a' }\n[evaluation]\ntest_ids = { a = 'ids' }",
        "7 [evaluation] test_ids",
        "no column is said to hold them",
        "",
        'id_column = "…"',
    ),
    Case(
        "sites = { basel = 'a' }\n[evaluation]\nid_column = 'id'\ntest_ids = { basel = 'i', bsael = 'j' }",
        "8 [evaluation.test_ids] bsael",
        "there is no site bsael",
        '"j"',
        "did you mean basel?",
    ),
    Case(
        "simulate.sites = 2\n[evaluation]\nid_column = 'id'\ntest_ids = { site-1 = 'i' }",
        "8 [evaluation] test_ids",
        "test_ids has no list for site-2",
        "",
        'add site-2 = "FILE"',
    ),
    Case(
        'simulate = { sites = 2, partition = "dirichlet" }\n[evaluation]\ntest_fraction = 0.95',
        "7 [evaluation] test_fraction",
        "leaves none to train on",
        "0.95",
        "lower test_fraction",
    ),
    Case(
        '[evaluation]\nbaselines = ["centralised", "centralised"]',
        "6 [evaluation] baselines[1]",
        "baselines has centralised twice",
        '"centralised"',
        "keep one of them",
    ),
    Case(
        "[privacy]\nsecure_aggregation = true",
        "6 [privacy] secure_aggregation",
        "not available in this version",
        "true",
        "or set it to false",
    ),
]
ARMS = [
    Case(
        "[[arm]]\nname = 'a'\n\n[[arm]]\nname = 'b'\nalgorithm = { kind = 'fedyogi', tua = 1 }",
        "10 [[arm]] b: algorithm.tua",
        "tua is not a key here",
        "1",
        "did you mean tau?",
    ),
    Case("[[arm]]\nname = 'a'\nalgorithm = 'fedpro'", "7 [[arm]] a: algorithm", "no kind", '"fedpro"', '"fedprox"?'),
    Case("[[arm]]\nname = 'a'\nalgoritm = 'fedavg'", "7 [[arm]] a: algoritm", "not a key", '"fedavg"', "algorithm?"),
    Case("[[arm]]\nname = 'a'\ntraining = 3", "7 [[arm]] a: training", "a table of what the arm changes", "3", "{ key"),
    Case("[[arm]]\nname = 'a'\nstudy.seed = 3", "7 [[arm]] a: study", "not a key here", "", "the top of the study"),
    Case(
        "[[arm]]\nname = 'a'\n[arm.training]\nlocal_epochs = 0",
        "8 [[arm]] a: training.local_epochs",
        "must be a whole number",
        "0",
        "or leave it out",
    ),
    Case(
        "[[arm]]\nname = 'a'\nmodel = 'linear'\ndata.outcome = 'binary'",
        "7 [[arm]] a: model",
        "a linear model predicts numbers",
        '"linear"',
        'choose kind = "logistic"',
    ),
    Case(
        "[[arm]]\nname = 'a'\n[[arm]]\nname = 'a'",
        "8 [[arm]] a: name",
        "two arms are called a",
        '"a"',
        "a name of its own",
    ),
    Case(
        "[evaluation]\nbaselines = ['centralised']\n[[arm]]\nname = 'centralised'",
        "8 [[arm]] centralised: name",
        "the name of a baseline",
        '"centralised"',
        "another name",
    ),
]


def complaints(text: str) -> tuple[Complaint, ...]:
    with pytest.raises(SpecError) as caught:
        parse(text, source="study.toml")
    return caught.value.complaints


@pytest.mark.parametrize(
    "case", [*KEYS, *KINDS, *VALUES, *TOGETHER, *ARMS], ids=lambda case: f"{case.where}:{case.what}"
)
def test_a_mistake_is_told_at_its_place_with_a_remedy(case: Case) -> None:
    told = {complaint.where: complaint for complaint in complaints(HEAD + case.text)}
    complaint = told[f"study.toml:{case.where}"]
    assert case.what in complaint.what
    assert complaint.received == case.received
    assert case.remedy in complaint.remedy


@pytest.mark.parametrize(
    "case", [*KEYS, *KINDS, *VALUES, *TOGETHER, *ARMS], ids=lambda case: f"{case.where}:{case.what}"
)
def test_every_complaint_has_a_remedy_and_no_full_stop(case: Case) -> None:
    for complaint in complaints(HEAD + case.text):
        assert complaint.remedy
        assert not complaint.what.endswith(".")
        assert "pydantic" not in str(complaint).lower()
        assert "Input should" not in str(complaint)


@pytest.mark.parametrize(
    ("text", "where", "remedy"),
    [
        ("", ["study.toml [study]", "study.toml [data]"], 'add [study] with name = "…"'),
        ("[study]\n[data]\ntarget = 'y'", ["study.toml:1 [study] name"], 'write name = "…": short name'),
        ("[study]\nname = 's'\n[data]\n", ["study.toml:3 [data] target"], 'write target = "…": the column to predict'),
        (
            "rounds = 3",
            ["study.toml:1 rounds", "study.toml [study]", "study.toml [data]"],
            "rounds belongs to [algorithm]",
        ),
    ],
)
def test_what_is_missing_is_told(text: str, where: list[str], remedy: str) -> None:
    found = complaints(text)
    assert sorted(complaint.where for complaint in found) == sorted(where)
    assert any(remedy in complaint.remedy for complaint in found)
