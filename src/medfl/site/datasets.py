"""The data sets of a site: where its tables are and how they are read. Nothing of them is copied."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

import pandas as pd

from medfl.errors import Complaint, DataError, NotFoundError, PlanError, StoreError, did_you_mean, listed
from medfl.learn.data.cells import is_number
from medfl.learn.data.database import is_url, read_query, without_password
from medfl.learn.data.schema import Schema, described
from medfl.learn.data.tables import read_and_tell, read_table
from medfl.privacy.durable import write_durably
from medfl.site.dictionary import Meaning, read_dictionary
from medfl.site.place import Place
from medfl.spec.checks import SITE as NAME
from medfl.spec.data import Data
from medfl.spec.part import FrozenDict, Part


class DataSet(Part):
    """One table of the hospital, as it is registered."""

    source: str
    """Absolute path of a file, or the URL of a database; the URL may hold a password."""
    target: str
    """The column that studies predict."""
    query: str | None = None
    """What to read from the database."""
    sheet: str | None = None
    """The sheet of a workbook."""
    columns: tuple[str, ...] | None = None
    """Column names, for a file without a header line."""
    missing: tuple[str, ...] = ()
    """Further spellings of a missing value."""
    decimal: Literal[".", ","] | None = None
    """What stands before decimals in a CSV file; found where None and sure."""
    dictionary: str | None = None
    """Absolute path of a data dictionary."""
    added: str = ""
    """When it was registered, in UTC."""

    @property
    def shown(self) -> str:
        """The source, without a password."""
        return without_password(self.source) if is_url(self.source) else self.source

    @property
    def kind(self) -> str:
        """What the source is, in a word."""
        if is_url(self.source):
            return "database"
        suffix = Path(self.source).suffix.lower()
        return {".parquet": "Parquet", ".xlsx": "Excel", ".xlsm": "Excel"}.get(suffix, "CSV")

    @property
    def digest(self) -> str:
        """Sha256 of where and how it is read; a password and the dictionary have no part in it."""
        words: list[object] = [self.shown, self.target, self.query, self.sheet, self.columns, self.missing]
        words += [] if self.decimal is None else [self.decimal]
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()

    def table(self, asked: Data | None = None) -> pd.DataFrame:
        """Read the table.

        Parameters
        ----------
        asked
            What a study says of its files: names of columns and what stands before decimals count where the site says
            nothing, spellings of missing values beside the site's.

        Raises
        ------
        MedflError
            If it cannot be read.
        """
        missing = (*self.missing, *(asked.missing if asked is not None else ()))
        if self.query is not None:
            return _blanked(read_query(self.source, self.query), missing)
        columns = self.columns or (asked.columns if asked is not None else None)
        decimal = self.decimal or (asked.decimal if asked is not None else None)
        frame = read_table(Path(self.source), columns=columns, missing=missing, sheet=self.sheet, decimal=decimal)
        return frame if self.kind == "CSV" else _blanked(frame, missing)

    @property
    def written(self) -> tuple[str, ...]:
        """How its file is written, in sentences; nothing where that is plain, or it is no text file.

        Raises
        ------
        MedflError
            If it cannot be read.
        """
        if self.kind != "CSV":
            return ()
        how = read_and_tell(Path(self.source), columns=self.columns, missing=self.missing, decimal=self.decimal)[1]
        return how.sentences

    def meanings(self) -> dict[str, Meaning]:
        """Return what the data dictionary says, by column; nothing where there is none.

        Raises
        ------
        MedflError
            If it cannot be read.
        """
        return {} if self.dictionary is None else read_dictionary(Path(self.dictionary))

    def described(self) -> tuple[Schema, dict[str, Complaint]]:
        """Return what the table is like, and what is wrong with the columns that no study can use.

        Raises
        ------
        MedflError
            If table or dictionary cannot be read, or the target is not there.
        """
        frame, meanings = self.table(), self.meanings()
        require_column(self.target, list(frame.columns))
        return described(frame, data_of(self, meanings))


def data_of(dataset: DataSet, meanings: dict[str, Meaning]) -> Data:
    """Return what a study would say of this table, by its dictionary."""
    units = FrozenDict({name: one.unit for name, one in meanings.items() if one.unit})
    coded = tuple(name for name, one in meanings.items() if one.codes and name != dataset.target)
    return Data(target=dataset.target, units=units, categorical=coded, missing=dataset.missing)


def require_column(target: str, names: list[str]) -> None:
    """Refuse a target that is not there.

    Raises
    ------
    DataError
        With the names that were perhaps meant.
    """
    if target not in names:
        hint = did_you_mean(target, names) or f"its columns are {listed(map(repr, names), 20)}"
        raise DataError("the table has no such column", where="target", received=repr(target), remedy=hint)


class Datasets:
    """The register of a site's data sets: one JSON file that only its owner may read.

    Parameters
    ----------
    place
        The site's folder.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    def all(self) -> dict[str, DataSet]:
        """Return the data sets by name, sorted.

        Raises
        ------
        StoreError
            If the register cannot be read.
        """
        path = self._place.datasets
        try:
            words = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            return {name: DataSet.model_validate(one) for name, one in sorted(words.items())}
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            raise StoreError(
                "the register of data sets cannot be read",
                where=str(path),
                received=type(error).__name__,
                remedy="put a sound copy back, or remove it and add the data sets again",
            ) from None

    def named(self, name: str) -> DataSet:
        """Return one data set.

        Raises
        ------
        NotFoundError
            If there is none of that name.
        """
        known = self.all()
        if name not in known:
            hint = did_you_mean(name, known) or (
                f"there are {listed(known, 20)}" if known else "add it: medfl site dataset add NAME SOURCE --target …"
            )
            raise NotFoundError("no such data set", received=repr(name), remedy=hint)
        return known[name]

    def add(self, name: str, dataset: DataSet) -> None:
        """Register a data set; never over another.

        Raises
        ------
        PlanError
            If it cannot be called so, or there is one.
        """
        if not NAME.fullmatch(name):
            raise PlanError(
                "a data set cannot be called so",
                received=repr(name),
                remedy="use up to 80 letters, digits, dots, dashes and underscores, beginning with a letter or digit",
            )
        with self._place.changing():
            known = self.all()
            if name in known:
                raise PlanError(
                    "there is such a data set already",
                    received=name,
                    remedy=f"choose another name, or first: medfl site dataset remove {name}",
                )
            self._write({**known, name: dataset})

    def remove(self, name: str) -> None:
        """Take a data set out of the register; its table stays where it is.

        Raises
        ------
        NotFoundError
            If there is none of that name.
        """
        with self._place.changing():
            self.named(name)
            self._write({one: dataset for one, dataset in self.all().items() if one != name})

    def _write(self, known: dict[str, DataSet]) -> None:
        words = {name: known[name].model_dump(mode="json", exclude_defaults=True) for name in sorted(known)}
        write_durably(self._place.datasets, json.dumps(words, indent=2, ensure_ascii=False) + "\n")


def _blanked(frame: pd.DataFrame, missing: tuple[str, ...]) -> pd.DataFrame:
    """Return the table with cells of these spellings empty, as a CSV file is read."""
    if not missing:
        return frame
    return frame.mask(frame.isin([*missing, *(float(text) for text in missing if is_number(text))]))
