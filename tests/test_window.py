"""The pages in a window of their own: who closes it ends the application, and an application that ends closes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from medfl.errors import NotFoundError, StoppedError
from medfl.window import Window


def browser(folder: Path, does: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a browser on the path that does this."""
    found = folder / "chromium"
    found.write_text(f'#!/bin/sh\necho "$@" > "{folder}/asked"\n{does}\n')
    found.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_a_window_shows_the_address_and_tells_when_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser(tmp_path, "exit 0", monkeypatch)
    window, closed = Window(), Event()
    window.open("http://127.0.0.1:1/enter", closed.set)
    assert closed.wait(30)
    window.close()
    asked = (tmp_path / "asked").read_text().split()
    assert asked[0] == "--app=http://127.0.0.1:1/enter"
    profile = next(word for word in asked if word.startswith("--user-data-dir="))
    assert not Path(profile.partition("=")[2]).parent.exists()


def test_a_window_that_cannot_open_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    browser(tmp_path, 'echo "[1:2:3/4:ERROR:x.cc(256)] No screen here." >&2; exit 1', monkeypatch)
    window, closed = Window(), Event()
    window.open("http://127.0.0.1:1/", closed.set)
    assert closed.wait(30)
    with pytest.raises(StoppedError, match="could not be opened") as error:
        window.close()
    assert error.value.complaints[0].received == "No screen here."


def test_without_a_browser_one_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("medfl.window.PLACES", ())
    with pytest.raises(NotFoundError, match="no browser"):
        Window()


def application(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "medfl", "app", "--window", "--home", str(folder / "home")]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, env={**os.environ})


def test_closing_the_window_ends_the_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    browser(tmp_path, "exit 0", monkeypatch)
    with application(tmp_path) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Closing it ends MEDfl" in said


def test_an_application_that_ends_closes_its_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "open")
    browser(tmp_path, f'echo $$ > "{tmp_path}/open"; exec tail -f /dev/null', monkeypatch)
    with application(tmp_path) as process:
        shown = int((tmp_path / "open").read_text())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0
    with pytest.raises(ProcessLookupError):
        os.kill(shown, 0)
