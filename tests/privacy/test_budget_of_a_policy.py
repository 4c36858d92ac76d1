"""A site's budget over studies, as its policy sets it: the study that would exceed it is refused at the site."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medfl.site.rules_template import template
from medfl.testing.command import typed
from medfl.testing.federation import DECLARED, NAMES, table

STUDY = """\
[study]
name = "toy"
seed = {seed}
[data]
target = "sick"
sites = {{ east = "east.csv", north = "north.csv", west = "west.csv" }}
[preprocess]
impute = "drop"
[algorithm]
rounds = 2
[evaluation]
bootstrap = 0
[privacy.dp]
unit = "record"
epsilon = 3
ranges = {ranges}
categories = {categories}
"""


def inline(words: dict[str, object]) -> str:
    return "{ " + ", ".join(f"{name} = {json.dumps(value)}" for name, value in words.items()) + " }"


@pytest.mark.parametrize("engine", ["in-process", "processes"])
def test_a_second_study_that_would_exceed_it_is_refused(tmp_path: Path, engine: str) -> None:
    for number, name in enumerate(NAMES):
        table(150 + 20 * number, number).to_csv(tmp_path / f"{name}.csv", index=False)
    declared = {name: inline(dict(words)) for name, words in DECLARED.items()}
    for name, seed in (("first", 1), ("second", 7)):
        (tmp_path / f"{name}.toml").write_text(STUDY.format(seed=seed, **declared), encoding="utf-8")
    allowed = template().replace("studies = []", 'studies = ["toy"]')
    policy = tmp_path / "policy.toml"
    policy.write_text(f"{allowed}\n[budget]\nepsilon = 4\ndelta = 1e-5\n", encoding="utf-8")
    options = ("--home", tmp_path / "home", "--policy", policy, "--engine", engine)

    first = typed("run", tmp_path / "first.toml", *options, "--json")
    assert first.code == 0, first.err
    (run,) = first.json["runs"]
    assert run["privacy"]["secure_aggregation"] is True
    assert run["privacy"]["unit"] == "record"
    assert 2.9 < run["privacy"]["epsilon"] <= 3.0

    second = typed("run", tmp_path / "second.toml", *options)
    assert second.code == 2
    told = " ".join(second.err.split())
    assert "the privacy budget of this data set does not suffice for the run" in told
    assert "ε 3 of 4 spent at δ 1e-05, 1 left; the run needs 3 by itself and would bring it to 4." in told
    assert "ask the site for a larger budget" in told
    assert "Traceback" not in second.err
