"""Where a site's log goes: a trace may hold what no error may, so it is for the site's own people only."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from medfl.private import PrivateLog

NAME = "site.log"


@contextmanager
def logged(folder: Path | None) -> Iterator[Path | None]:
    """Write what sites log into a file of this folder, which is given back, and nowhere else; nowhere where None."""
    log = logging.getLogger(__package__)
    handler: logging.Handler = logging.NullHandler()
    if folder is not None:
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handler = PrivateLog(folder / NAME, delay=True, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    before, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield None if folder is None else folder / NAME
    finally:
        log.removeHandler(handler)
        log.propagate = before
        handler.close()
