"""What tools/reference.py writes of the pages: their addresses for programs, and the technical terms."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from medfl.hub.pages.application import OPEN, application
from medfl.hub.pages.bench import Bench
from medfl.hub.pages.catalogue import catalogue
from medfl.hub.pages.language import ENGLISH, LANGUAGES
from medfl.hub.pages.terms import terms
from medfl.hub.people.alone import alone
from medfl.loopback import Sessions
from medfl.spec.metrics import METRICS
from medfl.store.home import Home
from medfl.testing.pages import Carriers, looked

API_INTRODUCTION = """\
# Addresses for programs

Every page of `medfl app` and of a hub has a twin under `/api`: the same content as JSON, from the same context. A hub
has more of them, about its queue and its sites. What programs read of them (OpenAPI 3.1) is at `/api/openapi.json`. On
one machine they want the session of the pages; at a hub a token that its owner makes on the page of their account, sent
as `Authorization: Bearer …`. They only tell; what changes something is done on the pages.

When something goes wrong, every address answers alike, as `{"error": [{"what": …, "where": …, "received": …, "remedy":
…}]}`:
"""
GLOSSARY_INTRODUCTION = """\
# Glossary

The terms that pages and reports use, one sentence each; on the pages they stand behind the words themselves.
"""


def api_page() -> str:
    """Return the page of the addresses for programs."""
    described = _described()
    schemas = described["components"]["schemas"]
    errors = {
        status: answer["description"]
        for operations in described["paths"].values()
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        if status != "200"
    }
    parts = [API_INTRODUCTION, table(("Status", "When"), [(f"`{code}`", errors[code]) for code in sorted(errors)])]
    parts += [_address(path, operations) for path, operations in described["paths"].items()]
    parts += ["## What is in an answer\n"]
    parts += [_schema(name, schemas[name]) for name in sorted(schemas)]
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


def _described() -> Mapping[str, Any]:
    with TemporaryDirectory() as folder, Home(Path(folder)) as home:
        bench = Bench(home, looked, looked, Carriers(home), home.is_busy)
        return application(bench, *alone(Sessions(), port=1, open_to_all=OPEN)).openapi()


def _address(path: str, operations: Mapping[str, Any]) -> str:
    told = []
    for method, operation in operations.items():
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        told.append(f"## `{method.upper()} {path}`\n\n{operation['description']} The answer is {_type(schema)}.\n")
    return "\n".join(told)


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
