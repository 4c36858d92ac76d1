"""A window of its own for the pages: an installed browser in its app mode, with a profile that lasts as long as it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from medfl.errors import NotFoundError, StoppedError

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
    "microsoft-edge-stable",
    "brave-browser",
    "chrome",
    "msedge",
)
"""Commands of browsers that have an app mode."""
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
"""Where they are where they have no command."""
SWITCHES = (
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--window-size=1280,900",
    "--class=MEDfl",
)
"""Nothing is asked of anybody but of the pages."""
PATIENCE = 10.0
"""Seconds in which a window that is told to close does."""


class Window:
    """A window that shows one address, until somebody closes it.

    Raises
    ------
    NotFoundError
        If no browser with an app mode is installed.
    """

    def __init__(self) -> None:
        self._command = _browser()
        self._process: subprocess.Popen[bytes] | None = None
        self._profile = TemporaryDirectory(prefix="medfl-window-", ignore_cleanup_errors=True)
        self._said = Path(self._profile.name) / "said"
        self._told_to_close = False

    def open(self, address: str, closed: Callable[[], object]) -> None:
        """Open it; `closed` is called once it is gone, however that came."""
        # A browser that finds itself to be root does not start in its sandbox; it sees nothing but our own pages.
        alone = ("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()
        profile = Path(self._profile.name) / "profile"
        command = (self._command, f"--app={address}", f"--user-data-dir={profile}", *SWITCHES, *alone)
        with self._said.open("wb") as said:
            # A session of its own: Ctrl-C at the terminal ends the pages, which then close it.
            process = subprocess.Popen(  # noqa: S603 - a browser that was looked for, and an address of ours
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
            )
        self._process = process

        def wait() -> None:
            process.wait()
            closed()

        Thread(target=wait, name="window", daemon=True).start()

    def close(self) -> None:
        """Close it, if nobody has.

        Raises
        ------
        StoppedError
            If it ended by itself, such as where there is no screen.
        """
        process = self._process
        if process is not None and process.poll() is None:
            self._told_to_close = True
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            if process.poll() is None:
                process.kill()
                process.wait()
        said = _last_words(self._said)
        self._profile.cleanup()
        if process is not None and process.returncode != 0 and not self._told_to_close:
            raise StoppedError(
                "the window could not be opened, or ended by itself",
                where=Path(self._command).name,
                received=said or f"code {process.returncode}",
                remedy="leave out --window, and open the address that is printed in a browser",
            )


def _browser() -> str:
    found = next(_browsers(), None)
    if found is None:
        raise NotFoundError(
            "no browser that can show a window of its own is installed",
            received=f"looked for {', '.join(NAMES[:6])}",
            remedy="install Chromium, Chrome or Edge, or leave out --window and open the address in your browser",
        )
    return found


def _browsers() -> Iterator[str]:
    yield from filter(None, map(shutil.which, NAMES))
    if sys.platform != "linux":
        yield from (place for place in PLACES if Path(place).is_file())


def _last_words(said: Path) -> str:
    """Return the last line that a browser wrote, without its clock and its source."""
    lines = said.read_text(encoding="utf-8", errors="replace").splitlines() if said.is_file() else []
    spoken = [line.rpartition("] ")[2].strip() for line in lines if line.strip()]
    return spoken[-1][:200] if spoken else ""
