"""An algorithm or model of another package: one file and one line in its metadata, and the whole spec knows it."""

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
MODEL = '''
from typing import ClassVar, Literal
from pydantic import Field
from medfl.learn.models import build
from medfl.spec.model import Logistic, ModelPart

class Bent(ModelPart):
    """A model of a new kind."""
    title: ClassVar[str] = "a bent regression"
    kind: Literal["bent"] = "bent"
    bend: float = Field(default=0.5, gt=0.0)
    """How far it bends."""

    def made(self, *, features, outcome):
        return build(Logistic(), features=features, outcome=outcome)
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
    (tmp_path / "newrules" / "bent.py").write_text(MODEL, encoding="utf-8")
    points = "[medfl.algorithms]\nnew = newrules\n[medfl.models]\nnew = newrules\nnet = newrules.net:build\n"
    (metadata / "entry_points.txt").write_text(points, encoding="utf-8")
    return tmp_path


def asked(installed: Path, text: str, script: str = ASK) -> Any:
    paths = [str(installed), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, "-c", script, HEAD + text], env=environment, capture_output=True, text=True, check=True
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


TELL = """
import json, sys
from medfl.errors import SpecError
from medfl.publish.methods import _model
from medfl.run.explain import model_sentence
from medfl.site.rules_reading import parse as policy
from medfl.spec.checks import check
from medfl.spec.reading import parse
from medfl.spec.schema import json_schema

def refused(action, *arguments):
    try:
        action(*arguments)
    except SpecError as error:
        return [str(complaint) for complaint in error.complaints]

study = parse(sys.argv[1], source="s")
head = "version = 1\\n[accepts]\\nstudies = 'any'\\nmodels = "
print(json.dumps({
    "asked": json.loads(study.canonical)["model"],
    "explained": model_sentence(study.model),
    "methods": _model({"model": json.loads(study.canonical)["model"]}),
    "accepted": policy(head + "['bent', 'mlp']", source="p").accepts.models,
    "misspelled": refused(lambda: policy(head + "['bnet']", source="p")),
    "private": refused(check, study.overridden({"privacy": {"dp": {"unit": "record", "epsilon": 1.0}}})),
    "schema": "model.bent" in json_schema()["$defs"],
}))
"""


def test_a_model_is_asked_for_told_and_allowed_by_its_name(installed: Path) -> None:
    told = asked(installed, 'data.positive = "1"\nmodel = { kind = "bent", bend = 2 }', TELL)
    assert told["asked"] == {"kind": "bent", "bend": 2.0}
    assert told["explained"] == "a bent regression (bend 2.0)"
    assert told["methods"] == "The model was a bent regression with bend 2."
    assert told["accepted"] == ["bent", "mlp"]
    assert 'did you mean "bent"?' in told["misspelled"][0]
    assert told["schema"]
    (reason,) = [text for text in told["private"] if "[model] kind" in text]
    assert "does not tell each row's gradient apart" in reason


def test_a_model_is_checked_like_the_others(installed: Path) -> None:
    (unknown,) = asked(installed, 'model = { kind = "bnet" }')
    assert 'did you mean "bent"?' in unknown
    (out_of_range,) = asked(installed, 'model = { kind = "bent", bend = 0 }')
    assert "bend must be a number above 0" in out_of_range
