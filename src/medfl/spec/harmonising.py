"""How a site's table is read where it names a column otherwise, or writes it in another unit or with other codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

from pydantic import Field, model_validator

from medfl.spec.part import FrozenDict, Part, Table

MOST_CODES = 1000


class Translation(Part):
    """How one column of the study is read at one site: its name there first, then its codes, or its unit."""

    called: str | None = Field(default=None, min_length=1)
    """What the column is called in the site's table, where that is another name."""
    factor: float | None = None
    """What a number there is multiplied by, such as 18.016 for glucose in mmol/L that the study has in mg/dL."""
    offset: float | None = None
    """What is added after that, such as −17.78 with the factor 0.5556 for °F that the study has in °C."""
    unit: str | None = Field(default=None, min_length=1)
    """Unit there, as text; for the reader."""
    codes: Table[str] | None = Field(default=None, min_length=1, max_length=MOST_CODES)
    """What stands for each code there, such as { M = "male" }; an empty text means missing; other codes stay."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.called is None and self.factor is None and self.offset is None and self.codes is None:
            raise ValueError(
                "called, factor, offset and codes are all left out: give what differs, or leave the column out"
            )
        if self.factor == 0.0:
            raise ValueError("factor = 0 would make all values one: write what a number there is multiplied by")
        if self.codes is not None and self.is_scaled:
            raise ValueError("codes and factor or offset exclude each other: a column has codes or quantities")
        return self

    @property
    def is_scaled(self) -> bool:
        """Whether numbers are converted."""
        return self.factor is not None or self.offset is not None

    @property
    def slope(self) -> float:
        """What a number is multiplied by; 1 where nothing is said."""
        return 1.0 if self.factor is None else self.factor

    @property
    def intercept(self) -> float:
        """What is added after that; 0 where nothing is said."""
        return 0.0 if self.offset is None else self.offset

    def converted(self, number: float) -> float:
        """Return a number there as the study has it."""
        return number * self.slope + self.intercept


class SiteColumns(Part):
    """How one site's columns are read."""

    columns: Table[Translation] = Field(default_factory=FrozenDict)
    """By the study's name of a column: what it is at the site."""

    @model_validator(mode="after")
    def _each_is_read_once(self) -> Self:
        names = [one.called for one in self.columns.values() if one.called is not None]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"columns reads {', '.join(twice)} twice: keep one of them")
        return self


def name_there(columns: Mapping[str, Translation], name: str) -> str:
    """Return what a column of the study is called in a site's table."""
    found = columns.get(name)
    return name if found is None or found.called is None else found.called


def sentences(harmonise: Mapping[str, SiteColumns], units: Mapping[str, str]) -> Iterator[str]:
    """Yield for each site, in a sentence without its full stop, how its columns are read.

    Parameters
    ----------
    harmonise
        What the study says, by site.
    units
        The study's own units, by column.
    """
    for site, table in sorted(harmonise.items()):
        said = [_said(name, one, units.get(name, "")) for name, one in table.columns.items()]
        if said:
            yield f"at {site}, {'; '.join(said)}"


def _said(name: str, one: Translation, unit: str) -> str:
    parts = [f"{name} is read from {one.called}" if one.called else f"{name} is converted"]
    if one.is_scaled or one.unit:
        times = [f"times {one.slope:.6g}"] if one.factor is not None else []
        plus = [f"{'plus' if one.intercept >= 0 else 'minus'} {abs(one.intercept):.6g}"] if one.offset else []
        there = [f"({one.unit} there{f', {unit} here' if unit else ''})"] if one.unit else []
        parts.append(" ".join([*([*times, *plus] or ["as it is"]), *there]))
    if one.codes:
        pairs = [f"{code} = {text or 'missing'}" for code, text in one.codes.items()]
        shown = pairs if len(pairs) <= 8 else [*pairs[:7], f"{len(pairs) - 7} more codes likewise"]
        parts.append(f"with {', '.join(shown)}")
    return ", ".join(parts)
