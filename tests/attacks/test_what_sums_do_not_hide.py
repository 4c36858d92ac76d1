"""What secure sums do not defend: a site that lies, and a hub that compares two runs that differ by one site.

These attacks succeed, and must: the pages on secure aggregation and on choosing a rule say so. Each test says what was
tried and what came of it (``pytest -rP`` shows it).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medfl.errors import TooFewError
from medfl.events import Evaluated, Event, SiteFailed
from medfl.learn.algorithm import Algorithm
from medfl.learn.statistic import Statistic
from medfl.messages import Request
from medfl.run.asking import Answers, Asking, template
from medfl.run.loop import asking_for
from medfl.run.plan import compile
from medfl.run.preparing import Setting, prepare
from medfl.run.summing import InSums, in_sums
from medfl.site.answer import Site
from medfl.spec.study import Study
from medfl.testing.federation import in_process, rehearse, sites, study, table

MORE = {name: partial(pd.DataFrame, table(90, 10 + number)) for number, name in enumerate(("central", "south"))}
HIDDEN = {"secure_aggregation": True}
VICTIM = "south"


class Liar(Site):
    """A hospital that sends the opposite of what it learned, thirty times as much: under masks, as it should."""

    def _work(self, study: Study, algorithm: Algorithm, request: Request) -> tuple[dict[str, Any], Statistic]:
        words, honest = super()._work(study, algorithm, request)
        if "update/delta" not in honest.arrays:
            return words, honest
        return words, Statistic({**honest.arrays, "update/delta": -30 * honest["update/delta"]})


def auc(folder: Path, *, lie: bool) -> tuple[float, list[Event]]:
    """Return the pooled AUC of the last model, on honest test rows, and what was told on the way."""
    hospitals = sites(folder, MORE)
    if lie:
        hospitals[VICTIM].__class__ = Liar
    events, error = rehearse(study(privacy=HIDDEN, algorithm={"rounds": 8}), in_process(hospitals))
    assert error is None
    (judged,) = (event.pooled["auc"] for event in events if isinstance(event, Evaluated) and event.final)
    assert judged is not None
    return judged, events


def test_a_poisoned_update_is_summed_like_any_other(tmp_path: Path) -> None:
    """Nobody sees it, so nobody can tell; a rule that could compare contributions cannot be had together with it."""
    honest, _ = auc(tmp_path / "honest", lie=False)
    poisoned, events = auc(tmp_path / "poisoned", lie=True)
    print(
        f"tried: one of five sites sends the opposite of its update\ngot:   AUC {poisoned:.3f} instead of {honest:.3f}"
    )
    assert honest > 0.8
    assert poisoned < honest - 0.3
    assert not [event for event in events if isinstance(event, SiteFailed)], "and nothing tells of it"


def finished(steps: Generator[Event, None, Any]) -> Any:
    """Go through a conversation and return what it comes to."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


class Hub:
    """Asks five hospitals in one run and four of them in another, of the same study."""

    def __init__(self, hospitals: dict[str, Site]) -> None:
        plan = compile(study(privacy=HIDDEN))[0]
        self.voices: dict[str, Asking] = {
            run: asking_for(run, plan, in_process(hospitals)) for run in ("with", "without")
        }
        self.names = {"with": tuple(hospitals), "without": tuple(name for name in hospitals if name != VICTIM)}
        self.sums: dict[str, InSums] = {
            run: finished(in_sums(voice, self.names[run])) for run, voice in self.voices.items()
        }
        self.setting: Setting = finished(prepare(self.sums["with"], self.names["with"]))
        width = self.setting.model(plan.study.model).layout.size
        self.weights = np.random.default_rng(1).normal(scale=0.1, size=width).astype(np.float32)

    def trained(self, run: str, names: Sequence[str]) -> Statistic:
        """Return the sum of one round's updates."""
        answers: Answers = finished(
            self.sums[run].ask("train", names, round=1, content=self.setting.content, arrays={"weights": self.weights})
        )
        return answers.total.under("update")

    def request(self) -> Request:
        """Return what the victim is asked, to know what its update truly is."""
        arrays = {"weights": self.weights}
        return template(self.voices["with"], "train", 1, self.setting.content, arrays)(VICTIM)


def test_two_runs_that_differ_by_one_site_show_what_it_sent(tmp_path: Path) -> None:
    """No site sees anything wrong: each run is a clean one. Only a policy, or noise, can keep it from answering."""
    hospitals = sites(tmp_path, MORE)
    hub = Hub(hospitals)
    whole, less = (hub.trained(run, hub.names[run]) for run in ("with", "without"))
    victim, asked = hospitals[VICTIM], hub.request()
    truth = victim._work(*victim.desk.study(asked.study), asked)[1].under("update")
    found = whole["delta"] - less["delta"]
    apart = float(np.abs(found - truth["delta"]).max() / np.abs(truth["delta"]).max())
    print(f"tried: the same round in two runs, one without {VICTIM}\ngot:   its update, {apart:.0e} of its size off")
    assert apart < 1e-6
    assert whole["weight"] - less["weight"] == truth["weight"]


def test_within_one_run_the_same_is_refused(tmp_path: Path) -> None:
    hub = Hub(sites(tmp_path, MORE))
    hub.trained("with", hub.names["with"])
    with pytest.raises(TooFewError, match="too few sites gave their shares"):
        hub.trained("with", hub.names["without"])
