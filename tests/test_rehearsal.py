"""What differential privacy costs, tried on a table without secrets before anything is trained on one with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from medfl.errors import PlanError
from medfl.rehearsal import rehearse
from medfl.testing.command import typed
from medfl.testing.federation import DECLARED, study, table


def private(epsilon: float) -> dict[str, object]:
    return {"dp": {"unit": "record", "epsilon": epsilon, **DECLARED}}


def test_a_small_epsilon_costs_more_than_a_large_one() -> None:
    public = table(1500, 4)
    strict, loose = (
        rehearse(study(privacy=private(epsilon), preprocess={"impute": "drop"}), public)[0] for epsilon in (0.1, 10.0)
    )
    assert (strict.arm, strict.rows, strict.sites, strict.metric) == ("base", 1500, 5, "auc")
    assert strict.open == loose.open
    assert strict.private is not None
    assert loose.private is not None
    assert loose.open is not None
    assert strict.private < loose.private < loose.open + 0.02
    assert loose.private > 0.7
    assert str(loose).startswith("Tried on 1500 rows without secrets, dealt to 5 sites: AUC 0.")


def test_arms_without_a_promise_are_not_tried() -> None:
    with pytest.raises(PlanError, match="no differential privacy to try out"):
        rehearse(study(), table(100, 4))


def test_check_tells_it(edited: Callable[..., Path], tmp_path: Path) -> None:
    public = tmp_path / "public.csv"
    pd.DataFrame(table(600, 4)).to_csv(public, index=False)
    refused = typed("check", edited(), "--public", public)
    assert refused.code == 2
    assert "no differential privacy to try out" in refused.err
    ranges = "[privacy.dp.ranges]\nage = [20, 100]\ndose = [-4, 4]\n"
    categories = '[privacy.dp.categories]\ncolour = ["amber", "blue", "clear"]\nsick = ["0", "1"]\n'
    promise = f'[preprocess]\nimpute = "drop"\n[privacy.dp]\nunit = "record"\nepsilon = 5\n{ranges}{categories}'
    asked = edited(more=promise)
    said = typed("check", asked, "--public", public)
    assert said.code == 0, said.out
    assert said.out.index("What privacy costs") < said.out.index("How it is judged"), "what was measured comes first"
    assert "Tried on 600 rows without secrets, dealt to 3 sites" in " ".join(said.out.split())
    told = typed("check", asked, "--public", public, "--json").json
    assert [(trial["arm"], trial["sites"]) for trial in told["rehearsal"]] == [("base", 3)]
