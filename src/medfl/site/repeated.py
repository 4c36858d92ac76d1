"""An answer that a site gave goes out once more: only while its study is approved still, and with a line in the log."""

from __future__ import annotations

from pydantic import ValidationError

from medfl.errors import RefusedError, WireError
from medfl.messages import Request, from_bytes
from medfl.site.approvals import Approvals
from medfl.site.audit import AuditLog, line_of
from medfl.site.place import Place
from medfl.spec.study import Study


def note_repeated(place: Place, request: Request, given: bytes) -> None:
    """Write down that an answer goes out once more.

    Parameters
    ----------
    place
        The site's folder.
    request
        What is asked again.
    given
        What was answered.

    Raises
    ------
    RefusedError
        If the site's people have refused the study meanwhile.
    WireError
        If what was kept is no answer.
    StoreError
        If the line cannot be written; then nothing may leave.
    """
    answer = from_bytes(given)
    if isinstance(answer, Request):
        raise WireError("what was kept as an answer is none")
    try:
        digest = Study.model_validate_json(request.study).digest
    except ValidationError:
        raise WireError("a request brings a study that is none") from None
    asked = Approvals(place).find(digest)
    if asked is None or asked.verdict == "refused":
        because = f": {asked.reason}" if asked is not None and asked.reason else ""
        raise RefusedError(f"the site's people have refused this study{because}", where=f"study {digest[:12]}")
    line = line_of(request, answer, digest=digest, dataset=asked.dataset)
    AuditLog(place.log).append(line | {"verdict": "repeated"})
