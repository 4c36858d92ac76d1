"""A study written as text means the same, to the digest, and says nothing that follows by itself."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfl.spec.reading import parse
from medfl.spec.study import Study
from medfl.spec.writing import as_toml, shortest

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
STUDIES = st.fixed_dictionaries(
    {
        "study": st.fixed_dictionaries(
            {"name": st.just("x")},
            optional={"question": WORDS, "seed": st.integers(0, 9), "repeats": st.integers(1, 3)},
        ),
        "data": st.fixed_dictionaries(
            {"target": WORDS.filter(bool), "sites": st.dictionaries(WORDS.filter(bool), st.just("a.csv"), min_size=1)},
            optional={"missing": st.lists(WORDS, max_size=4)},
        ),
    },
    optional={
        "model": st.sampled_from([{"kind": "logistic"}, {"kind": "mlp", "hidden": [8]}, {"kind": "mlp"}]),
        "algorithm": st.sampled_from(
            [{"kind": "fedavg"}, {"kind": "fedprox", "mu": 0.1}, {"kind": "fedavg", "rounds": 3}]
        ),
        "arm": st.just([{"name": "a"}, {"name": "b", "model": {"kind": "mlp"}, "data": {"missing": ["?"]}}]),
    },
)


@given(STUDIES)
def test_what_is_written_reads_as_the_same_study(tables: dict[str, Any]) -> None:
    try:
        study = Study.model_validate(tables)
    except ValueError:
        return
    assert Study.model_validate(tomllib.loads(as_toml(study))).digest == study.digest


def test_what_follows_by_itself_is_left_out_and_what_names_a_part_stays() -> None:
    study = parse(
        '[study]\nname = "x"\nseed = 0\nrepeats = 1\n[data]\ntarget = "y"\nsites = { a = "a.csv" }\n'
        '[training]\noptimizer = "sgd"\nlocal_epochs = 1\n',
        source="study.toml",
    )
    found = shortest(study)
    assert found["study"] == {"name": "x"}
    assert found["model"]["kind"] == "logistic"
    assert found["algorithm"]["kind"] == "fedavg"
    assert found["training"] == {"optimizer": "sgd"} or "optimizer" in found["training"]
    assert "evaluation" not in found


@pytest.mark.parametrize("width", [3, 40])
def test_a_list_stands_on_one_line_where_it_fits(width: int) -> None:
    names = [f"column {number}" for number in range(width)]
    study = Study.model_validate(
        {"study": {"name": "x"}, "data": {"target": "y", "sites": {"a": "a.csv"}, "features": names}}
    )
    (line,) = [line for line in as_toml(study).splitlines() if line.startswith("features")]
    assert line.endswith("]") == (width == 3)
