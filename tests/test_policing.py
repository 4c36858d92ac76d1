"""``medfl policy`` and ``--policy``: what is typed, what is shown, and what a run makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from medfl.errors import RefusedError, SpecError
from medfl.policing import rulings, write
from medfl.simulate import simulate
from medfl.site.rules import Rules
from medfl.site.rules_reading import parse, read
from medfl.site.rules_template import template
from medfl.store.views import RunView
from medfl.testing.command import Said, typed
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


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with a study, its tables and two policies."""
    for number, name in enumerate(("east", "north", "west")):
        table(150 + 20 * number, number).to_csv(tmp_path / f"{name}.csv", index=False)
    (tmp_path / "study.toml").write_text(STUDY, encoding="utf-8")
    (tmp_path / "allowing.toml").write_text(ALLOWING, encoding="utf-8")
    (tmp_path / "closed.toml").write_text(template(), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path
