"""The command line as a user types it, for tests: what comes out, and with which exit code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEDFL = (sys.executable, "-m", "medfl")
"""What starts the command line in a process of its own."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON: all of it, or this fails."""
        return json.loads(self.out)


def typed(*words: object) -> Said:
    """Run a command in this process, which saves the imports."""
    from medfl.cli import main
    from medfl.console import guarded

    before, sys.argv = sys.argv, ["medfl", *map(str, words)]
    mask = os.umask(0o022)
    os.umask(mask)
    try:
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            code = guarded(main, debug=False)
    finally:
        sys.argv = before
        os.umask(mask)  # a command may keep what it writes private, which is for its own process to do
    return Said(code, out.getvalue(), err.getvalue())


@contextmanager
def started(*words: object) -> Iterator[subprocess.Popen[str]]:
    """Start a command in a process of its own, whose outputs can be followed; it is ended with the block."""
    command, pipe = [*MEDFL, *map(str, words)], subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:  # noqa: S603 - our own command
        try:
            yield process
        finally:
            process.kill()


def typed_apart(*words: object, cwd: Path | None = None, before: Callable[[], None] | None = None) -> Said:
    """Run a command in a process of its own; `before` is called in it first, such as to limit what it may use."""
    command = [*MEDFL, *map(str, words)]
    done = subprocess.run(  # noqa: S603 - the command is this package's own
        command, capture_output=True, text=True, cwd=cwd, preexec_fn=before, timeout=120, check=False
    )
    return Said(done.returncode, done.stdout, done.stderr)
