"""What a site may say in a reply besides its arrays: words that the hub can read, or a refusal that names the site.

A site that runs another version, or that lies, must not bring down the run's process, nor a page that is shown later.
What it says may still be untrue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic brings it, and wants it before Python 3.12

from medfl.errors import Complaint, WireError
from medfl.foreign import printable
from medfl.learn.data.schema import Schema
from medfl.messages import Refusal, Reply, Request

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=0, le=2**48)]
Text = Annotated[str, Field(strict=True)]


@with_config(ConfigDict(extra="allow"))
class _Rows(TypedDict):
    train_rows: Count
    test_rows: Count
    left_out: Count
    train_classes: dict[Text, Count]
    test_classes: dict[Text, Count]


@with_config(ConfigDict(extra="allow"))
class _Grouping(TypedDict):
    shown: list[Text]
    suppressed: list[Text]
    withheld: Annotated[bool, Field(strict=True)]


@with_config(ConfigDict(extra="allow"))
class _Spent(TypedDict):
    unit: NotRequired[Text]
    delta: NotRequired[Number]
    epsilon: NotRequired[Number | None]
    rows: NotRequired[Count]
    lines: NotRequired[Count]
    head: NotRequired[Text]


@with_config(ConfigDict(extra="allow"))
class _Words(TypedDict):
    schema: NotRequired[Schema]
    rows: NotRequired[_Rows]
    loss: NotRequired[Number | None]
    metrics: NotRequired[dict[Text, Number | None]]
    intervals: NotRequired[dict[Text, tuple[Number, Number]]]
    subgroups: NotRequired[dict[Text, _Grouping]]
    privacy: NotRequired[_Spent]
    policy: NotRequired[list[Text]]


_WORDS = TypeAdapter(_Words)


def understood(answer: Reply | Refusal, request: Request) -> Reply | Refusal:
    """Return an answer that can be read, or the refusal that stands for one that cannot."""
    return _readable(answer, request) if isinstance(answer, Reply) else _shown(answer)


def _shown(refusal: Refusal) -> Refusal:
    """Return a refusal as people can be shown it: what a site says steers nobody's terminal."""
    spoken = [Complaint(*map(printable, (one.what, one.where, one.received, one.remedy))) for one in refusal.complaints]
    return replace(refusal, code=printable(refusal.code), complaints=tuple(spoken))


def _readable(reply: Reply, request: Request) -> Reply | Refusal:
    try:
        _WORDS.validate_python(reply.content)
    except ValidationError as error:
        wrong = ", ".join(dict.fromkeys(".".join(map(str, one["loc"]))[:80] for one in error.errors()[:3]))
    else:
        wrong = ", ".join(name for name in _wanted(request) if name not in reply.content)
        if not wrong and (not isfinite(reply.seconds) or reply.seconds < 0):
            wrong = "seconds"
    return _unreadable(request, wrong) if wrong else reply


def _wanted(request: Request) -> tuple[str, ...]:
    """Return what a reply has to say."""
    judged: Mapping[str, Any] = request.content.get("judge", {})
    match request.task:
        case "describe":
            return ("schema",)
        case "prepare":
            return ("rows",)
        case "evaluate" if judged.get("subgroups") == "names":
            return ("subgroups",)
        case "evaluate":
            return ("metrics", "intervals", *(["subgroups"] if judged.get("subgroups") else []))
        case "alone" | "fine-tune":
            return ("metrics", "intervals")
        case "train":
            return ("metrics",) if judged else ()
        case "consider":
            return ("verdict",)
        case "keys" | "unmask" | "stopped":
            # A site that says no key, or no shares, is named by its peers or done without.
            return ()


def _unreadable(request: Request, wrong: str) -> Refusal:
    complaint = Complaint(
        f"the site's answer cannot be read at the stage {request.task!r}",
        received=f"nothing, or something else than is meant, under {wrong}",
        remedy="check that hub and site run the same version of MEDfl; if they do, ask the site's people",
    )
    return Refusal(request=request.id, site=request.site, code=WireError.code, complaints=(complaint,))
