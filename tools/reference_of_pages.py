"""What tools/reference.py writes of the pages: their addresses for programs, and the technical terms."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastapi.routing import APIRoute, iter_route_contexts

from medfl.hub.pages.catalogue import catalogue
from medfl.hub.pages.language import ENGLISH, LANGUAGES
from medfl.hub.pages.terms import terms
from medfl.hub.people.access import permits_of
from medfl.hub.people.permits import RULES, Action, Role
from medfl.spec.metrics import METRICS
from medfl.store.home import Home
from medfl.testing.hub import made
from medfl.testing.people import consortium

API_INTRODUCTION = """\
# Addresses for programs

Every page of `medfl app` and of a hub has a twin under `/api`: the same content as JSON, from the same context. What
programs read of them (OpenAPI 3.1) is at `/api/openapi.json`. On one machine they want the session of the pages, and
there is nothing of people, sites and the queue; at a hub they want a token that its owner makes on the page of their
account, sent as `Authorization: Bearer …`.

What changes something is a form of a page, and takes the same token; a browser sends the token of its session along, in
the field `csrf` or the header `X-CSRF-Token`. After it comes `303` with the page that follows as `Location`. Whoever
sends `Accept: application/json` is answered with JSON, also where something is wrong.

When something goes wrong, every address answers alike, as `{"error": [{"what": …, "where": …, "received": …, "remedy":
…}]}`:
"""
WHO_INTRODUCTION = """\
## Who may

From the one table that stands before every address. On a machine of one person everything is within reach.
"""
GLOSSARY_INTRODUCTION = """\
# Glossary

The terms that pages and reports use, one sentence each; on the pages they stand behind the words themselves.
"""


def api_page() -> str:
    """Return the page of the addresses for programs."""
    described, actions = _described()
    schemas = described["components"]["schemas"]
    errors = {
        status: answer["description"]
        for operations in described["paths"].values()
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        if int(status) >= HTTPStatus.BAD_REQUEST
    }
    every = [
        (f"{method.upper()} {path}", operation)
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    ]
    parts = [API_INTRODUCTION, table(("Status", "When"), [(f"`{code}`", errors[code]) for code in sorted(errors)])]
    parts += [WHO_INTRODUCTION, table(("Address", "Roles", "Token"), [_who(name, actions[name]) for name, _ in every])]
    parts += [_address(name, operation) for name, operation in every if "requestBody" not in operation]
    parts += [_form(name, operation, schemas) for name, operation in every if "requestBody" in operation]
    parts += ["## What is in an answer\n"]
    parts += [_schema(name, schemas[name]) for name in sorted(schemas) if not name.startswith("Body_")]
    return "\n".join(parts)


def glossary_page() -> str:
    """Return the page of the technical terms, with what each is called in the other languages."""
    others = [catalogue(language) for language in LANGUAGES if language != ENGLISH]
    heads = ("Term", *(LANGUAGES[one.language] for one in others), "Meaning")
    told = [(one.name, one.meaning + (f" ({one.paper})" if one.paper else "")) for one in terms()]
    told += [
        (one.label, one.meaning) for one in METRICS.values() if one.label.lower() not in {name for name, _ in told}
    ]
    rows = [
        (f"**{name}**", *(one.gettext(name) for one in others), meaning)
        for name, meaning in sorted(told, key=lambda pair: pair[0].lower())
    ]
    return f"{GLOSSARY_INTRODUCTION}\n{table(heads, rows)}"


def _described() -> tuple[Mapping[str, Any], Mapping[str, Action]]:
    """Return what OpenAPI says of a hub, and what each address does."""
    with TemporaryDirectory() as folder, Home(Path(folder) / "store") as home:
        place = made(Path(folder) / "hub")
        app = consortium(place.folder, home, place).app
        actions = {
            f"{method} {context.path}": permit.action
            for context in iter_route_contexts(app.routes)
            if isinstance(context.original_route, APIRoute)
            for permit in permits_of(context.original_route.dependant)
            for method in context.original_route.methods or ()
        }
        return app.openapi(), actions


def _who(name: str, action: Action) -> tuple[str, str, str]:
    """Return a line of the table of who may."""
    rule = RULES[action]
    roles = [f"{role} ({reach})" if reach else str(role) for role, reach in rule.reach.items()]
    if action is Action.SIGN_IN:
        roles = ["everybody, also without an account"]
    elif len(roles) == len(Role):
        roles = ["every role"]
    who = "; ".join(roles)
    return f"`{name}`", who, "yes" if rule.by_token else "no"


def _address(name: str, operation: Mapping[str, Any]) -> str:
    told = f"## `{name}`\n\n{operation['description']}"
    answer = operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema")
    return f"{told} The answer is {_type(answer)}.\n" if answer else f"{told}\n"


def _form(name: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """Return a form and its fields."""
    ((kind, content),) = operation["requestBody"]["content"].items()
    schema = schemas[content["schema"]["$ref"].rpartition("/")[2]]
    needed = set(schema.get("required", ()))
    rows = [
        (f"`{field}`", _field(one), "yes" if field in needed else "no") for field, one in schema["properties"].items()
    ]
    head = f"## `{name}`\n\n{operation['description']} As `{kind}`:\n"
    return f"{head}\n{table(('Field', 'Type', 'Needed'), rows)}"


def _field(schema: Mapping[str, Any]) -> str:
    """Return the type of a field, with its bounds."""
    if "contentMediaType" in schema or schema.get("format") == "binary":
        return "file"
    most = schema.get("maxLength")
    low, high = schema.get("minimum"), schema.get("maximum")
    bounds = f", up to {most} characters" if most else f", {low} to {high}" if low is not None else ""
    return f"{_type(schema)}{bounds}"


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    about, _, section = inspect.cleandoc(schema.get("description", "")).partition("Parameters\n----------\n")
    meanings = dict(_meanings(section))
    rows = [(f"`{key}`", _type(one), meanings.get(key, "")) for key, one in schema.get("properties", {}).items()]
    head = f"### {_short(name)}\n\n{' '.join(about.replace('``', '`').split())}\n"
    return f"{head}\n{table(('Field', 'Type', 'Meaning'), rows)}" if rows else head


def _meanings(section: str) -> Iterator[tuple[str, str]]:
    """Yield what a numpydoc section says of each parameter."""
    names: list[str] = []
    told: list[str] = []
    for line in [*section.splitlines(), "end"]:
        if line.startswith(" "):
            told.append(line.strip())
        elif line:
            yield from ((name, " ".join(told).replace("``", "`")) for name in names)
            names, told = [name.strip() for name in line.split(",")], []


def _type(schema: Mapping[str, Any]) -> str:
    """Return a type as it is read: "text", "number", a link to what it holds."""
    match schema:
        case {"$ref": str() as where}:
            name = _short(where.rpartition("/")[2])
            return f"[{name}](#{name.lower()})"
        case {"anyOf": list() as either}:
            return " or ".join(map(_type, either))
        case {"enum": list() as words}:
            return " or ".join(f"`{word}`" for word in words)
        case {"type": "array", "prefixItems": list() as parts}:
            return f"({', '.join(map(_type, parts))})"
        case {"type": "array"}:
            return f"list of {_type(schema.get('items', {}))}"
        case {"type": "object"}:
            inner = schema.get("additionalProperties")
            return f"{_type(inner)} by name" if isinstance(inner, Mapping) else "by name"
        case {"type": str() as kind}:
            return {"string": "text", "integer": "whole number", "boolean": "true or false"}.get(kind, kind)
    return "anything"


def _short(name: str) -> str:
    """Return a schema's name without its module, but where two have one name."""
    *where, last = name.split("__")
    return f"{last}Of{where[-1].capitalize()}" if where else last


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) + " |\n" for row in lines
    )
