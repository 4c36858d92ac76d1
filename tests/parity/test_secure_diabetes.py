"""The diabetes study in secure sums: the same final weights as in clear, and exact sums when sites are lost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from medfl.errors import Complaint, EngineError
from medfl.events import RoundFinished, RunFinished, SiteFailed
from medfl.messages import Refusal, Reply
from medfl.run.engine import Engine
from medfl.run.loop import Federation, carry_out
from medfl.run.plan import compile
from medfl.site.sources import Sources
from medfl.spec.merging import Override
from medfl.spec.reading import read
from medfl.testing.federation import Kept, Through, in_process, told

Drop = tuple[str, int, str]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def carried_out(shared: Path, folder: Path, *, secure: bool, drops: Sequence[Drop] = ()) -> dict[str, Any]:
    """Run the fedavg arm; return its weights, who was in each round, who failed, and seconds a round."""
    loaded = read(shared / "studies" / "diabetes.toml")
    change: dict[str, Override] = {"privacy": {"secure_aggregation": secure}, "algorithm": {"min_sites": 7}}
    study = loaded.study.arms["fedavg"].overridden(change)
    engine: Engine = in_process(Sources(loaded.base, folder).sites(study))
    names = {f"diabetes/{round}/{task}/{site}" for task, round, site in drops}
    engine = Through(engine, lambda answers: [lost(one) if one.request in names else one for one in answers])
    kept, began = Kept(), time.perf_counter()
    events, error = told(carry_out("diabetes", compile(study)[0], Federation(engine, kept.write)))
    assert error is None
    (end,) = [event for event in events if isinstance(event, RunFinished)]
    return {
        "weights": load(kept[end.model]),
        "rounds": [event.sites for event in events if isinstance(event, RoundFinished)],
        "failed": {(event.stage, event.round, event.site) for event in events if isinstance(event, SiteFailed)},
        "seconds": (time.perf_counter() - began) / study.algorithm.rounds,
    }


def lost(answer: Reply | Refusal) -> Refusal:
    complaint = Complaint("the connection was cut", remedy="wait")
    return Refusal(request=answer.request, site=answer.site, code=EngineError.code, complaints=(complaint,))


def furthest(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Return the largest difference between two models' weights."""
    pairs = ((tensor, other["weights"][name]) for name, tensor in one["weights"].items())
    return max(float(np.abs(tensor - like).max()) for tensor, like in pairs)


def test_the_same_weights_as_in_clear(shared: Path, tmp_path: Path) -> None:
    twice = [
        {secure: carried_out(shared, tmp_path / f"{secure}", secure=secure) for secure in (False, True)} for _ in "12"
    ]
    (clear, hidden), (fast, slow) = (
        twice[0].values(),
        [min(one[secure]["seconds"] for one in twice) for secure in (False, True)],
    )
    apart = furthest(clear, hidden)
    print(f"largest difference of a weight: {apart:.1e}; {slow:.3f} s a round, of them {slow - fast:.3f} s for secrecy")
    assert apart <= 1e-5


def test_sites_are_lost_at_each_stage(shared: Path, tmp_path: Path) -> None:
    """Lost before it sends, a site is not in that round's sum; lost after, it is. One round has both."""
    before: list[Drop] = [("train", 3, "site-02"), ("train", 5, "site-01"), ("train", 5, "site-07")]
    after: list[Drop] = [("unmask", 0, "site-04"), ("unmask", 2, "site-10"), ("unmask", 5, "site-03")]
    clear = carried_out(shared, tmp_path / "clear", secure=False, drops=before)
    hidden = carried_out(shared, tmp_path / "hidden", secure=True, drops=[*before, *after])
    print(f"largest difference of a weight with sites lost: {furthest(clear, hidden):.1e}")
    assert hidden["failed"] == {*before, *after}
    assert hidden["rounds"] == clear["rounds"]
    assert [len(sites) for sites in hidden["rounds"]] == [10, 10, 9, 10, 8, 10, 10, 10, 10, 10]
    assert furthest(clear, hidden) <= 1e-5
