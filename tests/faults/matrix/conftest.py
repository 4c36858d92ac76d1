"""One consortium for all cases of the kill matrix, and their table in the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from medfl.events import Event
from medfl.testing.consortium import Consortium
from medfl.testing.disk import small_disk
from medfl.testing.mishaps import Course, Mishap, Outcome

ROWS = pytest.StashKey[list[Outcome]]()
TABLE = Path("build/kill-matrix.md")


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
def through(request: pytest.FixtureRequest, consortium: Consortium) -> Callable[[str, Sequence[Mishap]], list[Event]]:
    """Return what lets one thing after the other go wrong in a run, writes it into the table, and judges it."""
    told = request.config.stash.setdefault(ROWS, [])

    def through(mode: str, mishaps: Sequence[Mishap]) -> list[Event]:
        consortium.whole()
        course = Course(consortium, mode, mishaps)
        try:
            outcomes = course.run()
        except BaseException as error:
            told.append(Outcome(f"{len(mishaps)} of a run", mode, f"FAILED: {type(error).__name__}", 0, False, 0.0))
            raise
        told.extend(outcomes)
        wrong = [one for one in outcomes if not one.same or "NOT" in one.happened]
        assert not wrong
        return consortium.events(course.execution)

    return through


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of all cases, and write it down."""
    told = config.stash.get(ROWS, [])
    if not told:
        return
    lines = ["| What | Mode | What happened | Round | Same model | Seconds |", "| --- | --- | --- | --: | --- | --: |"]
    lines += [
        f"| {one.name} | {one.mode} | {one.happened} | {one.round} | {same} | {max(0.0, one.seconds):.0f} |"
        for one in told
        for same in ("yes" if one.same else "NO",)
    ]
    terminalreporter.section("kill matrix")
    for line in lines:
        terminalreporter.write_line(line)
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
