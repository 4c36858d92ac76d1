"""The audit log of a site: every request and every decision, on the disk before an answer leaves."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from medfl.chain import Chain
from medfl.errors import MedflError, StoreError
from medfl.messages import Refusal, Reply, Request, to_bytes
from medfl.spec.study import Study

log = logging.getLogger("medfl.site")
_LONGEST = 200
"""Characters that are logged of a word that came from elsewhere."""


class AuditLog(Chain):
    """The log in one folder of a site.

    Parameters
    ----------
    folder
        Where it is kept; made when first needed, readable by its owner only.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, without="nothing is answered", look="medfl site log --verify")


def note_refusal(folder: Path, request: Request, refusal: Refusal) -> None:
    """Write a refusal down that came about before anybody at the site's reception saw the request, or after.

    Parameters
    ----------
    folder
        Of the log.
    request, refusal
        What was asked, and the no.
    """
    try:
        AuditLog(folder).append(line_of(request, refusal, digest=_digest(request.study), dataset=""))
    except StoreError as error:
        # A refusal tells nothing of a table: it may leave without its line.
        log.error("%s", error)


def note_unread(folder: Path, body: bytes, error: MedflError) -> None:
    """Write down that something came that is no request, and was refused."""
    line = {"is": "request", "verdict": "refused", "code": error.code, "reasons": [error.complaints[0].what]}
    try:
        AuditLog(folder).append(line | {"asked": hashlib.sha256(body).hexdigest(), "received": len(body)})
    except StoreError as failed:
        # There is nothing of the site in that answer.
        log.error("%s", failed)


def line_of(request: Request, answer: Reply | Refusal, *, digest: str, dataset: str) -> dict[str, Any]:
    """Return what is logged of a request and its answer: names, reasons, sizes and hashes, and no number of a table."""
    body = to_bytes(answer)
    line: dict[str, Any] = {
        "is": "request",
        "verdict": "answered" if isinstance(answer, Reply) else "refused",
        "study": _name(request.study)[:_LONGEST],
        "digest": digest,
        "dataset": dataset,
        "run": request.run[:_LONGEST],
        "round": request.round,
        "task": request.task,
        "asked": hashlib.sha256(to_bytes(request)).hexdigest(),
        "said": hashlib.sha256(body).hexdigest(),
        "bytes": len(body),
    }
    if isinstance(answer, Reply):
        told = {"words": sorted(answer.content), "numbers": sorted(answer.arrays)}
        return line | told | {"held_back": list(answer.content.get("policy", ()))}
    reasons = [f"{one.where}: {one.what}" if one.where else one.what for one in answer.complaints]
    return line | {"code": answer.code, "reasons": reasons}


def _name(text: str) -> str:
    """Return what a study calls itself, also where it is none."""
    try:
        name = json.loads(text)["study"]["name"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return name if isinstance(name, str) else ""


def _digest(text: str) -> str:
    """Return the digest of a study, where it is one."""
    try:
        return Study.model_validate_json(text).digest
    except ValidationError:
        return ""
