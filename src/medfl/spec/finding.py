"""One thing that is wrong with a study, and how keys, values and choices are spelled when it is told."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from medfl.spec.lines import KeyPath

WIDEST = 80


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, at a key.

    Parameters
    ----------
    path
        The key; written in the text or missing from it.
    what
        The finding, as a sentence without its final full stop.
    remedy
        What to write instead.
    """

    path: KeyPath
    what: str
    remedy: str


def value_at(data: object, path: KeyPath) -> object:
    """Return what is found at a key; None where nothing is."""
    for step in path:
        if isinstance(data, list | tuple) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            data = data.get(step) if isinstance(data, Mapping) else None
    return data


def key_text(path: KeyPath, data: object) -> str:
    """Spell a key with the table it lies in: ``[data.simulate] sites``, ``[[arm]] fedyogi: algorithm.tau``."""
    match path:
        case ("arm",):
            return "[[arm]]"
        case ("arm", int(position), *rest):
            name = value_at(data, ("arm", position, "name"))
            head = f"[[arm]] {name if isinstance(name, str) else f'number {position + 1}'}"
            return f"{head}: {_dotted(rest)}" if rest else head
        case (str(only),):
            return only if isinstance(value_at(data, path), str | int | float) else f"[{only}]"
    whole = next((at for at, step in enumerate(path) if isinstance(step, int)), len(path))
    return f"[{_dotted(path[: whole - 1])}] {_dotted(path[whole - 1 :])}" if path else ""


def toml(value: object) -> str:
    """Spell a value as TOML would, cut where it is long; nothing for None."""
    text = _toml(value)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def closest(name: str, names: Iterable[str]) -> str | None:
    """Return the name that was probably meant."""
    plain = {_plain(known): known for known in names}
    alike = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.6)
    return plain[alike[0]] if alike else None


def one_of(names: Iterable[str]) -> str:
    """Join names as a choice: ``a, b or c``."""
    *head, last = names
    return f"{', '.join(head)} or {last}" if head else last


def _plain(name: str) -> str:
    return name.strip().casefold().replace("_", "-").replace(" ", "-")


def _dotted(steps: Iterable[str | int]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


def _toml(value: object) -> str:
    match value:
        case None:
            return ""
        case bool() | str():
            return json.dumps(value, ensure_ascii=False)
        case Mapping():
            return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    return str(value)
