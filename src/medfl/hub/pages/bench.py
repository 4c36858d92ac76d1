"""What the pages stand on: a store to read, and somebody who looks at studies and carries them out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

from medfl.channel import Hardware
from medfl.hub.people.rules import DRAFTS
from medfl.hub.place import HubPlace
from medfl.readiness.tables import Known
from medfl.spec.data import Data
from medfl.spec.study import Study
from medfl.store.home import Home
from medfl.store.wholes import Wholes


@dataclass(frozen=True, slots=True)
class Told:
    """Plain sentences under a title."""

    title: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the differential privacy of an arm is expected to cost, by arithmetic.

    Parameters
    ----------
    arm, epsilon, unit, clip_norm
        The arm, and what it asks for.
    noise
        Standard deviation of the noise in each number, over the clip norm; None where it cannot be reckoned.
    weights
        About how many numbers the model has; None where not known.
    site, units, assumed
        The smallest site, the rows that it trains on, and whether these are a guess, as no site has told them.
    sites, steps, rounds
        How many sites there are, steps of each a round, and rounds.
    share, statistics
        The share of ε that preprocessing takes, and the noise in its sums over what one unit can change in them; 0 and
        None where it needs none.
    judging, tested
        The noise in the counts that the last model is judged by, over what one unit can change in them, and about how
        many rows of the smallest site they count; None where they carry none.
    step, round, whole
        How long the noise of training is at best, measured by the longest that the mean gradient or update can be: in
        one step at the smallest site, in the mean over all sites' round, and over the whole run; None where not known.
    loss
        "most" where noise exceeds even the longest signal, so that most is lost; "untold" where it does not, so that
        only a trial tells; empty where the noise is not known.
    unknown
        Why the noise cannot be reckoned; empty where it can.
    """

    arm: str
    epsilon: float
    unit: str
    clip_norm: float
    noise: float | None = None
    weights: int | None = None
    site: str = ""
    units: int = 0
    assumed: bool = False
    sites: int = 0
    steps: int = 0
    rounds: int = 0
    share: float = 0.0
    statistics: float | None = None
    judging: float | None = None
    tested: int = 0
    step: float | None = None
    round: float | None = None
    whole: float | None = None
    loss: str = ""
    unknown: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of trying out an arm with its noise and without.

    Parameters
    ----------
    arm, epsilon
        The arm, and its ε.
    metric
        What both are measured by.
    private, open
        Its value with the noise and without; None where it is not defined.
    rows, sites
        Rows of the table, and how many sites it was dealt to.
    """

    arm: str
    epsilon: float
    metric: str
    private: float | None
    open: float | None
    rows: int
    sites: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A trial of what differential privacy costs.

    Parameters
    ----------
    state
        Whether there is none, it is under way, it was done, ended by somebody, or ended without a result.
    table, own
        On which table, and whether that is the study's own; else it is one that came along.
    done, of
        Runs that are done, and how many there are; 0 where that is not known yet.
    results
        What came of it.
    why
        Why there is no result.
    """

    state: Literal["none", "running", "done", "stopped", "failed"]
    table: str
    own: bool
    done: int = 0
    of: int = 0
    results: tuple[Tried, ...] = ()
    why: str = ""


class Tries(Protocol):
    """Tries out what differential privacy costs, beside the pages."""

    def begin(self, text: str) -> None:
        """Begin to try what a study's text says.

        Raises
        ------
        MedflError
            If it is no study, or another one is being tried.
        """
        ...

    def seen(self, text: str) -> Attempt:
        """Return how far the trial of a study is, or what came of it.

        Raises
        ------
        MedflError
            If the text is no study.
        """
        ...

    def stop(self, text: str) -> None:
        """End the trial of a study, if that is what is under way: somebody else's is theirs.

        Raises
        ------
        MedflError
            If the text is no study.
        """
        ...


class Reckons(Protocol):
    """Reckons what differential privacy costs."""

    def __call__(self, study: Study, known: Known) -> Sequence[Cost]:
        """Return what that of each arm is expected to cost, by what is known of the tables."""
        ...


class Looks(Protocol):
    """Looks at a study before it is run."""

    def __call__(self, study: Study) -> Sequence[Told]:
        """Return what it would do, in plain words.

        Raises
        ------
        MedflError
            With all that is wrong with it.
        """
        ...


class Carries(Protocol):
    """Carries studies out, beside the pages."""

    def launch(self, study: Study, *, by: str = "", not_before: float = 0.0) -> str:
        """Lay a study down, begin with it, and return its execution's id.

        Parameters
        ----------
        study
            What is asked.
        by
            The account that launches it; empty for whoever owns the machine.
        not_before
            When it may begin, in seconds since 1970, where studies are queued; 0 for at once.

        Raises
        ------
        MedflError
            If it cannot be.
        """
        ...

    def stop(self, execution: str) -> None:
        """Have an execution stop once its round is stored."""
        ...

    def go_on(self, execution: str) -> None:
        """Go on with an execution where it stopped."""
        ...


class Sees(Protocol):
    """Looks at the tables of a study, as far as they may be seen."""

    def __call__(self, data: Data) -> Known:
        """Return what is known of the tables that a study names."""
        ...


def _nothing(data: Data) -> Known:
    return Known()


def _no_costs(study: Study, known: Known) -> Sequence[Cost]:
    return ()


class Steers(Protocol):
    """Steers what is carried out."""

    def pause(self, execution: str, *, by: str, why: str) -> None:
        """Have an execution stop once its round is stored, and say whose wish that is."""
        ...

    def drop(self, execution: str, site: str, *, by: str, why: str) -> None:
        """Have a site not asked any more from the next round on."""
        ...

    def follows(self, execution: str, site: str) -> Sequence[str]:
        """Return in plain sentences what follows where a site is dropped.

        Raises
        ------
        MedflError
            With every reason why the study cannot go on without it.
        """
        ...


@dataclass(frozen=True)
class Bench:
    """What a page's function is given.

    Parameters
    ----------
    home
        The store.
    reads, looks
        They say what a study would do: at once and as far as its text tells, and with its tables opened.
    carries
        Carries studies out.
    busy
        Says whether somebody works on an execution, or is about to.
    hub
        The consortium's hub, with its sites and its queue; None on the pages of one person.
    troubles
        Says what is wrong with the hub at the moment, in sentences.
    sees
        Says what the tables of a study are like; nothing where nobody knows.
    uploads
        Where tables are kept that a page sends; None where it may send none.
    steers
        Pauses executions and leaves sites out; None where nobody can.
    drafts
        How many drafts one may have.
    costs
        Says what differential privacy is expected to cost; nothing where nobody can.
    tries
        Tries it out; None where nobody can.
    machine
        What this machine is like, where all sites are worked out on it; None where they are elsewhere.
    """

    home: Home
    reads: Looks
    looks: Looks
    carries: Carries
    busy: Callable[[str], bool]
    hub: HubPlace | None = None
    troubles: Callable[[], Sequence[str]] = tuple
    sees: Sees = _nothing
    uploads: Path | None = None
    steers: Steers | None = None
    drafts: int = DRAFTS
    costs: Reckons = _no_costs
    tries: Tries | None = None
    machine: Hardware | None = None

    @cached_property
    def whole(self) -> Wholes:
        """All that is known of an execution, of which each journal entry is read once."""
        return Wholes(self.home)
