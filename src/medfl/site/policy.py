"""What a site allows. The default lets any study train and anything leave but rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from medfl.messages import Reply, Request


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
    """

    allowed: bool
    rule: str
    reason: str


class Policy(Protocol):
    """Decides what is answered, and what of an answer leaves."""

    def admits(self, request: Request) -> Verdict:
        """Say whether the site takes the request up at all."""
        ...

    def releases(self, reply: Reply) -> Verdict:
        """Say whether this reply may leave the site."""
        ...


RELEASED_ARRAYS = ("sums", "update", "evaluation", "subgroups", "importance")
RELEASED_WORDS = frozenset({"schema", "rows", "loss", "metrics", "intervals", "subgroups", "privacy"})


@dataclass(frozen=True, slots=True)
class AllButRows:
    """Any study may train; what leaves must be of a kind that is known to hold no rows."""

    def admits(self, request: Request) -> Verdict:
        """Take every request up."""
        return Verdict(True, "open", "this site takes part in every study")

    def releases(self, reply: Reply) -> Verdict:
        """Let sums, weighted updates, evaluations, schemas, counts and metrics leave, and nothing else."""
        unknown = {name for name in reply.arrays if name.partition("/")[0] not in RELEASED_ARRAYS}
        unknown |= set(reply.content) - RELEASED_WORDS
        if unknown:
            return Verdict(False, "all-but-rows", f"not known to be free of rows: {', '.join(sorted(unknown))}")
        return Verdict(True, "all-but-rows", "sums, updates and metrics may leave; rows never do")
