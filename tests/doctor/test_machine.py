"""What a machine lacks is said before it is missed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from medfl.doctor import machine


@pytest.mark.parametrize(("free", "state"), [(0.1e9, "blocked"), (0.5e9, "caution"), (50e9, "clear")])
def test_room_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, state: str) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    found = machine.disk(tmp_path / "not" / "there" / "yet")
    assert found.state == state and f"{free / 1e9:.1f} GB" in found.said and bool(found.remedy) == (state != "clear")


@pytest.mark.parametrize(("kilobytes", "state"), [(200_000, "blocked"), (800_000, "caution"), (9_000_000, "clear")])
def test_memory(tmp_path: Path, kilobytes: int, state: str) -> None:
    said = tmp_path / "meminfo"
    said.write_text(f"MemTotal: 1 kB\nMemAvailable:  {kilobytes} kB\n", encoding="ascii")
    assert machine.memory(said).state == state


@pytest.mark.parametrize("text", ["", "MemAvailable\n", "MemAvailable: much\n"])
def test_a_system_that_does_not_tell(tmp_path: Path, text: str) -> None:
    said = tmp_path / "meminfo"
    said.write_text(text, encoding="ascii")
    assert machine.memory(said).state == "clear"
    assert machine.memory(tmp_path / "none").state == "clear"


def test_a_folder_of_keys(tmp_path: Path) -> None:
    assert machine.privacy(tmp_path / "none").state == "clear"
    tmp_path.chmod(0o700)
    assert machine.privacy(tmp_path).state == "clear"
    tmp_path.chmod(0o750)
    found = machine.privacy(tmp_path)
    assert found.state == "blocked" and found.remedy == f"chmod 700 {tmp_path}"
