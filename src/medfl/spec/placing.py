"""Puts the line of a study's file to what turned out to be wrong only when its tables were opened."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from medfl.errors import Complaint, MedflError, listed
from medfl.spec.finding import key_text
from medfl.spec.lines import KeyPath, lines, nearest
from medfl.spec.reading import Loaded, read
from medfl.spec.study import PARTS, Study

_PART = "|".join(PARTS)
_KEY = re.compile(
    rf"(?P<who>.+, )?(?:\[(?P<table>(?:{_PART})(?:\.\w+)*)\](?: (?P<key>\w+))?|(?P<dotted>(?:{_PART})(?:\.\w+)+))"
    r"(?P<of> of arm '(?P<arm>[^']+)')?"
)
"""A place that ends in a key: "data.target", "site west, round 3, [training] class_weight"."""


@contextmanager
def placing(study: Study | str | Path | None) -> Iterator[None]:
    """Tell what goes wrong inside with the lines of the study's file, where it came from one."""
    loaded = read(Path(study)) if isinstance(study, str | Path) else None
    try:
        yield
    except MedflError as error:
        if loaded is not None:
            placed(error, loaded)
        raise


def placed(error: MedflError, loaded: Loaded) -> MedflError:
    """Put file and line before each complaint whose place is a key of the study; return the same error.

    A key that an arm overrides is written in several places, and any of them may be what is wrong: all are told.
    """
    known = lines(loaded.text)
    error.complaints = tuple(_placed(complaint, loaded, known) for complaint in error.complaints)
    error.args = (str(error),)
    return error


def _placed(complaint: Complaint, loaded: Loaded, known: Mapping[KeyPath, int]) -> Complaint:
    found = _KEY.fullmatch(complaint.where)
    if found is None:
        return complaint
    path: KeyPath = tuple((found["dotted"] or ".".join(filter(None, found.group("table", "key")))).split("."))
    key = f"[{found['table']}]" if found["table"] and not found["key"] else key_text(path, {})
    place = f"{_source(path, loaded, known, arm=found['arm'])} {key}{found['of'] or ''}"
    who = (found["who"] or "").removesuffix(", ")
    return replace(complaint, where=", ".join(filter(None, (place, who))))


def _source(path: KeyPath, loaded: Loaded, known: Mapping[KeyPath, int], *, arm: str | None) -> str:
    """Return the file's name and the lines on which a key is written, or else where it would lie."""
    arms = [("arm", number, *path) for number, one in enumerate(loaded.study.arm) if arm in (None, one.name)]
    own = [known[each] for each in arms if each in known]
    written = own if own and arm else [*([known[path]] if path in known else []), *own]
    if not written and (line := nearest(path, known)) is not None:
        written = [line]
    return f"{loaded.path.name}:{listed(map(str, written))}" if written else loaded.path.name
