"""What is found in the tables and was asked for in the study's file is told with the file's line."""

from __future__ import annotations

from pathlib import Path

import pytest

from medfl.errors import Complaint, DataError
from medfl.spec.placing import placed
from medfl.spec.reading import Loaded, parse
from medfl.testing.command import typed

TEXT = """
[study]
name = "placed"

[data]
target = "sick"
sites = { east = "east.csv", west = "west.csv" }

[training]
batch_size = 16

[[arm]]
name = "a"
training = { class_weight = "balanced" }

[[arm]]
name = "b"
data = { target = "ill" }
training = { class_weight = { yes = 2.0 } }
algorithm = { min_sites = 2 }
"""


@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("data.features", "study.toml:5 [data] features"),
        ("data", "data"),
        ("[data]", "study.toml:5 and 18 [data]"),
        ("[data] sites", "study.toml:7 [data] sites"),
        ("data.target", "study.toml:6 and 18 [data] target"),
        ("site east, round 3, [training] batch_size", "study.toml:10 [training] batch_size, site east, round 3"),
        ("[training] class_weight", "study.toml:14 and 19 [training] class_weight"),
        ("[algorithm] min_sites of arm 'b'", "study.toml:20 [algorithm] min_sites of arm 'b'"),
        ("[training] batch_size of arm 'b'", "study.toml:10 [training] batch_size of arm 'b'"),
        ("evaluation.test_fraction", "study.toml [evaluation] test_fraction"),
        ("data.simulate.partition.column", "study.toml:5 [data.simulate.partition] column"),
        ("column 'age'", "column 'age'"),
        ("east.csv, line 3", "east.csv, line 3"),
        ("site data.target", "site data.target"),
        ("", ""),
    ],
)
def test_where_a_key_is_written(where: str, place: str) -> None:
    loaded = Loaded(parse(TEXT, source="study.toml"), Path("folder/study.toml"), Path("folder"), TEXT)
    error = DataError.of([Complaint("it is wrong", where, "this", "mend it"), Complaint("plain")])
    assert placed(error, loaded) is error
    assert error.complaints == (Complaint("it is wrong", place, "this", "mend it"), Complaint("plain"))
    assert error.args == (str(error),)


@pytest.mark.parametrize("verb", ["check", "run"])
def test_the_command_line_tells_the_line(
    verb: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDFL_HOME", str(tmp_path / "home"))
    tiny.write_text(tiny.read_text(encoding="utf-8").replace('"sick"', '"sikc"'), encoding="utf-8")
    said = typed(verb, tiny, "--json")
    assert said.code == 2
    assert "study.toml:8 [data] target: no site has the target 'sikc'" in said.err
    assert said.json["error"]["complaints"][0]["where"] == "study.toml:8 [data] target"
