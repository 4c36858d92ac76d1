"""The audit log: a line before each answer, a chain that shows where it was tampered with, and crashes that do not."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medfl.chain import FILE, HEAD, Verified
from medfl.errors import StoreError
from medfl.site.audit import AuditLog

LINES = 6


def written(folder: Path, lines: int = LINES) -> AuditLog:
    log = AuditLog(folder)
    for number in range(lines):
        log.append({"verdict": "answered", "round": number})
    return log


def said(log: AuditLog) -> tuple[int, bool]:
    found = log.verify()
    return found.lines, not found.trouble


def test_lines_are_numbered_dated_chained_and_for_the_owner_only(tmp_path: Path) -> None:
    log = written(tmp_path / "log")
    lines = list(log.read())
    assert [line["line"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line["before"] for line in lines[1:]] == [line["hash"] for line in lines[:-1]]
    assert all(line["at"].endswith("Z") for line in lines)
    assert log.verify() == Verified(6, lines[-1]["hash"])
    for file in (FILE, HEAD):
        assert stat.S_IMODE((tmp_path / "log" / file).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o700


def test_nothing_written_is_sound(tmp_path: Path) -> None:
    assert AuditLog(tmp_path / "log").verify() == Verified(0, "0" * 64)
    assert list(AuditLog(tmp_path / "log").read()) == []


Change = Callable[[list[bytes]], list[bytes]]
CHANGES: dict[str, tuple[Change, str]] = {
    "one changed": (
        lambda of: [*of[:2], of[2].replace(b"answered", b"refused "), *of[3:]],
        "the chain breaks between lines 3 and 4",
    ),
    "one taken out": (lambda of: [*of[:2], *of[3:]], "the chain breaks between lines 2 and 3"),
    "the first taken out": (lambda of: of[1:], "the chain breaks between the beginning and line 1"),
    "two exchanged": (lambda of: [of[0], of[2], of[1], *of[3:]], "the chain breaks between lines 1 and 2"),
    "one put in twice": (lambda of: [*of[:2], of[1], *of[2:]], "the chain breaks between lines 2 and 3"),
    "no JSON": (lambda of: [*of[:3], b"hello\n", *of[4:]], "line 4 cannot be read"),
    "the end cut off": (lambda of: of[:-2], "the end was cut off: 6 lines were written, 4 are here"),
    "all cut off": (lambda of: [], "the end was cut off: 6 lines were written, 0 are here"),
    "the last changed": (
        lambda of: [*of[:-1], of[-1].replace(b"answered", b"refused ")],
        "the last lines were changed: line 6 is not the one that was written",
    ),
}


@pytest.mark.parametrize(("change", "trouble"), CHANGES.values(), ids=CHANGES)
def test_verify_says_where_it_broke(tmp_path: Path, change: Change, trouble: str) -> None:
    log, path = written(tmp_path), tmp_path / FILE
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    assert trouble in log.verify().trouble


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_is_tampered_with_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("log")
    log, path = written(folder, 3), folder / FILE
    body = path.read_bytes()
    begin = data.draw(st.integers(0, len(body) - 1))
    end = data.draw(st.integers(begin, min(len(body), begin + 200)))
    other = body[:begin] + data.draw(st.binary(max_size=60)) + body[end:]
    path.write_bytes(other)
    found = log.verify()
    # What comes after the last line without an end of its own is what a crash leaves.
    untouched = other.startswith(body) and b"\n" not in other[len(body) :]
    assert (not found.trouble) == untouched, (other, found)
    if untouched:
        log.append({"verdict": "refused"})
        assert said(log) == (4, True)
    else:
        with suppress(StoreError):
            log.append({"verdict": "refused"})
        assert log.verify().trouble, "a further line does not heal it"


def test_a_hash_that_was_written_down_convicts_who_rewrites_all(tmp_path: Path) -> None:
    log = written(tmp_path / "log")
    remembered = log.verify().hash
    assert not log.verify(remembered[:16]).trouble
    other = written(tmp_path / "other")
    assert not other.verify().trouble
    assert "no line has the hash" in other.verify(remembered).trouble
    assert "no line has the hash" in AuditLog(tmp_path / "none").verify(remembered).trouble


@pytest.mark.parametrize("text", ["", "{}", '{"lines": "many"}', "[1]"])
def test_a_damaged_head_is_trouble(tmp_path: Path, text: str) -> None:
    log = written(tmp_path)
    (tmp_path / HEAD).write_text(text)
    assert "kept aside" in log.verify().trouble
    with pytest.raises(StoreError, match="kept aside"):
        log.append({})


def test_a_head_that_was_taken_away_is_trouble(tmp_path: Path) -> None:
    log = written(tmp_path)
    (tmp_path / HEAD).unlink()
    assert "was taken away" in log.verify().trouble
    with pytest.raises(StoreError, match="was taken away"):
        log.append({})


def test_an_older_head_after_a_power_cut_is_none(tmp_path: Path) -> None:
    log = written(tmp_path)
    old = (tmp_path / HEAD).read_bytes()
    log.append({})
    log.append({})
    (tmp_path / HEAD).write_bytes(old)
    assert said(log) == (8, True)
    assert "a crash came after the last lines (2)" in log.verify().note
    log.append({})
    assert log.verify().note == ""
    assert said(log) == (9, True)


# -- crashes


def test_a_line_that_was_cut_off_is_written_over(tmp_path: Path) -> None:
    log, path = written(tmp_path), tmp_path / FILE
    with path.open("ab") as file:
        file.write(b'{"line":7,"verdict":"answ')
    assert log.verify().note == "a line at the end was cut off by a crash; nothing has followed from it"
    assert [line["line"] for line in log.read()] == [1, 2, 3, 4, 5, 6]
    log.append({"verdict": "refused"})
    assert said(log) == (7, True)


def test_a_crash_between_line_and_head_keeps_the_line(tmp_path: Path) -> None:
    log = written(tmp_path)
    with patch.object(AuditLog, "_keep", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        log.append({"verdict": "lost"})
    assert said(log) == (7, True)
    assert "crash" in log.verify().note
    log.append({"verdict": "next"})
    assert [line.get("verdict") for line in log.read()][-2:] == ["lost", "next"]
    assert log.verify().note == ""


def test_a_crash_before_the_very_first_head(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "log")
    with patch.object(AuditLog, "_keep", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        log.append({})
    assert said(log) == (1, True)
    log.append({})
    assert said(log) == (2, True)


APPENDING = """
import sys
from pathlib import Path
from medfl.site.audit import AuditLog
log = AuditLog(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    log.append({"from": sys.argv[3], "number": number})
    print(number, flush=True)
"""


def appending(folder: Path, lines: int, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", APPENDING, str(folder), str(lines), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_write_one_chain(tmp_path: Path) -> None:
    processes = [appending(tmp_path, 40, name) for name in "ab"]
    for process in processes:
        process.communicate(timeout=60)
    assert said(AuditLog(tmp_path)) == (80, True)
    for name in "ab":
        assert [line["number"] for line in AuditLog(tmp_path).read() if line["from"] == name] == [*range(40)]


def test_whoever_is_killed_loses_no_line_that_was_acknowledged(tmp_path: Path) -> None:
    with appending(tmp_path, 100_000, "a") as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline() for _ in range(20)]
        process.kill()
        acknowledged += process.stdout.readlines()
    log = AuditLog(tmp_path)
    lines, is_sound = said(log)
    assert is_sound
    assert lines >= len([line for line in acknowledged if line.endswith("\n")])
    log.append({"from": "b"})
    assert said(log)[1]


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    log = written(tmp_path)
    with patch("os.fsync", side_effect=OSError(28, "No space left on device")), pytest.raises(StoreError) as error:
        log.append({})
    assert "No space left on device" in str(error.value)
    assert "free some space" in str(error.value)
    log.append({"verdict": "after"})
    assert said(log)[1]


def test_text_from_elsewhere_stays_in_its_line(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.append({"study": 'a\n{"line": 2}\u2028\ud800'})
    assert said(log) == (1, True)
    assert json.loads((tmp_path / FILE).read_text())["study"].startswith("a\n")
