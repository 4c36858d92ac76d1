"""What a site allows: asked before the work, and again of all that is about to leave.

:class:`AllButRows` is the policy of a site that has written none. One that a site has written is
:class:`medfl.site.written.Written`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from medfl.learn.data.prints import Prints
from medfl.learn.statistic import ZERO, Statistic
from medfl.messages import Json, Refusal, Request
from medfl.site.rules import BudgetRule
from medfl.spec.study import Study


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision and its reason.

    Parameters
    ----------
    allowed
        Yes or no.
    rule
        Name of the rule that decided.
    reason
        One sentence.
    remedy
        What would turn a no into a yes.
    """

    allowed: bool
    rule: str
    reason: str
    remedy: str = ""


class Facts(Protocol):
    """What a policy may look at in order to decide; none of it leaves the site."""

    def prints(self) -> Prints:
        """Return a number for each row of the table, by which it is known again; shape (rows,)."""
        ...

    def counted(self, column: str) -> Mapping[str, int]:
        """Return how many rows have each category of a column; for the target, each class."""
        ...

    def used(self) -> Mapping[str, Prints]:
        """Return the rows that an answer is about, by ``rows/part``, ``class/part/name`` and ``group/part/name``.

        Before the sites have agreed on anything, ``missing/column``.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What is about to leave, in plain, before it is masked.

    Parameters
    ----------
    request, study
        What was asked.
    content, statistic
        What the site would say, and what adds up.
    kept
        Sums that stay at the site whatever the policy says, such as those that `content` was read from.
    facts
        What the policy may look at.
    secure
        Whether the hub will see `statistic` in a sum over sites only.
    """

    request: Request
    study: Study
    content: Json
    statistic: Statistic
    facts: Facts
    kept: Statistic = ZERO
    secure: bool = False

    @property
    def is_noised(self) -> bool:
        """Whether the site has put noise on all that it counted, so that no count is a patient's any more."""
        asked = self.study.privacy.dp
        return asked is not None and asked.within_sites


class Policy(Protocol):
    """Decides what is answered, and what of an answer leaves."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The only columns of the table that studies may know of; all where None."""
        ...

    @property
    def budget(self) -> BudgetRule | None:
        """How much privacy all studies together may spend on the table; None where nothing is said."""
        ...

    def admits(self, request: Request, study: Study, *, facts: Facts) -> Verdict:
        """Say whether the site takes the request up at all."""
        ...

    def releases(self, release: Release) -> Release | Verdict:
        """Return what of it may leave, changed where it must be, or the no."""
        ...

    def tells(self, refusal: Refusal, request: Request) -> Refusal:
        """Return what of a failure's reasons may leave."""
        ...


RELEASED_ARRAYS = ("sums", "update", "evaluation", "subgroups", "importance")
RELEASED_WORDS = frozenset({"schema", "rows", "loss", "metrics", "intervals", "subgroups", "policy", "privacy"})


def unknown(release: Release) -> Verdict | None:
    """Return a no where something would leave of which it is not known that it holds no rows."""
    names = {name for name in release.statistic.arrays if name.partition("/")[0] not in RELEASED_ARRAYS}
    names |= set(release.content) - RELEASED_WORDS
    if not names:
        return None
    return Verdict(False, "all-but-rows", f"not known to be free of rows: {', '.join(sorted(names))}")


@dataclass(frozen=True, slots=True)
class AllButRows:
    """Any study may train; what leaves must be of a kind that is known to hold no rows."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """All columns of the table."""
        return None

    @property
    def budget(self) -> BudgetRule | None:
        """No budget beyond a study's own."""
        return None

    def admits(self, request: Request, study: Study, *, facts: Facts) -> Verdict:
        """Take every request up."""
        return Verdict(True, "open", "this site takes part in every study")

    def releases(self, release: Release) -> Release | Verdict:
        """Let sums, weighted updates, evaluations, schemas, counts and metrics leave, and nothing else."""
        allowed = Verdict(True, "all-but-rows", "sums, updates and metrics may leave; rows never do")
        return unknown(release) or allowed

    def tells(self, refusal: Refusal, request: Request) -> Refusal:
        """Let reasons leave as they are: they name columns and counts, and never a value."""
        return refusal
