"""Attacks on the ledger that keeps a data set's privacy budget: rollback, overdraw, a kill at the worst moment, asking
again with a difference. Each says what it tried, and fails if it succeeds.
"""

from __future__ import annotations

import json
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from medfl.errors import RefusedError, StoreError
from medfl.privacy.accountant import Mechanism, epsilon
from medfl.privacy.ledger import DataSet, Ledger, Limit, Pin, Reservation, Spend

DATA = DataSet("ward-7", "columns-1")
NOISE = Mechanism(4.0, count=10)
ONCE = epsilon([NOISE], 1e-5)


def ledger(folder: Path) -> Ledger:
    return Ledger(folder / "ledger", folder / "elsewhere" / "anchor.json")


def reserved(run: str, *, dataset: DataSet = DATA, noise: Mechanism = NOISE) -> Reservation:
    slots = {"prepare": 1, "train": 10, "evaluate": 1}
    return Reservation(
        key=run, run=run, study="s", dataset=dataset, split="one", slots=slots, released={"train": (noise,), "test": ()}
    )


def round_of(number: int, digest: str = "same") -> Spend:
    return Spend(task="train", place=number, digest=f"{digest}-{number}", side="train", released=(Mechanism(4.0),))


def test_an_older_file_that_is_put_back_is_noticed_by_its_anchor(tmp_path: Path) -> None:
    ledger(tmp_path).spend(reserved("a"), round_of(1))
    shutil.copytree(tmp_path / "ledger", tmp_path / "copy")
    ledger(tmp_path).spend(reserved("b"), round_of(1))
    shutil.rmtree(tmp_path / "ledger")
    shutil.copytree(tmp_path / "copy", tmp_path / "ledger")
    with pytest.raises(RefusedError, match="rolled back"):
        ledger(tmp_path).spend(reserved("c"), round_of(1))
    with pytest.raises(RefusedError, match="according to its anchor"):
        ledger(tmp_path).total(DATA, 1e-5)


def test_a_ledger_that_is_deleted_with_its_anchor_is_noticed_by_the_hub(tmp_path: Path) -> None:
    pin = ledger(tmp_path).spend(reserved("a"), round_of(1))
    shutil.rmtree(tmp_path / "ledger")
    shutil.rmtree(tmp_path / "elsewhere")
    with pytest.raises(RefusedError, match="according to the hub's journal"):
        ledger(tmp_path).spend(reserved("a"), round_of(2), pinned=pin)


def test_a_hub_that_remembers_another_line_is_told_so(tmp_path: Path) -> None:
    pin = ledger(tmp_path).spend(reserved("a"), round_of(1))
    with pytest.raises(RefusedError, match="rolled back or replaced"):
        ledger(tmp_path).spend(reserved("a"), round_of(2), pinned=Pin(pin.lines, "f" * 64))


def test_a_line_that_is_changed_or_taken_out_breaks_the_chain(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        ledger(tmp_path).spend(reserved("a"), round_of(number))
    path = tmp_path / "ledger" / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for forged in ([*lines[:1], *lines[2:]], [lines[0].replace(b'"count":10', b'"count":1 '), *lines[1:]]):
        path.write_bytes(b"".join(forged))
        with pytest.raises(StoreError, match="does not follow"):
            ledger(tmp_path).spend(reserved("a"), round_of(4))


def test_the_same_question_costs_once_and_another_one_in_its_place_is_refused(tmp_path: Path) -> None:
    """Differencing by asking again: two answers to one round with other weights would leave less noise together."""
    book = ledger(tmp_path)
    first = book.spend(reserved("a"), round_of(1))
    assert book.spend(reserved("a"), round_of(1)) == first
    assert ledger(tmp_path).spend(reserved("a"), round_of(1)) == first
    with pytest.raises(RefusedError, match="other content"):
        book.spend(reserved("a"), round_of(1, "other"))
    assert book.pin() == first


def test_no_more_is_answered_than_was_set_aside(tmp_path: Path) -> None:
    book = ledger(tmp_path)
    for number in range(1, 11):
        book.spend(reserved("a"), round_of(number))
    with pytest.raises(RefusedError, match="answered before"):
        book.spend(reserved("a"), round_of(11))
    assert epsilon(book.spent("a")["train"], 1e-5) == pytest.approx(ONCE)


@pytest.mark.parametrize("copy", [DataSet("ward-7", "other"), DataSet("renamed", "columns-1")])
def test_a_renamed_copy_or_one_with_a_column_more_is_the_same_data(copy: DataSet, tmp_path: Path) -> None:
    limit = Limit(1.2 * ONCE, 1e-5)
    ledger(tmp_path).spend(reserved("a"), round_of(1), limit=limit)
    with pytest.raises(RefusedError, match="does not suffice"):
        ledger(tmp_path).spend(reserved("b", dataset=copy), round_of(1), limit=limit)


def test_a_refusal_says_what_is_left_and_what_it_would_need(tmp_path: Path) -> None:
    limit = Limit(1.2 * ONCE, 1e-5)
    book = ledger(tmp_path)
    book.spend(reserved("a"), round_of(1), limit=limit)
    before = book.pin()
    with pytest.raises(RefusedError) as told:
        book.spend(reserved("b"), round_of(1), limit=limit)
    both = epsilon([NOISE, NOISE], 1e-5)
    for number in (ONCE, limit.epsilon, limit.epsilon - ONCE, both):
        assert f"{number:.3g}" in str(told.value)
    assert book.pin() == before
    assert book.total(DATA, 1e-5) == pytest.approx(ONCE)


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    ledger(tmp_path).spend(reserved("a"), round_of(1))
    for path in (tmp_path / "ledger" / "ledger.jsonl", tmp_path / "elsewhere" / "anchor.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_processes_cannot_both_spend_the_last_of_a_budget(tmp_path: Path) -> None:
    """Six runs at once, each in a process of its own, and enough for three: whatever the order, three are answered."""
    three = epsilon([Mechanism(4.0, count=30)], 1e-5)
    asked = [in_a_process(f"print(t.answers(folder, 'run-{number}', {three!r}))", tmp_path) for number in range(6)]
    told = [process.communicate(timeout=120)[0].strip() for process in asked]
    assert sorted(told) == ["False"] * 3 + ["True"] * 3
    assert ledger(tmp_path).total(DATA, 1e-5) == pytest.approx(three)


def answers(folder: Path, run: str, budget: float) -> bool:
    """Say whether a run is answered."""
    try:
        ledger(folder).spend(reserved(run), round_of(1), limit=Limit(budget + 1e-9, 1e-5))
    except RefusedError:
        return False
    return True


def test_what_is_killed_between_spending_and_answering_has_spent(tmp_path: Path) -> None:
    """A site is killed as soon as it has written; whoever comes next finds the line, and the same question is free."""
    killed = in_a_process(
        "t.ledger(folder).spend(t.reserved('a'), t.round_of(1)); os.kill(os.getpid(), signal.SIGKILL)", tmp_path
    )
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    after = ledger(tmp_path).pin()
    assert after.lines == 2
    assert ledger(tmp_path).spend(reserved("a"), round_of(1)) == after


def in_a_process(does: str, folder: Path) -> subprocess.Popen[str]:
    """Start a process that does something with this file as `t`."""
    start = "import os, signal, sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import test_ledger as t"
    script = f"{start}\nfolder = Path(sys.argv[2])\n{does}"
    line = [sys.executable, "-c", script, str(Path(__file__).parent), str(folder)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, text=True)


def test_a_line_that_was_cut_off_was_never_answered(tmp_path: Path) -> None:
    ledger(tmp_path).spend(reserved("a"), round_of(1))
    path = tmp_path / "ledger" / "ledger.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"before":"')
    ledger(tmp_path).spend(reserved("a"), round_of(2))
    lines = path.read_bytes().splitlines()
    assert path.read_bytes().startswith(whole)
    assert [json.loads(line)["is"] for line in lines] == ["run", "answer", "answer"]
