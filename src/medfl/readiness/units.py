"""Factors between the units that clinical quantities are written in, and which of them two ranges look like.

The factors are the usual ones of clinical chemistry, from the molar masses of the substances (glucose 180.16 g/mol,
cholesterol 386.7, creatinine 113.1, …); HbA1c by the master equation of NGSP and IFCC (Hoelzel et al. 2004).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import permutations

ALIKE = math.log(1.6)
"""Ranges whose middles differ less than this may be of one unit."""
UNLIKE, FAR = math.log(1.8), math.log(3.0)
"""From here on they are looked at: where the quantity is known, and where it is not."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity and its units.

    Parameters
    ----------
    words
        What names of its columns have in them.
    units
        Factor and offset that make the first unit of each.
    """

    words: tuple[str, ...]
    units: Mapping[str, tuple[float, float]] = field(default_factory=dict)


QUANTITIES = (
    Quantity(("hba1c", "a1c"), {"%": (1.0, 0.0), "mmol/mol": (0.09148, 2.152)}),
    Quantity(("gluc", "glu", "glyc", "sugar"), {"mg/dL": (1.0, 0.0), "mmol/L": (18.016, 0.0), "g/L": (100.0, 0.0)}),
    Quantity(("chol", "ldl", "hdl"), {"mg/dL": (1.0, 0.0), "mmol/L": (38.67, 0.0), "g/L": (100.0, 0.0)}),
    Quantity(("trigly", "tg"), {"mg/dL": (1.0, 0.0), "mmol/L": (88.57, 0.0)}),
    Quantity(("creat", "crea"), {"mg/dL": (1.0, 0.0), "µmol/L": (1 / 88.42, 0.0)}),
    Quantity(("bun", "urea"), {"mg/dL": (1.0, 0.0), "mmol/L": (2.801, 0.0)}),
    Quantity(("bili",), {"mg/dL": (1.0, 0.0), "µmol/L": (1 / 17.1, 0.0)}),
    Quantity(("calcium",), {"mg/dL": (1.0, 0.0), "mmol/L": (4.008, 0.0)}),
    Quantity(("uric", "urate"), {"mg/dL": (1.0, 0.0), "µmol/L": (1 / 59.48, 0.0)}),
    Quantity(("hemoglobin", "haemoglobin", "hgb"), {"g/dL": (1.0, 0.0), "g/L": (0.1, 0.0), "mmol/L": (1.611, 0.0)}),
    Quantity(("albumin",), {"g/dL": (1.0, 0.0), "g/L": (0.1, 0.0)}),
    Quantity(("temp",), {"°C": (1.0, 0.0), "°F": (5 / 9, -160 / 9)}),
    Quantity(("bp", "systol", "diastol", "pressure"), {"mmHg": (1.0, 0.0), "kPa": (7.50062, 0.0), "cmHg": (10.0, 0.0)}),
    Quantity(("weight", "wt", "mass"), {"kg": (1.0, 0.0), "lb": (0.453592, 0.0), "g": (0.001, 0.0)}),
    Quantity(("height", "length", "stature"), {"cm": (1.0, 0.0), "m": (100.0, 0.0), "in": (2.54, 0.0)}),
    Quantity(("age",), {"years": (1.0, 0.0), "months": (1 / 12, 0.0), "days": (1 / 365.25, 0.0)}),
    Quantity((), {"kg": (1.0, 0.0), "g": (0.001, 0.0), "mg": (1e-6, 0.0), "lb": (0.453592, 0.0)}),
    Quantity((), {"cm": (1.0, 0.0), "m": (100.0, 0.0), "mm": (0.1, 0.0), "in": (2.54, 0.0)}),
    Quantity((), {"%": (1.0, 0.0), "fraction": (100.0, 0.0)}),
)
TENS = (10.0, 100.0, 1000.0, 0.1, 0.01, 0.001)


@dataclass(frozen=True, slots=True)
class Scale:
    """A conversion.

    Parameters
    ----------
    factor, offset
        What a number is multiplied by, and what is added then.
    there, here
        The units, where they are known.
    """

    factor: float
    offset: float = 0.0
    there: str = ""
    here: str = ""


def same_unit(first: str, second: str) -> bool:
    """Say whether two units are spelled alike, but for capitals, spaces and signs that are written either way."""
    return _plain(first) == _plain(second)


def between(name: str, there: str, here: str) -> Scale | None:
    """Return what makes one unit of a column another; None where that is not known."""
    for quantity in (*_of(name), *(one for one in QUANTITIES if not one.words)):
        known = {_plain(unit): unit for unit in quantity.units}
        if _plain(there) in known and _plain(here) in known:
            return _scale(quantity, known[_plain(there)], known[_plain(here)])
    return None


def by_range(
    name: str, there: tuple[float, float], here: tuple[float, float], *, unit: str = ""
) -> tuple[bool, Scale | None]:
    """Say whether two ranges of a column are unlike each other, and which conversion would bring them together.

    Parameters
    ----------
    name
        The column.
    there, here
        Smallest and largest value.
    unit
        Unit here, where it is known.
    """
    known = list(_of(name))
    apart = _apart(there, here)
    if apart is None or apart < (UNLIKE if known else FAR):
        return False, None
    scales = [scale for quantity in known for scale in _scales(quantity, unit)]
    scales += [Scale(by) for by in TENS] if apart > FAR else []
    fitting = [(found, scale) for scale in scales if (found := _apart(_moved(there, scale), here)) is not None]
    # A quantity's own factor goes before a power of ten that fits no better.
    close = [(found + (0.0 if scale.there else 0.2), place) for place, (found, scale) in enumerate(fitting)]
    best = min(close, default=None)
    if best is None or fitting[best[1]][0] > ALIKE:
        return apart > math.log(10.0), None
    return True, fitting[best[1]][1]


def _of(name: str) -> Iterator[Quantity]:
    """Yield the quantities that a column may be, by its name."""
    plain = re.sub(r"[^a-z0-9]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold())
    for quantity in QUANTITIES:
        if any(f" {word}" in f" {plain}" or (len(word) > 4 and word in plain) for word in quantity.words):
            yield quantity


def _scales(quantity: Quantity, unit: str) -> Iterator[Scale]:
    for there, here in permutations(quantity.units, 2):
        if not unit or same_unit(here, unit):
            yield _scale(quantity, there, here)


def _scale(quantity: Quantity, there: str, here: str) -> Scale:
    (factor, offset), (by, plus) = quantity.units[there], quantity.units[here]
    return Scale(_short(factor / by), _short((offset - plus) / by), there, here)


def _short(number: float) -> float:
    return float(f"{number:.6g}")


def _apart(one: tuple[float, float], other: tuple[float, float]) -> float | None:
    """Return how far apart the middles of two ranges are, as a logarithm; None where it cannot be told.

    Of what may be negative, such as a difference, the middle says nothing about the unit.
    """
    middles = (one[0] + one[1]) / 2, (other[0] + other[1]) / 2
    if min(one[0], other[0]) < 0 or not all(0 < middle < math.inf for middle in middles):
        return None
    return abs(math.log(middles[0] / middles[1]))


def _moved(ends: tuple[float, float], scale: Scale) -> tuple[float, float]:
    return ends[0] * scale.factor + scale.offset, ends[1] * scale.factor + scale.offset


def _plain(unit: str) -> str:
    return re.sub(r"[\s°]", "", unit).casefold().replace("μ", "u").replace("µ", "u").replace("per", "/")
