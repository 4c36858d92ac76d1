"""A site's part in secure aggregation: what it sends is masked; what it sends in clear, its study must allow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from medfl.errors import RefusedError, WireError
from medfl.messages import SECURE, SUMMED, Json, Reply, Request, Task
from medfl.privacy.secure.member import Member
from medfl.privacy.secure.terms import Terms
from medfl.spec.study import Study

PROTOCOL: frozenset[Task] = frozenset({"keys", "unmask"})
"""Tasks that are steps of secure aggregation and touch no row."""


def taken_part(member: Member, request: Request) -> Reply:
    """Sign a key for a run, or give back what undoes the masks of a sum."""
    said = _said(request)
    if request.task == "keys":
        session = said.get("session")
        if not isinstance(session, str):
            raise _unreadable(request, session)
        return Reply(request=request.id, site=member.site, content={"key": member.hello(request.run, session)})
    words, arrays = member.shares(said, request.arrays)
    return Reply(request=request.id, site=member.site, content={SECURE: words}, arrays=arrays)


def masked(member: Member, request: Request, reply: Reply) -> Reply:
    """Return a reply with its numbers under masks.

    Raises
    ------
    RefusedError
        If the hub's terms are about another sum than the request.
    MedflError
        If the hub's words are malformed, or the numbers cannot be summed.
    """
    opening = _said(request)
    terms = Terms.read(opening.get("terms"))
    if (terms.run, terms.round, terms.task) != (request.run, request.round, request.sum):
        raise RefusedError(
            "the hub asks for one thing and would sum another",
            where=request.id,
            remedy="nothing was sent; tell whoever runs the hub",
        )
    words, arrays = member.masked(opening, reply.arrays, asked=request.subject)
    return replace(reply, content={**reply.content, SECURE: words}, arrays=arrays)


def require_seen(study: Study, reply: Reply, request: Request, *, known: int | None) -> None:
    """Refuse to send numbers in clear where the study promises that only sums are seen.

    Parameters
    ----------
    study, reply, request
        What is asked, and what would be sent.
    known
        Sites that this one knows from enrolment; None where it has no identity. Where the study leaves secure
        aggregation open, that number decides: how many take part is the hub's word.

    Raises
    ------
    RefusedError
        If it does.
    """
    dp = study.privacy.dp
    shared_noise = dp is not None and not dp.within_sites and not dp.at_hub
    if (study.privacy.hides(known) or shared_noise) and request.task in SUMMED and reply.arrays:
        raise RefusedError(
            "the study says that secure aggregation hides what the site sends, and the hub asks for it in clear",
            where=request.id,
            remedy="nothing was sent; tell whoever runs the hub, or set secure_aggregation = false in [privacy] if "
            "every hospital agrees that the hub sees its updates",
        )


def _said(request: Request) -> Json:
    """Return what the hub says of secure aggregation; it may have written anything."""
    said = request.content.get(SECURE)
    if not isinstance(said, Mapping):
        raise _unreadable(request, said)
    return said


def _unreadable(request: Request, found: object) -> WireError:
    return WireError(
        "the hub's words on secure aggregation cannot be read",
        where=request.id,
        received=type(found).__name__,
        remedy="run the same version of MEDfl at hub and sites",
    )
