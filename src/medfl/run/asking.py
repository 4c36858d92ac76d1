"""Asks all sites for one thing, says who answered and who did not, and adds up what they sent."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from medfl.errors import Complaint, DivergedError, EngineError, MedflError, WireError, by_code, listed
from medfl.events import Event, Noticed, SiteAnswered, SiteFailed
from medfl.learn.statistic import ZERO, Statistic, stacked
from medfl.messages import LEDGERS, SITTING, TROUBLE, Arrays, Json, Refusal, Reply, Request, Task, nbytes
from medfl.run.engine import Engine
from medfl.run.replies import understood


@dataclass(slots=True)
class Answers:
    """What came back from one exchange.

    Parameters
    ----------
    said
        What each site said besides numbers, by name in sorted order.
    total
        The sum of what they sent; under ``update``, where single contributions are needed, a stack of it.
    unmasking
        Seconds from when the last site had answered until its sum was readable.
    """

    said: dict[str, Json] = field(default_factory=dict)
    total: Statistic = ZERO
    unmasking: float = 0.0

    @property
    def sites(self) -> tuple[str, ...]:
        """Who answered, sorted."""
        return tuple(self.said)


UPDATE = "update"
"""What a site's contribution to the model is called in its reply."""
Asked: TypeAlias = Generator[Event, None, Answers]


@dataclass(frozen=True, slots=True)
class Asking:
    """The hub's voice in one run.

    Parameters
    ----------
    run
        The run's id.
    study
        Canonical JSON of the arm.
    seed
        The run's seed.
    engine
        Carries the requests.
    min_sites
        How many sites must answer; all that are asked where None.
    single
        Whether updates are stacked, one above the other, instead of added up.
    ledgers
        How far each site's privacy ledger had come when it was last heard of; it grows with what sites say, and each
        site is sent what is known of its own.
    sittings
        Which process of each site's agent was heard last, and at which stage; it grows with what sites say.
    dropped
        Sites that are not asked any more, because somebody decided so; it grows between two rounds.
    """

    run: str
    study: str
    seed: int
    engine: Engine
    min_sites: int | None
    single: bool = False
    ledgers: dict[str, Json] = field(default_factory=dict)
    sittings: dict[str, tuple[str, str]] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)

    @property
    def sums_only(self) -> bool:
        """Whether all that is heard of what sites send is its sum, so that all must send alike."""
        return False

    def present(self, sites: Iterable[str]) -> tuple[str, ...]:
        """Return those of the sites that are still asked."""
        return tuple(site for site in sites if site not in self.dropped)

    def knowing(self, largest: int) -> Asking:
        """Return the same voice, told how many training rows the largest site has."""
        return self

    def ask(
        self,
        task: Task,
        sites: Iterable[str],
        *,
        round: int = 0,
        content: Json | None = None,
        arrays: Arrays | None = None,
    ) -> Asked:
        """Ask those of these sites that were not dropped; return their answers, added up in the order of their names.

        Yields
        ------
        Event
            ``SiteAnswered`` for training, ``SiteFailed`` for whoever did not answer, ``Noticed`` for what went wrong
            on the way and was mended.

        Raises
        ------
        MedflError
            If fewer sites answer than must, or a model diverged: with every failing site's own complaints.
        """
        into = Stacked() if self.single else Added()
        request = template(self, task, round, content or {}, arrays or {})
        refusals = yield from self.gather([request(site) for site in sorted(self.present(sites))], into)
        self.ledgers.update(pins(into.said))
        self.judge(refusals, into.said, round)
        return Answers(into.said, into.total())

    def gather(self, requests: Sequence[Request], into: Into) -> Generator[Event, None, list[Refusal]]:
        """Send requests, hand each reply on in their order, and return what was refused.

        Yields
        ------
        Event
            ``SiteAnswered`` for training, ``SiteFailed`` for whoever did not answer.
        """
        queue = _Queue(requests, into)
        for answer in self._answers(queue):
            if (request := queue.awaited(answer)) is not None:
                read = understood(answer, request)
                queue.add(read)
                yield from self._told(read, request)
        return queue.refusals

    def _answers(self, queue: _Queue) -> Iterator[Reply | Refusal]:
        """Yield what the engine brings, and for a site of which it brings nothing, that it is lost."""
        yield from self.engine.exchange(queue.requests)
        for request in queue.unanswered():
            lost = Complaint(
                "the site was asked and never answered", remedy="check its connection, then resume the run"
            )
            yield Refusal(request=request.id, site=request.site, code=EngineError.code, complaints=(lost,))

    def _told(self, answer: Reply | Refusal, request: Request) -> list[Event]:
        if isinstance(answer, Refusal):
            return [
                SiteFailed(
                    run=self.run,
                    round=request.round,
                    site=answer.site,
                    stage=request.task,
                    code=answer.code,
                    reason=answer.reason,
                )
            ]
        noticed = self._noticed(answer, request)
        if request.task != "train":
            return noticed
        received, sent = nbytes(request.arrays), nbytes(answer.arrays)
        return [
            *noticed,
            SiteAnswered(
                run=self.run,
                round=request.round,
                site=answer.site,
                seconds=answer.seconds,
                received=received,
                sent=sent,
                loss=answer.content.get("loss"),
            ),
        ]

    def _noticed(self, answer: Reply, request: Request) -> list[Event]:
        """Tell what befell a site or its reply, though nothing was lost by it."""
        texts = [str(text) for text in answer.content.get(TROUBLE, ())]
        stage = f"{request.task!r}" + (f" of round {request.round}" if request.round else "")
        sitting = answer.content.get(SITTING)
        if isinstance(sitting, str):
            before, last = self.sittings.get(answer.site, (sitting, ""))
            if before != sitting:
                texts.append(
                    f"the process in which the site works ended after the stage {last}, and another one took over "
                    f"before the end of the stage {stage}; nothing was lost by it"
                )
            self.sittings[answer.site] = sitting, stage
        return [Noticed(run=self.run, site=answer.site, text=text) for text in texts]

    def judge(self, refusals: Sequence[Refusal], answered: Sized, round: int) -> None:
        """Refuse to go on with so few answers.

        Raises
        ------
        MedflError
            If fewer sites answered than must, or a model diverged: with every failing site's own complaints.
        """
        needed = self.min_sites if self.min_sites is not None else len(answered) + len(refusals)
        if diverged := [refusal for refusal in refusals if refusal.code == DivergedError.code]:
            raise _error(diverged, round)
        if len(answered) < needed:
            raise _error(refusals, round)


def template(asking: Asking, task: Task, round: int, content: Json, arrays: Arrays) -> Callable[[str], Request]:
    """Return what makes the request for each site."""

    def request(site: str) -> Request:
        known = {LEDGERS: {site: asking.ledgers[site]}} if site in asking.ledgers else {}
        return Request(
            run=asking.run,
            round=round,
            site=site,
            task=task,
            study=asking.study,
            seed=asking.seed,
            content={**content, **known},
            arrays=arrays,
        )

    return request


def _error(refusals: Sequence[Refusal], round: int) -> MedflError:
    """Return one error with every site's complaints, each naming its site and round; what several say is said once."""
    sites: dict[Complaint, list[str]] = {}
    for refusal in refusals:
        for complaint in refusal.complaints:
            sites.setdefault(complaint, []).append(refusal.site)
    complaints = [_placed(complaint, who, round) for complaint, who in sites.items()]
    faults = [by_code(refusal.code) for refusal in refusals]
    worst = max(faults, key=lambda kind: (kind.exit_code == 1, kind.code))
    return worst.of(complaints)


def _placed(complaint: Complaint, sites: Sequence[str], round: int) -> Complaint:
    who = f"site {sites[0]}" if len(sites) == 1 else f"sites {listed(sites, 20)}"
    place = who + (f", round {round}" if round else "")
    where = f"{place}, {complaint.where}" if complaint.where else place
    return Complaint(complaint.what, where, complaint.received, complaint.remedy)


class Into(Protocol):
    """Where replies go, one after the other in the order of the requests."""

    def take(self, reply: Reply) -> None:
        """Take the next reply."""
        ...


class Added:
    """Adds up what sites send."""

    def __init__(self) -> None:
        self.said: dict[str, Json] = {}
        self._total = ZERO

    def take(self, reply: Reply) -> None:
        """Add a reply."""
        self.said[reply.site] = reply.content
        self._total = self._total + self._summand(Statistic(reply.arrays))

    def total(self) -> Statistic:
        """Return the sum."""
        return self._total

    def _summand(self, sent: Statistic) -> Statistic:
        return sent


class Stacked(Added):
    """Adds up what sites send but their updates, which are kept apart and stacked in the end."""

    def __init__(self) -> None:
        super().__init__()
        self._updates: list[Statistic] = []

    def total(self) -> Statistic:
        """Return the sum, and the stack of updates under ``update``."""
        return super().total() + stacked(self._updates).prefixed(UPDATE)

    def _summand(self, sent: Statistic) -> Statistic:
        update = sent.under(UPDATE)
        if self._updates:
            update.require_like(self._updates[0])
        self._updates.append(update)
        return sent.without(UPDATE)


class _Queue:
    """Hands replies on in the order of the requests, whatever the order in which they arrive.

    A reply is handed on as soon as all before it are known, so that no more are held than must be.
    """

    def __init__(self, requests: Sequence[Request], into: Into) -> None:
        self.requests, self.refusals = requests, list[Refusal]()
        self._into = into
        self._open = {request.id: request for request in requests}
        self._waiting: dict[str, Reply | Refusal] = {}
        self._order = iter(requests)
        self._next = next(self._order, None)

    def awaited(self, answer: Reply | Refusal) -> Request | None:
        """Return the request that this is the first answer to, by the site that was asked; None if there is none."""
        request = self._open.get(answer.request)
        return request if request is not None and request.site == answer.site else None

    def unanswered(self) -> tuple[Request, ...]:
        """Return the requests that have no answer yet."""
        return tuple(self._open.values())

    def add(self, answer: Reply | Refusal) -> None:
        """Take an answer that is awaited."""
        del self._open[answer.request]
        self._waiting[answer.request] = answer
        while self._next is not None and self._next.id in self._waiting:
            self._hand_on(self._waiting.pop(self._next.id), self._next)
            self._next = next(self._order, None)

    def _hand_on(self, answer: Reply | Refusal, request: Request) -> None:
        if isinstance(answer, Refusal):
            self.refusals.append(answer)
            return
        try:
            self._into.take(answer)
        except WireError as error:
            raise WireError.of([_placed(each, [request.site], request.round) for each in error.complaints]) from error


def pins(told: Mapping[str, Json]) -> dict[str, Json]:
    """Return how far the ledgers have come of the sites that said so."""
    known = {site: words["privacy"] for site, words in told.items() if "privacy" in words}
    return {site: {"lines": words["lines"], "head": words["head"]} for site, words in known.items() if "head" in words}


def said(answers: Answers, key: str) -> Mapping[str, Any]:
    """Return what each site said under a key."""
    return {site: content[key] for site, content in answers.said.items()}


def changed_by_policy(run: str, answers: Answers) -> Iterator[Event]:
    """Tell what sites held back or changed because their policies say so: it bears on the results."""
    for site, content in answers.said.items():
        for text in content.get("policy", ()):
            yield Noticed(run=run, site=site, text=str(text))
