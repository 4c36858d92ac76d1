"""Changes to a study's text, one key at a time: comments and order stay where the author put them."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT

from medfl.errors import PlanError
from medfl.hub.pages.design.shape import meant
from medfl.spec.lines import KeyPath
from medfl.spec.study import PARTS


def path_of(dotted: str) -> KeyPath:
    """Return the key that a field's name stands for."""
    steps: list[str | int] = list(dotted.split("."))
    if steps[0] == "arm" and len(steps) > 1 and str(steps[1]).isdecimal():
        steps[1] = int(str(steps[1]))
    return tuple(steps)


def changed(text: str, dotted: str, value: str) -> str:
    """Return the text with one key set to what a field says; an empty field leaves the key out.

    Raises
    ------
    PlanError
        If the text is no TOML, or has no such place.
    """
    document, path = tomlkit_of(text), path_of(dotted)
    asked = meant(path, value)
    table = table_at(document, path[:-1], make=asked is not None)
    name = str(path[-1])
    if asked is None:
        table.pop(name, None)
    else:
        table[name] = asked
    return tomlkit.dumps(document)


def with_table(text: str, dotted: str, *, there: bool) -> str:
    """Return the text with a table that may be left out put in, or taken out."""
    document, path = tomlkit_of(text), path_of(dotted)
    table = table_at(document, path[:-1], make=there)
    if there:
        table.setdefault(str(path[-1]), tomlkit.table())
    else:
        table.pop(str(path[-1]), None)
    return tomlkit.dumps(document)


def forked(text: str, part: str) -> str:
    """Return the text with one more arm, in which one part may differ; the first fork names the study itself, too.

    Raises
    ------
    PlanError
        If there is no such part.
    """
    if part not in PARTS:
        raise PlanError(
            "a study has no such step to fork", received=part[:40], remedy=f"fork one of {', '.join(PARTS)}"
        )
    document = tomlkit_of(text)
    arms = document.setdefault("arm", tomlkit.aot())
    if not isinstance(arms, AoT):
        raise _odd("arm")
    names = {str(arm.get("name", "")) for arm in arms}
    if not names:
        arms.append(tomlkit.item({"name": "as-designed"}))
    number = next(number for number in range(2, len(names) + 3) if f"{part}-{number}" not in names)
    arm = tomlkit.table()
    arm.add("name", f"{part}-{number}")
    arm.add(part, tomlkit.table())
    arms.append(arm)
    return tomlkit.dumps(document)


def without_arm(text: str, number: int) -> str:
    """Return the text without an arm; the last but one goes with it, as a study without arms is its own only arm."""
    document = tomlkit_of(text)
    arms = document.get("arm")
    if not isinstance(arms, list) or not 0 <= number < len(arms):
        raise _odd(f"arm {number}")
    del arms[number]
    if not arms or (len(arms) == 1 and set(arms[0]) == {"name"}):
        del document["arm"]
    return tomlkit.dumps(document)


def table_at(document: MutableMapping[str, Any], path: KeyPath, *, make: bool) -> MutableMapping[str, Any]:
    """Return the table at a path; a word in its place is spelled out, and what is missing is made where asked.

    Raises
    ------
    PlanError
        If there is something else.
    """
    here: Any = document
    for step in path:
        if isinstance(step, int):
            if not isinstance(here, list) or not 0 <= step < len(here):
                raise _odd(str(step))
            here = here[step]
            continue
        if not isinstance(here, MutableMapping):
            raise _odd(step)
        inner = here.get(step)
        if isinstance(inner, str):
            here[step] = tomlkit.item({"optimizer" if step == "training" else "kind": str(inner)})
        elif inner is None:
            if not make:
                return {}
            here[step] = tomlkit.table()
        here = here[step]
    if not isinstance(here, MutableMapping):
        raise _odd(".".join(map(str, path)))
    return here


def tomlkit_of(text: str) -> tomlkit.TOMLDocument:
    """Return a text as a document that keeps comments and order.

    Raises
    ------
    PlanError
        If it is no TOML.
    """
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise PlanError(
            "the text cannot be read as TOML, so the form cannot change it",
            received=str(error),
            remedy="mend the text first; it says where",
        ) from error


def _odd(where: str) -> PlanError:
    return PlanError("the text has something else here than the form expects", where=where, remedy="change the text")
