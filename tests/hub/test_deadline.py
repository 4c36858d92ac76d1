"""How long sites may take: the hub's setting, as it is typed, and as it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from medfl.errors import StoreError
from medfl.hub.deadline import LONGEST, NAME, USUAL, deadline_of
from medfl.testing.command import typed
from medfl.testing.hub import made


def test_an_hour_unless_it_is_said_otherwise_and_then_at_once(tmp_path: Path) -> None:
    hub = made(tmp_path / "hub")
    assert hub.deadline == USUAL == 3600.0
    for word, seconds in (("90s", 90.0), ("30m", 1800.0), ("4h", 14400.0), ("2d", 172800.0)):
        said = typed("hub", "deadline", word, "--home", hub.folder, "--json")
        assert said.json == {"deadline": seconds}
        assert hub.deadline == seconds
    assert "172800 s for one answer" in typed("hub", "deadline", "--home", hub.folder).out
    assert (hub.folder / NAME).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("word", ["0s", "31d", "soon", "5", "-3m"])
def test_what_is_no_deadline_is_refused_and_changes_nothing(tmp_path: Path, word: str) -> None:
    hub = made(tmp_path / "hub")
    said = typed("hub", "deadline", "--home", hub.folder, "--", word)
    assert said.code == 2
    assert "as in 90s" in said.err
    assert hub.deadline == USUAL


def test_without_a_hub_there_is_no_deadline(tmp_path: Path) -> None:
    said = typed("hub", "deadline", "90s", "--home", tmp_path)
    assert said.code == 2
    assert "there is no hub here" in said.err


@pytest.mark.parametrize("text", ["", "{}", '{"seconds": "x"}', '{"seconds": 0}', '{"seconds": 1e99}', "[]"])
def test_a_file_that_was_changed_is_not_guessed_at(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(StoreError, match="medfl hub deadline 1h"):
        deadline_of(tmp_path)
    assert LONGEST < 1e99
