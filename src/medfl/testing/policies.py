"""Policies for tests: one that lets everything through and changes nothing, and what is laid over it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from medfl.site.remembered import Remembered
from medfl.site.rules import Detail, Rules, StatisticName
from medfl.site.written import Written
from medfl.spec.finding import toml

STATISTICS: tuple[str, ...] = get_args(StatisticName)
DETAILS: tuple[str, ...] = get_args(Detail)
OPEN: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "accepts": {"studies": "any", "models": "any", "algorithms": "any", "columns": "any", "minimum_rows": 2},
        "requires": {"secure_aggregation": False},
        "releases": {
            "statistics": STATISTICS,
            "details": DETAILS,
            "metrics": "any",
            "ranges": "exact",
            "categories": "all",
            "errors": "details",
        },
        "counts": {"minimum": 1, "minimum_test_rows": 1, "minimum_difference": 1},
    }
)
"""Lets everything through, and changes nothing."""


def rules(*laid: Mapping[str, Mapping[str, Any]]) -> Rules:
    """Return the open rules with others laid over them, table by table."""
    whole: dict[str, dict[str, Any]] = {name: dict(part) for name, part in OPEN.items()}
    for change in laid:
        for name, part in change.items():
            whole[name] = {**whole.get(name, {}), **part}
    return Rules.model_validate(whole)


def text() -> str:
    """Return the open policy as the text of a file."""
    tables = (f"[{name}]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in part.items()) for name, part in OPEN.items())
    return "version = 1\n" + "".join(tables)


def written(folder: Path, *laid: Mapping[str, Mapping[str, Any]]) -> Written:
    """Return such a policy, with its memory in a folder."""
    return Written(rules(*laid), Remembered(folder / "memory"))
