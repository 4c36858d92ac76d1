"""Asks sites for sums that nobody can take apart: keys once a run, then two exchanges for each sum.

The first brings every site's numbers under masks; the second, for the sites whose numbers came, what undoes the masks
of their sum. It is the same voice, engine and fold as without; only what a reply's numbers become is another matter.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

from medfl.errors import SecureError, TooFewError
from medfl.events import Event, SiteFailed
from medfl.learn.statistic import Statistic
from medfl.messages import SECURE, SUMMED, Arrays, Json, Refusal, Reply, Request, Task
from medfl.privacy.secure.collector import Collector
from medfl.privacy.secure.graph import FEWEST, quorum
from medfl.privacy.secure.ring import OTHERS
from medfl.privacy.secure.terms import Terms
from medfl.run.asking import Added, Answers, Asked, Asking, pins, template

_Voice = TypeVar("_Voice", bound=Asking)

ATTEMPTS = 6
"""How often a sum is asked for before it is given up: with fewer sites, or with bits that fit."""
ROOM = 8
"""Bits of the largest change of a weight, a row: up to 256. Larger ones are asked for again."""


@dataclass(frozen=True, slots=True)
class InSums(Asking):
    """The hub's voice where it hears nothing but sums.

    Parameters
    ----------
    keys
        The sites' signed keys of this run; it grows when a site that was away comes back.
    rows
        Training rows of the largest site, as far as they are known.
    """

    keys: dict[str, Json] = field(default_factory=dict)
    rows: int = 2**20

    @property
    def sums_only(self) -> bool:
        """Always."""
        return True

    def knowing(self, largest: int) -> InSums:
        """Return the same voice, told how large numbers may become."""
        return replace(self, rows=largest)

    def ask(
        self,
        task: Task,
        sites: Iterable[str],
        *,
        round: int = 0,
        content: Json | None = None,
        arrays: Arrays | None = None,
    ) -> Asked:
        """Ask as any hub does; where sites send what adds up, ask for it under masks and return the sum.

        Yields
        ------
        Event
            As :meth:`medfl.run.asking.Asking.ask` does.

        Raises
        ------
        MedflError
            If fewer sites answer than must, or too few to hide each of them, or the sum cannot be trusted.
        """
        sites = self.present(sites)
        if task in ("train", "evaluate"):
            yield from self._met([site for site in sites if site not in self.keys], round)
        present = [site for site in sites if site in self.keys]
        if task not in SUMMED or _names_only(content):
            asking = _of_three(self) if task == "describe" else self
            return (yield from Asking.ask(asking, task, present, round=round, content=content, arrays=arrays))
        request = template(self, task, round, content or {}, arrays or {})
        requests = {site: request(site) for site in sorted(present)}
        terms = Terms(
            run=self.run,
            session=self.run,
            round=round,
            task=request("").sum,
            cohort=tuple(requests),
            threshold=quorum(len(requests)),
            bits={OTHERS: ROOM + self.rows.bit_length()},
        )
        return (yield from self._summed(Collector(terms, self.keys), requests))

    def _met(self, strangers: Sequence[str], round: int) -> Generator[Event, None, None]:
        """Ask sites for their keys that were not there when the others gave theirs; who is still away is told."""
        if strangers:
            request, into = template(self, "keys", round, {SECURE: {"session": self.run}}, {}), Added()
            yield from self.gather([request(site) for site in sorted(strangers)], into)
            self.keys.update({site: words.get("key", {}) for site, words in into.said.items()})

    def _summed(self, collector: Collector, requests: Mapping[str, Request]) -> Asked:
        """Go from one attempt at a sum to the next until one stands."""
        for _ in range(ATTEMPTS):
            masked = yield from self._masked(collector, requests)
            attempt = self._with_fewer(collector) or collector.again()
            if attempt is None:
                began = time.perf_counter()
                total = yield from self._unmasked(collector, requests)
                attempt = collector.again()
                if attempt is None:
                    return Answers(masked, Statistic(total), time.perf_counter() - began)
            collector = attempt
        raise SecureError(
            "no attempt at a sum stands",
            where=collector.terms.where,
            received=f"{ATTEMPTS} attempts",
            remedy="lower the learning rate, or set clip_norm = 1.0 in [training], and run the study again",
        )

    def _masked(self, collector: Collector, requests: Mapping[str, Request]) -> Generator[Event, None, dict[str, Json]]:
        """Ask for numbers under masks; return what the sites said besides."""
        asked = [
            replace(requests[site], content={**requests[site].content, SECURE: collector.opening_for(site)})
            for site in collector.terms.cohort
        ]
        into = _Masked(collector)
        refusals = yield from self.gather(asked, into)
        yield from into.failures(self.run, collector.terms.round)
        self.ledgers.update(pins(into.said))
        self.judge([*refusals, *into.refusals], into.said, collector.terms.round)
        return into.said

    def _with_fewer(self, collector: Collector) -> Collector | None:
        """Return an attempt among the sites that are left, where too few are in the sum for the cohort that was asked.

        Raises
        ------
        TooFewError
            If so few are left that no sum hides each of them.
        """
        terms, left = collector.terms, collector.answered
        if len(left) >= terms.threshold or collector.settled:
            return None
        if len(left) < FEWEST:
            raise TooFewError(
                "too few sites answered for a sum that hides each of them",
                where=terms.where,
                received=f"{len(left)} of {len(terms.cohort)}, where at least {FEWEST} must",
                remedy="check the connections of the others, then resume the run",
            )
        return Collector(terms.again(left, {}, threshold=quorum(len(left))), self.keys)

    def _unmasked(self, collector: Collector, requests: Mapping[str, Request]) -> Generator[Event, None, Arrays]:
        """Ask the sites in the sum for what undoes its masks; who is lost now is in it all the same."""
        shares = _Shares(collector)
        yield from self.gather([self._closing(collector, requests[site]) for site in collector.survivors], shares)
        try:
            return collector.total()
        except TooFewError:
            # Nothing is lost by asking again: a site gives the same shares for the same list, or none.
            late = [site for site in collector.survivors if site not in shares.given]
            yield from self.gather([self._closing(collector, requests[site]) for site in late], shares)
            return collector.total()

    def _closing(self, collector: Collector, request: Request) -> Request:
        content, arrays = collector.closing_for(request.site)
        return replace(request, task="unmask", content={SECURE: content}, arrays=arrays)


def in_sums(asking: Asking, sites: Sequence[str]) -> Generator[Event, None, InSums]:
    """Have the sites sign their keys of a run; return a voice that asks those that did for sums only.

    Raises
    ------
    MedflError
        If fewer sites answer than must.
    """
    # One session a run, however often it is taken up again: the same question then meets the same masks.
    answers = yield from _of_three(asking).ask("keys", sites, content={SECURE: {"session": asking.run}})
    own = {one.name: getattr(asking, one.name) for one in fields(asking)}
    # A site that says no key is named by its peers, which refuse it.
    return InSums(**own, keys={site: words.get("key", {}) for site, words in answers.said.items()})


def _words(reply: Reply) -> Json:
    """Return what a reply says of secure aggregation; nothing where that is not even words."""
    words = reply.content.get(SECURE)
    return words if isinstance(words, Mapping) else {}


def _of_three(asking: _Voice) -> _Voice:
    """Return the same voice, which stops where too few sites for a sum answer: with what keeps the others."""
    least = asking.min_sites
    return asking if least is None else replace(asking, min_sites=max(least, FEWEST))


def _names_only(content: Json | None) -> bool:
    """Say whether nothing is asked that adds up: which groups of patients may leave."""
    judge: Json = (content or {}).get("judge", {})
    return bool(judge.get("subgroups") == "names")


class _Masked:
    """Hands masked numbers on to a collector, and keeps what sites said besides."""

    def __init__(self, collector: Collector) -> None:
        self.said: dict[str, Json] = {}
        self.refusals: list[Refusal] = []
        self._collector = collector

    def take(self, reply: Reply) -> None:
        """Take a reply; the round goes on without a site whose reply does not add up."""
        try:
            self._collector.take(reply.site, _words(reply), reply.arrays)
        except SecureError as error:
            self.refusals.append(
                Refusal(request=reply.request, site=reply.site, code=error.code, complaints=error.complaints)
            )
            return
        self.said[reply.site] = {name: word for name, word in reply.content.items() if name != SECURE}

    def failures(self, run: str, round: int) -> Generator[Event, None, None]:
        """Tell of sites whose reply did not add up."""
        for refusal in self.refusals:
            yield SiteFailed(
                run=run, round=round, site=refusal.site, stage="mask", code=refusal.code, reason=refusal.reason
            )


class _Shares:
    """Hands shares on to a collector, which can do without those of a few sites."""

    def __init__(self, collector: Collector) -> None:
        self.given: set[str] = set()
        self._collector = collector

    def take(self, reply: Reply) -> None:
        """Take a reply; shares that are none are as good as none."""
        with suppress(SecureError):
            self._collector.take_shares(reply.site, _words(reply), reply.arrays)
            self.given.add(reply.site)
