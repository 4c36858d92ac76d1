"""What carries messages between the hub and its sites, and knows nothing of learning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from medfl.messages import Refusal, Reply, Request


class Engine(Protocol):
    """Carries requests to sites and answers back."""

    def sites(self) -> Sequence[str]:
        """Return the names of the sites, sorted: the order in which replies are folded."""
        ...

    def exchange(self, requests: Iterable[Request], *, timeout: float | None = None) -> Iterator[Reply | Refusal]:
        """Deliver requests and yield the answers as they come; one for each request, a site that is lost included."""
        ...
