from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medfl.errors import BusyError, StoreError
from medfl.store.home import Home
from medfl.testing.journal_contract import notices

HOLDER = """
import sys
from pathlib import Path
from medfl.store.home import Home

with Home(Path(sys.argv[1])).lock(sys.argv[2]):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDFL_HOME", raising=False)
    monkeypatch.delenv("MEDFL_JOURNAL", raising=False)


def test_it_is_made_for_its_owner_only(tmp_path: Path) -> None:
    with Home(tmp_path / "a" / "b") as home:
        home.journal.append(notices("a", 1))
        assert home.folder.stat().st_mode & 0o777 == 0o700
        assert (home.folder / "journal.db").exists()


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Home().folder == tmp_path / ".medfl"
    monkeypatch.setenv("MEDFL_HOME", "~/elsewhere")
    assert Home().folder == tmp_path / "elsewhere"
    assert Home(tmp_path / "given").folder == tmp_path / "given"


def test_the_journal_may_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDFL_JOURNAL", f"sqlite:///{tmp_path / 'shared.db'}")
    with Home(tmp_path / "home") as home:
        home.journal.append(notices("a", 1))
    assert (tmp_path / "shared.db").exists()
    assert not (tmp_path / "home" / "journal.db").exists()


def test_a_home_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be written to"):
        Home(tmp_path / "file" / "home")


def test_sqlalchemy_is_imported_only_for_the_journal(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from medfl.store.home import Home\n"
        "home = Home(Path(sys.argv[1])); home.artefacts.write(b'x'); home.is_busy('run')\n"
        "print('sqlalchemy' in sys.modules)\n"
        "home.journal\n"
        "print('sqlalchemy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_one_at_a_time_works_on_a_run(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert not home.is_busy("run-1")
    with home.lock("run-1"), home.lock("run-2"):
        assert home.is_busy("run-1")
        with pytest.raises(BusyError) as error, Home(tmp_path).lock("run-1"):
            pass
        assert "working on run-1" in str(error.value)
    assert not home.is_busy("run-1")
    with home.lock("run-1"):
        pass


def test_another_process_holds_it_until_it_dies(tmp_path: Path) -> None:
    home = Home(tmp_path)
    command = [sys.executable, "-c", HOLDER, str(tmp_path), "run-1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        assert home.is_busy("run-1")
        with pytest.raises(BusyError), home.lock("run-1"):
            pass
        os.kill(holder.pid, signal.SIGKILL)
    assert not home.is_busy("run-1")
    with home.lock("run-1"):
        pass


@pytest.mark.parametrize("run", ["../../escaped", "/etc/escaped", "..", "a/b", "ü\0"])
def test_a_lock_stays_in_its_folder(tmp_path: Path, run: str) -> None:
    home = Home(tmp_path / "home")
    with home.lock(run):
        assert home.is_busy(run)
        assert [path.parent for path in tmp_path.rglob("*.lock")] == [home.folder / "locks"]
