"""What lives in one of Ray's worker processes and answers for many sites there; bytes in, bytes out."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version

from medfl.errors import EngineError, WireError
from medfl.messages import Refusal, Reply, Request, from_bytes, to_bytes


class Host:
    """Answers for the sites of one opening; it knows nothing of Ray."""

    def __init__(self) -> None:
        self._answer: Callable[[Request], Reply | Refusal] | None = None

    def version(self) -> str:
        """Return the version of MEDfl that is installed here."""
        return version("medfl")

    def open(self, module: str, opening: bytes) -> None:
        """Be told which sites, once and before anything is asked.

        Parameters
        ----------
        module
            The module, installed here, whose function ``answering`` makes the answering function of an opening.
        opening
            What it needs to open its sites.
        """
        self._answer = import_module(module).answering(opening)

    def answer(self, body: bytes) -> bytes:
        """Answer a request, both in the wire format.

        Raises
        ------
        EngineError
            If it was not told which sites.
        WireError
            If the bytes are no request.
        """
        request = from_bytes(body)
        if not isinstance(request, Request):
            raise WireError("a worker was sent something that is not a request")
        if self._answer is None:
            raise EngineError("a worker was asked before it was told for whom it answers")
        return to_bytes(self._answer(request))
