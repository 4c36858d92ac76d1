"""What a threshold does, held against the rows themselves and against the definition of net benefit."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import expit

from medfl.learn.metrics import judge
from medfl.learn.model import Outcome
from medfl.publish.decisions import GRID, decision_curve, movings
from medfl.publish.sheets import STEPS, as_csv, at_threshold, sheets
from medfl.spec.study import Study
from medfl.store.views import ExecutionView

Tell = Callable[..., ExecutionView]
Ask = Callable[..., Study]


def test_net_benefit_is_that_of_the_counts(demo: ExecutionView) -> None:
    view = decision_curve(demo)
    assert view is not None
    (federated,) = [one for one in movings(demo) if one.mark.label == "federated"]
    line = next(line for line in view.lines if line.name == "federated")
    for cut in STEPS:
        true, missed, false, calm, *_, benefit = at_threshold(federated, cut)
        assert isinstance(benefit, float)
        place = round(100 * cut) - 1
        assert line.x[place] == cut
        assert line.y[place] == pytest.approx(benefit, abs=1e-3)
        assert isinstance(true, int) and isinstance(missed, int) and isinstance(false, int) and isinstance(calm, int)
        assert true + missed == federated.positives
        assert false + calm == federated.negatives


def test_the_studys_own_threshold_gives_its_own_metrics(trial: ExecutionView) -> None:
    for one in movings(trial):
        run = next(run for run in trial.every if run.run == one.run)
        assert one.used is not None
        *counts, sensitivity, specificity, ppv, npv, _ = at_threshold(one, one.used)
        assert sum(int(count or 0) for count in counts) == one.positives + one.negatives
        told = {"sensitivity": sensitivity, "specificity": specificity, "ppv": ppv, "npv": npv}
        for name, value in told.items():
            assert value == pytest.approx(run.metrics[name]), name


def test_treating_everybody_is_worth_nothing_where_the_threshold_is_the_prevalence(demo: ExecutionView) -> None:
    view = decision_curve(demo)
    assert view is not None
    share = demo.runs[0].metrics["prevalence"]
    assert share is not None
    everyone = np.interp(share, view.thresholds, view.everyone)
    assert everyone == pytest.approx(0.0, abs=1e-3)
    assert view.everyone[0] == pytest.approx(share - (1 - share) / 99)
    assert view.thresholds == tuple(GRID)


def test_a_curve_from_sums_is_that_of_the_rows() -> None:
    generator = np.random.default_rng(0)
    truth = (generator.random(4000) < 0.3).astype(np.float32)
    scores = (2.0 * truth - 1.5 + generator.normal(size=4000)).astype(np.float32)
    outcome = Outcome("binary", ("no", "yes"))
    curves = judge.curves(outcome, judge.measure(outcome, scores, truth))
    points = np.array(curves["roc"])
    positives, negatives = truth.sum(), (1 - truth).sum()
    for cut in STEPS:
        called = expit(scores.astype(np.float64)) >= cut
        exact = (called @ truth - (called @ (1 - truth)) * cut / (1 - cut)) / len(truth)
        place = np.flatnonzero(points[:, 2] >= cut)[-1]
        ours = (points[place, 1] * positives - points[place, 0] * negatives * cut / (1 - cut)) / len(truth)
        # A curve of thousands of thresholds is thinned to 201 points, a hundredth apart along its way at most.
        assert ours == pytest.approx(exact, abs=0.012 / (1 - cut))


def test_only_outcomes_of_yes_or_no_have_one(tell: Tell, ask: Ask) -> None:
    assert decision_curve(tell(kind="multiclass")) is None
    assert decision_curve(tell(ask(model={"kind": "linear"}), kind="regression")) is None
    assert movings(tell(kind="multiclass")) == ()


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_every_table_is_as_wide_as_its_head(kind: str, tell: Tell, ask: Ask) -> None:
    study = ask(model={"kind": "linear"}) if kind == "regression" else ask()
    metric = {"regression": "rmse"}.get(kind, "auc")
    found = sheets(tell(study, kind=kind, failing={"east": (2,)}), metric)
    assert {"metrics", "course", "calibration" if kind != "multiclass" else "confusion"} <= {one.name for one in found}
    for sheet in found:
        assert sheet.rows
        assert {len(row) for row in sheet.rows} == {len(sheet.heads)}
        assert len(as_csv(sheet).splitlines()) == 1 + len(sheet.rows)


def test_a_table_is_read_as_it_was_written_and_never_as_a_formula(tell: Tell) -> None:
    evil = '=HYPERLINK("https://example.org"; "a, b")'
    sheet = next(one for one in sheets(tell(sites={evil: 300, "-b": 200}), "auc") if one.name == "sites")
    text = as_csv(sheet)
    lines = list(csv.reader(io.StringIO(text, newline="")))
    assert {line[0] for line in lines[1:]} == {f"'{evil}", "'-b", "all sites"}
    assert text.count("\r\n") == len(lines)
    for line, row in zip(lines[1:], sheet.rows, strict=True):
        assert [float(cell) if cell else None for cell in line[4:]] == list(row[4:])
