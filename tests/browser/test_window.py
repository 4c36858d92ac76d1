"""The window of ``medfl app --window`` on a real screen, drawn into memory by Xvfb."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import ImageGrab

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("Xvfb", "xdotool", "chromium"))),
    reason="needs a screen in memory: apt-get install xvfb xdotool chromium",
)


@pytest.fixture
def screen() -> Iterator[str]:
    """The name of a screen that nobody else draws on; the server chooses it."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1400x1000x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        with os.fdopen(reading) as told:
            yield f":{told.readline().strip()}"
        server.terminate()


def test_the_window_shows_the_pages_and_ends_them(screen: str, screenshots: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "DISPLAY": screen}
    command = [sys.executable, "-m", "medfl", "app", "--window", "--home", str(tmp_path / "home")]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            found = ["xdotool", "search", "--sync", "--onlyvisible", "--name", "MEDfl$"]
            shown = subprocess.run(found, env=environment, capture_output=True, text=True, check=True, timeout=120)
            window = shown.stdout.split()[0]
            picture = ImageGrab.grab(xdisplay=screen)
            picture.save(screenshots / "window.png")
            colours = picture.getcolors(picture.width * picture.height) or []
            assert len(colours) > 8, "the window is empty"
            close = ["xdotool", "windowfocus", "--sync", window, "key", "ctrl+w"]
            subprocess.run(close, env=environment, check=True, timeout=60)
            process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
