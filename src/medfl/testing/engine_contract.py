# ruff: noqa: D102 - a test's name says what it holds
"""What every engine must hold to, as tests: it carries messages, changes nothing in them, and loses none.

Subclass :class:`EngineContract` (or :class:`RemoteEngineContract`, for an engine whose sites are other processes or
machines) in your own tests, say how to open your engine, and let pytest collect the class::

    class TestMyEngine(RemoteEngineContract):
        def engine(self) -> Engine:
            return MyEngine({name: probe for name in NAMES})

At the other end each site answers with :func:`medfl.testing.probe.probe`, which says what it received. Where a site is
a process that speaks the wire format on its pipes, ``python -m medfl.testing.probe`` is such a site.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator

import numpy as np

from medfl.errors import EngineError, RefusedError
from medfl.messages import Arrays, Json, Refusal, Reply, Request
from medfl.run.engine import Engine
from medfl.testing.federation import NAMES
from medfl.testing.probe import COMPLAINTS, seen


def asked(
    sites: Iterable[str] = NAMES, *, round: int = 1, content: Json | None = None, arrays: Arrays | None = None
) -> Iterator[Request]:
    """Yield one request for each of these sites."""
    for site in sites:
        yield Request(
            run="contract-1",
            round=round,
            site=site,
            task="train",
            study='{"study":{"name":"Łódź"}}',
            seed=2**53,
            content=content or {},
            arrays=arrays or {},
        )


def odd_arrays() -> Arrays:
    """Return arrays of every kind that travels, and of shapes and values that are easily lost."""
    square = np.arange(12, dtype=np.float64).reshape(3, 4)
    return {
        "float32": np.array([0.1, -0.0, np.inf, -np.inf, np.nan, 1e-45], np.float32),
        "float64": np.array([[0.1, -0.0], [np.nan, 5e-324]]),
        "int64": np.array([2**63 - 1, -(2**63)], np.int64),
        "a scalar": np.array(0.1),
        "a whole scalar": np.array(7, np.int64),
        "empty": np.zeros(0, np.int64),
        "empty/but wide": np.zeros((0, 3), np.float32),
        "columns first": np.asfortranarray(square),
        "a view": square[::2, 1:3],
    }


class EngineContract:
    """Tests of one engine."""

    @abstractmethod
    def engine(self) -> Engine:
        """Return an engine that reaches the sites ``NAMES``, each of which answers with :func:`probe`."""

    def test_sites_are_named_in_sorted_order(self) -> None:
        assert tuple(self.engine().sites()) == NAMES

    def test_each_request_gets_one_answer_whatever_the_order(self) -> None:
        engine = self.engine()
        for order in (NAMES, NAMES[::-1], NAMES[1:2], ()):
            answers = list(engine.exchange(asked(order)))
            assert sorted(answer.request for answer in answers) == sorted(request.id for request in asked(order))
            assert all(answer.request.endswith(f"/{answer.site}") for answer in answers)

    def test_one_site_may_be_asked_for_two_things_at_once(self) -> None:
        requests = [*asked(NAMES[:1], round=1), *asked(NAMES[:1], round=2), *asked(NAMES[1:])]
        answers = list(self.engine().exchange(requests))
        assert sorted(answer.request for answer in answers) == sorted(request.id for request in requests)

    def test_arrays_arrive_and_return_bit_for_bit(self) -> None:
        arrays = odd_arrays()
        for reply in replies(self.engine().exchange(asked(arrays=arrays))):
            assert reply.content["seen"] == seen(arrays)
            assert seen(reply.arrays) == seen(arrays)

    def test_words_arrive_and_return_as_they_are(self) -> None:
        content: Json = {
            "text": "«ε» \n \x00 'quoted' \"twice\"",
            "numbers": [0.1, 1e-300, 2**53, -1],
            "nothing": None,
            "": {},
        }
        for reply in replies(self.engine().exchange(asked(content=content))):
            assert reply.content["content"] == content
            assert reply.seconds == 0.25

    def test_the_whole_request_arrives(self) -> None:
        for request, reply in zip(asked(), replies(self.engine().exchange(asked())), strict=True):
            assert reply.content["asked"] == {
                name: getattr(request, name) for name in ("run", "round", "site", "task", "study", "seed")
            }

    def test_a_refusal_is_carried_and_the_others_answer(self) -> None:
        requests = [*asked(NAMES[:1]), *asked(NAMES[1:2], content={"refuse": True}), *asked(NAMES[2:])]
        answers = {answer.site: answer for answer in self.engine().exchange(requests)}
        refusal = answers.pop(NAMES[1], None)
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.complaints) == (RefusedError.code, COMPLAINTS)
        assert len(replies(answers.values())) == 2

    def test_asking_twice_is_answered_twice_the_same(self) -> None:
        engine = self.engine()
        first, again = (replies(engine.exchange(asked(arrays=odd_arrays()))) for _ in range(2))
        assert [(r.request, r.content, seen(r.arrays)) for r in first] == [
            (r.request, r.content, seen(r.arrays)) for r in again
        ]

    def test_a_message_larger_than_any_buffer(self) -> None:
        arrays = {"weights": np.arange(2**20, dtype=np.float32)}
        for reply in replies(self.engine().exchange(asked(arrays=arrays))):
            assert seen(reply.arrays) == seen(arrays)

    def test_an_exchange_left_half_read_does_not_mix_with_the_next(self) -> None:
        engine = self.engine()
        answers = iter(engine.exchange(asked(round=1)))
        next(answers)
        del answers
        expected = sorted(request.id for request in asked(round=2))
        assert sorted(answer.request for answer in engine.exchange(asked(round=2))) == expected


class RemoteEngineContract(EngineContract):
    """Tests of an engine whose sites can be lost without it."""

    def test_a_lost_site_is_named_and_the_others_go_on(self) -> None:
        requests = [*asked(NAMES[:1], content={"end": True}), *asked(NAMES[1:])]
        answers = {answer.site: answer for answer in self.engine().exchange(requests)}
        lost = answers.pop(NAMES[0], None)
        assert isinstance(lost, Refusal)
        assert (lost.request, lost.code) == (requests[0].id, EngineError.code)
        assert all(complaint.what and complaint.remedy for complaint in lost.complaints)
        assert [reply.site for reply in replies(answers.values())] == list(NAMES[1:])

    def test_a_site_that_was_lost_can_be_asked_again(self) -> None:
        engine = self.engine()
        assert all(isinstance(answer, Refusal) for answer in engine.exchange(asked(content={"end": True})))
        assert len(replies(engine.exchange(asked()))) == len(NAMES)


def replies(answers: Iterable[Reply | Refusal]) -> list[Reply]:
    """Return answers that must all be replies, by site."""
    found = sorted(answers, key=lambda answer: answer.site)
    assert not [answer.reason for answer in found if isinstance(answer, Refusal)]
    return [answer for answer in found if isinstance(answer, Reply)]
