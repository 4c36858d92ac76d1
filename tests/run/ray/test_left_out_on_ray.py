"""A site that somebody leaves out while a study goes on over Ray is gone from the same round on as in one process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from medfl import simulate
from medfl.store.leaving import left_out_of
from medfl.testing.dropping import carried_out
from medfl.testing.federation import table


@pytest.mark.ray
def test_it_is_gone_from_the_same_round_on(edited: Callable[..., Path], tmp_path: Path) -> None:
    study = edited(('west = "west.csv"', 'west = "west.csv"\nsouth = "south.csv"'), ("rounds = 4", "rounds = 3"))
    table(80, 9).to_csv(study.with_name("south.csv"), index=False)
    over_ray = carried_out(study, tmp_path / "ray", site="north", after=1, engine="ray")
    assert left_out_of(over_ray) == {("base", 7): {"north": 2}}
    here = simulate(study, home=tmp_path / "here", left_out=left_out_of(over_ray), progress=False).view
    assert [run.model for run in over_ray.runs] == [run.model for run in here.runs]
