"""Training that leaves the finite numbers stops the run, names the place, and the last good model stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load

from medfl.errors import DivergedError
from medfl.events import RoundFinished, RoundStarted, RunFinished, SiteFailed
from medfl.spec.study import Study
from medfl.testing.federation import NAMES, Kept, in_process, rehearse, sites, study, table


def test_a_learning_rate_beyond_all_reason(tmp_path: Path) -> None:
    asked = study(training={"learning_rate": 1e30}, model={"kind": "mlp", "hidden": [4]})
    kept = Kept()
    events, error = rehearse(asked, in_process(sites(tmp_path)), kept=kept)
    assert isinstance(error, DivergedError)
    assert error.exit_code == 2
    assert [complaint.where for complaint in error.complaints] == ["sites east, north and west, round 1"]
    assert "learning_rate = 1e+30" in str(error)
    assert "try 1e+29" in str(error)
    assert [(event.round, event.site, event.code) for event in events if isinstance(event, SiteFailed)] == [
        (1, site, "diverged") for site in NAMES
    ]
    assert kept == {}, "nothing that is not finite is kept"


def slowly() -> Study:
    """Return a study whose weights grow tenfold in each step, so that it takes some rounds to leave the numbers."""
    return study(
        data={"target": "dose", "features": ["age"]},
        model={"kind": "linear"},
        training={"learning_rate": 5.0, "local_steps": 10, "batch_size": 1000},
        algorithm={"kind": "fedavg", "rounds": 20},
    )


def test_the_model_of_the_last_finished_round_is_kept(tmp_path: Path) -> None:
    kept = Kept()
    events, error = rehearse(slowly(), in_process(sites(tmp_path)), kept=kept)
    assert isinstance(error, DivergedError)
    assert not [event for event in events if isinstance(event, RunFinished)]
    finished = [event for event in events if isinstance(event, RoundFinished)]
    started = [event for event in events if isinstance(event, RoundStarted)]
    assert 1 < len(finished) == len(started) - 1
    assert all(complaint.where.startswith("site") for complaint in error.complaints)
    assert all(f"round {len(started)}" in complaint.where for complaint in error.complaints)
    for event in finished:
        assert all(np.isfinite(part).all() for part in load(kept[event.model]).values())


def test_one_diverging_site_stops_the_run_even_if_enough_others_answer(tmp_path: Path) -> None:
    """A site whose numbers explode is a reason to look, not to go on without it."""
    wild = table(60, seed=0).assign(age=lambda rows: rows["age"] * np.where(rows.index == 0, 1e30, 1.0))
    asked = study(
        algorithm={"kind": "fedavg", "rounds": 5, "min_sites": 1},
        preprocess={"scale": "none"},
        training={"learning_rate": 1e10},
        model={"kind": "mlp", "hidden": [4]},
    )
    _, error = rehearse(asked, in_process(sites(tmp_path, {"east": lambda: wild})))
    assert isinstance(error, DivergedError)
    assert "site east, round 1" in str(error)


@pytest.mark.parametrize("kind", ["fedavgm", "fedadam", "fedyogi", "fedadagrad"])
def test_an_aggregate_that_overflows_names_the_hub(tmp_path: Path, kind: str) -> None:
    kept = Kept()
    asked = study(algorithm={"kind": kind, "rounds": 3, "server_learning_rate": 1e300})
    events, error = rehearse(asked, in_process(sites(tmp_path)), kept=kept)
    assert isinstance(error, DivergedError)
    assert [complaint.where for complaint in error.complaints] == ["hub, round 1"]
    assert "server_learning_rate" in str(error)
    assert not [event for event in events if isinstance(event, RoundFinished)]
    assert kept == {}


def test_infinite_numbers_in_a_table_are_the_tables_fault(tmp_path: Path) -> None:
    def infinite() -> pd.DataFrame:
        return table(60, seed=0).assign(dose=lambda rows: np.where(rows.index == 3, np.inf, rows["dose"]))

    _, error = rehearse(study(), in_process(sites(tmp_path, {"east": infinite})))
    assert error is not None
    assert error.code == "data"
    assert "site east" in str(error)
    assert "dose" in str(error)
