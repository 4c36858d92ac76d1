"""Changes to how a site's columns are read, in a study's text: a repair that is accepted, or a key that is typed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, TypeAlias

import tomlkit
from tomlkit.container import Container
from tomlkit.items import Item

from medfl.errors import PlanError
from medfl.hub.pages.design.editing import table_at, tomlkit_of
from medfl.spec.checks import SITE

Words: TypeAlias = dict[str, Any]
KEYS = ("called", "factor", "offset", "unit", "codes")


def repaired(text: str, site: str, column: str, keys: Mapping[str, Any]) -> str:
    """Return the text with a column of a site read as these keys say.

    Raises
    ------
    PlanError
        If the text is no TOML, or has something else there.
    """
    return _set(text, site, column, lambda _: keys)


def read_otherwise(text: str, site: str, column: str, *, key: str, value: str) -> str:
    """Return the text with one key of how a column is read set to what a field says; an empty field leaves it out.

    A column of which nothing is said any more is left out, and so is its site.

    Raises
    ------
    PlanError
        If the text is no TOML, or there is no such key.
    """
    if key not in KEYS:
        raise PlanError("there is no such key", received=key[:40], remedy=f"choose one of {', '.join(KEYS)}")
    meant = _meant(key, value.strip())
    return _set(text, site, column, lambda said: {**said, key: meant})


def as_it_is(text: str, site: str, column: str) -> str:
    """Return the text with a column read as it is.

    Raises
    ------
    PlanError
        If the text is no TOML.
    """
    return _set(text, site, column, lambda _: {})


def with_site(text: str, site: str, table: str) -> str:
    """Return a study's text with a site and its table or data set; rows are not dealt out any more.

    Raises
    ------
    PlanError
        If a site cannot be called so, or the text is no TOML.
    """
    if not SITE.fullmatch(site):
        raise PlanError(
            "a site cannot be called so", received=site[:80], remedy="use letters, digits, dots, dashes and underscores"
        )
    document = tomlkit_of(text)
    table_at(document, ("data", "sites"), make=True)[site] = table
    table_at(document, ("data",), make=True).pop("simulate", None)
    return tomlkit.dumps(document)


def without_site(text: str, site: str) -> str:
    """Return a study's text without a site: without its table, how it is read, and what else is said of it by name.

    Raises
    ------
    PlanError
        If the text is no TOML.
    """
    document = tomlkit_of(text)
    for table in (("data", "sites"), ("data", "harmonise"), ("evaluation", "test_ids")):
        named = table_at(document, table, make=False)
        named.pop(site, None)
        if not named:
            table_at(document, table[:-1], make=False).pop(table[-1], None)
    return tomlkit.dumps(document)


def without_column(text: str, column: str, *, every: Iterable[str], target: str) -> str:
    """Return a study's text that learns from all columns that it learned from but one.

    Parameters
    ----------
    text
        The study.
    column
        Which.
    every
        All columns of its tables, for a study that learns from all.
    target
        The outcome, which is never learned from.

    Raises
    ------
    PlanError
        If nothing would be left to learn from, or the text is no TOML.
    """
    document = tomlkit_of(text)
    data = table_at(document, ("data",), make=True)
    left = [name for name in (data.get("features") or every) if name not in (column, target)]
    if not left:
        raise PlanError(
            "nothing would be left to learn from", received=column, remedy="choose another column to learn from first"
        )
    data["features"] = left
    return tomlkit.dumps(document)


def _set(text: str, site: str, column: str, change: Callable[[Words], Mapping[str, Any]]) -> str:
    """Write all of ``data.harmonise`` anew, a line a column: tables that were begun otherwise cannot be added to."""
    document = tomlkit_of(text)
    data = table_at(document, ("data",), make=True)
    sites = _plain(data.get("harmonise", {}))
    columns: Words = _plain(_plain(sites.get(site, {})).get("columns", {}))
    said = change(_plain(columns.get(column, {})))
    columns[column] = {key: value for key, value in said.items() if value not in (None, {})}
    sites[site] = {"columns": {name: one for name, one in columns.items() if one}}
    sites = {name: one for name, one in sites.items() if _plain(one).get("columns")}
    data.pop("harmonise", None)
    if sites:
        data["harmonise"] = _table(sites)
    return tomlkit.dumps(document)


def _table(sites: Words) -> tomlkit.items.Table:
    table = tomlkit.table(is_super_table=True)
    for site, one in sites.items():
        columns = tomlkit.table()
        for column, said in one["columns"].items():
            columns.append(column, _inline(said) if isinstance(said, Mapping) else said)
        inner = tomlkit.table(is_super_table=True)
        inner.append("columns", columns)
        table.append(site, inner)
    return table


def _plain(value: object) -> Words:
    """Return a table as plain values; an empty one where something else stands."""
    found = value.unwrap() if isinstance(value, Item | Container) else value
    return dict(found) if isinstance(found, Mapping) else {}


def _inline(keys: Mapping[str, Any]) -> MutableMapping[str, Any]:
    table = tomlkit.inline_table()
    for key, value in keys.items():
        table.append(key, _inline(value) if isinstance(value, Mapping) else value)
    return table


def _meant(key: str, value: str) -> Any:
    """Return what a field's text means; what cannot be meant stays text, for the study's own complaint."""
    if not value:
        return None
    if key == "codes":
        pairs = (line.partition("=") for line in value.splitlines() if line.strip())
        return {code.strip(): text.strip() for code, _, text in pairs}
    if key in ("factor", "offset"):
        with suppress(ValueError):
            return float(value.replace(",", "."))
    return value
