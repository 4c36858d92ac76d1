"""What a study will do, in sentences: whole texts that a reader would be shown, kept beside this test.

``MEDFL_WRITE_GOLDEN=1 pytest tests/run/test_explain.py`` writes them anew; read the difference before you keep it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from medfl.errors import DataError
from medfl.inspection import inspect
from medfl.run.explain import Section, explain
from medfl.run.plan import compile
from medfl.spec.study import Study
from medfl.testing.federation import study, table, tables

GOLDEN = Path(__file__).parent / "explained"


def text(sections: tuple[Section, ...]) -> str:
    return "".join(f"{section.title}\n" + "".join(f"  {line}\n" for line in section.sentences) for section in sections)


def held(name: str, shown: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("MEDFL_WRITE_GOLDEN"):
        path.write_text(shown, encoding="utf-8")
    assert shown == path.read_text(encoding="utf-8")


def test_the_tiny_study(edited: Callable[..., Path]) -> None:
    held("three-hospitals", text(inspect(edited()).sections))


PARTS = """
[evaluation]
baselines = ["centralised"]
margin = 0.02
contributions = { kind = "shapley", permutations = 3 }
importance = { repeats = 3 }
smallest_group = 5

[privacy]
secure_aggregation = false

[evaluation.subgroups]
colour = "colour"
"age band" = { column = "age", cuts = [50, 60] }
"""


def test_what_is_compared_in_parts(edited: Callable[..., Path]) -> None:
    held("in-parts", text(inspect(edited(more=PARTS)).sections))


TUNED = """
[evaluation.fine_tune]
local_epochs = 5
learning_rate = 0.01
freeze = "all-but-head"
"""


def test_what_each_site_does_after_the_last_round(edited: Callable[..., Path]) -> None:
    held("fine-tuned", text(inspect(edited(more=TUNED)).sections))


def test_how_files_are_written_is_told_where_it_is_not_plain(edited: Callable[..., Path]) -> None:
    study = edited()
    frame = pd.read_csv(study.parent / "west.csv")
    frame.to_csv(study.parent / "west.csv", index=False, sep=";", decimal=",")
    sections = inspect(study).sections
    german = {one.title: one.sentences for one in sections}
    assert german["How the files are written"] == (
        "west: Decimals have a comma, and semicolons separate cells: 12,5 is read as twelve and a half.",
    )
    assert sections[2].title == "How the files are written"


def test_twenty_simulated_sites() -> None:
    asked = {
        "study": {"name": "dealt", "question": "How far do twenty sites get?", "seed": 3, "repeats": 5},
        "data": {
            "target": "sick",
            "positive": "1",
            "simulate": {"sites": 20, "partition": {"kind": "quantiles", "column": "dose"}},
        },
        "preprocess": {"impute": "median"},
        "model": {"kind": "mlp", "hidden": [16, 8], "dropout": 0.1, "layer_norm": True},
        "training": {"optimizer": "adam", "local_steps": 20, "batch_size": 16},
        "algorithm": {"rounds": 12, "min_sites": 15},
        "evaluation": {
            "baselines": ["centralised", "local-only"],
            "threshold": "youden",
            "split_seed": 1,
            "test_fraction": 0.25,
        },
        "arm": [
            {"name": "average"},
            {"name": "prox", "algorithm": {"kind": "fedprox", "mu": 0.1}, "model": {"kind": "logistic"}},
            {"name": "yogi", "algorithm": {"kind": "fedyogi"}, "training": {"local_steps": 5}},
        ],
    }
    held("twenty-sites", text(inspect(Study.model_validate(asked), table(300, seed=5)).sections))


def test_without_tables_only_what_the_spec_says() -> None:
    asked = study(evaluation={"baselines": ["local-only"], "test_ids": {"east": "ids"}, "id_column": "number"})
    held("no-tables", text(explain(asked, compile(asked))))


@pytest.mark.parametrize("spec", ["heart", "diabetes"])
def test_the_real_studies_are_explained_whole(shared: Path, spec: str) -> None:
    sections = inspect(shared / "studies" / f"{spec}.toml").sections
    titles = [section.title for section in sections]
    # The hospitals of Heart Disease measured with gaps of their own: that is said in between.
    assert ("What may not fit together" in titles) == (spec == "heart")
    assert [title for title in titles if title != "What may not fit together"] == [
        "What is asked",
        "Who takes part",
        "On which columns",
        "How it is trained",
        "What leaves a site",
        "How it is judged",
        "What is assumed",
    ]
    assert all(sentence.endswith((".", "?", "!")) for section in sections for sentence in section.sentences)


ARMS = """
[[arm]]
name = "plain"

[[arm]]
name = "few"
data = { features = ["age", "dose"] }

[[arm]]
name = "few-again"
data = { features = ["age", "dose"] }
training = { learning_rate = 0.1 }

[[arm]]
name = "other"
preprocess = { impute = "median" }
model = { kind = "logistic" }
algorithm = { min_sites = 2 }
evaluation = { threshold = "youden" }
"""


def test_arms_that_differ_are_told_apart(edited: Callable[..., Path]) -> None:
    held("arms", text(inspect(edited(more=ARMS)).sections))


def test_a_baseline_reads_what_the_study_says_not_what_an_arm_does(edited: Callable[..., Path]) -> None:
    more = ARMS.replace('name = "plain"', 'name = "plain"\ndata = { features = ["age"] }')
    sections = inspect(edited(more=f'\n[evaluation]\nbaselines = ["local-only"]\n{more}')).sections
    assert "On which columns (the baselines)" in [section.title for section in sections]


def test_a_site_that_cannot_take_part_is_named(edited: Callable[..., Path]) -> None:
    study = edited(("rounds = 4", "rounds = 4\nmin_sites = 2"), more="\n[privacy]\nsecure_aggregation = false\n")
    (study.parent / "west.csv").unlink()
    told = {section.title: section.sentences for section in inspect(study).sections}
    (gone,) = [sentence for sentence in told["What is assumed"] if sentence.startswith("Site west")]
    assert gone.startswith("Site west does not take part: ")
    assert "no such file" in gone
    assert told["Who takes part"][0].startswith("2 sites")


def test_too_few_sites_for_a_secure_sum_are_told_with_what_keeps_the_others(edited: Callable[..., Path]) -> None:
    study = edited(("rounds = 4", "rounds = 4\nmin_sites = 2"))
    (study.parent / "west.csv").unlink()
    with pytest.raises(DataError, match="no such file"):
        inspect(study)


def test_a_study_that_asks_for_secure_sums_can_be_checked(edited: Callable[..., Path]) -> None:
    sections = inspect(edited(more="\n[privacy]\nsecure_aggregation = true\n")).sections
    assert "3 sites" in text(sections)


def test_an_arm_for_which_too_few_sites_answer_is_refused(edited: Callable[..., Path]) -> None:
    """What the first arm bears, the second does not."""
    arms = '\n[[arm]]\nname = "two"\nalgorithm = { min_sites = 2 }\n\n[[arm]]\nname = "all"\n'
    study = edited(more=arms)
    (study.parent / "west.csv").unlink()
    with pytest.raises(DataError, match="no such file"):
        inspect(study)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"momentum": 0.9, "nesterov": True}, "momentum 0.9, nesterov"),
        ({"clip_norm": 1.0, "class_weight": "balanced"}, "clip_norm 1, class_weight balanced"),
        ({"class_weight": {"0": 1.0, "1": 3.0}}, "class_weight 0: 1, 1: 3"),
        ({"optimizer": "adamw", "weight_decay": 0.1}, "weight_decay 0.1"),
    ],
)
def test_every_training_setting_is_told(change: dict[str, object], says: str) -> None:
    asked = study(training=change)
    (line,) = [one for section in explain(asked, compile(asked)) for one in section.sentences if "at each site" in one]
    assert line.endswith(f"batches of 16, {says}.")


def told(**algorithm: object) -> str:
    asked = study(algorithm=algorithm)
    return text(explain(asked, compile(asked)))


def test_every_setting_of_a_rule_is_told_and_what_it_sends_keeps_and_sees() -> None:
    scaffold = told(kind="scaffold", rounds=3)
    assert "3 rounds of scaffold (server_learning_rate 1)" in scaffold
    assert "the change of the model's weights and of the site's control variate" in scaffold
    assert "Kept at each site from round to round and never sent: its control variate" in scaffold
    assert "one by one" not in scaffold
    krum = told(kind="krum", byzantine=2)
    assert "The hub compares the sites' contributions one by one (krum): they cannot be hidden in a sum." in krum
    assert "times the number of training rows" not in krum
    fedopt = told(kind="fedopt", server_optimizer={"kind": "sgd", "momentum": 0.5})
    assert "fedopt (server_optimizer sgd (learning_rate 1, momentum 0.5))" in fedopt
    assert "multi-krum (byzantine 1, keep 3)" in told(kind="multi-krum", keep=3)
    assert "multi-krum (byzantine 1);" in told(kind="multi-krum")


OPEN = "[privacy]\nsecure_aggregation = false\n"


def test_whom_a_round_asks_is_told(tiny: Path, edited: Callable[..., Path]) -> None:
    assert "Each round asks" not in text(inspect(tiny).sections)
    some = text(inspect(edited(("rounds = 4", "rounds = 4\nfraction = 0.6\nmin_asked = 1"), more=OPEN)).sections)
    assert "Each round asks 2 of 3 sites, drawn anew from the seed. Metrics along the way come from those" in some
    assert "Every site that is asked must answer in every round, or the run stops." in some
    assert "Each round asks 0.6 of the sites, 2 at least, drawn anew" in told(kind="fedavg", fraction=0.6, min_sites=2)


def test_who_may_drop_out_is_told_once_and_alike(edited: Callable[..., Path]) -> None:
    whole = text(inspect(edited()).sections)
    assert "drop out" not in whole
    assert "only their sum over all sites." in whole
    assert "Every site must answer in every round" in whole
    few = text(inspect(edited(("rounds = 4", "rounds = 4\nmin_sites = 2"))).sections)
    assert "the 3 sites that a round asks: each of them must answer" in few
    assert "A round counts when 3 sites answer." in few
    assert "drop out" not in few
    unknown = told(kind="fedavg", min_sites=2)
    assert "A round counts when 2 sites answer." in unknown


def test_more_sites_than_a_secure_sum_needs_may_be_asked_for() -> None:
    def said(least: int) -> str:
        asked = {"data": {"target": "sick", "simulate": {"sites": 10}}, "algorithm": {"min_sites": least}}
        study = Study.model_validate({"study": {"name": "ten"}, "model": "logistic", "training": {}, **asked})
        return text(inspect(study, table(300, seed=5)).sections)

    assert "as long as 7 of 10 stay" in said(2)
    assert "A round counts when 7 sites answer." in said(2)
    assert "as long as 9 of 10 stay" in said(9)


def test_the_options_of_a_network_of_ones_own_are_told() -> None:
    asked = study(model={"kind": "torch", "name": "mine", "options": {"width": 8}})
    assert "Your PyTorch module 'mine' (width 8)" in text(explain(asked, compile(asked)))


@pytest.mark.parametrize(
    ("target", "model", "told"),
    [
        ("dose", "linear", "On 20% of each site's rows (drawn anew for each repeat)."),
        (
            "colour",
            "mlp",
            "On 20% of each site's rows, stratified by outcome where possible (drawn anew for each repeat).",
        ),
    ],
)
def test_only_a_yes_or_no_has_a_probability_to_count_from(target: str, model: str, told: str) -> None:
    what = study(data={"target": target}, model={"kind": model})
    judged = next(part for part in inspect(what, tables()).sections if part.title == "How it is judged")
    assert judged.sentences[0] == told
