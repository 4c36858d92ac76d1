"""A process that answers for some sites of a simulation: requests on standard input, answers on standard output."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import BinaryIO

from medfl.errors import MedflError, SiteError
from medfl.messages import Refusal, Reply, Request, from_bytes, read_frame, to_bytes, write_frame
from medfl.site.answer import Site
from medfl.site.sources import Sources
from medfl.spec.study import Study


def opening(study: Study, sources: Sources) -> bytes:
    """Return the first message of a worker's pipe: which study, and where its tables are."""
    return json.dumps({"study": study.canonical, "base": str(sources.base), "vaults": str(sources.vaults)}).encode()


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the pipe is closed."""
    first = read_frame(requests)
    if first is None:
        return
    words = json.loads(first)
    study = Study.model_validate_json(words["study"])
    sources = Sources(Path(words["base"]), Path(words["vaults"]))
    sites: dict[str, Site] = {}
    while (body := read_frame(requests)) is not None:
        request = from_bytes(body)
        if not isinstance(request, Request):
            raise SiteError("a worker was sent something that is not a request")
        write_frame(answers, to_bytes(_answer(request, study, sources, sites)))


def _answer(request: Request, study: Study, sources: Sources, sites: dict[str, Site]) -> Reply | Refusal:
    """Open the sites with the first request, so that what is wrong with the tables is an answer too."""
    try:
        if not sites:
            sites.update(sources.sites(study))
    except MedflError as error:
        return Refusal(request=request.id, site=request.site, code=error.code, complaints=error.complaints)
    return sites[request.site].answer(request)


if __name__ == "__main__":
    # Nothing but answers may reach the pipe: whatever else prints goes to standard error.
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, pipe)
