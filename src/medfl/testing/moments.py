"""The test's end of :mod:`medfl.testing.pausing`: it names a moment, and learns which process has reached it."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Self

from medfl.testing.pausing import SOCKET, STARTUP


@dataclass(slots=True)
class Moment:
    """One moment that a test waits for.

    Parameters
    ----------
    about
        What must be said of it: ``moment``, ``site``, ``task``, ``round``.
    says
        What the process is told, which then goes on; it is held where empty.
    """

    about: Mapping[str, object]
    says: str = ""
    reached: dict[str, Any] = field(default_factory=dict)
    _came: Event = field(default_factory=Event)
    _over: Event = field(default_factory=Event)

    def wait(self, seconds: float = 120.0) -> int:
        """Return the id of the process that has reached it.

        Raises
        ------
        TimeoutError
            If none has after so many seconds.
        """
        if not self._came.wait(seconds):
            raise TimeoutError(f"nobody came to {dict(self.about)}")
        return int(self.reached["pid"])

    def over(self) -> None:
        """Let the process go on, if it still lives."""
        self._over.set()

    def take(self, said: dict[str, Any]) -> bool:
        """Take a process that says where it is, if this is the moment and nobody was there before."""
        if self._came.is_set() or any(said.get(name) != value for name, value in self.about.items()):
            return False
        self.reached = said
        self._came.set()
        return True

    def hold(self) -> str:
        """Return what the process is told, once it may go on."""
        if not self.says:
            self._over.wait()
        return self.says or "go"


class Moments:
    """Listens to processes that are started with :meth:`environment`.

    Parameters
    ----------
    folder
        Where the socket is, with a path of less than a hundred bytes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock, self._wanted = folder, Lock(), list[Moment]()
        self._run, self._known = "", Event()
        (folder / "sitecustomize.py").write_text(STARTUP, encoding="utf-8")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "moments"))
        self._listener.listen(100)
        self._thread = Thread(target=self._accept, daemon=True)
        self._thread.start()

    def environment(self) -> dict[str, str]:
        """Return the environment of a process that tells where it is."""
        path = [str(self._folder), *(one for one in sys.path if one)]
        return {**os.environ, SOCKET: str(self._folder / "moments"), "PYTHONPATH": os.pathsep.join(path)}

    def await_(self, says: str = "", **about: object) -> Moment:
        """Return a moment that is waited for from now on."""
        moment = Moment(about, says)
        with self._lock:
            self._wanted.append(moment)
        return moment

    def begin(self) -> None:
        """Let whoever works on some run say where it is only once it is known which one is waited for."""
        self.forget()
        self._known.clear()

    def of(self, run: str) -> None:
        """Wait for moments of this run only: a site that was away may still work on an earlier one."""
        self._run = run
        self._known.set()

    def forget(self) -> None:
        """Wait for nothing any more, and let everybody go on."""
        self.of("")
        with self._lock:
            gone, self._wanted = self._wanted, []
        for moment in gone:
            moment.over()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.forget()
        # Closing alone does not wake a thread that accepts.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: socket.socket) -> None:
        with line, suppress(OSError):
            said = json.loads(line.makefile().readline() or "{}")
            if "run" in said:
                self._known.wait()
            with self._lock:
                wanted = self._wanted if said.get("run", self._run) == self._run else []
                taken = next((moment for moment in wanted if moment.take(said)), None)
            line.sendall(((taken.hold() if taken else "go") + "\n").encode())
