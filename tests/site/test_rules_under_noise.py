"""Where a site has put noise on its sums, the rules on counts have nothing left to do there, and do nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medfl.events import Evaluated, Event, Noticed, RunFinished
from medfl.testing.federation import NAMES, in_process, rehearse, sites, study
from medfl.testing.policies import written

ASKED = study(
    data={"target": "sick", "features": ["age", "dose"]},
    preprocess={"impute": "mean"},
    privacy={
        "secure_aggregation": False,
        "dp": {
            "unit": "record",
            "epsilon": 5.0,
            "ranges": {"age": [0.0, 120.0], "dose": [-5.0, 5.0]},
            "categories": {"sick": ["0", "1"]},
        },
    },
)
CAUTIOUS: dict[str, dict[str, Any]] = {
    "requires": {"epsilon": {"record": 8.0}},
    "releases": {"ranges": "rounded", "categories": "pooled"},
    "counts": {"minimum": 20, "minimum_test_rows": 40, "minimum_difference": 5},
}


def told(folder: Path, *, cautious: bool) -> list[Event]:
    policies = {name: written(folder / name, CAUTIOUS) for name in NAMES} if cautious else {}
    events, error = rehearse(ASKED, in_process(sites(folder, policies=policies)))
    assert error is None
    assert isinstance(events[-1], RunFinished)
    return events


def test_a_private_study_gives_the_same_under_a_cautious_policy(tmp_path: Path) -> None:
    pytest.importorskip("dp_accounting")
    plain, under = told(tmp_path / "plain", cautious=False), told(tmp_path / "under", cautious=True)
    judged = [[event for event in events if isinstance(event, Evaluated)] for events in (plain, under)]
    assert judged[0] == judged[1]
    # The numbers of rows have no noise, and are a matter of the policy still.
    changed = {event.text for event in under if isinstance(event, Noticed) and "the site's policy" in event.text}
    assert changed <= {"small counts of patients stayed (counts.minimum in the site's policy)"}
