"""The engine for a laptop: every site answers in this process, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from medfl.messages import Refusal, Reply, Request
from medfl.run.threads import single_threaded

Answer = Callable[[Request], Reply | Refusal]


class InProcess:
    """Calls each site's own answer.

    Parameters
    ----------
    answers
        The answering function of each site, by name.
    """

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._answers = dict(sorted(answers.items()))

    def sites(self) -> Sequence[str]:
        """Return the sites' names, sorted."""
        return tuple(self._answers)

    def exchange(self, requests: Iterable[Request], *, timeout: float | None = None) -> Iterator[Reply | Refusal]:
        """Answer one request after the other; a time limit has no meaning here."""
        with single_threaded():
            for request in requests:
                yield self._answers[request.site](request)
