"""What can happen, as frozen dataclasses.

A run is the list of its events; every page, table and report is a pure function of the spec and that list. Events are
appended after what they speak of is durable, and are never changed. The event reference is generated from here.

One *execution* is one ``medfl run``: every arm of a study for every repeat, and the baselines, each of them a *run*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias

from medfl.events.event import Event as Event
from medfl.events.privacy import PrivacySpent as PrivacySpent
from medfl.events.stopping import Drop as Drop
from medfl.events.stopping import RunFailed as RunFailed
from medfl.events.stopping import RunInterrupted as RunInterrupted
from medfl.events.stopping import RunStopped as RunStopped
from medfl.events.stopping import SiteDropped as SiteDropped

Role = Literal["arm", "centralised", "local-only", "coalition"]
Metrics: TypeAlias = Mapping[str, float | None]
Intervals: TypeAlias = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlanned(Event):
    """A run was laid down, before anything was trained; all runs of an execution are planned together.

    Parameters
    ----------
    execution
        Id shared by all runs of one ``medfl run``.
    study
        The study's name.
    digest
        Sha256 of the study's canonical text.
    spec
        The study's canonical JSON, all arms included.
    base
        Folder that relative paths of the spec start from; empty when data frames were passed.
    engine
        Name of the engine.
    role
        An arm of the study, a baseline it is compared with, or an arm that only some of the sites train.
    arm
        Name of the arm; of the role for a baseline.
    seed
        The run's seed: the study's seed plus the repeat, from 0.
    members
        For a coalition: who trains; all sites judge.
    orders
        For an arm: the orders of sites that a Shapley value is estimated from; empty where it is exact, or not asked.
    address
        Where the engine was reached, if it has an address.
    """

    execution: str
    study: str
    digest: str
    spec: str
    base: str
    engine: str
    role: Role
    arm: str
    seed: int
    members: tuple[str, ...] = ()
    orders: tuple[tuple[str, ...], ...] = ()
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """Work on a run began.

    Parameters
    ----------
    versions
        Version of Python and of each package that takes part in the arithmetic.
    platform
        Operating system and processor, as text.
    sites, secure
        Names of the sites, in the order in which replies are folded; whether only sums over them are seen.
    """

    versions: Mapping[str, str]
    platform: str
    sites: tuple[str, ...]
    secure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed(Event):
    """Work on an interrupted run went on.

    Parameters
    ----------
    after_round
        The last finished round; 0 when it starts over.
    versions, platform
        As for :class:`RunStarted`, now.
    """

    after_round: int
    versions: Mapping[str, str]
    platform: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataDescribed(Event):
    """The sites said what their tables look like, and an agreement was found.

    Parameters
    ----------
    sites
        For each site: ``rows``, ``schema`` (sha256 of names, types, units and categories), ``missing`` (by column).
    agreement
        The columns, categories, ranges and outcome that all sites share, as JSON. A range's ends are values that
        somebody has; what may be told of them is the site's policy to say.
    seconds
        How long that took; 0 in old journals.
    """

    sites: Mapping[str, Mapping[str, Any]]
    agreement: Mapping[str, Any]
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPrepared(Event):
    """Preprocessing was fitted over all sites.

    Parameters
    ----------
    sites
        For each site: ``train_rows``, ``test_rows``, ``left_out`` (rows that could not be used), ``train_classes`` and
        ``test_classes`` (rows by class name; empty for regression).
    recipe
        The fitted preprocessing, as JSON.
    explained
        The same in sentences.
    seconds
        How long that took; 0 in old journals.
    """

    sites: Mapping[str, Mapping[str, Any]]
    recipe: Mapping[str, Any]
    explained: tuple[str, ...]
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsTaken(Event):
    """Training starts from weights that were learned elsewhere.

    Parameters
    ----------
    source
        What they are: an exported model, a run, a file, what a torch factory brings along.
    digest
        Sha256 of the file of weights; of the first state, where a factory brings it along.
    matched, new, dropped
        Names of columns that study and source share, that only the study has, that only the source has; all empty
        where the source does not tell its columns.
    """

    source: str
    digest: str
    matched: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed(Event):
    """Something that a reader of the results should know.

    Parameters
    ----------
    text
        One sentence.
    site
        The site it is about; empty for all.
    """

    text: str
    site: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundStarted(Event):
    """The hub asked the sites for a round.

    Parameters
    ----------
    round
        From 1.
    sites
        Who was asked.
    """

    round: int
    sites: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteAnswered(Event):
    """A site's contribution arrived.

    Parameters
    ----------
    round
        From 1.
    site
        Its name.
    seconds
        Time the site worked.
    received, sent
        Bytes of numbers that reached and left the site.
    loss
        Mean training loss; None where nothing was trained.
    """

    round: int
    site: str
    seconds: float
    received: int
    sent: int
    loss: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFailed(Event):
    """A site did not contribute to a round.

    Parameters
    ----------
    round
        From 1; 0 before the first.
    site
        Its name.
    stage
        What it was asked to do.
    code
        Code of the error.
    reason
        The site's own sentence.
    """

    round: int
    site: str
    stage: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated(Event):
    """A model was judged on the sites' test rows.

    Parameters
    ----------
    round
        The round whose model it is; 0 for the untrained one.
    pooled
        Metrics over all sites' test rows; None where a metric is not defined.
    sites
        Metrics of each site.
    final
        Whether this is the run's last model; only then are intervals and curves given.
    pooled_intervals, site_intervals
        95 % bootstrap intervals by metric.
    curves
        Pooled ROC, precision-recall, calibration…, as points.
    subgroups
        One entry a grouping: ``grouping``, ``column``, ``withheld`` (sites none of whose groups may leave) and
        ``groups``, each with ``group``, ``rows``, ``metrics``, ``intervals``, the ``sites`` it is summed over, and
        ``suppressed`` (sites where it is too small).
    importance
        One entry a feature: ``feature``, and ``metrics``, the value of each metric in each shuffling.
    seconds
        How long the last judgement took; 0 for one that travelled with training, and in old journals.
    """

    round: int
    pooled: Metrics
    sites: Mapping[str, Metrics]
    final: bool = False
    pooled_intervals: Intervals | None = None
    site_intervals: Mapping[str, Intervals] | None = None
    curves: Mapping[str, Any] | None = None
    subgroups: tuple[Mapping[str, Any], ...] = ()
    importance: tuple[Mapping[str, Any], ...] = ()
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuned(Event):
    """Each site went on from the last global model on its own rows, and judged its copy, which stays there.

    Parameters
    ----------
    round
        The round whose model they started from.
    sites
        Metrics of each site's copy on its own test rows, the same that the global model was judged on.
    site_intervals
        95 % bootstrap intervals by metric.
    """

    round: int
    sites: Mapping[str, Metrics]
    site_intervals: Mapping[str, Intervals] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundFinished(Event):
    """A round's aggregate is stored; a run can go on from here.

    Parameters
    ----------
    round
        From 1.
    model
        Sha256 of the global weights, a safetensors file in the artefacts.
    state
        Sha256 of the algorithm's whole state.
    sites
        Who contributed.
    loss
        Mean training loss over the contributions, by rows.
    seconds
        How long it took by phase: ``train``, until the last site had answered; ``sum``, to take masks off the sum and
        to make and store the next model. Empty in old journals.
    """

    round: int
    model: str
    state: str
    sites: tuple[str, ...]
    loss: float | None
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """The run is complete.

    Parameters
    ----------
    rounds
        Rounds carried out.
    model
        Sha256 of the final weights; empty where there is no one model (local-only).
    seconds
        Wall time worked on it, over all sittings.
    """

    rounds: int
    model: str
    seconds: float


KINDS: Mapping[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        RunPlanned, RunStarted, RunResumed, DataDescribed, DataPrepared, WeightsTaken, Noticed, RoundStarted,
        SiteAnswered, SiteFailed, PrivacySpent, Evaluated, FineTuned, RoundFinished, RunFinished, RunFailed,
        RunInterrupted, RunStopped, SiteDropped,
    )
}  # fmt: skip


def to_json(event: Event) -> dict[str, Any]:
    """Return the event's fields but its run, ready for JSON."""
    return {one.name: getattr(event, one.name) for one in fields(event) if one.name != "run"}


def from_json(kind: str, run: str, body: Mapping[str, Any]) -> Event | None:
    """Return the event that was written; None for a kind this version does not know.

    Fields that a newer version added are passed over, so that its journals stay readable.
    """
    event = KINDS.get(kind)
    if event is None:
        return None
    known = {one.name for one in fields(event)}
    tidy = {name: tuple(value) if isinstance(value, list) else value for name, value in body.items() if name in known}
    return event(run=run, **tidy)
