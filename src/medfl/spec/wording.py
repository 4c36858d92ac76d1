"""Turns what pydantic found into plain sentences, with what to write instead."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from medfl.spec.anatomy import bare, chosen, element_of, kind_of, named, parts_of, short_of, tables, tag_of, words_of
from medfl.spec.expected import in_words
from medfl.spec.finding import Finding, closest, key_text, one_of, toml, value_at
from medfl.spec.lines import KeyPath
from medfl.spec.part import Part
from medfl.spec.study import Arm, Study

DROP = object()
"""Stands for leaving a key out."""


@dataclass(frozen=True, slots=True)
class Slip:
    """A finding, and what to put in its place to see what else is wrong.

    Parameters
    ----------
    finding
        What is told.
    at
        The key to mend.
    instead
        A value for it, or :data:`DROP`.
    """

    finding: Finding
    at: KeyPath
    instead: object = DROP


def slips(error: ValidationError, data: object) -> list[Slip]:
    """Return one slip for each key that pydantic complains of."""
    found: dict[KeyPath, Slip] = {}
    for detail in error.errors(include_url=False):
        slip = _slip(detail, data)
        found.setdefault(slip.finding.path, slip)
    # Where a key takes either of two types, the one that was meant is the one that came further.
    outer = {path[:length] for path in found for length in range(len(path))}
    return [slip for path, slip in found.items() if path not in outer]


def _slip(detail: ErrorDetails, data: object) -> Slip:
    path = _path(detail, data)
    match detail["type"]:
        case "extra_forbidden":
            return Slip(Finding(path, *_unknown(path, data)), path)
        case "missing":
            return _missing(path, data)
        case "union_tag_invalid":
            return _unknown_kind(path, data)
        case "value_error":
            return _contradiction(detail["msg"], path, data=data)
    return Slip(Finding(path, *_unfit(path, data)), path)


def _path(detail: ErrorDetails, data: object) -> KeyPath:
    """Return the key that is meant; pydantic's location also names kinds and members of unions."""
    path: KeyPath = ()
    location = detail["loc"]
    for position, step in enumerate(location):
        absent = detail["type"] == "missing" and position == len(location) - 1
        if absent or value_at(data, (*path, step)) is not None:
            path = (*path, step)
    return path


def _field(path: KeyPath, data: object) -> tuple[type[Part], FieldInfo | None, KeyPath]:
    """Return the innermost part on the way to a key, its field there, and the field's own key."""
    part: type[Part] = Study
    names = False
    for position, step in enumerate(path):
        if isinstance(step, int) or names:
            # Neither a place in a list nor a name that the user gives is a key.
            names = False
            continue
        here, field = path[: position + 1], part.model_fields.get(step)
        inner = chosen(field, value_at(data, here)) if field else None
        names = field is not None and named(field)
        if inner is None or position == len(path) - 1 or (names and position == len(path) - 2):
            return part, field, here
        part = inner
    return part, None, path


def _parts(path: KeyPath, data: object) -> tuple[type[Part], ...]:
    field = _field(path, data)[1]
    return parts_of(field) if field else ()


def _unknown(path: KeyPath, data: object) -> tuple[str, str]:
    """Say that a key is unknown, and which one was meant or where it belongs."""
    part, name = _field(path, data)[0], str(path[-1])
    own = tuple(part.model_fields)
    what = f"{name} is not a key here"
    if other := next((key for key in _OTHERWISE_CALLED.get(name, ()) if key in own), None):
        return what, f"write {other} instead of {name}"
    if kinds := [kind_of(kind) for kind in _parts(path[:-1], data) if name in kind.model_fields]:
        have = "which has it" if len(kinds) == 1 else "which have it"
        return f"{name} is not a parameter of {kind_of(part)}", f"leave it out, or choose {one_of(kinds)}, {have}"
    if home := _home(name):
        return what, f"{name} belongs to {home}"
    if meant := closest(name, own):
        return what, f"did you mean {'[[arm]]' if meant == 'arm' else meant}?"
    if path[0] == "privacy":
        return _no_such_protection(name)
    table = key_text(path[:-1], data) or "a study"
    return what, f"leave it out; {table} has the keys {', '.join(own)}"


def _home(name: str) -> str:
    """Say to which tables a key belongs; nothing for an unknown one."""
    if name in ("kind", "optimizer"):
        return ""
    if name in Study.model_fields:
        return "the top of the study" + ("" if name == "version" else ", as a table of its own")
    homes = dict.fromkeys(f"[{'.'.join(path)}]" for path, part in tables() if name in part.model_fields)
    return one_of(homes) if homes else ""


def _no_such_protection(name: str) -> tuple[str, str]:
    return (
        f"{name} is not available in this version of MEDfl, and is not passed over in silence",
        "leave it out only if the study may run without it",
    )


def _missing(path: KeyPath, data: object) -> Slip:
    field, name = _field(path, data)[1], path[-1]
    if parts := _parts(path, data):
        needs = [f'{key} = "…"' for key, inner in parts[0].model_fields.items() if inner.is_required()]
        return Slip(Finding(path, f"the table [{name}] is missing", f"add [{name}] with {', '.join(needs)}"), path, {})
    about = (field.description or "").rstrip(".") if field else ""
    text = field is not None and field.annotation is str
    sample = '"…"' if text else "…"
    remedy = f"write {name} = {sample}" + (f": {about[0].lower()}{about[1:]}" if about else "")
    finding = Finding(path, f"{name} is missing", remedy)
    if not text:
        return Slip(finding, path[:-1])
    return Slip(finding, path, "-".join(["unnamed", *(str(step) for step in path if isinstance(step, int))]))


def _unknown_kind(path: KeyPath, data: object) -> Slip:
    parts = _parts(path, data)
    tag, known = tag_of(parts[0]) or "kind", tuple(map(kind_of, parts))
    at = (*path, tag) if isinstance(value_at(data, path), Mapping) else path
    asked = value_at(data, at)
    meant = closest(str(asked), known)
    finding = Finding(at, f"there is no {tag} {toml(asked)}", _choice(meant, known))
    return Slip(finding, at, meant) if meant else Slip(finding, path)


def _choice(meant: str | None, known: Sequence[str]) -> str:
    choices = f"the choices are {', '.join(map(toml, known))}" if len(known) > 1 else f"write {toml(known[0])}"
    return f"did you mean {toml(meant)}? {choices}" if meant else choices


def _contradiction(message: str, path: KeyPath, *, data: object) -> Slip:
    """Tell a part's own sentence, ``key …: remedy``, at the key that it starts with."""
    what, _, remedy = message.removeprefix("Value error, ").partition(": ")
    name = what.split(maxsplit=1)[0].rpartition(".")[2]
    at = (*path, name)
    if not path:  # the study as a whole complains of its arms' names only
        path = _second_of_its_name(data)
        return Slip(Finding(path, what, remedy), path, f"unnamed-{path[1]}")
    return Slip(Finding(at, what, remedy), at if value_at(data, at) is not None else path)


def _second_of_its_name(data: object) -> KeyPath:
    """Return the name of the first arm that another arm before it has as well."""
    arms = value_at(data, ("arm",))
    names = [value_at(arm, ("name",)) for arm in arms] if isinstance(arms, list | tuple) else []
    second = next((at for at, name in enumerate(names) if name in names[:at]), 0)
    return ("arm", second, "name")


def _unfit(path: KeyPath, data: object) -> tuple[str, str]:
    """Say what a key takes instead of what it got."""
    part, field, at = _field(path, data)
    value = value_at(data, path)
    if field is None:
        return "this value is not expected here", "leave it out"
    name, metadata = str(at[-1]), tuple(field.metadata)
    annotation: object = field.annotation
    if parts_of(field):
        one = path[-1] if named(field) and len(path) > len(at) else at[-1]
        return _no_such_word(field, str(one), value) or _no_table(str(one), value, short_of(field))
    if part is Arm and name in Study.model_fields:
        return f"{name} must be a table of what the arm changes", f"write {name} = {{ key = value }}"
    if len(path) > len(at):
        name = f"each of {name}" if isinstance(path[-1], int) else str(path[-1])
        annotation, metadata = element_of(annotation), ()
    takes, words = in_words(annotation, metadata), words_of(bare(annotation))
    what, remedy = f"{name} must be {takes}", _instead(field, value, name=str(at[-1]), inside=len(path) > len(at))
    if isinstance(value, str) and words:
        meant, only_words = closest(value, words), takes == one_of(map(toml, words))
        if only_words or meant:
            choices = _choice(meant, words) if only_words else f"did you mean {toml(meant)}?"
            return f"{at[-1]} knows no {toml(value)}", choices
    return what, remedy


def _no_such_word(field: FieldInfo, name: str, value: object) -> tuple[str, str] | None:
    """Say which words may stand in place of a table; nothing where none may, or no word was written."""
    short = short_of(field)
    inner = parts_of(field)[0].model_fields.get(short) if short else None
    words = words_of(inner.annotation) if inner else ()
    if not words or not isinstance(value, str):
        return None
    return f"{name} knows no {toml(value)}", _choice(closest(value, words), words)


def _no_table(name: str, value: object, short: str | None) -> tuple[str, str]:
    if short is not None and not isinstance(value, list | tuple):
        return f"{name} must be a table, or the {short} alone", f'write {name} = "…", the {short}'
    if name == "arm":
        return "each arm is a table of its own", "write [[arm]], in two brackets, above each arm"
    if isinstance(value, list | tuple):
        return f"{name} is one table, not a list", f"write [{name}], in single brackets, once"
    return f"{name} must be a table", f"write [{name}], and its keys below"


def _instead(field: FieldInfo, value: object, *, name: str, inside: bool) -> str:
    """Say what to write for a key, or inside the list or table that it holds."""
    if inside:
        element = element_of(field.annotation)
        single = _meant(element, value)
        return f"write {toml(single) if single is not None else in_words(element)}"
    whole: Any = Annotated[field.annotation, field]  # pydantic reads the bounds from the field
    if (meant := _meant(whole, value)) is not None:
        return f"write {name} = {toml(meant)}"
    usual = field.get_default(call_default_factory=True)
    if usual is not None and usual != () and not field.is_required():
        return f"write for example {name} = {toml(usual)}, which is the default"
    return f"write {in_words(field.annotation, field.metadata)}" + ("" if field.is_required() else ", or leave it out")


def _meant(annotation: Any, value: object) -> object:
    """Return another reading of a value that the type takes; None where there is none."""
    adapter: TypeAdapter[object] = TypeAdapter(annotation)
    for reading in _readings(value):
        if toml(reading) == toml(value):
            continue
        try:
            adapter.validate_python(reading, strict=True)
        except ValidationError:
            continue
        return reading
    return None


def _readings(value: object) -> Iterator[object]:
    """Yield other ways in which a value may have been meant."""
    match value:
        case bool():
            yield str(value).lower()
        case str():
            yield from _unquoted(value)
            yield (value,)
            yield re.sub(r"[^A-Za-z0-9._-]+", "-", value).strip("-._")[:80]
        case int() | float():
            plain = int(value) if isinstance(value, float) and value.is_integer() else value
            yield plain
            yield str(plain)
            yield (plain,)


def _unquoted(text: str) -> Iterator[object]:
    try:
        yield tomllib.loads(f"value = {text.lower()}")["value"]
    except tomllib.TOMLDecodeError:
        return


_OTHERWISE_CALLED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "name": ("kind", "optimizer"),
        "type": ("kind", "optimizer"),
        "kind": ("optimizer",),
        "optimiser": ("optimizer",),
        "lr": ("learning_rate", "server_learning_rate"),
        "server_lr": ("server_learning_rate",),
        "epochs": ("local_epochs",),
        "steps": ("local_steps",),
        "num_rounds": ("rounds",),
        "layers": ("hidden",),
        "hidden_layers": ("hidden",),
        "label": ("target",),
        "clients": ("sites",),
        "hospitals": ("sites",),
        "file": ("table",),
        "path": ("table",),
        "normalize": ("scale",),
        "normalise": ("scale",),
        "test_size": ("test_fraction",),
        "proximal_mu": ("mu",),
    }
)
"""What other libraries, and other people, call a key."""
