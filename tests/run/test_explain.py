"""What a study will do, in sentences: whole texts that a reader would be shown, kept beside this test.

``MEDFL_WRITE_GOLDEN=1 pytest tests/run/test_explain.py`` writes them anew; read the difference before you keep it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from medfl.run.explain import Section, explain
from medfl.run.plan import compile
from medfl.simulate import inspect
from medfl.spec.study import Study
from medfl.testing.federation import study, table

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
    assert [section.title for section in sections] == [
        "What is asked",
        "Who takes part",
        "On which columns",
        "How it is trained",
        "What leaves a site",
        "How it is judged",
        "What is assumed",
    ]
    assert all(sentence.endswith((".", "?", "!")) for section in sections for sentence in section.sentences)
