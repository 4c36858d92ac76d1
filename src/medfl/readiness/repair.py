"""A repair: how one site's column could be read, to be written into the study by whoever agrees with it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from medfl.readiness.units import Scale
from medfl.spec.harmonising import Translation


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """How a column could be read; what is None or empty is as it is already.

    Parameters
    ----------
    site, column
        Whose, and the study's name of it.
    called
        What it is called in the table.
    scale
        What makes its numbers those of the study.
    codes
        What stands for its codes.
    """

    site: str
    column: str
    called: str = ""
    scale: Scale | None = None
    codes: Mapping[str, str] = field(default_factory=dict)

    def keys(self, before: Translation | None = None) -> dict[str, Any]:
        """Return it as keys of the study's language, on top of what is written there already of the same column."""
        before = None if self.called else before
        words: dict[str, Any] = {} if before is None else before.model_dump(mode="json", exclude_none=True)
        if self.called:
            words["called"] = self.called
        if self.scale is not None:
            slope, plus = (1.0, 0.0) if before is None else (before.slope, before.intercept)
            offset = plus * self.scale.factor + self.scale.offset
            words["factor"] = float(f"{slope * self.scale.factor:.6g}")
            words |= {"offset": float(f"{offset:.6g}")} if offset else {}
            words |= {"unit": self.scale.there} if self.scale.there and before is None else {}
        if self.codes:
            old: dict[str, str] = words.get("codes", {})
            words["codes"] = {code: self.codes.get(text, text) for code, text in old.items()} | {
                code: text for code, text in self.codes.items() if code not in old.values()
            }
        return words

    @property
    def toml(self) -> str:
        """The line that writes it."""
        return f"{_key(self.column)} = {_inline(self.keys())}"

    @property
    def table(self) -> str:
        """The table that the line belongs into."""
        return f"[data.harmonise.{_key(self.site)}.columns]"


def _inline(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(str(key))} = {_inline(inner)}" for key, inner in value.items()) + " }"
    return (
        f"{value:g}" if isinstance(value, float) and not value.is_integer() else json.dumps(value, ensure_ascii=False)
    )


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
