"""The journal as a bundle keeps it: a line an event, each with the hash of the line before it, and nothing private.

Left out are the smallest and largest values of columns, and preprocessing that was fitted from them: somebody has them.
So is the place of the files on the machine that ran the study.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from medfl.errors import BundleError
from medfl.events import DataDescribed, DataPrepared, Event, RunFailed, RunPlanned, SiteFailed, from_json, to_json
from medfl.foreign import understood
from medfl.store.journal import Recorded
from medfl.store.views import RunView

NOTHING = "0" * 64
"""The hash before the first line."""
ELSEWHERE = "…"


def discreet(recorded: Recorded, run: RunView) -> Recorded:
    """Return an event of a run without a value that somebody has, and without where its files are."""
    return Recorded(recorded.seq, recorded.at, _discreet(recorded.event, run))


def scaled_by_ends(run: RunView) -> bool:
    """Say whether preprocessing needs the smallest and largest value of columns."""
    how = run.asked("preprocess")
    return how.get("scale") == "min-max" or any(
        str(how.get(key, "")).endswith("-per-site") for key in ("impute", "scale")
    )


def _discreet(event: Event, run: RunView) -> Event:
    match event:
        case RunPlanned():
            return replace(event, base="", address="")
        case DataDescribed():
            return replace(event, agreement=_without_ends(event.agreement))
        case DataPrepared() if scaled_by_ends(run):
            return replace(event, recipe={}, explained=())
        case RunFailed():
            return replace(event, message=_placeless(event.message, run))
        case SiteFailed():
            return replace(event, reason=_placeless(event.reason, run))
    return event


def _without_ends(value: Any) -> Any:
    """Return an agreement without the ends of any range, wherever in it they stand."""
    if isinstance(value, Mapping):
        return {key: None if key in ("minimum", "maximum") else _without_ends(inner) for key, inner in value.items()}
    return [_without_ends(inner) for inner in value] if isinstance(value, list | tuple) else value


def _placeless(text: str, run: RunView) -> str:
    return text.replace(run.base, ELSEWHERE) if len(run.base) > 1 else text


def written(events: Iterable[Recorded]) -> tuple[bytes, str]:
    """Return events as chained lines, and the hash of the last."""
    before, whole = NOTHING, []
    for one in events:
        kind = type(one.event).__name__
        line = {"seq": one.seq, "at": one.at, "run": one.event.run, "kind": kind, "body": to_json(one.event)}
        raw = json.dumps({**line, "before": before}, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        before = hashlib.sha256(raw).hexdigest()
        whole.append(raw + b"\n")
    return b"".join(whole), before


def read(body: bytes) -> tuple[tuple[Recorded, ...], str]:
    """Read chained lines, and return their events and the hash of the last.

    Raises
    ------
    BundleError
        If a line is none, or does not follow the one before it.
    """
    return tuple(_events(body)), _last(body)


def _events(body: bytes) -> Iterator[Recorded]:
    before = NOTHING
    for number, raw in enumerate(lines(body), start=1):
        try:
            line = understood(raw)
            follows = line["before"] == before
            event = from_json(str(line["kind"]), str(line["run"]), line["body"])
            place, at = int(line["seq"]), str(line["at"])
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise _broken(number, "it cannot be read") from error
        if not follows:
            raise _broken(number, "it does not follow the line before it: something was changed, taken out or put in")
        before = hashlib.sha256(raw).hexdigest()
        # A kind that only a newer version knows is passed over, as in any journal.
        if event is not None:
            yield Recorded(place, at, event)


def _last(body: bytes) -> str:
    whole = lines(body)
    return hashlib.sha256(whole[-1]).hexdigest() if whole else NOTHING


def lines(body: bytes) -> list[bytes]:
    """Return the lines of a journal."""
    return body.removesuffix(b"\n").split(b"\n") if body else []


def _broken(number: int, what: str) -> BundleError:
    return BundleError("the journal is not as it was written", where=f"journal.jsonl, line {number}", received=what)
