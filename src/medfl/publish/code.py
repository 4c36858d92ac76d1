"""A study as code that somebody can run, read and change: a script, a notebook, a file; each means the same study.

The code is filled into the files of ``templates/code``, and lays the study out as calls that a reader can edit.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from medfl.spec.study import Study
from medfl.spec.writing import shortest
from medfl.store.leaving import LeftOut
from medfl.store.views import ExecutionView

WIDEST = 100
Models = Mapping[tuple[str, int], str]
"""Digest of the final model by arm and seed."""


def models_of(execution: ExecutionView) -> Models:
    """Return the final model of each finished run of an arm."""
    return {
        (run.arm, run.seed): run.model for run in execution.runs if run.model is not None and run.status == "finished"
    }


def script(study: Study, *, models: Models | None = None, left_out: LeftOut | None = None) -> str:
    """Return the study as a Python script that carries it out on this machine.

    Parameters
    ----------
    study
        The study.
    models
        What it gave before; the script then says whether it gives the same.
    left_out
        Sites that were left out by hand, which the script leaves out at the same round.
    """
    words = {
        "name": study.study.name,
        "question": _in_docstring(study.study.question or f"The study {study.study.name}."),
        "digest": study.digest,
        "medfl": version("medfl"),
        "arguments": "".join(_arguments(shortest(study))),
        "expected": "".join(expected(models or {})),
        "left_out": "".join(left_out_lines(left_out or {})),
    }
    return _templates().get_template("study.py.j2").render(words)


def notebook(study: Study, *, models: Models | None = None, left_out: LeftOut | None = None) -> str:
    """Return the study as a Jupyter notebook (nbformat 4.5): what is asked, the run, the results."""
    text = script(study, models=models, left_out=left_out)
    told, code = _parted(text)
    asked, _, run = code.partition('\nif __name__ == "__main__":\n')
    lines = [line.removeprefix("    ") for line in run.splitlines()]
    cells = [
        _cell("markdown", told),
        _cell("code", asked.strip()),
        _cell("code", "\n".join(line for line in lines if line.startswith("results = ")) + "\nresults"),
        _cell("code", "\n".join(line for line in lines if not line.startswith(("results = ", "print(results)")))),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _parted(text: str) -> tuple[str, str]:
    """Return what a script says at its top, and its code: as Python parts them, since a question may look like code."""
    lines, end = text.split("\n"), ast.parse(text).body[0].end_lineno
    return "\n".join(lines[:end]).removeprefix('"""').removesuffix('"""'), "\n".join(lines[end:])


def _cell(kind: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": text.strip().splitlines(keepends=True)}
    return cell if kind == "markdown" else cell | {"execution_count": None, "outputs": []}


def _arguments(tables: Mapping[str, Any]) -> Iterator[str]:
    for name, value in tables.items():
        yield f"    {name}={_literal(value, 1, taken=len(name) + 1)},\n"


def expected(models: Models) -> Iterator[str]:
    """Yield a line of Python for each model, as entries of a mapping by arm and seed."""
    for (arm, seed), model in models.items():
        yield f'    ({_text(arm)}, {seed}): "{model}",\n'


def left_out_lines(left_out: LeftOut) -> Iterator[str]:
    """Yield a line of Python for each run that sites were left out of, as entries of a mapping by arm and seed."""
    for (arm, seed), rounds in left_out.items():
        head = f"({_text(arm)}, {seed}): "
        yield f"    {head}{_literal(rounds, 1, taken=len(head))},\n"


def _literal(value: object, depth: int, *, taken: int = 0) -> str:
    """Spell a value as Python, as a formatter would: on one line where it fits, else an entry a line."""
    line = _inline(value)
    if 4 * depth + taken + len(line) + 1 <= WIDEST and not _nested(value):
        return line
    deeper, close = "    " * (depth + 1), "    " * depth
    match value:
        case Mapping():
            entries = [(f"{_text(str(key))}: ", inner) for key, inner in value.items()]
            left, right = "{", "}"
        case list():
            entries, left, right = [("", inner) for inner in value], "[", "]"
        case _:
            return line
    body = "".join(f"{deeper}{head}{_literal(inner, depth + 1, taken=len(head))},\n" for head, inner in entries)
    return f"{left}\n{body}{close}{right}"


def _nested(value: object) -> bool:
    """Say whether a table has tables in it: such are easier to read, and to change, with an entry a line."""
    return isinstance(value, Mapping) and any(isinstance(inner, Mapping) for inner in value.values())


def _inline(value: object) -> str:
    match value:
        case str():
            return _text(value)
        case Mapping():
            return "{" + ", ".join(f"{_text(str(key))}: {_inline(inner)}" for key, inner in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_inline, value)) + "]"
    return repr(value)


def _text(text: str) -> str:
    """Spell a string as a formatter would: in double quotes, unless that takes escapes; JSON's are Python's."""
    spelled = json.dumps(text, ensure_ascii=False)
    if '"' in text and "'" not in text:
        return "'" + spelled[1:-1].replace('\\"', '"') + "'"
    return spelled


def _in_docstring(text: str) -> str:
    spelled = text.replace("\\", "\\\\").replace('"""', r"\"\"\"")
    return "".join(letter if letter.isprintable() or letter == "\n" else _escaped(letter) for letter in spelled)


def _escaped(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"


@cache
def _templates() -> Environment:
    # Code, where HTML's escapes would be wrong; what a study writes into it goes through _text and _in_docstring.
    return Environment(
        loader=PackageLoader("medfl.publish", "templates/code"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
