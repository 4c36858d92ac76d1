"""One table dealt out to simulated sites."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medfl import seeds
from medfl.errors import DataError, did_you_mean, listed
from medfl.learn.data import cells
from medfl.learn.data.cells import Numbers
from medfl.spec.data import Dirichlet, Simulate

if TYPE_CHECKING:
    import pandas as pd

Rows = NDArray[np.int64]

_DRAWS = 1_000
"""How often Dirichlet proportions are drawn before giving up."""
_MOST_VALUES = 20
"""A numeric target with more values than this is dealt by its deciles."""
_BINS = 10


def deal(frame: pd.DataFrame, simulate: Simulate, *, target: str, seed: int) -> dict[str, Rows]:
    """Deal every row to exactly one site.

    Parameters
    ----------
    frame
        The table.
    simulate
        How many sites, their names, and the kind of partition.
    target
        The column whose classes a Dirichlet partition shares out.
    seed
        The run's seed.

    Returns
    -------
    dict
        For each site, in site order, the numbers of its rows, rising.

    Raises
    ------
    DataError
        If the rows cannot be dealt as asked.
    """
    how = simulate.partition
    if how.kind == "column":
        owner, names = _by_column(frame, how.column, simulate)
        return _grouped(owner, names)
    names = _names(simulate, len(frame))
    generator = seeds.plain(seed)
    if how.kind == "iid":
        owner = np.empty(len(frame), np.int64)
        owner[generator.permutation(len(frame))] = _even(len(frame), len(names))
    elif how.kind == "quantiles":
        owner = _by_quantiles(frame, how.column, len(names))
    else:
        owner = _dirichlet(_classes(frame, target), len(names), how=how, generator=generator)
    return _grouped(owner, names)


def _grouped(owner: Rows, names: tuple[str, ...]) -> dict[str, Rows]:
    order = np.argsort(owner, kind="stable")
    ends = np.cumsum(np.bincount(owner, minlength=len(names)))
    return dict(zip(names, np.split(order, ends[:-1]), strict=True))


def _even(rows: int, sites: int) -> Rows:
    """Return the site of each of `rows` consecutive places, in equal shares."""
    return np.arange(rows) * sites // rows


def _names(simulate: Simulate, rows: int) -> tuple[str, ...]:
    names = simulate.named
    if len(set(names)) < len(names):
        raise DataError("two sites have one name", where="data.simulate.names", remedy="give each site its own name")
    if len(names) > rows:
        raise DataError(
            f"{len(names)} sites cannot share {rows} rows",
            where="data.simulate.sites",
            remedy=f"ask for at most {rows // 2} sites",
        )
    return names


def _column(frame: pd.DataFrame, name: str, where: str) -> pd.Series:
    if name not in frame.columns:
        known = [str(column) for column in frame.columns]
        hint = did_you_mean(name, known) or f"the columns are {listed(known, 12)}"
        raise DataError(f"the table has no column {name!r}", where=where, remedy=hint)
    return frame[name]


def _by_column(frame: pd.DataFrame, name: str, simulate: Simulate) -> tuple[Rows, tuple[str, ...]]:
    where = "data.simulate.partition.column"
    texts = cells.read(_column(frame, name, where)).texts()
    lacking = int((texts.codes < 0).sum())
    if lacking:
        raise DataError(
            f"{lacking} rows have no value in {name!r}, so no site",
            where=where,
            remedy="fill the column, or remove those rows",
        )
    names = simulate.names or texts.distinct
    asked = simulate.sites or len(names)
    if len(names) != len(texts.distinct) or asked != len(names):
        raise DataError(
            f"{name!r} has {len(texts.distinct)} different values",
            where="data.simulate",
            received=f"{max(asked, len(names)) if asked != len(texts.distinct) else len(names)} sites",
            remedy="leave out sites and names, or make them agree with the column",
        )
    return texts.codes, _names(simulate.model_copy(update={"names": names}), len(frame))


def _by_quantiles(frame: pd.DataFrame, name: str, sites: int) -> Rows:
    """Return each row's site: consecutive shares of the sorted column; ties keep their order, missing come last."""
    where = "data.simulate.partition.column"
    found = cells.read(_column(frame, name, where))
    if not isinstance(found, Numbers):
        raise DataError(
            f"{name!r} holds text, quantiles need numbers",
            where=where,
            remedy='choose a numeric column, or partition = { kind = "column" } for one site a value',
        )
    owner = np.empty(len(frame), np.int64)
    owner[np.argsort(found.values, kind="stable")] = _even(len(frame), sites)
    return owner


def _classes(frame: pd.DataFrame, target: str) -> Rows:
    """Return each row's class of the target; rows without a value are a class of their own."""
    found = cells.read(_column(frame, target, "data.target"))
    if not isinstance(found, Numbers) or found.distinct <= _MOST_VALUES:
        return found.texts().codes + 1
    known = np.flatnonzero(~np.isnan(found.values))
    classes = np.zeros(len(frame), np.int64)
    classes[known[np.argsort(found.values[known], kind="stable")]] = 1 + _even(len(known), _BINS)
    return classes


def _dirichlet(classes: Rows, sites: int, *, how: Dirichlet, generator: np.random.Generator) -> Rows:
    """Share each class out by proportions drawn from a symmetric Dirichlet distribution (Yurochkin et al. 2019)."""
    present, counts = np.unique(classes, return_counts=True)
    counted = _shares(counts, sites, how=how, generator=generator)
    owner = np.empty(len(classes), np.int64)
    for label, shares in zip(present, counted, strict=True):
        owner[generator.permutation(np.flatnonzero(classes == label))] = np.repeat(np.arange(sites), shares)
    return owner


def _shares(counts: Rows, sites: int, *, how: Dirichlet, generator: np.random.Generator) -> Rows:
    """Return rows of each class at each site, shape (classes, sites), drawn until every site has enough."""
    feasible = sites * how.min_rows <= counts.sum()
    for _ in range(_DRAWS if feasible else 0):
        proportions = generator.dirichlet(np.full(sites, how.alpha), size=len(counts))
        cuts = np.rint(np.cumsum(proportions[:, :-1], axis=1) * counts[:, None]).astype(np.int64)
        edges = np.hstack([np.zeros((len(counts), 1), np.int64), np.minimum(cuts, counts[:, None]), counts[:, None]])
        shares = np.diff(edges, axis=1)
        if shares.sum(axis=0).min() >= how.min_rows:
            return shares
    tried = f"in {_DRAWS} draws" if feasible else f"from {counts.sum()} rows"
    raise DataError(
        f"no way was found to give each of {sites} sites {how.min_rows} rows {tried} (alpha {how.alpha:g})",
        where="data.simulate.partition",
        remedy="ask for fewer sites, a larger alpha or a smaller min_rows",
    )
