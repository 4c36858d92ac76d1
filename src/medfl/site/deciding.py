"""What a site tells its hub of the studies that it was asked about: waits, approved, or refused and why."""

from __future__ import annotations

import logging
from contextlib import suppress

from medfl.channel import DECISIONS
from medfl.errors import MedflError
from medfl.site.approvals import Approvals
from medfl.site.place import Place

log = logging.getLogger("medfl.site")


class Deciding:
    """Tells what was decided on studies, whenever that may have changed: the same that a request would be answered.

    Parameters
    ----------
    place
        The site's folder.
    """

    def __init__(self, place: Place) -> None:
        self._place, self._known = place, 0

    def __call__(self) -> dict[str, dict[str, str]] | None:
        """Return the verdicts by the studies' digests, the newest last; nothing where none has changed since."""
        now = self._changed()
        if now == self._known:
            return None
        try:
            every = Approvals(self._place).all()
        except MedflError as error:
            log.warning("the hub is not told what was decided on studies: %s", " ".join(str(error).split()))
            return None
        self._known = now
        newest = sorted(every.items(), key=lambda one: one[1].decided or one[1].asked)[-DECISIONS:]
        return {digest: {"verdict": one.verdict, "reason": one.reason} for digest, one in newest}

    def _changed(self) -> int:
        """Return when a decision was last written: each is a file that takes the place of the one before."""
        with suppress(OSError):
            return self._place.studies.stat().st_mtime_ns
        return 0
