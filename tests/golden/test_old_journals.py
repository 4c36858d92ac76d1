"""Journals of earlier releases stay readable: one of each is kept here with what it told then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from medfl.publish.report import report
from medfl.store.home import Home
from medfl.store.shelf import outlines, whole_execution
from medfl.store.summary import summary

JOURNALS = sorted((Path(__file__).parent / "journal").glob("*.db"))


@pytest.mark.parametrize("journal", JOURNALS, ids=lambda path: path.stem)
def test_an_old_journal_tells_what_it_told(journal: Path, tmp_path: Path) -> None:
    shutil.copy(journal, tmp_path / "journal.db")
    told = json.loads(journal.with_suffix(".json").read_text(encoding="utf-8"))
    with Home(tmp_path) as home:
        execution = whole_execution(home, outlines(home)[0].execution)
        now = json.loads(json.dumps(summary(execution)))
        assert {key: now[key] for key in told} == told
        assert told["study"] in report(execution)
