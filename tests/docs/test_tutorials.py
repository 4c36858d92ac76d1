"""Every page that shows how to do something is carried out as it is written, and says what really comes out.

What a page may contain:

- a block with ``title="FILE"`` is a file to write; as a ``diff``, lines to change in one that is there already;
- a ``python`` block is run, all of a page in one namespace;
- a ``console`` block's lines that begin with ``$`` are typed; ``exit=2`` says with which code the last one ends;
- a ``console`` or ``text`` block marked ``exact`` must show what comes out: ``…`` alone in a line
  stands for any lines, at the end of one for the rest of it; ids, digests and durations are not compared, and decimal
  numbers may differ by 0.02, as processors round differently;
- a ``console`` block marked ``background="TEXT"`` starts a command that goes on to the end of the page, and waits until
  it says so; ``INVITATION`` in a command is the last one that was printed;
- ``<!-- Ctrl-C after: TEXT -->`` or ``<!-- kill -9 after: TEXT -->`` before a block does so when the command says so.

Everything else (``sh``, ``toml`` without a title) is only to be read.
"""

from __future__ import annotations

import io
import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from difflib import unified_diff
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from medfl.testing.hub import free_port

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
KINDS = ("tutorials", "how-to", "explanation")
TUTORIAL = DOCS / "tutorials" / "first-study.md"
PAGES = [ROOT / "README.md", *(page for kind in KINDS for page in sorted((DOCS / kind).glob("*.md")))]
PROSE = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
NEEDS = {"own-torch-module.md": "torch", "README.md": "sklearn", "transfer-learning.md": "sklearn"}

BLOCK = re.compile(r"(?:<!-- (Ctrl-C|kill -9) after: (.+) -->\n+)?^```(\w+)(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
RUN = re.compile(r"\b[0-9a-f]{8}(?=-\d+\b)")
VARYING = (
    (re.compile(r"(?<!\.)\b[0-9a-f]{12,64}\b"), "DIGEST"),
    (re.compile(r"\b[0-9a-f]{8}-\d+\b"), "RUN"),
    (re.compile(r"\b\d+(\.\d+)? s\b|\b\d+ min \d\d s\b"), "TIME"),
    (re.compile(r"\b\d+ \w+ \d{4}, \d\d:\d\d UTC|\b\d{4}-\d\d-\d\d \d\d:\d\d UTC"), "MOMENT"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\dZ?"), "MOMENT"),
    (re.compile(r"(?<=port )\d{4,5}\b|(?<=localhost:)\d{4,5}\b"), "PORT"),
    (re.compile(r"\b\d{5}( \d{5}){5}\b"), "FINGERPRINT"),
    (re.compile(r"(?<=/)[\w-]{76}$", re.MULTILINE), "SECRET"),
)
INVITATION = re.compile(r"^localhost:\d+/\S+/[\w-]{76}$", re.MULTILINE)
DECIMAL = re.compile(r"\d+\.\d+")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    line: int
    language: str
    info: str
    body: str
    stopped_by: str
    stopped_after: str

    def named(self, key: str) -> str:
        """Return what the block says of itself under a key, or nothing."""
        found = re.search(rf'{key}="?([^"\s]+)"?', self.info)
        return found[1] if found else ""

    @property
    def exact(self) -> bool:
        return "exact" in self.info.split()


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        how, after, language, info, body = found.groups()
        yield Block(text.count("\n", 0, found.start(3)) + 1, language, info, body, how or "", after or "")


class Reader:
    """Somebody who does what a page says, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        self.ids: dict[str, str] = {}
        self.environment: dict[str, str] = {}
        self.has_installed = False
        self.said = ""
        self.invitation = ""
        self.going: list[subprocess.Popen[str]] = []

    def leave(self) -> None:
        """End what still goes on in the background."""
        for process in self.going:
            with process:
                process.terminate()

    def do(self, block: Block) -> None:
        title = block.named("title")
        if block.language == "diff":
            self._change(self.folder / title, block.body)
        elif title:
            (self.folder / title).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / title).write_text(block.body, encoding="utf-8")
        elif block.language == "python":
            self.said = self._executed(block.body)
        elif block.language == "console":
            self._typed(block)
        elif block.language == "text" and block.exact:
            compare(block.body, self.said)

    def _change(self, path: Path, body: str) -> None:
        """Put the lines with a plus in the place of those with a minus; what only comes goes to the end."""
        lines = [line for line in body.splitlines() if line[:1] in "+-"]
        old, new = ("".join(line[1:] + "\n" for line in lines if line[0] == sign) for sign in "-+")
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1 or not old, f"{path.name} does not have these lines once:\n{old}"
        path.write_text(text.replace(old, new) if old else text + new, encoding="utf-8")

    def _executed(self, source: str) -> str:
        with redirect_stdout(io.StringIO()) as said:
            exec(compile(source, "<page>", "exec"), self.namespace)
        return said.getvalue()

    def _typed(self, block: Block) -> None:
        """Type the block's commands, and see that what is shown below each comes out."""
        for part in re.split(r"^(?=\$ )", block.body, flags=re.MULTILINE):
            if not part:
                continue
            command, _, shown = part.removeprefix("$ ").partition("\n")
            for page_id, real_id in self.ids.items():
                command = command.replace(page_id, real_id)
            command = command.replace("INVITATION", self.invitation)
            if until := block.named("background"):
                self._go_on(shlex.split(command), until)
                continue
            code, said = self._command(shlex.split(command), block)
            if found := INVITATION.search(said):
                self.invitation = found[0]
            self._learn_ids(shown, said)
            last = block.body.endswith(part)
            assert code == (int(block.named("exit") or 0) if last else 0), said
            if block.exact:
                compare(shown, said)

    def _learn_ids(self, shown: str, said: str) -> None:
        """Every execution gets a random id: remember which one the page means."""
        fresh = [found for found in dict.fromkeys(RUN.findall(said)) if found not in self.ids.values()]
        told = [found for found in dict.fromkeys(RUN.findall(shown)) if found not in self.ids]
        self.ids |= dict(zip(told, fresh, strict=False))

    def _command(self, words: list[str], block: Block) -> tuple[int, str]:
        match words:
            case ["export", setting]:
                name, _, value = setting.partition("=")
                # The journal's contract is held on a real server elsewhere; here the page's verbs are.
                self.environment[name] = f"sqlite:///{self.folder}/shared.db" if "postgresql" in value else value
                return 0, ""
            case ["pip", "install", "-e", package]:
                self._install(self.folder / package)
                return 0, ""
            case ["python", script]:
                return self._here(partial(_python, script), words)
            case ["medfl", *_] if not block.stopped_after and not self.has_installed:
                return self._here(_medfl, words)
            case ["medfl" | "pytest", *_]:
                return self._in_a_process(words, block)
        pytest.fail(f"a page may not ask to type: {shlex.join(words)}")

    def _here(self, action: Callable[[], int], words: list[str]) -> tuple[int, str]:
        """Do in this process what the command does in one of its own, which saves a second each."""
        said = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
            patch.setattr(sys, "argv", words)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            return action(), said.getvalue()

    def _in_a_process(self, words: list[str], block: Block) -> tuple[int, str]:
        """Run a command of its own, and stop it where the page does."""
        stop = signal.SIGINT if block.stopped_by == "Ctrl-C" else signal.SIGKILL
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | self.environment,
        )
        said = []
        with process:
            for line in process.stdout or ():
                said.append(line)
                if block.stopped_after and block.stopped_after in line:
                    process.send_signal(stop)
        code = process.returncode
        return code if code >= 0 else 128 - code, "".join(said)

    def _go_on(self, words: list[str], until: str) -> None:
        """Start a command that goes on, and return when it says what is waited for."""
        command = [sys.executable, "-m", *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | self.environment)
        self.going.append(process)
        assert any(until in line for line in iter(process.stdout.readline, "")) if process.stdout else False

    def _install(self, package: Path) -> None:
        """Announce a package as ``pip install -e`` would, without building it."""
        project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        info = package / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
        (info / "entry_points.txt").write_text(_entry_points(project["entry-points"]))
        self.environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
        self.has_installed = True


def _entry_points(groups: Mapping[str, Mapping[str, str]]) -> str:
    return "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in groups.items()
    )


def _python(script: str) -> int:
    runpy.run_path(script, run_name="__main__")
    return 0


def _medfl() -> int:
    from medfl.cli import main
    from medfl.console import guarded

    return guarded(main, debug=False)


def compare(shown: str, said: str) -> None:
    """Hold what a page shows against what was said; a line ``…`` stands for any number of lines."""
    wanted = plain(shown)
    pattern = "".join("(?:.*\n)*?" if line == "…" else _pattern(line) for line in wanted.splitlines())
    found = re.fullmatch(pattern, plain(said))
    difference = "\n".join(
        unified_diff(wanted.splitlines(), plain(said).splitlines(), "shown", "came out", lineterm="")
    )
    assert found, difference
    numbers = [float(number) for number in DECIMAL.findall(wanted)]
    assert [float(number) for number in found.groups()] == pytest.approx(numbers, abs=0.02), difference


def _pattern(line: str) -> str:
    return r"(\d+\.\d+)".join(map(re.escape, DECIMAL.split(line))).replace("…", ".*") + r"\n"


def plain(text: str) -> str:
    """Return text without what differs from run to run, and without spaces at the ends of lines."""
    for varying, name in VARYING:
        text = varying.sub(name, text)
    return "".join(line.rstrip() + "\n" for line in text.strip("\n").splitlines())


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_does_what_it_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page.name in NEEDS:
        pytest.importorskip(NEEDS[page.name])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDFL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MEDFL_HUB_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("MEDFL_SITE_HOME", str(tmp_path / "site"))
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    reader = Reader(tmp_path)
    reader.ids["8443"] = str(free_port())
    try:
        _carry_out(page, reader)
    finally:
        reader.leave()


def _carry_out(page: Path, reader: Reader) -> None:
    if page != TUTORIAL:
        for block in _beginning():
            reader.do(block)
    for block in blocks(page):
        try:
            reader.do(block)
        except Exception as error:
            error.add_note(f"at {page.relative_to(ROOT)}, line {block.line}")
            raise


def _beginning() -> Iterator[Block]:
    """Yield the tutorial's blocks that make three hospitals' tables and their study, which all other pages take up."""
    for block in blocks(TUTORIAL):
        if block.named("title") in {"make_hospitals.py", "study.toml"} or "make_hospitals.py" in block.body:
            yield block
        if block.named("title") == "study.toml":
            return


@pytest.mark.parametrize("page", PROSE, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http", "#", "mailto:")):
            path, _, anchor = target.partition("#")
            assert (page.parent / path).exists(), f"{page.name} links to {target}, which is not there"
            assert not anchor or anchor in _anchors(page.parent / path), f"{page.name} links to {target}"


def _anchors(page: Path) -> set[str]:
    """Return a page's anchors, as GitHub makes them from headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
