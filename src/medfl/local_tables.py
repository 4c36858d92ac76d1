"""What the tables on this machine are like, for who designs a study of them; each is read once until it changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd

from medfl.errors import Complaint, DataError, MedflError
from medfl.learn.data.cells import Numbers
from medfl.learn.data.delimited import Writing
from medfl.learn.data.schema import MOST_CATEGORIES, Column, Schema, described
from medfl.learn.data.sheet import Sheet
from medfl.learn.data.tables import bundled, read_and_tell
from medfl.readiness.tables import FEW, SMALL, Known, Seen, SeenTable
from medfl.spec.data import Data

LARGEST = 300_000_000
"""Bytes of a file that is looked at while somebody types; `medfl check` opens any."""
_KEPT = 64


class LocalTables:
    """Looks at tables.

    Parameters
    ----------
    folder
        Where relative paths start from.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[object, tuple[object, SeenTable | Complaint]] = {}

    def __call__(self, data: Data) -> Known:
        """Return what the tables that a study names are like, each as it is there."""
        files = dict(self._files(data))
        found = {name: self._one(path, data) for name, path in files.items()}
        return Known(
            tables={name: one for name, one in found.items() if isinstance(one, SeenTable)},
            unread={name: one for name, one in found.items() if isinstance(one, Complaint)},
            dealt=data.simulate is not None,
        )

    def warm(self) -> None:
        """Look at the bundled data set, which takes a second the first time, before anybody waits for it."""
        self(Data.model_validate({"target": "diagnosis", "simulate": {"bundled": "breast-cancer", "sites": 2}}))

    def _files(self, data: Data) -> Iterator[tuple[str, Path | str]]:
        """Yield each site and its file, or the name of a bundled data set."""
        simulate = data.simulate
        if simulate is not None and simulate.bundled is not None:
            yield simulate.bundled, simulate.bundled
        elif simulate is not None and simulate.table is not None:
            yield Path(simulate.table).name, self._folder / simulate.table
        for site, file in (data.sites or {}).items() if simulate is None else ():
            yield site, self._folder / file

    def _one(self, source: Path | str, data: Data) -> SeenTable | Complaint:
        key = (source, data.columns, data.missing, data.decimal, data.target)
        stamp = _stamp(source)
        known = self._seen.get(key)
        if known is None or known[0] != stamp:
            known = (stamp, _looked(source, data))
            self._seen = dict([*self._seen.items(), (key, known)][-_KEPT:])
        return known[1]


def _stamp(source: Path | str) -> object:
    if isinstance(source, str):
        return source
    try:
        found = source.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _looked(source: Path | str, data: Data) -> SeenTable | Complaint:
    try:
        frame, writing = (bundled(source), Writing()) if isinstance(source, str) else _read(source, data)
        asked = Data(target=data.target or " ", missing=data.missing)
        schema, wrong = described(frame, asked)
        return replace(_seen(Sheet(frame), schema, wrong, data.missing), written=writing.sentences)
    except MedflError as error:
        return error.complaints[0]


def _read(path: Path, data: Data) -> tuple[pd.DataFrame, Writing]:
    if path.is_file() and path.stat().st_size > LARGEST:
        raise DataError(
            "the table is too large to be looked at here", where=str(path), remedy="medfl check opens it all the same"
        )
    return read_and_tell(path, columns=data.columns, missing=data.missing, decimal=data.decimal)


def _seen(sheet: Sheet, schema: Schema, wrong: dict[str, Complaint], missing: tuple[str, ...]) -> SeenTable:
    usable = {column.name: column for column in schema.columns}
    columns = {
        name: _column(sheet, usable[name], missing) if name in usable else Seen(name=name, wrong=wrong[name].what)
        for name in sheet.names
    }
    return SeenTable(columns=columns, rows=schema.rows)


def _column(sheet: Sheet, column: Column, missing: tuple[str, ...]) -> Seen:
    seen = Seen(
        name=column.name,
        kind="" if column.blank else column.kind,
        categories=column.categories,
        minimum=column.minimum,
        maximum=column.maximum,
        missing=column.missing,
    )
    cells = sheet.cells(column.name, missing)
    coded = isinstance(cells, Numbers) and column.integral and cells.distinct <= FEW
    if not (coded or column.categories) or len(column.categories) > MOST_CATEGORIES:
        return seen
    texts = sheet.texts(column.name, missing)
    counts = dict(zip(texts.distinct, texts.counts.tolist(), strict=True))
    told = {text: rows for text, rows in counts.items() if rows >= SMALL}
    return replace(seen, categories=texts.distinct, counts=told)
