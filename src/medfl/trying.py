"""Tries out for the pages of one person what differential privacy costs, in a process that can be ended."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from medfl.errors import BusyError
from medfl.hub.pages.bench import Attempt, Tried
from medfl.private import make_private, write_private
from medfl.rehearsing import SECONDS, table_of
from medfl.site.limits import ONE_THREAD
from medfl.spec.reading import parse
from medfl.spec.study import Study

ENDED = (-signal.SIGALRM,) if hasattr(signal, "SIGALRM") else ()
"""How a process ends that takes too long."""
UNFORESEEN = "it ended in a way that nobody foresaw; medfl check STUDY --public TABLE shows more"
_HOME = "at-"
"""How the folders begin in which trials have their stores."""
_NOBODYS = 2 * SECONDS
"""After this many seconds no trial is under way any more."""


class Trials:
    """Carries trials out, one at a time, and keeps what came of them by the study's digest.

    What a trial stores meanwhile is in a folder of its own beside that, and goes with it, however it ends.

    Parameters
    ----------
    folder
        Where they are kept.
    base
        Where the paths in a study start from.
    """

    def __init__(self, folder: Path, base: Path) -> None:
        self._folder, self._base, self._lock = folder, base, Lock()
        self._key, self._stopped = "", False
        self._process: subprocess.Popen[bytes] | None = None
        self._home: Path | None = None

    def begin(self, text: str) -> None:
        """Begin to try what a study's text says, unless that is under way.

        Raises
        ------
        BusyError
            If something else is being tried.
        MedflError
            If the text is no study.
        """
        key = self._key_of(parse(text, source="study.toml"))
        with self._lock:
            if self._working():
                if key == self._key:
                    return
                raise BusyError("another study is being tried out", remedy="wait until it is done, or stop it")
            make_private(self._folder)
            self._sweep()
            self._home = Path(tempfile.mkdtemp(dir=self._folder, prefix=_HOME))
            study, results = self._folder / f"{key}.toml", self._folder / f"{key}.json"
            write_private(study, text.encode())
            results.unlink(missing_ok=True)
            command = (sys.executable, "-m", "medfl.rehearsing", str(study), str(self._base), str(results))
            # A session of its own: Ctrl-C at the terminal is for the pages, which end it then.
            self._process = subprocess.Popen(  # noqa: S603 - our own program, on paths of ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | ONE_THREAD | {"TMPDIR": str(self._home)},
                start_new_session=True,
            )
            self._key, self._stopped = key, False

    def seen(self, text: str) -> Attempt:
        """Return how far the trial of a study is, or what came of it.

        Raises
        ------
        MedflError
            If the text is no study.
        """
        study = parse(text, source="study.toml")
        key, (table, own) = self._key_of(study), table_of(study)
        with self._lock:
            ours = key == self._key and self._process is not None
            running, code = ours and self._working(), self._process.poll() if ours and self._process else None
            if not self._working():
                self._leave()
        found = _read(self._folder / f"{key}.json")
        about = {"table": Path(table).name, "own": own, "done": found.get("done", 0), "of": found.get("of", 0)}
        if running:
            return Attempt(state="running", **about)
        if found.get("finished"):
            results = tuple(Tried(**one) for one in found["trials"])
            return Attempt(state="failed" if found["why"] else "done", why=found["why"], results=results, **about)
        if not ours:
            return Attempt(state="none", **about)
        if code in ENDED:
            return Attempt(state="failed", why=f"it took longer than {SECONDS // 60} minutes and was ended", **about)
        return Attempt(state="stopped" if self._stopped else "failed", why="" if self._stopped else UNFORESEEN, **about)

    def stop(self, text: str) -> None:
        """End the trial of a study, if that is what is under way.

        Raises
        ------
        MedflError
            If the text is no study.
        """
        key = self._key_of(parse(text, source="study.toml"))
        with self._lock:
            if key == self._key:
                self._end()

    def close(self) -> None:
        """End what is being tried."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
            self._stopped = True
        self._leave()

    def _leave(self) -> None:
        """Remove what a trial that is over has stored: one that is killed cannot."""
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    def _sweep(self) -> None:
        """Remove what trials have left here, also those of an application that was killed itself."""
        self._leave()
        for folder in self._folder.glob(f"{_HOME}*"):
            with suppress(OSError):
                if time.time() - folder.stat().st_mtime > _NOBODYS:
                    shutil.rmtree(folder, ignore_errors=True)

    def _working(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _key_of(self, study: Study) -> str:
        """Name a study, and the table that it is tried on as it is now."""
        table, own = table_of(study)
        stamp = ""
        if own and study.data.simulate is not None and study.data.simulate.table is not None:
            try:
                found = (self._base / table).stat()
                stamp = f"{found.st_mtime_ns} {found.st_size}"
            except OSError:
                stamp = "away"
        return hashlib.sha256(f"{study.digest} {table} {stamp}".encode()).hexdigest()[:24]


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
