"""One consortium for all cases of the kill matrix, and their table in the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from medfl.testing.consortium import Consortium
from medfl.testing.disk import small_disk

ROWS = pytest.StashKey[list["Row"]]()
TABLE = Path("build/kill-matrix.md")


@dataclass(frozen=True)
class Row:
    """What became of one case."""

    case: str
    mode: str
    happened: str
    rounds: str
    model: str
    seconds: float

    def __str__(self) -> str:
        return f"| {self.case} | {self.mode} | {self.happened} | {self.rounds} | {self.model} | {self.seconds:.0f} |"


@pytest.fixture(scope="session")
def consortium() -> Iterator[Consortium]:
    # A path of a socket has no more than a hundred letters, which pytest's own folders exceed.
    folder = Path(tempfile.mkdtemp(prefix="medfl-"))
    try:
        with ExitStack() as stack:
            stack.enter_context(small_disk(folder / "hub"))
            yield Consortium(folder, stack)
    finally:
        with suppress(OSError):
            shutil.rmtree(folder)


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str, str, str, str, str, float], None]:
    """Return what writes a line of the table."""
    rows = request.config.stash.setdefault(ROWS, [])

    def noted(case: str, mode: str, happened: str, rounds: str, model: str, seconds: float) -> None:
        rows.append(Row(case, mode, happened, rounds, model, seconds))

    return noted


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of all cases, and write it down."""
    told = config.stash.get(ROWS, [])
    if not told:
        return
    lines = ["| Case | Mode | What happened | Rounds | Same model | Seconds |", "| --- | --- | --- | --: | --- | --: |"]
    lines += [str(row) for row in told]
    terminalreporter.section("kill matrix")
    for line in lines:
        terminalreporter.write_line(line)
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
