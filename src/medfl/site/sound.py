"""Whether a request can be what it says: the hub's words are checked against the study that they belong to.

Whoever sends a request may write anything into it: a billion bootstrap samples, a threshold beside the scale, a bin for
each patient. What a study may ask for is bounded by its language; what a request asks for, by its study.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from medfl.errors import Complaint, WireError
from medfl.messages import Request
from medfl.spec.study import Study


def require_sound(request: Request, study: Study) -> None:
    """Refuse a request that asks for more, or for other things, than its study.

    Raises
    ------
    WireError
        With all that is wrong.
    """
    complaints = [
        Complaint(f"a request says something of {what} that its study does not", request.task, "", _REMEDY)
        for what, is_sound in _checks(request, study)
        if not is_sound
    ]
    if complaints:
        raise WireError.of(complaints)


MOST_ROUNDS = 1_000_000
_REMEDY = "check that hub and sites run the same version of MEDfl"


def _checks(request: Request, study: Study) -> Iterator[tuple[str, bool]]:
    """Yield what is looked at, and whether it is as it should be."""
    content = request.content
    yield "the round", 0 <= request.round <= study.algorithm.rounds
    # A baseline's one exchange stands for all rounds of another study, so that only their number can be looked at.
    yield "the number of rounds", _whole(content.get("rounds", 1), most=MOST_ROUNDS, least=1)
    yield "preprocessing", _bins(content.get("recipe"), study.preprocess.median_bins)
    yield "numbers", all(np.isfinite(array).all() for array in request.arrays.values() if array.dtype.kind in "fc")
    if "judge" in content:
        how = content["judge"]
        yield "judging", isinstance(how, Mapping) and _judged(how, study)


def _judged(how: Mapping[str, Any], study: Study) -> bool:
    asked, importance = study.evaluation, study.evaluation.importance
    threshold = how.get("threshold")
    return (
        _whole(how.get("samples"), most=asked.bootstrap)
        and isinstance(how.get("brief"), bool)
        and (threshold is None or (isinstance(threshold, float) and 0.0 < threshold < 1.0))
        and _whole(how.get("importance", 0), most=importance.repeats if importance is not None else 0)
        and (not how.get("subgroups") or asked.subgroups is not None)
    )


def _bins(recipe: object, most: int) -> bool:
    return not isinstance(recipe, Mapping) or _whole(recipe.get("bins", 1), most=most)


def _whole(value: object, *, most: int, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
