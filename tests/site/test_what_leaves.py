"""Every reply of whole runs, looked through: sums and updates leave, rows do not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from medfl.learn.model import Examples
from medfl.messages import Reply, Request, Task, from_bytes, to_bytes
from medfl.site.answer import Site
from medfl.site.policy import RELEASED_ARRAYS, RELEASED_WORDS
from medfl.spec.study import Study
from medfl.testing.algorithm_contract import print_of
from medfl.testing.federation import NAMES, overheard, sites, study, tables

Heard = list[tuple[Request, Reply]]
BOTH = {"baselines": ["local-only"], "bootstrap": 20}
STUDIES = {
    "binary": study(evaluation=BOTH, preprocess={"impute": "median"}),
    "threshold chosen late": study(evaluation=BOTH | {"threshold": "youden"}, algorithm={"kind": "fedadam"}),
    "three classes": study(data={"target": "colour"}, evaluation=BOTH, model={"kind": "mlp", "hidden": [4]}),
    "regression": study(
        data={"target": "dose"},
        model={"kind": "linear"},
        evaluation=BOTH,
        preprocess={"scale": "min-max", "impute": "mean"},
    ),
    "in parts": study(
        evaluation=BOTH
        | {
            "test_fraction": 0.5,
            "smallest_group": 4,
            "subgroups": {"colour": {"column": "colour"}, "age": {"column": "age", "cuts": [55, 65]}},
            "importance": {"repeats": 2},
        }
    ),
    "fine-tuned": study(evaluation=BOTH | {"fine_tune": {"local_epochs": 2}}, model={"kind": "mlp", "hidden": [4]}),
    "scaled per site": study(
        evaluation=BOTH, preprocess={"scale": "standard-per-site", "impute": "most-frequent-per-site"}
    ),
}


@pytest.fixture(params=STUDIES)
def asked(request: pytest.FixtureRequest) -> Study:
    return STUDIES[request.param]


@pytest.fixture
def hospitals(tmp_path: Path) -> dict[str, Site]:
    return sites(tmp_path, {name: partial(precise, name) for name in NAMES})


@pytest.fixture
def heard(asked: Study, hospitals: dict[str, Site]) -> Heard:
    replies = []
    for request, answer in overheard(asked, hospitals):
        assert isinstance(answer, Reply), answer.reason
        replies.append((request, answer))
    tuned = {"fine-tune"} if asked.evaluation.fine_tune else set()
    assert {request.task for request, _ in replies} == {"describe", "prepare", "train", "evaluate", "alone", *tuned}
    return replies


def precise(name: str) -> pd.DataFrame:
    """Return a hospital's table with doses of so many digits that none of them is met by chance."""
    frame = tables()[name]
    return frame.assign(dose=frame["dose"] + np.random.default_rng(len(frame)).normal(0, 0.1, len(frame)))


def test_names_of_what_leaves_are_those_that_are_known(heard: Heard) -> None:
    for _, reply in heard:
        assert {name.partition("/")[0] for name in reply.arrays} <= set(RELEASED_ARRAYS)
        assert set(reply.content) <= RELEASED_WORDS


def test_each_task_sends_its_own_kind_only(heard: Heard, asked: Study) -> None:
    kinds = {
        task: {name.partition("/")[0] for request, reply in heard if request.task == task for name in reply.arrays}
        for task in get_args(Task)
    }
    parts = {"subgroups", "importance"} if asked.evaluation.subgroups else set()
    assert kinds == {
        "describe": set(),
        "prepare": {"sums"},
        "train": {"update", "evaluation"},
        "evaluate": {"evaluation", *parts},
        "alone": set(),
        "fine-tune": set(),
        "keys": set(),
        "unmask": set(),
        "stopped": set(),
        "consider": set(),
    }


def test_what_leaves_can_leave_on_the_wire(heard: Heard) -> None:
    for _, reply in heard:
        back = from_bytes(to_bytes(reply))
        assert isinstance(back, Reply)
        assert print_of(back.arrays) == print_of(reply.arrays)
        assert json.dumps(back.content) == json.dumps(reply.content)


def test_only_types_leave_that_add_up(heard: Heard) -> None:
    for _, reply in heard:
        assert {str(np.asarray(array).dtype) for array in reply.arrays.values()} <= {"float64", "int64"}


def test_no_array_has_a_line_for_each_row(heard: Heard) -> None:
    """No side is as long as a site's table, its training rows or its test rows; and all sites' shapes are equal."""
    rows = {request.site: reply.content["rows"] for request, reply in _of(heard, "prepare")}
    shapes: dict[tuple[str, str], set[tuple[int, ...]]] = {}
    for request, reply in heard:
        lengths = {len(tables()[request.site]), *(rows[request.site][part] for part in ("train_rows", "test_rows"))}
        for name, array in reply.arrays.items():
            assert lengths.isdisjoint(np.shape(array)), f"{request.task} {name}"
            shapes.setdefault((request.task, name), set()).add(np.shape(array))
    assert all(len(found) == 1 for found in shapes.values())


def test_no_number_of_a_row_is_among_what_leaves(heard: Heard, asked: Study, hospitals: dict[str, Site]) -> None:
    """Neither as it is in the table nor as it was scaled; but for the range that the sites agree on."""
    trained = {request.site: request for request, _ in _of(heard, "train")}
    for request, reply in heard:
        dose = precise(request.site)["dose"]
        prepared = hospitals[request.site].desk.prepared(asked.arms["base"], trained[request.site])
        private = {*dose, *_column(prepared.train), *_column(prepared.test)}
        assert len(private) > 1.9 * len(dose)
        sent = {float(value) for array in reply.arrays.values() for value in np.ravel(array)}
        ends = {min(dose), max(dose)} if request.task == "describe" else set()
        assert (sent | set(_numbers(reply.content))) & private == ends


def test_the_schema_says_columns_and_counts_and_ranges(tmp_path: Path) -> None:
    heard = overheard(study(), sites(tmp_path))
    for request, reply in heard[: len(NAMES)]:
        assert isinstance(reply, Reply)
        columns = {column["name"]: column for column in reply.content["schema"]["columns"]}
        frame = tables()[request.site]
        assert set(columns) == set(frame.columns)
        assert columns["colour"]["categories"] == sorted(set(frame["colour"]))
        assert (columns["age"]["minimum"], columns["age"]["maximum"]) == (frame["age"].min(), frame["age"].max())
        assert reply.content["schema"]["rows"] == len(frame)


def test_a_column_that_is_not_asked_for_is_named_and_no_more(tmp_path: Path) -> None:
    """A site's further columns, with whatever they hold, have no part in anything that leaves but their names."""

    def with_more() -> pd.DataFrame:
        frame = tables()["east"]
        return frame.assign(diary=[f"slept badly {row}" for row in range(len(frame))], weight_on_mars=12.345)

    asked = study(data={"target": "sick", "features": ["age", "dose"]})
    for request, reply in overheard(asked, sites(tmp_path, {"east": with_more})):
        body = to_bytes(reply)
        assert b"slept" not in body
        assert b"12.345" not in body
        assert (b"diary" in body) == (request.task == "describe" and request.site == "east")


def test_a_model_trained_alone_stays_at_its_site(heard: Heard) -> None:
    for _, reply in _of(heard, "alone"):
        assert reply.arrays == {}
        assert set(reply.content) == {"metrics", "intervals"}


def _of(heard: Heard, task: str) -> Heard:
    return [(request, reply) for request, reply in heard if request.task == task]


def _column(rows: Examples) -> Iterator[float]:
    """Yield the numbers of prepared rows that are one of a kind, which those of categories are not."""
    found, counts = np.unique(np.column_stack([rows.features, rows.outcome]), return_counts=True)
    yield from found[counts == 1].astype(float)


def _numbers(value: object) -> Iterator[float]:
    """Yield every number in nested JSON."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _numbers(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _numbers(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)
