"""Writes docs/reference from the code: language, policy, events, errors, commands, addresses, glossary.

``python tools/reference.py`` writes; with ``--check`` it only says which files are outdated, and fails if any is.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import click
from pydantic.fields import FieldInfo
from reference_of_pages import api_page, glossary_page, table  # type: ignore[import-not-found]

from medfl import errors, events
from medfl.cli import main as command_line
from medfl.site.rules import Rules
from medfl.spec.anatomy import kind_of, named, parts_of, tag_of
from medfl.spec.expected import expected
from medfl.spec.finding import toml
from medfl.spec.part import Part
from medfl.spec.schema import json_schema
from medfl.spec.study import PARTS, Study

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
NOTE = "<!-- Generated from the code by tools/reference.py; change it there. -->\n"


def main() -> None:
    """Write the files, or check them."""
    pages = {
        "spec.md": spec_page(),
        "study.schema.json": json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n",
        "events.md": events_page(),
        "errors.md": errors_page(),
        "policy.md": policy_page(),
        "cli.md": cli_page(),
        "api.md": NOTE + api_page(),
        "glossary.md": NOTE + glossary_page(),
    }
    outdated = [name for name, text in pages.items() if _text(FOLDER / name) != text]
    if "--check" in sys.argv[1:]:
        sys.exit(f"outdated: {', '.join(outdated)}; run python tools/reference.py" if outdated else 0)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in outdated:
        (FOLDER / name).write_text(pages[name], encoding="utf-8")


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


# -- the spec ----------------------------------------------------------------------------------------------------------

SPEC_INTRODUCTION = """\
# The study's language

A study is one TOML file. The least that is a study names itself and the column to predict, and says where the rows are:

```toml
[study]
name = "heart-disease"

[data]
target = "num"
sites = { cleveland = "cleveland.csv", hungary = "hungary.csv" }
```

Everything else may be left out: a default is given below, or the meaning says what happens then. An unknown key is
refused, so that a typing error cannot pass for a setting; `medfl check STUDY.toml` says all that is wrong at once, or
in plain words what the study will do.

- **Choices.** Where a table is one of several kinds, the kind alone may be written in its place: `algorithm = "fedavg"`
  is `algorithm = { kind = "fedavg" }`.
- **Paths** are relative to the study's own file.
- **The digest** that names a study in journals and reports is the SHA-256 of its canonical JSON: all defaults spelled
  out, keys sorted. The order of keys, comments, and whether a default is written or left out do not change it. The
  digest of a study that is written today stays the same in later versions.
- **Editors** that know JSON Schema complete and check while you type: [study.schema.json](study.schema.json). With
  Taplo or Even Better TOML, write `#:schema PATH/study.schema.json` in the first line.
"""
ARMS_PAGE = """
Each arm is the study with some of its parts changed, and is run as a study of its own. A change is laid over the study
by one rule:

- A table is merged key by key, at every depth; any other value replaces the study's.
- Where a change names another `kind` (for training another `optimizer`), only what all kinds share is kept from the
  study: `rounds`, `min_sites`, `fraction` and `min_asked` of an algorithm; `batch_size`, `local_epochs`, `local_steps`,
  `clip_norm` and `class_weight` of training. The parameters of one kind mean nothing to another.
- A key that excludes another takes its place: `local_steps` that of `local_epochs`, `bundled` that of `table`,
  `simulate` that of `sites`, and the other way round.

```toml
[training]
optimizer = "sgd"
learning_rate = 0.05
momentum = 0.9

[[arm]]
name = "smaller-steps"             # momentum stays 0.9
training.learning_rate = 0.01

[[arm]]
name = "adam"                      # learning_rate and momentum are Adam's own defaults
training = "adam"
```
"""


def spec_page() -> str:
    """Return the page of the spec."""
    return "\n".join([NOTE + SPEC_INTRODUCTION, *_part_sections(Study, ())])


def _part_sections(part: type[Part], path: tuple[str, ...]) -> Iterator[str]:
    """Yield a section for each table that lies in a part."""
    for name, field in part.model_fields.items():
        parts, inner = parts_of(field), (*path, name)
        if not parts:
            continue
        yield f"{'##' if not path else '###'} `{_header(inner)}`\n"
        if len(parts) > 1:
            yield f"{field.description}\n"
            yield from _kind_sections(field, deep=bool(path))
        else:
            yield f"{_sentence(parts[0])}\n"
            if named(field):
                yield f"There is one such table for each name: `[{'.'.join(inner)}.NAME]`, or `NAME = {{ … }}`.\n"
            yield _keys(parts[0], parts[0].model_fields)
        if name == "arm":
            yield ARMS_PAGE
            continue
        for one in parts:
            yield from _part_sections(one, (*inner, "NAME") if named(field) else inner)


POLICY_INTRODUCTION = """\
# A site's policy

A policy is one TOML file, owned by the site. `medfl policy init` writes one to start from, with every key and a comment
on each; `medfl policy check` says what is wrong with one, or what it would say to a study; `medfl policy explain` says
in plain words what leaves. How to write one: [recipe](../how-to/write-a-policy.md); what the rules do and cannot do:
[explanation](../explanation/disclosure-control.md).

What is not named is not accepted and not released: lists are empty where they are left out. An unknown key is refused.
"""


def policy_page() -> str:
    """Return the page of a site's policy."""
    return "\n".join([NOTE + POLICY_INTRODUCTION, *_part_sections(Rules, ())])


def _header(path: tuple[str, ...]) -> str:
    return "[[arm]]" if path == ("arm",) else f"[{'.'.join(path)}]"


def _kind_sections(field: FieldInfo, *, deep: bool) -> Iterator[str]:
    """Yield what all kinds share, then each kind."""
    parts = parts_of(field)
    usual: object = field.get_default(call_default_factory=True)
    default = next(kind_of(part) for part in parts if isinstance(usual, part))
    tag = tag_of(parts[0])
    yield f"`{tag}` is {_choice(toml(kind_of(part)) for part in parts)}; where it is left out, `{toml(default)}`.\n"
    shared = [name for name in parts[0].model_fields if _same_everywhere(name, parts)]
    if shared:
        yield "Keys of every kind:\n"
        yield _keys(parts[0], shared)
    for part in parts:
        yield f"{'####' if deep else '###'} `{tag} = {toml(kind_of(part))}`\n"
        yield f"{_sentence(part)}\n"
        if own := [name for name in part.model_fields if name not in shared and name != tag]:
            yield _keys(part, own)


def _same_everywhere(name: str, parts: Sequence[type[Part]]) -> bool:
    fields = [part.model_fields.get(name) for part in parts]
    described = {(field.description, expected(field), toml(field.default)) for field in fields if field is not None}
    return None not in fields and len(described) == 1 and name != tag_of(parts[0])


def _keys(part: type[Part], names: Iterable[str]) -> str:
    rows = [_row(part, name) for name in names]
    return table(("Key", "Takes", "Default", "Meaning"), [row for row in rows if row]) if any(rows) else ""


def _row(part: type[Part], name: str) -> tuple[str, ...]:
    field = part.model_fields[name]
    if name in PARTS and name in Study.model_fields and part is not Study:
        takes = "a table, or the name of a kind" if len(parts_of(Study.model_fields[name])) > 1 else "a table"
        return (f"`{name}`", takes, "", f"What changes in `[{name}]`.")
    default = "**required**" if field.is_required() else _default(field)
    return (f"`{name}`", _marked(expected(field)), default, field.description or "")


def _default(field: FieldInfo) -> str:
    value: object = field.get_default(call_default_factory=True)
    if isinstance(value, Part):
        return f"`{toml(kind_of(type(value)))}`" if kind_of(type(value)) else ""
    return f"`{toml(value)}`" if value not in (None, (), {}) else ""


def _marked(words: str) -> str:
    """Set quoted words as code."""
    return re.sub(r'"[^"]*"', lambda word: f"`{word[0]}`", words)


def _choice(words: Iterable[str]) -> str:
    *head, last = (f"`{word}`" for word in words)
    return f"{', '.join(head)} or {last}"


# -- events ------------------------------------------------------------------------------------------------------------

EVENTS_INTRODUCTION = """\
# Events

A run is the list of its events. They are appended to the journal after what they speak of is stored, and are never
changed; every page, table and report is computed from the study and this list. The types are those of the Python
classes in `medfl.events`; in the journal an event is JSON. A field that a newer version added is passed over by an
older one.

Every event names its `run`.
"""


def events_page() -> str:
    """Return the page of the events."""
    known = {name: text for kind in events.KINDS.values() for name, text in _parameters(kind).items()}
    return "\n".join([NOTE + EVENTS_INTRODUCTION, *(_event(kind, known) for kind in events.KINDS.values())])


def _event(kind: type[events.Event], known: Mapping[str, str]) -> str:
    own = _parameters(kind)
    rows = [
        (f"`{field.name}`", f"`{field.type}`", _default_of(field), own.get(field.name) or known.get(field.name, ""))
        for field in dataclasses.fields(kind)
        if field.name != "run"
    ]
    text = f"## {kind.__name__}\n\n{_sentence(kind)}\n"
    return f"{text}\n{table(('Field', 'Type', 'Default', 'Meaning'), rows)}" if rows else text


def _default_of(field: dataclasses.Field[object]) -> str:
    return "" if field.default is dataclasses.MISSING else f"`{field.default!r}`"


def _parameters(documented: type) -> dict[str, str]:
    """Return what a numpydoc docstring says of each parameter."""
    _, _, section = inspect.cleandoc(documented.__doc__ or "").partition("Parameters\n----------\n")
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for line in section.splitlines():
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.split(",")]
        for name in names if line.startswith(" ") else ():
            found.setdefault(name, []).append(line.strip())
    return {name: " ".join(lines).replace("``", "`") for name, lines in found.items()}


# -- errors ------------------------------------------------------------------------------------------------------------

ERRORS_INTRODUCTION = """\
# Errors

Every error says what is wrong, where, what was found there, and what to do. One that is about many things at once has a
complaint for each, in `error.complaints`, with the fields `what`, `where`, `received` and `remedy`. No error contains a
value of a patient's row.

In Python each is a class of `medfl.errors`. On the command line, `medfl` ends with its exit code: **2** where the user
can mend it, **1** where it is not the user's doing, 130 after Ctrl-C. With `--json` the error is printed as
`{"error": {"code": …, "complaints": [{"what": …, "where": …, "received": …, "remedy": …}]}}`. The code is also what a
journal keeps of a failed run.
"""


def errors_page() -> str:
    """Return the page of the errors."""
    rows = [
        (f"{'&emsp;' * depth}`{kind.__name__}`", f"`{kind.code}`", str(kind.exit_code), _sentence(kind))
        for kind, depth in _tree(errors.MedflError)
    ]
    shown = table(("Error", "Code", "Exit code", "Meaning"), rows)
    return f"{NOTE}{ERRORS_INTRODUCTION}\n{shown}"


def _tree(kind: type[errors.MedflError], depth: int = 0) -> Iterator[tuple[type[errors.MedflError], int]]:
    yield kind, depth
    for inner in kind.__subclasses__():
        if inner.__module__ == errors.__name__:
            yield from _tree(inner, depth + 1)


# -- the command line --------------------------------------------------------------------------------------------------


def cli_page() -> str:
    """Return the page of the command line."""
    context = click.Context(command_line, info_name="medfl")
    head = f"# The command line\n\n{_plain_help(command_line)}\n"
    tail = "\n`medfl --help` and `medfl COMMAND --help` say the same.\n"
    return "\n".join([NOTE + head + tail, *_commands(command_line, context)])


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    """Yield a section for each command, and for each that lies in it."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            continue
        yield _command(command, context)
        if isinstance(command, click.Group):
            yield from _commands(command, click.Context(command, info_name=name, parent=context))


def _command(command: click.Command, parent: click.Context) -> str:
    context = click.Context(command, info_name=command.name, parent=parent)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    text = f"## `{context.command_path}`\n\n{_plain_help(command)}\n\n```\n{usage}\n```\n"
    options = [option for option in command.params if isinstance(option, click.Option)]
    rows = [(_spelling(option, context), option.help or "", _option_default(option)) for option in options]
    return f"{text}\n{table(('Option', 'Meaning', 'Default'), rows)}" if rows else text


def _spelling(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{name}`" for name in option.opts)
    return names if option.is_flag else f"{names} `{option.make_metavar(context)}`"


def _option_default(option: click.Option) -> str:
    return f"`{option.default}`" if isinstance(option.default, str | int | float) and not option.is_flag else ""


def _plain_help(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "").replace("\b\n", "")


# -- pages in general --------------------------------------------------------------------------------------------------


def _sentence(documented: type) -> str:
    """Return a docstring up to its parameters, in Markdown."""
    text = inspect.cleandoc(documented.__doc__ or "").partition("\n\nParameters\n")[0]
    return re.sub(r":\w+:`([^`]*)`", r"`\1`", text.replace("``", "`"))


if __name__ == "__main__":
    main()
