"""From code back to the study in it: a script or a notebook is read, never run.

Only what stands there as plain values is taken over: texts, numbers, lists, tables, names given to such values once,
and sums of numbers. Whatever else a study is made of is refused with its line; whatever stands beside the study is left
out and told.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from medfl.errors import Complaint, SpecError
from medfl.publish.literals import Literals, Unread
from medfl.spec.reading import is_deep
from medfl.spec.writing import Words, as_toml, tables_as_toml

_CODE = re.compile(r"^\s*(from\s+medfl\b|import\s+medfl\b)|\bStudy\s*\(|\bStudy\.model_validate\s*\(", re.MULTILINE)
_MAGIC = re.compile(r"^(\s*)[%!?].*$", re.MULTILINE)
_MAKES = frozenset({"Study", "Study.model_validate"})
_RAN = frozenset({"simulate"})
MOST = 40
"""Complaints that are told at most."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The study in some code.

    Parameters
    ----------
    text
        The study as TOML.
    beside
        What stood beside it and is not part of a study.
    """

    text: str
    beside: tuple[Complaint, ...] = ()


def is_code(text: str) -> bool:
    """Say whether a text is a script or a notebook, and not a study in TOML."""
    if _notebook(text) is not None:
        return True
    if is_deep(text):
        return False
    try:
        tomllib.loads(text)
    except (ValueError, RecursionError):
        return _CODE.search(text) is not None
    return False


def decoded(text: str) -> Decoded:
    """Return the study that a script or a notebook has.

    Raises
    ------
    SpecError
        If it has none, or several, or one that is not made of plain values; with every line and what to write instead.
    """
    source = _source(text)
    tree = _parsed(source)
    call = _the_one(tree, source)
    literals = Literals(tree, before=call)
    try:
        tables = _tables(call, literals)
    except Unread as error:
        raise SpecError.of([_placed(one, where, source) for one, where in error.found[:MOST]]) from None
    return Decoded(_written(tables), tuple(islice(_beside(tree, call, source), MOST)))


@dataclass(frozen=True, slots=True)
class _Source:
    """Code, and how its lines are called: the first line of each cell of a notebook, where it is one."""

    text: str
    cells: tuple[int, ...] = ()

    def place(self, line: int) -> str:
        if not self.cells:
            return f"line {line}"
        number = max(place for place, first in enumerate(self.cells) if first <= line)
        return f"code cell {number + 1}, line {line - self.cells[number] + 1}"


def _source(text: str) -> _Source:
    book = _notebook(text)
    if book is None:
        return _Source(text)
    parts, starts, line = [], [], 1
    for cell in book:
        # Commands of the notebook itself are no Python.
        code = _MAGIC.sub(r"\1pass", cell)
        parts.append(code)
        starts.append(line)
        line += code.count("\n") + 1
    return _Source("\n".join(parts), tuple(starts))


def _notebook(text: str) -> list[str] | None:
    """Return the code cells of a notebook; None where the text is none."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        book = json.loads(text)
    except (ValueError, RecursionError):
        return None
    cells = book.get("cells") if isinstance(book, Mapping) else None
    if not isinstance(cells, list):
        return None
    found = [cell for cell in cells if isinstance(cell, Mapping) and cell.get("cell_type") == "code"]
    return [
        "".join(map(str, said)) if isinstance(said := cell.get("source", ""), list) else str(said) for cell in found
    ]


def _parsed(source: _Source) -> ast.Module:
    try:
        return ast.parse(source.text)
    except SyntaxError as error:
        raise SpecError(
            f"this is not Python: {error.msg}",
            where=source.place(error.lineno or 1),
            received=(error.text or "").strip()[:120],
            remedy="mend the line, or paste the study as TOML",
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise SpecError(
            "this cannot be read as Python", received=type(error).__name__, remedy="paste the study as TOML"
        ) from None


def _the_one(tree: ast.Module, source: _Source) -> ast.Call:
    """Return the call that makes the study."""
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and _name(node.func) in _MAKES)
    calls = sorted(found, key=lambda call: call.lineno)
    if not calls:
        raise SpecError(
            "there is no study in this code",
            remedy="it must have a call of Study(…), as the page Code writes one; TOML can be pasted as it is",
        )
    if len(calls) > 1:
        raise SpecError.of(
            [
                Complaint(
                    "there is more than one study in this code", source.place(call.lineno), "", "leave one of them"
                )
                for call in calls
            ]
        )
    return calls[0]


def _name(node: ast.expr) -> str:
    """Return a call's name without its module's: "Study" of ``medfl.Study``."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id="medfl"), attr=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{_name(value)}.{name}"
    return ""


def _tables(call: ast.Call, literals: Literals) -> Words:
    if _name(call.func) == "Study":
        if call.args:
            raise Unread.of("the parts of a study are named", call.args[0], "write Study(study={…}, data={…}, …)")
        tables: Words = literals.keywords(call)
        return tables
    if len(call.args) != 1 or call.keywords:
        raise Unread.of("this makes no study from plain values", call, "write Study.model_validate({…})")
    found = literals.value(call.args[0])
    if not isinstance(found, dict):
        raise Unread.of("a study is a table", call.args[0], "write Study.model_validate({…})")
    return found


def _written(tables: Words) -> str:
    """Return the tables as TOML; the shortest where they are a study, else as they are, for the form to complain of."""
    from pydantic import ValidationError

    from medfl.spec.study import Study

    try:
        return as_toml(Study.model_validate(tables))
    except ValidationError:
        return tables_as_toml(tables)


def _placed(what: tuple[str, str], node: ast.AST, source: _Source) -> Complaint:
    line = getattr(node, "lineno", 1)
    received = ast.get_source_segment(source.text, node) or ""
    return Complaint(what[0], source.place(line), " ".join(received.split())[:100], what[1])


def _beside(tree: ast.Module, call: ast.Call, source: _Source) -> Iterator[Complaint]:
    """Yield what of the code a draft does not keep: how it is run, and what is done to the study afterwards."""
    known = next((node for node in tree.body if any(inner is call for inner in ast.walk(node))), None)
    names = {target.id for target in getattr(known, "targets", ()) if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=func, args=args, keywords=keywords) if _name(func) in _RAN and (args[1:] or keywords):
                yield _placed((_how(keywords), "say it where you start the study"), node, source)
            case ast.Assign(targets=[ast.Name(id=name)]) if name in names and node is not known:
                yield _placed(("the study is changed afterwards; that is not taken over", _INTO), node, source)
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id=name))]) if name in names:
                yield _placed(("the study is changed afterwards; that is not taken over", _INTO), node, source)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            yield _placed(("this is code of your own, which a study has no place for", ""), node, source)


def _how(keywords: Sequence[ast.keyword]) -> str:
    """Return what is not part of a study, of how a script runs it."""
    if any(keyword.arg == "left_out" for keyword in keywords):
        return "which sites are left out by hand belongs to one run, and is not part of a study"
    return "how it is run is not part of a study"


_INTO = "write the change into the study itself"


def told(beside: tuple[Complaint, ...]) -> str:
    """Return what was left out as comments, to stand above a draft."""
    return "".join(
        f"# Not taken over, {one.where}: {one.what}{f' ({_line(one.received)})' if one.received else ''}\n"
        for one in beside
    )


def _line(text: Any) -> str:
    return re.sub(r"[\x00-\x1f\x7f]", " ", str(text))
