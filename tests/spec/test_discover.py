"""An algorithm of another package: one file and one line in its metadata, and the whole spec knows it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RULE = '''
from typing import Literal
from pydantic import Field
from medfl.spec.algorithm import AlgorithmPart

class FedNew(AlgorithmPart):
    """A new paper."""
    kind: Literal["fednew"] = "fednew"
    strength: float = Field(gt=0.0)
    """Strength of the new idea."""
'''
ASK = """
import json, sys
from medfl.errors import SpecError
from medfl.spec.reading import parse
from medfl.spec.schema import json_schema
try:
    print(json.dumps(json.loads(parse(sys.argv[1], source="s").canonical)["algorithm"]))
except SpecError as error:
    print(json.dumps([str(complaint) for complaint in error.complaints]))
assert "algorithm.fednew" in json_schema()["$defs"]
"""
HEAD = 'study.name = "s"\ndata.target = "y"\n'


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a folder with an installed package that has one algorithm."""
    (tmp_path / "newrules").mkdir()
    (tmp_path / "newrules" / "__init__.py").touch()
    (tmp_path / "newrules" / "fednew.py").write_text(RULE, encoding="utf-8")
    metadata = tmp_path / "newrules-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: newrules\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text("[medfl.algorithms]\nnew = newrules\n", encoding="utf-8")
    return tmp_path


def asked(installed: Path, text: str) -> Any:
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", ASK, HEAD + text], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_it_can_be_asked_for(installed: Path) -> None:
    algorithm = asked(installed, 'algorithm = { kind = "fednew", strength = 2 }')
    assert algorithm == {"kind": "fednew", "rounds": 10, "strength": 2.0}


def test_it_is_checked_like_the_others(installed: Path) -> None:
    (missing,) = asked(installed, 'algorithm = { kind = "fednew" }')
    assert missing.startswith("s:3 [algorithm] strength: strength is missing")
    assert "write strength = …: strength of the new idea" in missing
    other, unknown = asked(installed, 'training.lr = 1\nalgorithm = { kind = "fednwe", strength = 1 }')
    assert other.startswith("s:3 [training] lr")
    assert 'did you mean "fednew"?' in unknown
