"""Reads a study from TOML, or says everything that is wrong with it at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from medfl.errors import NotFoundError, SpecError
from medfl.spec.checks import contradictions
from medfl.spec.examine import examined, refusal
from medfl.spec.finding import Finding, closest
from medfl.spec.lines import lines
from medfl.spec.study import VERSION, Study

DEEPEST = 32
"""Levels of lists and tables; a study needs five, and recursion has its limits."""
LARGEST = 64
"""Bits of a number, as TOML wants of every reader; of much larger ones even the digits cannot be written."""
_DOTTED = re.compile(
    r"""(?<![\w"'-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}"""  # twice as deep as any table
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A study and where it came from.

    Parameters
    ----------
    study
        The study.
    path
        Its file.
    base
        Folder that relative paths of the study start from.
    text
        The file's text.
    """

    study: Study
    path: Path
    base: Path
    text: str


def read(path: str | Path) -> Loaded:
    """Read a study from a file; the study itself is the result's ``study``.

    Raises
    ------
    NotFoundError
        If there is no such file.
    SpecError
        If it is no text, no TOML or no study; with all that is wrong at once.
    """
    path = Path(path)
    text = text_of(path)
    return Loaded(parse(text, source=path.name), path, path.resolve().parent, text)


def parse(text: str, *, source: str) -> Study:
    """Return the study that a TOML text asks for.

    Parameters
    ----------
    text
        The spec.
    source
        What complaints call the text, such as its file's name.

    Raises
    ------
    SpecError
        With everything that is wrong at once.
    """
    data = data_of(text, source)
    study, found = findings(data)
    if found or study is None:
        raise refusal(found, data, source=source, lines=lines(text))
    return study


def findings(data: Mapping[str, Any]) -> tuple[Study | None, list[Finding]]:
    """Return the study that tables ask for, mended where it must be, and all that is wrong with them."""
    if problem := _version_problem(data):
        return None, [problem]
    study, found = examined(data)
    if study is not None:
        told = {finding.path for finding in found}
        found = [*found, *(finding for finding in contradictions(study) if finding.path not in told)]
    return study, found


def _version_problem(data: Mapping[str, Any]) -> Finding | None:
    """Look at the version before anything else: what a newer language means is not known here."""
    version = data.get("version", VERSION)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        what = "the version of the spec's language must be a whole number, at least 1"
        return Finding(("version",), what, f"write version = {VERSION}, or leave it out")
    if version > VERSION:
        what = f"this study is written for version {version} of the language; this MEDfl reads up to {VERSION}"
        return Finding(("version",), what, "upgrade: pip install --upgrade medfl")
    return None


def text_of(path: Path, what: str = "study") -> str:
    """Return a file's text.

    Parameters
    ----------
    path
        The file.
    what
        What it should be, for what must be said about it.

    Raises
    ------
    NotFoundError
        If there is no such file.
    SpecError
        If it is no UTF-8 text or cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise NotFoundError("there is no such file", where=str(path), remedy=_neighbour(path)) from None
    except IsADirectoryError:
        raise SpecError(
            f"this is a folder, not a {what}", where=str(path), remedy=_neighbour(path / f"{what}.toml")
        ) from None
    except UnicodeDecodeError as error:
        line = 1 + error.object.count(b"\n", 0, error.start)
        raise SpecError(
            "the file is not UTF-8 text", where=f"{path.name}:{line}", remedy="save it again with the encoding UTF-8"
        ) from None
    except OSError as error:
        raise SpecError(
            f"the file cannot be read: {error.strerror}", where=str(path), remedy="check its name and its permissions"
        ) from None


def _neighbour(path: Path) -> str:
    """Say which study next to a path was probably meant."""
    folder = path.parent
    if not folder.is_dir():
        return f"check the path: there is no folder {folder} either"
    studies = sorted(file.name for file in folder.glob("*.toml"))
    if meant := closest(path.name, studies):
        return f"did you mean {folder / meant}?"
    return f"{folder} has {', '.join(studies[:10])}" if studies else f"check the path: {folder} has no .toml file"


def data_of(text: str, source: str, what: str = "study") -> dict[str, Any]:
    """Return what a TOML text says, as plain data.

    Raises
    ------
    SpecError
        If it is no TOML, with the line and what to write instead.
    """
    text = text.removeprefix("\ufeff")
    try:
        # Looked for first: the reader's time grows with the square of the length of such a key.
        deep = is_deep(text)
        data = {} if deep else tomllib.loads(text)
        deep = deep or _depth(data) > DEEPEST
    except ValueError as error:
        raise _syntax_error(str(error), text, source=source, kind=what) from None
    except RecursionError:
        deep = True
    if deep:
        raise SpecError("lists or tables are nested too deeply", where=source, remedy=f"nest {DEEPEST} at most")
    if _has_large(data):
        raise SpecError("a number is too large", where=source, remedy=f"write one of {LARGEST} bits at most")
    return data


def is_deep(text: str) -> bool:
    """Say whether a TOML text has a key of more parts than any table of a study is deep."""
    return _DOTTED.search(text) is not None


def _has_large(value: object) -> bool:
    if isinstance(value, int):
        return value.bit_length() > LARGEST
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(_has_large, inner))


def _depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


_PLACED = re.compile(r"(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL)


def _syntax_error(message: str, text: str, *, source: str, kind: str) -> SpecError:
    if "=" not in text:
        # Not one key: most likely a table, whose lines are patients and must not be quoted.
        return SpecError(f"this is not a {kind}", where=source, remedy=f"give the .toml file that describes the {kind}")
    found = _PLACED.fullmatch(message)
    what, line, column = found.group("what", "line", "column") if found else (message, None, None)
    rows = text.rstrip().split("\n")
    number = int(line) if line else len(rows)
    row = rows[number - 1].strip() if 0 < number <= len(rows) else ""
    return SpecError(
        f"this is not TOML: {what[:1].lower()}{what[1:]}",
        where=f"{source}:{number}, {f'column {column}' if column else 'at the end of the text'}",
        received=row,
        remedy=_hint(what, row)
        if column or "overwrite" in what
        else "close the quotes, bracket or brace that was opened last",
    )


def _hint(what: str, row: str) -> str:
    """Say what to write instead, for the usual slips."""
    key, _, value = (side.strip() for side in row.partition("="))
    word = value.partition("#")[0].strip()
    if re.fullmatch(r"[+-]?(\d*,\d+|\.\d+|\d+\.)", word):
        number = re.sub(r"^([+-]?)\.", r"\g<1>0.", word.replace(",", ".")).removesuffix(".")
        return f"write decimals with a point and a digit before it: {key} = {number}"
    for sign, hint in _HINTS.items():
        if sign in what:
            return hint
    if word.lower() in _TRUTH:
        return f"write {key} = {_TRUTH[word.lower()]}"
    if re.fullmatch(r"[^\W\d][^\"'=]*", word):
        return f'put text in quotes: {key} = "{word}"'
    return "compare the line with: key = value, [table], [[arm]]; text stands in quotes"


_TRUTH = MappingProxyType(dict.fromkeys(("true", "yes", "on"), "true") | dict.fromkeys(("false", "no", "off"), "false"))
_HINTS = MappingProxyType(
    {
        "twice": "open a table once: put its keys together under one header",
        "overwrite": "write a key once: keep one of them; each arm starts with [[arm]], in two brackets",
        "immutable": "a table in braces cannot be added to: write all its keys between { and }",
        "Duplicate inline table key": "write a key once: keep one of them",
        "Expected '='": "write key = value, with an equals sign",
        "Expected ']": "close the header with as many brackets as it opens with: [data], [[arm]]",
        "Illegal character": "close the text with the quote it starts with, on the same line",
        "Unclosed": "close the bracket or brace, and put commas between what is inside",
        "Unescaped": r"write \\ for a backslash, or put the text in single quotes: 'C:\data\study.csv'",
        "Expected newline": "write one key a line; after a value there is only room for a # comment",
    }
)
"""What to do about each complaint of :mod:`tomllib`, by words that it contains."""
