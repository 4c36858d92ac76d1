"""Keeps processes running: one that dies is started again, one that is ended stays ended, none outlives its parent."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic

from medfl.messages import write_frame

BRIEF = 5.0
"""Seconds: who lives less than this is started again more and more slowly."""


class Kept:
    """One process that is started again whenever it ends.

    Parameters
    ----------
    command
        What starts it. It must end when its standard input is closed, so that it does not outlive this process.
    environment
        What it is told besides this process's own environment.
    log
        Where its output goes.
    opening
        The first frame on its standard input; none where None.
    """

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str], log: Path, opening: bytes | None = None
    ) -> None:
        self._command, self._log, self._opening = tuple(command), log, opening
        self._environment = os.environ | dict(environment)
        self._closing, self._lock = Event(), Lock()
        self._process = self._started()
        self._watch = Thread(target=self._keep, daemon=True)
        self._watch.start()

    @property
    def pid(self) -> int:
        """The id of the process that runs now."""
        with self._lock:
            return self._process.pid

    def end(self) -> None:
        """End it, and make sure."""
        with self._lock:
            self._closing.set()
            process = self._process
            process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._watch.join()

    def _keep(self) -> None:
        quick = 0
        while not self._closing.is_set():
            began = monotonic()
            process = self._process
            process.wait()
            if process.stdin is not None:
                with suppress(OSError):
                    process.stdin.close()
            quick = quick + 1 if monotonic() - began < BRIEF else 0
            if self._closing.wait(min(0.05 * 2**quick, 5.0) if quick else 0.0):
                return
            with self._lock:
                if not self._closing.is_set():
                    self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C is for the parent, which then ends its processes in order.
            process = subprocess.Popen(  # noqa: S603 - the command is this package's own
                self._command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        if self._opening is not None and process.stdin is not None:
            with suppress(OSError):
                write_frame(process.stdin, self._opening)
        return process


def last_line(log: Path) -> str:
    """Return the end of a process's log, to say what became of it."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return lines[-1][:200] if lines else "nothing in its log"
