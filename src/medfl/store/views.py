"""What a run's events add up to: the only source of every page, table and report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from medfl.events import (
    Evaluated,
    Event,
    FineTuned,
    Intervals,
    Metrics,
    Noticed,
    Role,
    RunStopped,
    SiteDropped,
    SiteFailed,
    WeightsTaken,
)
from medfl.spec.data import Simulate
from medfl.spec.merging import merge

FINE_TUNED = ", fine-tuned"
"""What is added to an arm's name where sites went on from its model by themselves."""
Status = Literal["planned", "running", "interrupted", "stopped", "failed", "finished"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteView:
    """One site of a run.

    Parameters
    ----------
    name
        The site's name.
    rows, schema, missing
        Rows of its table, sha256 of its schema, missing values by column; until it has told: None, empty.
    train_rows, test_rows, left_out
        Rows after preparation; None until then.
    train_classes, test_classes
        Rows by class name; empty for regression.
    metrics, intervals
        Of the run's last model on this site's test rows; empty until it was judged.
    fine_tuned
        Metrics of the site's own copy of that model, trained on by itself; empty where there is none.
    """

    name: str
    rows: int | None = None
    schema: str = ""
    missing: Mapping[str, int] = field(default_factory=dict)
    train_rows: int | None = None
    test_rows: int | None = None
    left_out: int | None = None
    train_classes: Mapping[str, int] = field(default_factory=dict)
    test_classes: Mapping[str, int] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=dict)
    intervals: Intervals = field(default_factory=dict)
    fine_tuned: Metrics = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundView:
    """One round of a run; round 0 is the untrained model, listed where it was judged.

    Parameters
    ----------
    round
        From 0.
    finished
        Whether its aggregate is stored.
    loss
        Mean training loss over the contributions.
    metrics, site_metrics
        Of the model this round ended with, pooled and by site; empty where it was not judged.
    site_loss, seconds
        By site: mean training loss, time it worked.
    asked, since
        Who was asked for a contribution, and when, UTC in ISO 8601; empty for what was not asked for.
    participants
        Who contributed; while the round is open, who has answered so far.
    failed
        Reason by site, for those who did not contribute.
    received, sent
        Bytes of numbers that reached and left the sites, in sum.
    traffic
        The same by site: received, sent.
    phases
        Seconds by phase: ``train`` and ``sum``; empty where an old journal does not say.
    """

    round: int
    finished: bool = False
    loss: float | None = None
    metrics: Metrics = field(default_factory=dict)
    site_metrics: Mapping[str, Metrics] = field(default_factory=dict)
    site_loss: Mapping[str, float | None] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    asked: tuple[str, ...] = ()
    since: str = field(default="", compare=False)
    participants: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    received: int = 0
    sent: int = 0
    traffic: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    phases: Mapping[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class RunError:
    """Why a run stopped: the error's code, and what the user was told."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyView:
    """What a run promises and has spent under differential privacy.

    Parameters
    ----------
    unit
        Whom the guarantee is about: record, patient or site.
    planned
        The ε that the whole run keeps to.
    sites
        By site, or under an empty name where the hub adds the noise, what it last said of itself: ``delta``, and where
        it said so ``planned`` (noise, rate and steps) and ``epsilon`` (spent).
    steps
        By site and round: how many steps with noise it has trained.
    ledgers
        By site: how far its ledger has come, as ``lines`` and ``head``.
    """

    unit: str
    planned: float | None = None
    sites: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ledgers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    steps: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    @property
    def epsilon(self) -> float | None:
        """The largest ε that any site has spent; before all have said so, what the run keeps to at most."""
        said = [site.get("epsilon") for site in self.sites.values()]
        known = [float(one) for one in said if one is not None]
        return max(known) if known and len(known) == len(said) else self.planned

    @property
    def delta(self) -> float | None:
        """The largest δ of any site."""
        return max((float(site["delta"]) for site in self.sites.values()), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """Everything known of one run.

    Parameters
    ----------
    run, execution, study, digest, base, engine, role, arm, seed, members, orders, address
        As planned, see :class:`medfl.events.RunPlanned`.
    spec
        The study's canonical JSON, decoded; all arms included.
    status
        Where it stands; a run that began and did not end is running if some process works on it, else interrupted.
        Stopped is one that somebody asked to end.
    planned, started, ended
        Times, UTC in ISO 8601; None for what has not happened. Ended by an end, a failure or an interruption.
    sittings
        When work began or was taken up again.
    seconds
        Wall time worked on it, over all sittings.
    rounds, planned_rounds
        Finished so far; asked for by the arm.
    model, state
        Sha256 of the last good weights and of the algorithm's state; None before the first, model also for local-only.
    sites, secure
        By name, in the order in which replies are folded; whether the hub saw nothing of them but sums.
    agreement, recipe, explained
        What the sites share; the fitted preprocessing, and the same in sentences.
    table
        One entry a round, in order.
    latest, final
        The last judgement of a model; the same if it was that of the run's last model, with intervals and curves.
    fine_tuned
        What became of the last model at each site that went on from it by itself; None where none did.
    personal
        Whether the view speaks of the sites' fine-tuned copies, as :meth:`as_fine_tuned` gives it.
    start
        What training started from; None where first weights were drawn at random.
    privacy
        What it promises and has spent under differential privacy; None where it promises nothing, or nothing yet.
    notices, failures
        What a reader should know, each once; every contribution that did not come.
    dropped
        Sites that are not asked any more because somebody decided so, and from when on.
    stopped
        By whom it was stopped, and whether as a pause; None where it was not, or went on.
    recent
        When what happened last, and what it was, but single answers; the newest is the last of a few.
    seconds_of
        How long the sites took to be described and prepared, and the last judgement: ``describe``, ``prepare``,
        ``judge``; what an old journal does not say is left out.
    place
        Position of the plan in the journal: a later plan has a greater one.
    """

    run: str
    execution: str
    study: str
    digest: str
    spec: Mapping[str, Any]
    base: str
    engine: str
    role: Role
    arm: str
    seed: int
    members: tuple[str, ...] = ()
    orders: tuple[tuple[str, ...], ...] = ()
    address: str = ""
    status: Status = "planned"
    planned: str = ""
    started: str | None = None
    ended: str | None = None
    sittings: tuple[str, ...] = ()
    seconds: float = 0.0
    rounds: int = 0
    planned_rounds: int = 0
    model: str | None = None
    state: str | None = None
    error: RunError | None = None
    sites: Mapping[str, SiteView] = field(default_factory=dict)
    secure: bool = False
    agreement: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    explained: tuple[str, ...] = ()
    table: tuple[RoundView, ...] = ()
    latest: Evaluated | None = None
    final: Evaluated | None = None
    fine_tuned: FineTuned | None = None
    personal: bool = False
    start: WeightsTaken | None = None
    privacy: PrivacyView | None = None
    notices: tuple[Noticed, ...] = ()
    failures: tuple[SiteFailed, ...] = ()
    dropped: Mapping[str, SiteDropped] = field(default_factory=dict)
    stopped: RunStopped | None = None
    recent: tuple[tuple[str, Event], ...] = field(default=(), compare=False)
    seconds_of: Mapping[str, float] = field(default_factory=dict, compare=False)
    versions: Mapping[str, str] = field(default_factory=dict)
    platform: str = ""
    place: int = 0

    @property
    def metrics(self) -> Metrics:
        """Pooled metrics of the last model that was judged; empty before the first, and for local-only."""
        return self.latest.pooled if self.latest else {}

    @property
    def way(self) -> str:
        """What its way of learning is called: the arm, and whether sites went on from its model by themselves."""
        return f"{self.arm}{FINE_TUNED}" if self.personal else self.arm

    def as_fine_tuned(self) -> RunView | None:
        """Return the run as judged by each site's fine-tuned copy of its model; None where there is none."""
        told = self.fine_tuned
        if told is None:
            return None
        judged = Evaluated(
            run=self.run, round=told.round, pooled={}, sites=told.sites, final=True, site_intervals=told.site_intervals
        )
        return replace(self, personal=True, latest=judged, final=judged, table=())

    @property
    def federated(self) -> bool:
        """Whether it is trained round by round: an arm, or a coalition of its sites."""
        return self.role in ("arm", "coalition")

    def asked(self, part: str) -> Mapping[str, Any]:
        """Return one part of the spec, e.g. "algorithm", with the arm's overrides laid over it."""
        arms = self.spec.get("arm", ()) if self.federated else ()
        change = next((arm.get(part) for arm in arms if arm.get("name") == self.arm), None)
        asked: Mapping[str, Any] = merge(self.spec, {part: change} if change is not None else {}).get(part, {})
        return asked


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionView:
    """All runs of one ``medfl run``.

    Parameters
    ----------
    runs, baselines
        The arms' runs, and those of the baselines, each in the order they were planned.
    coalitions
        The runs that only some of the sites trained, to tell what each contributes.
    started
        When it was planned, UTC in ISO 8601.
    """

    execution: str
    study: str
    digest: str
    spec: Mapping[str, Any]
    question: str
    runs: tuple[RunView, ...]
    baselines: tuple[RunView, ...]
    started: str
    coalitions: tuple[RunView, ...] = ()

    @property
    def every(self) -> tuple[RunView, ...]:
        """All runs, in the order in which they are carried out."""
        return (*self.runs, *self.baselines, *self.coalitions)

    @property
    def sites(self) -> tuple[str, ...]:
        """All sites of what is not finished, as far as they are known: before it begins, those that the study names."""
        told = {name for run in self.every if run.status != "finished" for name in run.sites}
        data = self.spec.get("data", {})
        known = told.union(data.get("sites") or ()) or {name for run in self.every for name in run.sites}
        if not known and data.get("simulate") is not None:
            known = set(Simulate.model_validate(data["simulate"]).named)
        return tuple(sorted(known))

    @property
    def arms(self) -> Mapping[str, tuple[RunView, ...]]:
        """Runs by arm, in planned order."""
        names = dict.fromkeys(run.arm for run in self.runs)
        return {name: tuple(run for run in self.runs if run.arm == name) for name in names}

    @property
    def fine_tuned(self) -> Mapping[str, tuple[RunView, ...]]:
        """The arms' runs as judged by each site's fine-tuned copy, by what they are called; those that have any."""
        found = (run.as_fine_tuned() for run in self.runs)
        tuned = [run for run in found if run is not None]
        return {
            name: tuple(run for run in tuned if run.way == name) for name in dict.fromkeys(run.way for run in tuned)
        }

    def baseline(self, role: Role) -> tuple[RunView, ...]:
        """Return the runs of one baseline, one a repeat."""
        return tuple(run for run in self.baselines if run.role == role)
