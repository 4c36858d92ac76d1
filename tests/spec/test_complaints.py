"""What a wrong study gets: each mistake at its line, with what was found and what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import pytest

from medfl.errors import Complaint

Complaints: TypeAlias = Callable[[str], tuple[Complaint, ...]]

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
    Case("[privacy.dp]\nepsilon = 1", "5 [privacy.dp] unit", "unit is missing", "", "all rows of one patient"),
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
        'the choices are "bulyan", "fed',
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
        "must be a whole number from 1 to",
        '"ten"',
        "rounds = 10",
    ),
    Case('[algorithm]\nrounds = "25"', "6 [algorithm] rounds", "must be a whole number", '"25"', "write rounds = 25"),
    Case("[algorithm]\nrounds = 5.0", "6 [algorithm] rounds", "must be a whole number", "5.0", "write rounds = 5"),
    Case(
        "[algorithm]\nrounds = true", "6 [algorithm] rounds", "must be a whole number", "true", "rounds = 10, which is"
    ),
    Case("[algorithm]\nrounds = 0", "6 [algorithm] rounds", "a whole number from 1 to", "0", "rounds = 10, which is"),
    Case("[algorithm]\nfraction = 0.0", "6 [algorithm] fraction", "above 0 and of at most 1", "0.0", "leave it out"),
    Case("[algorithm]\nfraction = 1.5", "6 [algorithm] fraction", "above 0 and of at most 1", "1.5", "leave it out"),
    Case(
        "[algorithm]\nkind = 'qfedavg'\nq = -1",
        "7 [algorithm] q",
        "from 0 to 20",
        "-1",
        "q = 1.0, which is the default",
    ),
    Case(
        "[algorithm]\nkind = 'rfa'\nsmoothing = 0",
        "7 [algorithm] smoothing",
        "a number above 0",
        "0",
        "for example smoothing = 1e-06",
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


@pytest.mark.parametrize("case", [*KEYS, *KINDS, *VALUES, *ARMS], ids=lambda case: f"{case.where}:{case.what}")
def test_a_mistake_is_told_at_its_place_with_a_remedy(case: Case, complaints: Complaints) -> None:
    told = {complaint.where: complaint for complaint in complaints(HEAD + case.text)}
    complaint = told[f"study.toml:{case.where}"]
    assert case.what in complaint.what
    assert complaint.received == case.received
    assert case.remedy in complaint.remedy


@pytest.mark.parametrize("case", [*KEYS, *KINDS, *VALUES, *ARMS], ids=lambda case: f"{case.where}:{case.what}")
def test_every_complaint_has_a_remedy_and_no_full_stop(case: Case, complaints: Complaints) -> None:
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
def test_what_is_missing_is_told(text: str, where: list[str], remedy: str, complaints: Complaints) -> None:
    found = complaints(text)
    assert sorted(complaint.where for complaint in found) == sorted(where)
    assert any(remedy in complaint.remedy for complaint in found)
