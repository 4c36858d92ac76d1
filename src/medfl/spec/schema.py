"""The spec's language as a JSON Schema, for editors that complete and check while one types.

It never refuses a study that is well written; what parts have to agree on is more than a schema can say.
"""

from __future__ import annotations

import inspect
from typing import Annotated, Any, TypeAlias, get_origin

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from medfl.spec.anatomy import kind_of, named, parts_of, short_of, tag_of, words_of
from medfl.spec.part import Part
from medfl.spec.study import PARTS, Arm, Study

Schema: TypeAlias = dict[str, Any]


def json_schema() -> Schema:
    """Return the JSON Schema (2020-12) of a study, with every installed algorithm."""
    definitions = _Definitions()
    study = definitions.table(Study, "")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "MEDfl study"}
    return head | study | {"$defs": definitions.found}


class _Definitions:
    """Describes tables, and collects the description of each under its path."""

    def __init__(self) -> None:
        self.found: dict[str, Schema] = {}

    def table(self, part: type[Part], path: str, *, usual: bool = True) -> Schema:
        """Describe a part; one of several kinds must name itself, unless it is the usual one."""
        fields, tag = part.model_fields, tag_of(part)
        required = [name for name, field in fields.items() if field.is_required() or (name == tag and not usual)]
        return {
            "type": "object",
            "description": _about(part),
            "properties": {name: self._key(part, name, path=f"{path}.{name}".lstrip(".")) for name in fields},
            "required": required,
            "additionalProperties": False,
        }

    def _key(self, part: type[Part], name: str, *, path: str) -> Schema:
        field = part.model_fields[name]
        parts = parts_of(field)
        if part is Arm and name in PARTS:
            return self._change(Study.model_fields[name], path)
        if not parts:
            return _leaf(field)
        if len(parts) > 1:
            return {"description": field.description, "oneOf": [_names(field), *self._kinds(field, path)]}
        self.found[path] = {}  # its place comes before those of what lies in it
        self.found[path] = self.table(parts[0], path)
        about = {"description": field.description or _about(parts[0])}
        one = _link_or_word(field, path)
        if named(field):
            return about | {"type": "object", "additionalProperties": one}
        many = get_origin(field.annotation) is tuple
        return about | ({"type": "array", "items": one} if many else one)

    def _kinds(self, field: FieldInfo, path: str) -> list[Schema]:
        usual: object = field.get_default(call_default_factory=True)
        for part in parts_of(field):
            self.found[f"{path}.{kind_of(part)}"] = self.table(part, path, usual=isinstance(usual, part))
        return [_link(f"{path}.{kind_of(part)}") for part in parts_of(field)]

    def _change(self, field: FieldInfo, path: str) -> Schema:
        """Describe what an arm may change in a part: any of its keys, of any kind; the study has the others."""
        parts = parts_of(field)
        properties: dict[str, list[Schema]] = {}
        for part in parts:
            for name, inner in part.model_fields.items():
                found = self._change(inner, f"{path}.{name}") if parts_of(inner) else _leaf(inner)
                found.pop("default", None)
                if found not in properties.setdefault(name, []):
                    properties[name].append(found)
        self.found[path] = {
            "type": "object",
            "description": field.description or _about(parts[0]),
            "properties": {
                name: found[0] if len(found) == 1 else {"anyOf": found} for name, found in properties.items()
            },
            "additionalProperties": False,
        }
        if len(parts) > 1:
            return {"oneOf": [_names(field), _link(path)]}
        one = _link_or_word(field, path)
        return {"type": "object", "additionalProperties": one} if named(field) else one


def _names(field: FieldInfo) -> Schema:
    """Describe the short form: the kind alone, where it needs nothing else."""
    parts = parts_of(field)
    short = [part for part in parts if not any(inner.is_required() for inner in part.model_fields.values())]
    return {"enum": [kind_of(part) for part in short]}


def _leaf(field: FieldInfo) -> Schema:
    """Describe a key that holds a value; TOML has no null, so an optional key is one that may be left out."""
    form: Any = Annotated[field.annotation, field]
    schema: Schema = TypeAdapter(form).json_schema()
    choices = [choice for choice in schema.pop("anyOf", []) if choice != {"type": "null"}]
    schema |= choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {}
    if schema.get("default", ...) is None:
        del schema["default"]
    return schema


def _link(path: str) -> Schema:
    return {"$ref": f"#/$defs/{path}"}


def _link_or_word(field: FieldInfo, path: str) -> Schema:
    """Describe a part that one of its keys may stand for."""
    short = short_of(field)
    if short is None or len(parts_of(field)) > 1:
        return _link(path)
    inner = parts_of(field)[0].model_fields[short]
    words = words_of(inner.annotation)
    return {"oneOf": [{"enum": list(words)} if words else _leaf(inner), _link(path)]}


def _about(part: type[Part]) -> str:
    """Return the first paragraph of a part's docstring."""
    return " ".join((inspect.getdoc(part) or "").split("\n\n")[0].split())
