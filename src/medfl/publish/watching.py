"""Tells of runs while they go on: who is asked and awaited, how good the model is by now, what it costs in privacy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any

from rich.console import RenderableType
from rich.constrain import Constrain
from rich.table import Table
from rich.text import Text

from medfl.publish.terminal import STATUS, WIDTH, plain_table
from medfl.publish.wording import duration, label, listed, number, shortened
from medfl.store.results import HEADLINE
from medfl.store.views import RoundView, RunView

LATE = 10.0
"""Seconds before which no site is called late, however quick the others were."""
SLOW = 2.0
"""A site is late that takes this many times as long as the longest round before."""
ROWS = 20
"""Runs in the table; the newest of those that have ended give way to those that go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a run stands at a moment.

    Parameters
    ----------
    run, study, arm, seed, status
        Which run it is, and how it is.
    round, rounds
        The round that is going on, or the last one that did; how many are planned, 0 where it trains in one go.
    asked, answered, late, failed
        Sites, in the round that is going on: who was asked, who has answered, who takes far longer than any round so
        far, who has failed.
    waited
        Seconds since the round began; 0 where none is going on.
    metric, value
        The first of the metrics that matter, and what it is of the last model that was judged; empty, None before.
    epsilon
        The largest ε that any site has spent; None without differential privacy.
    """

    run: str
    study: str
    arm: str
    seed: int
    status: str
    round: int
    rounds: int
    asked: tuple[str, ...] = ()
    answered: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    waited: float = 0.0
    metric: str = ""
    value: float | None = None
    epsilon: float | None = None

    @property
    def awaited(self) -> tuple[str, ...]:
        """Who was asked and has not answered."""
        return tuple(site for site in self.asked if site not in self.answered and site not in self.failed)

    @property
    def key(self) -> tuple[object, ...]:
        """All that makes a line of its own when it changes."""
        return (self.status, self.round, self.answered, self.late, self.failed, self.value, self.epsilon)

    @property
    def brief(self) -> tuple[object, ...]:
        """All that is worth a line for people when it changes."""
        return (self.status, self.round, self.late, self.failed)

    def as_json(self) -> dict[str, Any]:
        """Return the line of ``medfl runs --watch --json``."""
        return {
            "run": self.run,
            "study": self.study,
            "arm": self.arm,
            "seed": self.seed,
            "status": self.status,
            "round": self.round,
            "rounds": self.rounds,
            "asked": list(self.asked),
            "answered": list(self.answered),
            "awaited": list(self.awaited),
            "late": list(self.late),
            "failed": list(self.failed),
            "metrics": {self.metric: self.value} if self.metric else {},
            "epsilon": self.epsilon,
        }


def standing(view: RunView, *, now: datetime) -> Standing:
    """Return where a run stands.

    Parameters
    ----------
    view
        The run.
    now
        The moment, with its time zone.
    """
    going = view.table[-1] if view.table and view.status == "running" and not view.table[-1].finished else None
    name = next((one for one in HEADLINE if view.metrics.get(one) is not None), "")
    told = Standing(
        run=view.run,
        study=view.study,
        arm=view.arm + (f", by {len(view.members)} only" if view.members else ""),
        seed=view.seed,
        status=view.status,
        round=view.rounds if going is None else going.round,
        rounds=view.planned_rounds if view.federated else 0,
        metric=name,
        value=view.metrics.get(name),
        epsilon=None if view.privacy is None else view.privacy.epsilon,
    )
    return told if going is None else _going_on(told, going, view.table, now)


def _going_on(told: Standing, going: RoundView, table: Sequence[RoundView], now: datetime) -> Standing:
    """Add what there is to say of the round that is going on."""
    begins = [datetime.fromisoformat(line.since) for line in table if line.since]
    waited = max(0.0, (now - begins[-1]).total_seconds()) if begins else 0.0
    before = [(after - first).total_seconds() for first, after in pairwise(begins)]
    told = replace(
        told, asked=going.asked, answered=going.participants, failed=tuple(sorted(going.failed)), waited=waited
    )
    slow = bool(before) and waited > max(LATE, SLOW * max(before))
    return replace(told, late=told.awaited) if slow else told


def line(told: Standing) -> str:
    """Return one plain line about a run, for pipes and logs."""
    rounds = f"round {told.round} of {told.rounds}" if told.rounds and told.status != "planned" else ""
    parts = [f"{told.run} {told.study}, {told.arm}, seed {told.seed}: {told.status}", rounds]
    if told.late:
        parts.append(f"late: {listed(told.late)}")
    elif told.awaited:
        parts.append(f"asked: {listed(told.awaited)}")
    if told.failed:
        parts.append(f"failed: {listed(told.failed)}")
    return ", ".join(filter(None, [*parts, _metric(told), _epsilon(told)]))


def table(every: Sequence[Standing]) -> RenderableType:
    """Return the table of runs as they stand, those that go on before those that have ended."""
    shown = plain_table("Study", "Arm", "Seed", "Status", "Round", "Waits for", "Metric", "ε")
    going = [told for told in every if told.status in ("running", "planned")]
    ended = [told for told in every if told not in going]
    for told in [*going[-ROWS:], *ended[: max(0, ROWS - len(going))]]:
        shown.add_row(
            Text(shortened(told.study, 20)),
            Text(shortened(told.arm, 14)),
            str(told.seed),
            Text(told.status, style=STATUS.get(told.status, "")),
            f"{told.round}/{told.rounds}" if told.rounds else "–",
            _waits(told),
            Text(_metric(told)),
            "" if told.epsilon is None else f"{told.epsilon:.3g}",
        )
    if not every:
        return Text("No runs yet.", style="dim")
    hidden = len(every) - shown.row_count
    return Constrain(_with_rest(shown, hidden), WIDTH)


def _with_rest(shown: Table, hidden: int) -> RenderableType:
    if hidden > 0:
        shown.caption, shown.caption_style, shown.caption_justify = f"and {hidden} more: medfl runs", "dim", "left"
    return shown


def _waits(told: Standing) -> Text:
    if told.status != "running" or not told.asked:
        return Text("")
    if told.late:
        return Text(f"{_few(told.late)}, {duration(told.waited)}", style="bold yellow")
    if told.failed:
        return Text(f"failed: {_few(told.failed)}", style="red")
    if not told.awaited:
        return Text("the hub", style="dim")
    return Text(f"{_few(told.awaited)} ({len(told.answered)}/{len(told.asked)} done)")


def _few(sites: Sequence[str]) -> str:
    """Return the first of some sites, and how many more there are."""
    more = f" +{len(sites) - 1}" if len(sites) > 1 else ""
    return shortened(sites[0], 16) + more


def _metric(told: Standing) -> str:
    return f"{label(told.metric)} {number(told.value, metric=told.metric)}" if told.metric else ""


def _epsilon(told: Standing) -> str:
    return "" if told.epsilon is None else f"ε {told.epsilon:.3g}"


def changed(before: Mapping[str, Standing], now: Sequence[Standing], *, brief: bool) -> list[Standing]:
    """Return what is worth a line since the last look, oldest run first.

    Parameters
    ----------
    before
        What was known, by run.
    now
        What is known, newest first.
    brief
        Whether each single answer of a site is worth none.
    """

    def key(told: Standing) -> tuple[object, ...]:
        return told.brief if brief else told.key

    return [told for told in reversed(now) if told.run not in before or key(before[told.run]) != key(told)]
