"""A process that answers for some sites of a simulation: requests on standard input, answers on standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from medfl.errors import MedflError, PlanError, SiteError
from medfl.messages import Refusal, Reply, Request, from_bytes, read_frame, to_bytes, write_frame
from medfl.privacy.secure.identity import Identity
from medfl.site import plugins
from medfl.site.answer import Site
from medfl.site.log import logged
from medfl.site.sources import IDENTITY, Sources
from medfl.spec.study import Study


def opening(study: Study, sources: Sources, files: Iterable[Path] = ()) -> bytes:
    """Return the first message of a worker's pipe: which study, where its tables are, which plugins to load."""
    words = {
        "study": study.canonical,
        "base": str(sources.base.absolute()),
        "vaults": str(sources.vaults.absolute()),
        "root": Identity.at(sources.vaults / IDENTITY).public.hex(),
        "policy": None if sources.policy is None else str(sources.policy.absolute()),
        "plugins": [str(file.absolute()) for file in files],
    }
    return json.dumps(words).encode()


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the pipe is closed."""
    first = read_frame(requests)
    if first is None:
        return
    answer = answering(first)
    while (body := read_frame(requests)) is not None:
        request = from_bytes(body)
        if not isinstance(request, Request):
            raise SiteError("a worker was sent something that is not a request")
        write_frame(answers, to_bytes(answer(request)))


def answering(first: bytes) -> Callable[[Request], Reply | Refusal]:
    """Return what answers for the sites of an opening, in whatever process it was sent to."""
    words = json.loads(first)
    sites: dict[str, Site] = {}

    def answer(request: Request) -> Reply | Refusal:
        with logged(Path(words["vaults"])):
            return answered(request, words, sites)

    return answer


def answered(request: Request, words: dict[str, Any], sites: dict[str, Site]) -> Reply | Refusal:
    """Open the sites with the first request, so that what is wrong with plugins or tables is an answer too."""
    try:
        if not sites:
            _require_shared(Path(words["vaults"]), words["root"])
            plugins.load(map(Path, words["plugins"]))
            policy = None if words["policy"] is None else Path(words["policy"])
            sources = Sources(Path(words["base"]), Path(words["vaults"]), policy=policy)
            sites.update(sources.sites(Study.model_validate_json(words["study"])))
    except MedflError as error:
        return Refusal(request=request.id, site=request.site, code=error.code, complaints=error.complaints)
    if request.site not in sites:
        raise SiteError("a worker was asked for a site that the study does not have", received=repr(request.site[:80]))
    return sites[request.site].answer(request)


def _require_shared(vaults: Path, root: str) -> None:
    """Refuse to work where others keep what a site must find again: on another machine that does not share the folder.

    A site that is moved to another worker goes on from what it has kept; without it the model would be another one.
    """
    identity = vaults / IDENTITY
    if not identity.is_file() or Identity.at(identity).public.hex() != root:
        raise PlanError(
            "the worker's machine does not share the folder in which sites keep what they never send",
            where=str(vaults),
            received="another folder there" if identity.is_file() else "no such folder there",
            remedy="put --home, the study and its tables on a file system that all machines have at the same place",
        )


if __name__ == "__main__":
    # Nothing but answers may reach the pipe: whatever else prints goes to standard error.
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # A hub that was stopped or killed listens no more; it is not for its workers to complain about that.
    with suppress(BrokenPipeError):
        serve(sys.stdin.buffer, pipe)
