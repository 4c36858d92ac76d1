"""What every part of a study has in common: frozen, strict about keys, and written the same way each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Part(BaseModel):
    """A frozen piece of a study; an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


def tagged(key: str, default: str | None = None) -> BeforeValidator:
    """Let a choice be written by its name alone, ``"iid"`` for ``{kind = "iid"}``, or without a name where one is usual."""
    return BeforeValidator(_named(key, default))


def _named(key: str, default: str | None) -> Callable[[Any], Any]:
    def spell_out(value: Any) -> Any:
        if isinstance(value, str):
            return {key: value}
        if isinstance(value, dict) and key not in value and default is not None:
            return {key: default, **value}
        return value

    return spell_out
