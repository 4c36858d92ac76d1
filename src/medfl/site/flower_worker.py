"""A process that answers for one site of a rehearsed deployment, over Flower's SuperLink."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import BinaryIO

from medfl.errors import SiteError
from medfl.messages import Refusal, Reply, Request, read_frame
from medfl.run.flower.orphans import end_with
from medfl.run.flower.rehearsal import serve_as_told
from medfl.site.answer import Site
from medfl.site.log import logged
from medfl.site.worker import answered


def serve(pipe: BinaryIO) -> None:
    """Read what this process is to be, and be that until the pipe is closed."""
    first = read_frame(pipe)
    if first is None:
        return
    words = json.loads(first)
    me = words["flower"]["site"]
    sites: dict[str, Site] = {}

    def answer(request: Request) -> Reply | Refusal:
        if request.site != me:
            raise SiteError("a request for another site was delivered here", received=repr(request.site[:80]))
        return answered(request, words, sites)

    end_with(pipe)
    with logged(Path(words["vaults"])):
        serve_as_told(words, answer)


if __name__ == "__main__":
    serve(sys.stdin.buffer)
