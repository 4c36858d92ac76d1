"""What carries messages between the hub and its sites, and knows nothing of learning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from medfl.errors import Complaint, EngineError
from medfl.messages import Refusal, Reply, Request


class Engine(Protocol):
    """Carries requests to sites and answers back."""

    def sites(self) -> Sequence[str]:
        """Return the names of the sites, sorted: the order in which replies are folded."""
        ...

    def exchange(self, requests: Iterable[Request], *, timeout: float | None = None) -> Iterator[Reply | Refusal]:
        """Deliver requests and yield the answers as they come; one for each request, a site that is lost included."""
        ...


def unanswered(request: Request, complaint: Complaint) -> Refusal:
    """Return what stands for the answer of a site that an engine did not reach, or not in time."""
    return Refusal(request=request.id, site=request.site, code=EngineError.code, complaints=(complaint,))
