"""Every claim of the threat model names tests, and these exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "threat-model.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/.]+\.py)(?:::(\w+))?`", PAGE)))


def test_every_claim_names_a_test() -> None:
    tables = re.findall(r"\| Claim \| Test \|\n\| --- \| --- \|\n((?:\|.*\n)+)", PAGE)
    assert len(tables) >= 6
    for line in "".join(tables).splitlines():
        assert re.search(r"`tests/[\w/]+\.py", line), f"no test holds: {line}"


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_the_test_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert not name or name in functions
    assert any(one.startswith("test_") for one in functions)
