"""Makes a study of plain data, and finds all that is wrong with it rather than the first thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from medfl.errors import Complaint, MedflError, SpecError
from medfl.spec.finding import Finding, key_text, toml, value_at
from medfl.spec.lines import KeyPath, nearest
from medfl.spec.part import frozen
from medfl.spec.study import Study
from medfl.spec.wording import DROP, Slip, slips

MENDINGS = 32
"""How often a study is mended before what else may be wrong with it is left unsaid."""


def examined(data: Mapping[str, object]) -> tuple[Study | None, list[Finding]]:
    """Validate data; mend what is wrong and validate again, until all that is wrong has been seen.

    Returns
    -------
    study
        The study, mended where something was found; None where it could not be.
    findings
        What is wrong, each key once; nothing is said of what lies inside a key that is wrong itself.
    """
    found: dict[KeyPath, Finding] = {}
    for _ in range(MENDINGS):
        try:
            return Study.model_validate(frozen(data), strict=True), list(found.values())
        except ValidationError as error:
            seen = slips(error, data)
        for slip in seen:
            path = slip.finding.path
            if not any(path[:length] in found for length in range(1, len(path) + 1)):
                found[path] = slip.finding
        mended = _mended(data, seen)
        if mended == data:
            break
        data = mended
    return None, list(found.values())


def refusal(
    found: Sequence[Finding],
    data: Mapping[str, object],
    *,
    source: str = "",
    lines: Mapping[KeyPath, int] | None = None,
) -> MedflError:
    """Return one error that tells every finding (at least one), in the order of their lines.

    Parameters
    ----------
    found
        What is wrong.
    data
        The study as it was written.
    source
        What the text is called; empty where there is none.
    lines
        The line of each key.
    """
    placed = [(nearest(finding.path, lines or {}), finding) for finding in found]
    placed.sort(key=lambda item: item[0] or 0)
    places = [f"{source}:{line}" if line and source else source for line, _ in placed]
    return SpecError.of(
        [_complaint(finding, data, place=place) for place, (_, finding) in zip(places, placed, strict=True)]
    )


def _complaint(finding: Finding, data: Mapping[str, object], *, place: str) -> Complaint:
    path, parent = finding.path, value_at(data, finding.path[:-1])
    if isinstance(parent, str):  # a kind that was written in place of its table
        path = path[:-1]
    value = value_at(data, path)
    received = "" if value is None or isinstance(value, Mapping) else toml(value)
    return Complaint(finding.what, f"{place} {key_text(path, data)}".strip(), received, finding.remedy)


def _mended(data: Mapping[str, object], seen: Sequence[Slip]) -> dict[str, object]:
    """Return the data without what is wrong, or with something plausible in its place."""
    mended = {key: _loose(value) for key, value in data.items()}
    for slip in seen:
        at = slip.at
        while at and isinstance(at[-1], int):
            at = at[:-1]
        table = value_at(mended, at[:-1]) if at else None
        if not isinstance(table, dict):
            continue
        if slip.instead is DROP:
            table.pop(at[-1], None)
        else:
            table[at[-1]] = slip.instead
    return mended


def _loose(value: object) -> object:
    """Return a copy that can be changed."""
    if isinstance(value, Mapping):
        return {key: _loose(inner) for key, inner in value.items()}
    return [_loose(inner) for inner in value] if isinstance(value, list | tuple) else value
