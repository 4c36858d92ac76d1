"""A site's part in secure aggregation: what it sends is masked; what it sends in clear, its study must allow."""

from __future__ import annotations

from dataclasses import replace

from medfl.errors import RefusedError
from medfl.messages import SECURE, SUMMED, Reply, Request, Task
from medfl.privacy.secure.member import Member
from medfl.spec.study import Study

PROTOCOL: frozenset[Task] = frozenset({"keys", "unmask"})
"""Tasks that are steps of secure aggregation and touch no row."""


def taken_part(member: Member, request: Request) -> Reply:
    """Sign a key for a run, or give back what undoes the masks of a sum."""
    said = request.content[SECURE]
    if request.task == "keys":
        return Reply(request=request.id, site=member.site, content={"key": member.hello(request.run, said["session"])})
    words, arrays = member.shares(said, request.arrays)
    return Reply(request=request.id, site=member.site, content={SECURE: words}, arrays=arrays)


def masked(member: Member, request: Request, reply: Reply) -> Reply:
    """Return a reply with its numbers under masks.

    Raises
    ------
    RefusedError
        If the hub's terms are about another sum than the request.
    """
    opening = request.content[SECURE]
    terms = opening["terms"]
    if (terms["run"], terms["round"], terms["task"]) != (request.run, request.round, request.sum):
        raise RefusedError(
            "the hub asks for one thing and would sum another",
            where=request.id,
            remedy="nothing was sent; tell whoever runs the hub",
        )
    words, arrays = member.masked(opening, reply.arrays, asked=request.subject)
    return replace(reply, content={**reply.content, SECURE: words}, arrays=arrays)


def require_seen(study: Study, reply: Reply, request: Request) -> None:
    """Refuse to send numbers in clear where the study promises that only sums are seen.

    Raises
    ------
    RefusedError
        If it does.
    """
    dp = study.privacy.dp
    shared_noise = dp is not None and not dp.within_sites and not dp.at_hub
    if (study.privacy.secure_aggregation or shared_noise) and request.task in SUMMED and reply.arrays:
        raise RefusedError(
            "the study says that secure aggregation hides what the site sends, and the hub asks for it in clear",
            where=request.id,
            remedy="nothing was sent; tell whoever runs the hub",
        )
