"""The spec's language as a JSON Schema, for editors that complete and check while one types.

It never refuses a study that is well written; what parts have to agree on is more than a schema can say.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from medfl.spec.anatomy import kind_of, parts_of, tag_of
from medfl.spec.part import Part
from medfl.spec.study import PARTS, Arm, Study

Schema: TypeAlias = dict[str, Any]


def json_schema() -> Schema:
    """Return the JSON Schema (2020-12) of a study, with every installed algorithm."""
    defs: dict[str, Schema] = {}
    study = _object(Study, "", defs)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "MEDfl study"} | study | {"$defs": defs}


def _object(part: type[Part], path: str, defs: dict[str, Schema], *, usual: bool = True) -> Schema:
    """Describe a part; one of several kinds must name itself, unless it is the usual one."""
    fields = part.model_fields
    tag = tag_of(part)
    required = [name for name, field in fields.items() if field.is_required() or (name == tag and not usual)]
    return {
        "type": "object",
        "description": _first_paragraph(part),
        "properties": {name: _property(part, name, path, defs) for name in fields},
        "required": required,
        "additionalProperties": False,
    }


def _property(part: type[Part], name: str, path: str, defs: dict[str, Schema]) -> Schema:
    field, inner = part.model_fields[name], f"{path}.{name}".lstrip(".")
    parts = parts_of(field)
    if part is Arm and name in PARTS:
        return _change(Study.model_fields[name], f"arm.{name}", defs)
    if not parts:
        return _leaf(field)
    about = {"description": field.description or _first_paragraph(parts[0])}
    if len(parts) == 1:
        defs.setdefault(inner, {}).update(_object(parts[0], inner, defs))
        many = field.annotation == tuple[parts[0], ...]
        return about | ({"type": "array", "items": _link(inner)} if many else _link(inner))
    return about | {"oneOf": [_names(field, parts), *_kinds(field, inner, defs)]}


def _kinds(field: FieldInfo, path: str, defs: dict[str, Schema]) -> list[Schema]:
    usual: object = field.get_default(call_default_factory=True)
    links = []
    for part in parts_of(field):
        key = f"{path}.{kind_of(part)}"
        defs[key] = _object(part, path, defs, usual=isinstance(usual, part))
        links.append(_link(key))
    return links


def _names(field: FieldInfo, parts: tuple[type[Part], ...]) -> Schema:
    """Describe the short form: the kind alone, where it needs nothing else."""
    short = [part for part in parts if not any(inner.is_required() for inner in part.model_fields.values())]
    return {"enum": [kind_of(part) for part in short]}


def _change(field: FieldInfo, path: str, defs: dict[str, Schema]) -> Schema:
    """Describe what an arm may change in a part: any of its keys, of any kind; the study has the others."""
    parts = parts_of(field)
    properties: dict[str, list[Schema]] = {}
    for part in parts:
        for name, inner in part.model_fields.items():
            found = _change(inner, f"{path}.{name}", defs) if parts_of(inner) else _leaf(inner)
            found.pop("default", None)
            if found not in properties.setdefault(name, []):
                properties[name].append(found)
    defs[path] = {
        "type": "object",
        "description": _first_paragraph(parts[0]) if len(parts) == 1 else "",
        "properties": {name: found[0] if len(found) == 1 else {"anyOf": found} for name, found in properties.items()},
        "additionalProperties": False,
    }
    if len(parts) == 1:
        return _link(path)
    return {"oneOf": [_names(field, parts), _link(path)]}


def _leaf(field: FieldInfo) -> Schema:
    """Describe a key that holds a value; TOML has no null, so an optional key is one that may be left out."""
    form: Any = Annotated[field.annotation, field]
    schema: Schema = TypeAdapter(form).json_schema()
    choices = [choice for choice in schema.pop("anyOf", []) if choice != {"type": "null"}]
    schema |= choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {}
    if schema.get("default", ...) is None:
        del schema["default"]
    return schema


def _link(key: str) -> Schema:
    return {"$ref": f"#/$defs/{key}"}


def _first_paragraph(part: type[Part]) -> str:
    return " ".join(inspect.getdoc(part).split("\n\n")[0].split()) if inspect.getdoc(part) else ""
