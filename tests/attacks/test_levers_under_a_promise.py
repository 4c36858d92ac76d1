"""Whoever writes the study and the requests pulls every lever they have, under differential privacy.

Numbers at the edge of what a computer can hold, rounds in another order, cells that make a column another one: none may
change what a site answers by more than one patient's share, or tell whether it answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from medfl.learn.data.clean import Clean
from medfl.learn.data.harmonise import Agreement
from medfl.learn.data.positive import parse
from medfl.learn.data.schema import Column
from medfl.learn.data.sheet import Sheet
from medfl.learn.data.tables import read_table
from medfl.learn.model import Examples, Outcome
from medfl.learn.models import build
from medfl.learn.models.network import Network
from medfl.learn.private.ghost import GhostClipping
from medfl.learn.private.units import Task, Units
from medfl.messages import LEDGERS, Refusal, Reply, Request
from medfl.privacy import statistics
from medfl.privacy.placed import placed
from medfl.spec.data import Data
from medfl.spec.merging import Override, merge
from medfl.spec.preprocess import Preprocess
from medfl.spec.privacy import DifferentialPrivacy
from medfl.spec.study import Study
from medfl.testing.federation import DECLARED, overheard, sites, study, table
from medfl.testing.policies import written

pytest.importorskip("dp_accounting")

PLAIN: dict[str, Any] = {"unit": "record", "epsilon": 4.0, **DECLARED}


def asked(*changes: Mapping[str, Override]) -> Study:
    base = merge(study().model_dump(mode="json", exclude_none=True), {"preprocess": {"impute": "mean"}})
    for change in changes:
        base = merge(base, dict(change))
    return Study.model_validate(base)


def longest(rows: Mapping[str, list[float]], *, weights: list[float], limit: float, balance: float = 1.0) -> float:
    """Return how long the clipped gradient of one unit with these rows is, of a logistic regression on one column."""
    model = build(study().model, features=1, outcome=Outcome("binary", ("0", "1")))
    assert isinstance(model, Network)
    features = np.array(rows["x"], np.float32)[:, np.newaxis]
    # Another unit of two rows lets all be worked on by products of gradients, as patients are.
    others = np.zeros((2, 1), np.float32)
    examples = Examples(np.concatenate([features, others]), np.array([*rows["y"], 0.0, 0.0], np.float32))
    owners = np.array([0] * len(features) + [1, 1]) if len(features) > 1 else None
    units = Units(owners, len(examples))
    usable = np.arange(len(examples)) < len(features)
    task = Task(examples, np.array([1.0, balance], np.float32), limit, None, usable)
    summed = GhostClipping(model, task, np.random.default_rng(0)).summed(
        np.array(weights, np.float32), units.drawn(np.arange(units.count))
    )
    return float(np.linalg.norm(summed.astype(np.float64)))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("bias", [-45.0, -50.0, -53.0, -60.0, -80.0])
@pytest.mark.parametrize("size", [1e8, 1e15, 1e19])
def test_a_gradient_whose_parts_underflow_is_clipped_all_the_same(bias: float, size: float) -> None:
    """Its errors are so small that their squares are 0, and its inputs so large that it is long: 96 clip norms."""
    assert longest({"x": [size], "y": [0.0]}, weights=[0.0, bias], limit=1e-6) <= 1e-6 * 1.001


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("balance", np.geomspace(1e11, 1e13, 25).tolist())
def test_a_share_that_float32_rounds_up_does_not_lengthen_a_patient(balance: float) -> None:
    """One over the longest norms is below the least float32: rounded to the next, it would be twice as much."""
    rows = {"x": [1e33, 1e33], "y": [1.0, 1.0]}
    assert longest(rows, weights=[0.0, 0.0], limit=1.0, balance=balance) <= 1.001


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("drawn", [1, 15, 16, 17])
@pytest.mark.parametrize("patients", [False, True], ids=["rows", "patients"])
def test_how_many_were_drawn_does_not_show_in_numbers_that_are_none(drawn: int, patients: bool) -> None:
    """Rows are worked on sixteen at a time; weights of 3e38 made NaN of the places that were left empty."""
    model = build(
        study(model={"kind": "mlp", "hidden": [4, 4]}).model, features=1, outcome=Outcome("binary", ("0", "1"))
    )
    assert isinstance(model, Network)
    examples = Examples(np.ones((20, 1), np.float32), np.zeros(20, np.float32))
    units = Units(np.arange(20) // 2 if patients else None, 20)
    huge = np.where(np.arange(model.layout.size) % 2, -3e38, 3e38).astype(np.float32)
    task = Task(examples, None, 1.0, None, None)
    found = GhostClipping(model, task, np.random.default_rng(0)).summed(
        huge, units.drawn(np.arange(min(drawn, units.count)))
    )
    assert np.isfinite(found).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_layer_that_is_held_still_overflows_for_nobody() -> None:
    """It has no part in the norm: one patient more made its sum infinite, and 0 times that is no number."""
    model = build(study(model={"kind": "mlp", "hidden": [1]}).model, features=1, outcome=Outcome("binary", ("0", "1")))
    assert isinstance(model, Network)
    weights = np.array([1e-25, 0.0, 1.8e19, 0.0], np.float32)
    examples = Examples(np.full((8, 1), 1.7e19, np.float32), np.zeros(8, np.float32))
    task = Task(examples, None, 1.0, np.array([0.0, 0.0, 1.0, 1.0], np.float32), None)
    units = Units(None, 8)
    found = GhostClipping(model, task, np.random.default_rng(0)).summed(weights, units.drawn(np.arange(8)))
    assert np.isfinite(found).all()
    assert not found[:2].any()


def shares_of(value: float, low: float, high: float) -> dict[str, np.ndarray]:
    """Return what one row adds to the sums for preprocessing, by their scale."""
    clean = Clean(np.array([[value]]), np.zeros((1, 0), np.int32), np.zeros(1, np.float32), np.arange(1))
    agreement = Agreement((Column("x", "numeric", "", (), 0, low, high),), "y", Outcome("binary", ("0", "1")), {})
    wanted = statistics.Asked(Preprocess(impute="mean", scale="standard"), False, None)
    found = statistics.released(clean, agreement, wanted, units=None, multiplier=0.0, noise=np.random.default_rng(0))
    half = (high - low) / 2
    return {"sum": found["sum"] / half, "squares": found["squares"] / half**2}


def test_a_range_so_narrow_that_its_middle_rounds_bounds_every_row() -> None:
    high = float(np.nextafter(1.0, 2.0))
    for value in (1.0, high):
        added = shares_of(value, 1.0, high)
        assert np.abs(added["sum"]) <= 1.0
        assert np.abs(added["squares"]) <= 1.0


@pytest.mark.parametrize(
    "ends", [(0.0, 5e-324), (-1.7e308, 1.7e308), (float("-inf"), float("inf")), (0.0, float("inf"))]
)
def test_a_range_without_a_width_that_can_be_reckoned_with_is_refused(ends: tuple[float, float]) -> None:
    """Half of it is 0 or infinite: a sum over it is no number as soon as one row has a value."""
    with pytest.raises(ValidationError, match="age"):
        asked({"privacy": {"dp": {**PLAIN, "ranges": {**DECLARED["ranges"], "age": list(ends)}}}})


def test_a_round_asked_again_after_earlier_ones_meets_no_second_answer(tmp_path: Path) -> None:
    """What a site keeps between rounds pulls at its steps: with the same noise, two answers would show gradients."""
    scaffold = asked(
        {
            "algorithm": {"kind": "scaffold", "rounds": 3},
            "training": {"local_steps": 4},
            "privacy": {"dp": PLAIN},
        }
    )
    heard = [one for one, _ in overheard(scaffold, sites(tmp_path / "sound")) if one.site == "east"]
    trained = {one.round: plain(one) for one in heard if one.task == "train"}
    east = sites(tmp_path / "forged")["east"]
    first = east.answer(trained[3])
    assert not isinstance(first, Refusal)
    for number in (1, 2):
        east.answer(trained[number])
    again = east.answer(trained[3])
    assert isinstance(again, Refusal) or np.array_equal(again.arrays["update/delta"], first.arrays["update/delta"])


def plain(request: Request) -> Request:
    return replace(request, content={name: said for name, said in request.content.items() if name != LEDGERS})


STRANGE: dict[str, Any] = {
    "a word": "unknown",
    "endless digits": "7" * 6000,
    "a list": ["x"],
    "nothing": None,
    "infinite": "inf",
}
OTHERS = {
    "a frame": ["inf", "1e400", "9007199254740993", "9007199254740992", "nan", "0.1", "1", "007", "True", ""],
    "numbers": ["inf", "1e400", "9007199254740993", "9007199254740992", "0.1", "1", "007"],
    "whole numbers": ["9007199254740993", "9007199254740992", "1", "007", "-3"],
}
"""Cells of other patients: what they say must not depend on what the first one has."""


def others_read(first: Any, folder: Path, *, target: str, others: str) -> Any:
    """Return what all rows but the first say, where the first patient has this in every column."""
    cells = [first, *OTHERS[others]]
    if others != "a frame":
        path = folder / "table.csv"
        pd.DataFrame({"x": cells, "word": cells, "y": cells}).to_csv(path, index=False, na_rep="")
        frame = read_table(path)
    else:
        frame = pd.DataFrame({name: pd.Series(cells, dtype=object) for name in ("x", "word", "y")})
    words = ["inf", "9007199254740993", "9007199254740992", "0.1", "1", "7", "True", "nan"]
    how = DifferentialPrivacy.model_validate(
        {"unit": "record", "epsilon": 1.0, "ranges": {"x": [-1e29, 1e29]}, "categories": {"word": words, "y": words}}
    )
    columns = (Column("x", "numeric", "", (), 0, -1e29, 1e29), Column("word", "categorical", "", tuple(words)))
    classes = parse(target).classes("y") if target else tuple(words)
    agreement = Agreement(columns, "y", Outcome("binary" if target else "multiclass", classes), {})
    data = Data.model_validate({"target": "y", "missing": ["9007199254740993", " 0.1"], "positive": target or None})
    found = placed(Sheet(frame), agreement, data=data, preprocess=Preprocess(impute="mean"), dp=how)
    assert found.outcome is not None
    assert found.usable is not None
    rows = np.column_stack([np.nan_to_num(found.numeric, nan=-7.0), found.codes, found.outcome, found.usable])
    return rows[1:].tolist()


@pytest.mark.parametrize("others", OTHERS)
@pytest.mark.parametrize("target", ["", "> 0", "1", "= 1", "9007199254740992"])
@pytest.mark.parametrize("strange", STRANGE)
def test_one_patients_cell_changes_nothing_of_what_other_cells_say(
    strange: str, target: str, others: str, tmp_path: Path
) -> None:
    """A word makes a column of numbers one of texts, and a gap one of whole numbers one of rounded ones."""
    usual = others_read("1", tmp_path, target=target, others=others)
    assert others_read(STRANGE[strange], tmp_path, target=target, others=others) == usual


@pytest.mark.parametrize("treatment", ["round", "noise"])
def test_a_blurred_number_of_rows_is_not_drawn_from_what_is_in_them(treatment: str, tmp_path: Path) -> None:
    """Whoever knows all rows but one could draw again for each thing that the one may be, and compare."""
    rules: dict[str, dict[str, Any]] = {"counts": {"minimum": 3, "treatment": treatment, "base": 7}}
    told = set()
    for age in range(30, 50):
        frame = table(83, 0)
        frame.loc[0, "age"] = float(age)
        folder = tmp_path / str(age)
        policies = {"east": written(folder / "policy", rules)}
        east = sites(folder, {"east": lambda frame=frame: frame}, policies=policies)["east"]  # type: ignore[misc]
        how = asked({"privacy": {"dp": PLAIN}})
        reply = east.answer(Request(run="one", round=0, site="east", task="describe", study=how.canonical, seed=7))
        assert isinstance(reply, Reply)
        told.add(reply.content["schema"]["rows"])
    assert len(told) == 1
