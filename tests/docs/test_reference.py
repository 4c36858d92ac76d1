"""The reference is generated, complete, and its examples run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from medfl import errors, events
from medfl.cli import main
from medfl.spec.anatomy import tables
from medfl.spec.reading import parse

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
HEAD = 'study.name = "s"\ndata.target = "y"\n'


def page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def test_the_reference_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "reference.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def kinds(kind: type[errors.MedflError]) -> list[type[errors.MedflError]]:
    inner = [one for one in kind.__subclasses__() if one.__module__ == errors.__name__]
    return [kind, *(deeper for one in inner for deeper in kinds(one))]


@pytest.mark.parametrize("kind", kinds(errors.MedflError), ids=lambda kind: kind.__name__)
def test_every_error_is_documented(kind: type[errors.MedflError]) -> None:
    row = next(line for line in page("errors.md").splitlines() if f"`{kind.__name__}`" in line)
    _, _, code, exit_code, meaning, _ = (cell.strip() for cell in row.split("|"))
    assert (code, exit_code) == (f"`{kind.code}`", str(kind.exit_code))
    assert meaning
    assert f" {kind.__name__} " in (errors.__doc__ or ""), "the tree in the docstring of errors.py lacks it"


def test_no_two_errors_share_a_code() -> None:
    codes = [kind.code for kind in kinds(errors.MedflError)]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("name", events.KINDS)
def test_every_event_and_field_is_documented(name: str) -> None:
    section = page("events.md").partition(f"## {name}\n")[2].partition("\n## ")[0]
    assert section.strip()
    rows = [[cell.strip() for cell in line.split(" | ")] for line in section.splitlines() if line.startswith("| `")]
    named = [row[0].strip("|` ") for row in rows]
    assert named == [field for field in events.KINDS[name].__dataclass_fields__ if field != "run"]
    assert all(row[-1].strip("| ") for row in rows), "a field has no meaning"


def test_every_table_and_key_of_the_spec_is_documented() -> None:
    text = page("spec.md")
    for path, part in tables():
        header = "[[arm]]" if path == ("arm",) else f"[{'.'.join(path)}]"
        assert f" `{header}`\n" in text
        for key in part.model_fields:
            assert f"| `{key}` |" in text or key in ("kind", "optimizer"), f"{header} {key}"


def test_every_verb_is_documented() -> None:
    for name, command in main.commands.items():
        section = page("cli.md").partition(f"## `medfl {name}`\n")[2].partition("\n## ")[0]
        for parameter in command.params:
            assert all(f"`{option}`" in section for option in parameter.opts if option.startswith("-"))


@pytest.mark.parametrize("example", re.findall(r"```toml\n(.*?)```", page("spec.md"), re.DOTALL))
def test_the_examples_are_studies(example: str) -> None:
    assert parse(example if "[study]" in example else HEAD + example, source="spec.md").arms
