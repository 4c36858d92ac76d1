"""A run in another process that is kept in the midst of a round, until a test lets it go on."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from medfl.testing.command import started, typed

HELD = """
from pathlib import Path
from threading import Event
from medfl.site.answer import Site

answer, held, go = Site.answer, Path({held!r}), Path({go!r})

def patient(site, request):
    if site.name == "north" and request.task == "train" and request.round == 2 and not go.exists():
        held.touch()
        while not go.exists():
            Event().wait(0.02)
    return answer(site, request)

Site.answer = patient
"""
"""A plugin that keeps north busy in round 2 until a file is there."""


class Held:
    """A run in another process that is in the midst of round 2.

    Parameters
    ----------
    process
        The process.
    go
        The file that lets it go on.
    """

    def __init__(self, process: subprocess.Popen[str], go: Path) -> None:
        self.process, self.go = process, go
        self.run = str(typed("runs", "--json").json[-1]["run"])

    @property
    def execution(self) -> str:
        """The execution of the run."""
        return self.run.partition("-")[0]

    def ended(self) -> tuple[int, str]:
        """Wait for the end; return its exit code, and what it said last."""
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err


def until(true: Callable[[], bool]) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "it never was"
        Event().wait(0.02)


@contextmanager
def held(study: Path, *words: object) -> Iterator[Held]:
    """Run a study, with further words to the command, in a process that is held up in round 2."""
    plugin, busy, go = (study.with_name(name) for name in ("held.py", "busy", "go"))
    plugin.write_text(HELD.format(held=str(busy), go=str(go)))
    with started("run", study, "--plugin", plugin, *words) as process:
        until(lambda: busy.exists() or process.poll() is not None)
        assert busy.exists(), process.communicate()[1]
        yield Held(process, go)
