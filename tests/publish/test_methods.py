from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medfl.publish.federating import citation
from medfl.publish.methods import Setting, arms_of, methods
from medfl.spec.study import Study
from medfl.testing import story

GOLDEN = Path(__file__).parent / "golden"
STUDIES = Path(__file__).parents[3] / "shared" / "studies"


def decoded(study: Study) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(study.canonical)
    return body


def as_text(spec: dict[str, Any], setting: Setting | None = None) -> str:
    return "\n\n".join(f"{part.title}. {part.text}" for part in methods(spec, setting)) + "\n"


def test_the_methods_of_the_story() -> None:
    setting = Setting(
        sites=("lakeside", "northfield", "st-anne"),
        rows=738,
        features=("age", "bmi", "smoker"),
        outcome="binary",
        versions={"python": "3.11.7", "numpy": "2.3.1", "medfl": "3.0.0"},
    )
    assert as_text(decoded(story.study()), setting) == (GOLDEN / "methods-story.txt").read_text(encoding="utf-8")


@pytest.mark.skipif(not STUDIES.exists(), reason="../shared/studies is not here")
@pytest.mark.parametrize("name", ["heart", "diabetes"])
def test_the_methods_of_a_published_study(name: str) -> None:
    study = Study.model_validate(tomllib.loads((STUDIES / f"{name}.toml").read_text(encoding="utf-8")))
    assert as_text(decoded(study)) == (GOLDEN / f"methods-{name}.txt").read_text(encoding="utf-8")


def test_every_installed_algorithm_is_cited() -> None:
    assert citation("fedprox").startswith("FedProx (Li et al. 2020")
    assert citation("not-installed") == "not-installed"


def test_what_a_rule_keeps_sees_and_whom_it_asks_is_told(ask: Callable[..., Study]) -> None:
    some = {"rounds": 4, "fraction": 0.25, "min_asked": 3}
    scaffold, krum, yogi = (
        as_text(decoded(ask(algorithm=some | algorithm)))
        for algorithm in (
            {"kind": "scaffold"},
            {"kind": "krum"},
            {"kind": "fedopt", "server_optimizer": {"kind": "yogi", "beta1": 0.8}},
        )
    )
    assert "SCAFFOLD (Karimireddy et al. 2020" in scaffold
    assert "Each round asked 25 % of the sites, and three sites at least, drawn at random from the seed" in scaffold
    assert "every site that was asked had to answer" in scaffold
    assert "In each round each site that was asked took one pass" in scaffold
    assert "Each site kept its control variate, as many numbers as the model, from round to round" in scaffold
    assert "compared the sites' single contributions, which the hub therefore saw" in krum
    assert "compared" not in scaffold
    assert "with server optimizer yogi (β₁ 0.8, β₂ 0.99, learning rate 0.01, τ 0.001)" in yogi
    assert "fraction 0.25" not in scaffold


def test_every_setting_that_differs_from_silence_is_told(ask: Callable[..., Study]) -> None:
    study = ask(
        data={"target": "y", "positive": "> 3", "missing": ["?"], "simulate": {"table": "a/b.csv", "sites": 5}},
        model={"kind": "mlp", "hidden": [8, 4], "dropout": 0.2, "layer_norm": True, "activation": "tanh"},
        training={"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "clip_norm": 1.5, "weight_decay": 0.01,
                  "class_weight": "balanced", "local_steps": 7},
        algorithm={"kind": "fedprox", "mu": 0.3, "rounds": 4, "min_sites": 2},
        evaluation={"threshold": "youden", "id_column": "mrn", "test_ids": {"a": "ids.txt"}},
    )  # fmt: skip
    text = as_text(decoded(study))
    for told in (
        "positive where > 3", "'?'", "the table b.csv", "at random", "8 and 4 units, tanh", "dropout 0.2",
        "layer normalisation", "momentum 0.9", "Nesterov", "norm of 1.5", "weight decay 0.01", "inverse proportion",
        "seven steps", "μ 0.3", "at least two sites", "Youden", "whose mrn",
    ):  # fmt: skip
        assert told in text


@pytest.mark.parametrize(
    ("partition", "told"),
    [
        ({"kind": "dirichlet", "alpha": 0.5}, "Dirichlet distribution with α = 0.5"),
        ({"kind": "quantiles", "column": "age"}, "quantiles of age"),
        ({"kind": "column", "column": "ward"}, "values of ward"),
    ],
)
def test_how_rows_were_dealt_is_told(ask: Callable[..., Study], partition: dict[str, Any], told: str) -> None:
    simulate: dict[str, Any] = {"bundled": "breast-cancer", "partition": partition}
    simulate |= {} if partition["kind"] == "column" else {"sites": 4}
    assert told in as_text(decoded(ask(data={"target": "y", "simulate": simulate})))


def test_each_arm_is_told_what_its_model_does_with_categories(ask: Callable[..., Study]) -> None:
    arms = [{"name": "line", "model": "logistic"}, {"name": "net", "model": "mlp"}]
    text = as_text(decoded(ask()) | {"arm": arms})
    line, net = text[text.index("In arm line: ") :].split("In arm net: ")[:2]
    assert "the first category in sorted order being the reference" in line
    assert "one 0/1 column each over the union" in net
    assert "being the reference" not in net.partition("\n")[0]
    written = as_text(decoded(ask(preprocess={"encode": {"drop_first": True}}, model={"kind": "mlp"})))
    assert "the first category in sorted order being the reference" in written


def test_a_single_run_claims_no_test(ask: Callable[..., Study]) -> None:
    text = as_text(decoded(ask(arms=("fedavg", "fedyogi"))))
    assert "t-test" not in text
    assert "do not cover the randomness of training" in text


def test_an_algorithm_that_is_not_installed_is_told_as_it_was_written() -> None:
    spec = decoded(story.study())
    spec["arm"] = [{"name": "new", "algorithm": {"kind": "fedfuture", "strength": 2.0}}]
    assert arms_of(spec)["new"]["algorithm"]["kind"] == "fedfuture"
    assert "fedfuture with strength 2" in as_text(spec)


def test_nothing_is_said_twice_where_arms_do_not_differ(ask: Callable[..., Study]) -> None:
    text = as_text(decoded(ask(arms=("fedavg", "fedyogi"))))
    assert text.count("The model was a logistic regression") == 1
    assert "In arm fedavg: the sites' models" in text
    assert "In arm fedyogi: the sites' models" in text
