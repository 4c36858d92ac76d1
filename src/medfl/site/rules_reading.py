"""Reads a site's policy from TOML, or says everything that is wrong with it at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from medfl.site.admission import SHORTEST_DIGEST
from medfl.site.rules import ANY, Rules
from medfl.spec.anatomy import bare, element_of, members, parts_of, words_of
from medfl.spec.discover import algorithms, kind_of, models
from medfl.spec.examine import refusal
from medfl.spec.expected import expected, in_words
from medfl.spec.finding import Finding, closest, key_text, one_of, toml, value_at
from medfl.spec.lines import KeyPath, lines
from medfl.spec.metrics import METRICS
from medfl.spec.model import BUILT_IN
from medfl.spec.part import Part, frozen
from medfl.spec.reading import data_of, text_of


def read(path: str | Path) -> Rules:
    """Read a policy from a file.

    Raises
    ------
    NotFoundError
        If there is no such file.
    SpecError
        If it is no text, no TOML or no policy; with all that is wrong at once.
    """
    path = Path(path)
    return parse(text_of(path, "policy"), source=path.name)


def parse(text: str, *, source: str) -> Rules:
    """Return the rules that a TOML text states.

    Parameters
    ----------
    text
        The policy.
    source
        What complaints call the text, such as its file's name.

    Raises
    ------
    SpecError
        With everything that is wrong at once.
    """
    data = data_of(text, source, "policy")
    rules: Rules | None = None
    try:
        rules = Rules.model_validate(frozen(data), strict=True)
        found = list(_unknown_names(rules))
    except ValidationError as error:
        found = list(_findings(error, data))
    if rules is None or found:
        raise refusal(found, data, source=source, lines=lines(text))
    return rules


def _findings(error: ValidationError, data: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield one finding for each key that is wrong."""
    seen: set[KeyPath] = set()
    for detail in error.errors(include_url=False):
        finding = _finding(detail, data)
        if finding.path not in seen:
            seen.add(finding.path)
            yield finding


def _finding(detail: ErrorDetails, data: Mapping[str, Any]) -> Finding:
    path = _path(detail, data)
    part, field = _part(path[:-1]), _field(path)
    name = str(path[-1]) if path else ""
    if detail["type"] == "extra_forbidden":
        return Finding(path, f"{name} is not a key here", _meant(path, part, data))
    if detail["type"] == "value_error":
        what, _, remedy = detail["msg"].removeprefix("Value error, ").partition(": ")
        return Finding((*path, what.split(maxsplit=1)[0]), what, remedy)
    if field is None:
        return Finding(path, "this value is not expected here", "leave it out")
    if detail["type"] == "missing":
        return Finding(path, f"{name} is missing", f"write {name} = {expected(field)}")
    if parts_of(field):
        return Finding(path, f"{name} must be a table", f"write [{'.'.join(map(str, path))}], and its keys below")
    return Finding(path, *_unfit(name, field, value_at(data, path)))


def _path(detail: ErrorDetails, data: Mapping[str, Any]) -> KeyPath:
    """Return the key that is meant: pydantic's location also names the members of a union and places in lists."""
    path: KeyPath = ()
    for step in detail["loc"]:
        field = _field((*path, step)) if isinstance(step, str) else None
        if field is None and not (detail["type"] == "extra_forbidden" and value_at(data, (*path, step)) is not None):
            break
        path = (*path, step)
    return path


def _part(path: KeyPath) -> type[Part] | None:
    """Return the part that lies under a key; the whole policy under none."""
    part: type[Part] | None = Rules
    for step in path:
        field = part.model_fields.get(str(step)) if part is not None else None
        part = next(iter(parts_of(field)), None) if field is not None else None
    return part


def _field(path: KeyPath) -> FieldInfo | None:
    part = _part(path[:-1]) if path else None
    return part.model_fields.get(str(path[-1])) if part is not None else None


def _meant(path: KeyPath, part: type[Part] | None, data: Mapping[str, Any]) -> str:
    """Say which key was meant, or to which table it belongs."""
    name, own = str(path[-1]), tuple(part.model_fields) if part is not None else ()
    if meant := closest(name, own):
        return f"did you mean {meant}?"
    homes = [f"[{table}]" for table in Rules.model_fields if name in getattr(_part((table,)), "model_fields", ())]
    if homes:
        return f"{name} belongs to {one_of(homes)}"
    return f"leave it out; {key_text(path[:-1], data) or 'a policy'} has the keys {', '.join(own)}"


def _unfit(name: str, field: FieldInfo, value: object) -> tuple[str, str]:
    """Say what a key takes instead of what it got."""
    element = element_of(field.annotation)
    words = words_of(bare(element)) if element is not None else words_of(bare(field.annotation))
    single = value if isinstance(value, str) else next((one for one in _texts(value) if one not in words), None)
    if isinstance(single, str) and single in words:
        return f"{name} must be {expected(field)}", f"write {name} = {toml((single,))}"
    if words and isinstance(single, str):
        meant = closest(single, words)
        choices = f"the choices are {one_of(map(toml, words))}"
        return f"{name} knows no {toml(single)}", f"did you mean {toml(meant)}? {choices}" if meant else choices
    takes = " or ".join(in_words(member, field.metadata) for member in members(field.annotation))
    usual = field.get_default()
    example = f"write for example {name} = {toml(usual)}" if isinstance(usual, int | float) else f"write {takes}"
    return f"{name} must be {takes}", example


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, list | tuple):
        yield from (one for one in value if isinstance(one, str))


def _unknown_names(rules: Rules) -> Iterator[Finding]:
    """Find names that mean nothing: a slip of the pen must not pass for a rule."""
    yield from _strange(("accepts", "models"), rules.accepts.models, (*BUILT_IN, *map(kind_of, models())))
    yield from _strange(("accepts", "algorithms"), rules.accepts.algorithms, tuple(map(kind_of, algorithms())))
    yield from _strange(("releases", "metrics"), rules.releases.metrics, tuple(METRICS))
    for name in () if rules.accepts.studies == ANY else rules.accepts.studies:
        digits = all(letter in "0123456789abcdef" for letter in name)
        if not name or (digits and len(name) < SHORTEST_DIGEST and len(name) > 7):
            what = f"{toml(name)} is too short for a digest"
            yield Finding(("accepts", "studies"), what, f"write {SHORTEST_DIGEST} digits of it, or the study's name")


def _strange(path: KeyPath, names: tuple[str, ...] | str, known: tuple[str, ...]) -> Iterator[Finding]:
    for name in () if names == ANY else names:
        if name not in known:
            meant = closest(name, known)
            remedy = f"did you mean {toml(meant)}?" if meant else f"the choices are {', '.join(known)}"
            yield Finding(path, f"{path[-1]} knows no {toml(name)}", remedy)
            return
