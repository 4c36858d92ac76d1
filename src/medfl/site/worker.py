"""A process that answers for some sites of a simulation: requests on standard input, answers on standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from medfl.errors import MedflError, SiteError
from medfl.messages import Refusal, Reply, Request, from_bytes, read_frame, to_bytes, write_frame
from medfl.site import plugins
from medfl.site.answer import Site
from medfl.site.log import logged
from medfl.site.sources import Sources
from medfl.spec.study import Study


def opening(study: Study, sources: Sources, files: Iterable[Path] = ()) -> bytes:
    """Return the first message of a worker's pipe: which study, where its tables are, which plugins to load."""
    words = {
        "study": study.canonical,
        "base": str(sources.base),
        "vaults": str(sources.vaults),
        "policy": None if sources.policy is None else str(sources.policy.absolute()),
        "plugins": [str(file.absolute()) for file in files],
    }
    return json.dumps(words).encode()


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the pipe is closed."""
    first = read_frame(requests)
    if first is None:
        return
    words = json.loads(first)
    sites: dict[str, Site] = {}
    with logged(Path(words["vaults"])):
        while (body := read_frame(requests)) is not None:
            request = from_bytes(body)
            if not isinstance(request, Request):
                raise SiteError("a worker was sent something that is not a request")
            write_frame(answers, to_bytes(answered(request, words, sites)))


def answered(request: Request, words: dict[str, Any], sites: dict[str, Site]) -> Reply | Refusal:
    """Open the sites with the first request, so that what is wrong with plugins or tables is an answer too."""
    try:
        if not sites:
            plugins.load(map(Path, words["plugins"]))
            policy = None if words["policy"] is None else Path(words["policy"])
            sources = Sources(Path(words["base"]), Path(words["vaults"]), policy=policy)
            sites.update(sources.sites(Study.model_validate_json(words["study"])))
    except MedflError as error:
        return Refusal(request=request.id, site=request.site, code=error.code, complaints=error.complaints)
    if request.site not in sites:
        raise SiteError("a worker was asked for a site that the study does not have", received=repr(request.site[:80]))
    return sites[request.site].answer(request)


if __name__ == "__main__":
    # Nothing but answers may reach the pipe: whatever else prints goes to standard error.
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # A hub that was stopped or killed listens no more; it is not for its workers to complain about that.
    with suppress(BrokenPipeError):
        serve(sys.stdin.buffer, pipe)
