"""What a site keeps between rounds: durable, its owner's alone, and only what a request can still ask for."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medfl.errors import RefusedError, WireError
from medfl.learn.algorithm import Memory
from medfl.messages import Refusal
from medfl.site.answer import Site
from medfl.site.memory import FolderVault
from medfl.testing.algorithm_contract import print_of
from medfl.testing.engine_contract import odd_arrays
from medfl.testing.federation import overheard, sites, study, tables

MEMORY: Memory = {"variate": np.arange(3.0), "seen": np.array(7, np.int64), "none": np.zeros((0, 2), np.float32)}


@pytest.fixture
def vault(tmp_path: Path) -> FolderVault:
    return FolderVault(tmp_path / "vaults" / "east")


def files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def test_what_was_kept_is_recalled_exactly(vault: FolderVault) -> None:
    for round, memory in enumerate((MEMORY, odd_arrays()), start=1):
        vault.keep("a-1", round, memory)
        assert print_of(vault.recall("a-1", round)) == print_of(memory)


def test_before_the_first_round_there_is_nothing(vault: FolderVault) -> None:
    assert vault.recall("a-1", 0) == {}
    vault.keep("a-1", 1, MEMORY)
    assert vault.recall("a-1", 0) == {} == vault.recall("a-2", 1)


def test_a_vault_opened_anew_has_it_still(vault: FolderVault, tmp_path: Path) -> None:
    vault.keep("a-1", 1, MEMORY)
    assert print_of(FolderVault(tmp_path / "vaults" / "east").recall("a-1", 1)) == print_of(MEMORY)
    assert FolderVault(tmp_path / "vaults" / "west").recall("a-1", 1) == {}


def test_only_the_last_two_rounds_are_kept(vault: FolderVault, tmp_path: Path) -> None:
    """The last round's, and the one before: it answers the last request again."""
    for round in range(1, 6):
        vault.keep("a-1", round, {"round": np.array(float(round))})
    assert [path.name for path in files(tmp_path)] == ["4.safetensors", "5.safetensors", "forgotten"]
    assert vault.recall("a-1", 4)["round"] == 4.0
    assert vault.recall("a-1", 0) == {}, "the first round begins from nothing"
    with pytest.raises(RefusedError, match="forgotten"):
        vault.recall("a-1", 3)


def test_who_was_asked_late_for_the_first_time_has_forgotten_nothing(vault: FolderVault) -> None:
    vault.keep("a-1", 5, MEMORY)
    assert vault.recall("a-1", 4) == {}
    vault.keep("a-1", 7, MEMORY)
    assert vault.recall("a-1", 4) == {}


def test_a_round_goes_on_from_the_newest_before_it(vault: FolderVault, tmp_path: Path) -> None:
    """A site that was asked in rounds 2, 5 and 9 only: each starts from the last, and again when it is asked again."""
    for round, before in ((2, None), (5, 2.0), (9, 5.0)):
        for _ in range(2):
            recalled = vault.recall("a-1", round - 1)
            assert recalled.get("round") == before
            vault.keep("a-1", round, {"round": np.array(float(round))})
    assert vault.recall("a-1", 30)["round"] == 9.0
    assert [path.name for path in files(tmp_path)] == ["5.safetensors", "9.safetensors", "forgotten"]


def test_to_keep_nothing_any_more_is_remembered(vault: FolderVault, tmp_path: Path) -> None:
    vault.keep("a-1", 1, MEMORY)
    vault.keep("a-1", 2, {})
    for one in (vault, FolderVault(tmp_path / "vaults" / "east")):
        assert one.recall("a-1", 2) == {}
        assert print_of(one.recall("a-1", 1)) == print_of(MEMORY)


def test_runs_do_not_meet(vault: FolderVault) -> None:
    vault.keep("a-1", 1, {"x": np.array(1.0)})
    vault.keep("a-2", 1, {"x": np.array(2.0)})
    assert [float(vault.recall(run, 1)["x"]) for run in ("a-1", "a-2")] == [1.0, 2.0]


def test_nothing_to_keep_makes_no_file(vault: FolderVault, tmp_path: Path) -> None:
    vault.keep("a-1", 1, {})
    assert list(tmp_path.rglob("*")) == []


def test_only_its_owner_can_read_it(vault: FolderVault, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        vault.keep("a-1", 1, MEMORY)
    finally:
        os.umask(before)
    (path,) = files(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_keeping_again_replaces_it_whole(vault: FolderVault, tmp_path: Path) -> None:
    vault.keep("a-1", 1, MEMORY)
    vault.keep("a-1", 1, {"x": np.array(1.0)})
    assert set(vault.recall("a-1", 1)) == {"x"}
    assert len(list(files(tmp_path))) == 1


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_crash_while_keeping_leaves_what_was_there(
    vault: FolderVault, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Power goes before the file is durable, or before it has its name: the old memory is still whole."""
    vault.keep("a-1", 1, MEMORY)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", crash) if broken == "fsync" else patched.setattr(Path, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            vault.keep("a-1", 1, {"x": np.array(1.0)})
    assert print_of(vault.recall("a-1", 1)) == print_of(MEMORY)
    vault.keep("a-1", 1, {"x": np.array(1.0)})
    assert set(vault.recall("a-1", 1)) == {"x"}


@pytest.mark.parametrize("run", ["../other", "a/b", "/tmp/x", "..", ".", "", "a\x00b"])
def test_a_runs_name_is_no_way_out_of_the_folder(vault: FolderVault, tmp_path: Path, run: str) -> None:
    """A request's run is the hub's word: it names a folder inside the vault, or nothing."""
    outside = tmp_path / "vaults" / "other"
    with pytest.raises(WireError, match="a request names its run"):
        vault.keep(run, 1, MEMORY)
    with pytest.raises(WireError, match="a request names its run"):
        vault.recall(run, 1)
    assert not outside.exists()
    assert list(files(tmp_path)) == []


class Diary:
    """A vault in memory that writes down what it is asked."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, int], Memory] = {}
        self.asked: list[tuple[str, str, int]] = []

    def recall(self, run: str, round: int) -> Memory:
        self.asked.append(("recall", run, round))
        return self.kept.get((run, round), {})

    def keep(self, run: str, round: int, memory: Mapping[str, Any]) -> None:
        self.asked.append(("keep", run, round))
        self.kept[run, round] = memory

    def newest(self, run: str) -> int:
        return max((round for name, round in self.kept if name == run), default=0)


def test_a_round_recalls_the_one_before_and_keeps_its_own_before_the_reply(tmp_path: Path) -> None:
    diary = Diary()
    hospitals = sites(tmp_path) | {"east": Site("east", lambda: tables()["east"], vault=diary)}
    overheard(study(algorithm={"kind": "fedavg", "rounds": 3}), hospitals)
    assert diary.asked == [
        (what, "overheard-0", place)
        for round in (1, 2, 3)
        for what, place in (("recall", round - 1), ("keep", round))
    ]  # fmt: skip


def test_a_refused_answer_keeps_nothing(tmp_path: Path) -> None:
    """An update that is not finite does not become what the next round starts from."""
    diary = Diary()
    hospital = Site("east", lambda: tables()["east"], vault=diary)
    asked = study(training={"learning_rate": 1e30}, model={"kind": "mlp", "hidden": [4]})
    heard = overheard(asked, sites(tmp_path) | {"east": hospital})
    assert isinstance(heard[-1][1], Refusal)
    assert [what for what, *_ in diary.asked] == ["recall"]
