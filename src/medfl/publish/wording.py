"""How numbers and names are written, the same in every table, sentence and figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import floor, log10

from medfl.errors import DivergedError
from medfl.spec.metrics import METRICS, Metric
from medfl.store.comparison import ROUNDING, Estimate
from medfl.store.views import RunView

NOT_DEFINED = "not defined"
_MINUS = "−"
NUMBERS = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
"""Small counts as words."""


def metric_of(name: str) -> Metric:
    """Return what is known of a metric; one that a later version added is shown under its own name."""
    return METRICS.get(name) or Metric(name, "", low=None, high=None, ideal=None)


def label(name: str) -> str:
    """Return a metric's name as the field writes it."""
    return metric_of(name).label


def in_sentence(name: str) -> str:
    """Return a metric's name inside a sentence: abbreviations stay, words lose their capital."""
    text = label(name)
    return text if text[:2].isupper() or not text[1:2].islower() else text[0].lower() + text[1:]


def number(value: float | None, *, metric: str = "") -> str:
    """Return three decimals for what lies between 0 and 1, four significant digits for a quantity with a unit."""
    if value is None:
        return NOT_DEFINED
    text = significant(value) if metric and metric_of(metric).unit else f"{value:.3f}"
    return "0" + text[2:] if text.strip("-0.") == "" and text.startswith("-0") else text.replace("-", _MINUS)


def significant(value: float, digits: int = 4) -> str:
    """Return a quantity of any size with so many significant digits, without an exponent where it can be read so."""
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e7:
        return f"{value:.{digits - 1}e}".replace("-", _MINUS)
    decimals = max(digits - 1 - floor(log10(abs(value))), 0)
    return f"{value:,.{decimals}f}".replace(",", "\u202f").replace("-", _MINUS)


def interval(low: float, high: float, *, metric: str = "") -> str:
    """Return "0.901–0.958"; with "to" where a minus sign would be read as a dash."""
    dash = " to " if low < 0 or high < 0 else "–"
    return f"{number(low, metric=metric)}{dash}{number(high, metric=metric)}"


EQUAL = "the repeats are equal"
"""What is said where an interval would be two times one number."""


def are_equal(estimate: Estimate) -> bool:
    """Say whether all repeats gave the same number, so that an interval over them would have no width."""
    if estimate.how != "t over repeats" or estimate.low is None or estimate.high is None:
        return False
    return estimate.high - estimate.low <= ROUNDING * max(abs(estimate.mean), 1.0)


def in_brackets(estimate: Estimate, *, metric: str = "") -> str:
    """Return the 95 % interval of a metric, that the repeats are equal, or nothing where there is none."""
    if are_equal(estimate):
        return EQUAL
    limits = limits_of(estimate, metric=metric)
    return interval(*limits, metric=metric) if limits else ""


def with_interval(estimate: Estimate | None, *, metric: str = "") -> str:
    """Return "0.932 (0.901–0.958)"; the number alone where there is no interval."""
    if estimate is None:
        return NOT_DEFINED
    text, behind = number(estimate.mean, metric=metric), in_brackets(estimate, metric=metric)
    return f"{text} ({behind})" if behind else text


def difference(estimate: Estimate | None, *, metric: str = "") -> str:
    """Return a difference in a metric with its interval, which the metric's own range does not bound."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return number(estimate.mean if estimate else None, metric=metric)
    if are_equal(estimate):
        return f"{number(estimate.mean, metric=metric)} ({EQUAL})"
    return f"{number(estimate.mean, metric=metric)} ({interval(estimate.low, estimate.high, metric=metric)})"


def bounded(estimate: Estimate, *, metric: str) -> Estimate:
    """Return an estimate whose interval ends where the metric does: a t-interval does not know that AUC ends at 1."""
    if estimate.low is None or estimate.high is None:
        return estimate
    known = metric_of(metric)
    low = estimate.low if known.low is None else max(estimate.low, known.low)
    high = estimate.high if known.high is None else min(estimate.high, known.high)
    return replace(estimate, low=low, high=high)


def limits_of(estimate: Estimate, *, metric: str = "") -> tuple[float, float] | None:
    """Return the ends of an interval, inside what the metric can be."""
    inside = bounded(estimate, metric=metric)
    return None if inside.low is None or inside.high is None else (inside.low, inside.high)


def p_value(p: float | None) -> str:
    """Return "p = 0.031", "p < 0.001", or nothing."""
    if p is None:
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def percent(part: float) -> str:
    """Return a share as a percentage with one decimal where it has one, 0.085 as "8.5 %"."""
    return f"{100 * part:.1f}".removesuffix(".0") + " %"


def whole(value: int) -> str:
    """Return an integer with thin spaces between thousands."""
    return f"{value:,}".replace(",", "\u202f")


def counted(value: int, noun: str, plural: str = "") -> str:
    """Return "one hospital", "four hospitals", "100 hospitals"."""
    word = NUMBERS[value] if 0 <= value < len(NUMBERS) else whole(value)
    return f"{word} {noun if value == 1 else plural or noun + 's'}"


def listed(words: Iterable[str], *, at_most: int = 12) -> str:
    """Return "a, b and c"; of a long list, its beginning and how many more there are."""
    every = list(words)
    shown = every if len(every) <= at_most else [*every[: at_most - 1], f"{whole(len(every) - at_most + 1)} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""


def sentence(text: str) -> str:
    """Return the text with a capital in front and a full stop at its end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", ":")) else ".")


def size(count: float) -> str:
    """Return bytes in the unit a reader expects, e.g. "1.2 MB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{whole(round(count))} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return ""


def duration(seconds: float) -> str:
    """Return a time span as "23 ms", "0.4 s", "12 s", "3 min 05 s" or "2 h 10 min"."""
    if seconds < 0.0995:
        return f"{max(seconds * 1000, 0):.0f} ms" if seconds >= 0.0005 else "less than 1 ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def moment(at: str | None) -> str:
    """Return an ISO 8601 time as "2 January 2025, 03:04 UTC"."""
    if not at:
        return "–"
    when = datetime.fromisoformat(at)
    when = when.astimezone(UTC) if when.tzinfo else when
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def shortened(name: str, length: int = 24) -> str:
    """Return a long name with an ellipsis in its middle, where both ends tell it apart."""
    if len(name) <= length:
        return name
    head = (length - 1 + 1) // 2
    return f"{name[:head]}…{name[len(name) - (length - 1 - head) :]}"


def spread(values: Sequence[float]) -> str:
    """Return the range of some counts as "12 to 430"; one number where all are equal."""
    low, high = round(min(values)), round(max(values))
    return whole(low) if low == high else f"{whole(low)} to {whole(high)}"


def next_step(run: RunView) -> tuple[str, str]:
    """Return what to do about a run that did not come to its end, and the command for it.

    A run that diverged would diverge again.
    """
    if run.error is None or run.error.code != DivergedError.code:
        return "go on", f"medfl resume {run.run}"
    if run.model:
        return "take its last good model", f"medfl export {run.run}"
    return "change the study and start anew", "medfl run STUDY.toml"
