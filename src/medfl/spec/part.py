"""What every part of a study has in common: frozen, strict about keys, and written the same way each time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NoReturn, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

V = TypeVar("V")


class FrozenDict(dict[str, V]):
    """A dictionary that stays as it is, so that a study is frozen all the way down."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a study does not change; build another one")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __deepcopy__(self, memo: object) -> FrozenDict[V]:
        return self


def frozen(value: Any) -> Any:
    """Return plain data with nothing in it that can be changed."""
    if isinstance(value, dict):
        return FrozenDict({key: frozen(inner) for key, inner in value.items()})
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


Table: TypeAlias = Annotated[dict[str, V], AfterValidator(frozen)]
"""A table whose keys the user names."""


class Part(BaseModel):
    """A frozen piece of a study; an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


def tagged(key: str, default: str | None = None) -> BeforeValidator:
    """Let a choice be written by its name alone, ``"iid"`` for ``{kind = "iid"}``; without one it is the default."""
    return BeforeValidator(Named(key, default))


@dataclass(frozen=True, slots=True)
class Named:
    """Spells a name out as the table that it stands for."""

    key: str
    default: str | None = None

    def __call__(self, value: Any) -> Any:
        """Return the table."""
        if isinstance(value, str):
            return {self.key: value}
        if isinstance(value, dict) and self.key not in value and self.default is not None:
            return {self.key: self.default, **value}
        return value
