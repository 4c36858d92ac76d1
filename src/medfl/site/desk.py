"""What a site has on its desk: its table, read once, and the rows made ready for the study at hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfl import seeds
from medfl.errors import DataError, RefusedError, SiteError, did_you_mean, listed
from medfl.learn.algorithm import Algorithm
from medfl.learn.data.clean import Clean, clean
from medfl.learn.data.grouping import Groups, groups
from medfl.learn.data.harmonise import Agreement
from medfl.learn.data.preprocess import localise, sums
from medfl.learn.data.recipe import Recipe, examples
from medfl.learn.data.schema import Schema, infer
from medfl.learn.data.sheet import Sheet, Table, sheet_of
from medfl.learn.data.split import by_ids, split
from medfl.learn.data.translated import translated
from medfl.learn.model import Examples, Floats, Model
from medfl.learn.models import build
from medfl.learn.statistic import Statistic
from medfl.messages import Request
from medfl.privacy.declared import bounded, declared, require_declared, require_fitted
from medfl.privacy.division import by_patient, by_place, divided, drawn, patients
from medfl.privacy.placed import placed
from medfl.site.guard import Guard, Units
from medfl.site.purse import Purse
from medfl.spec.harmonising import name_there
from medfl.spec.privacy import DifferentialPrivacy
from medfl.spec.study import Study


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows ready to train and to test on.

    Parameters
    ----------
    agreement
        Columns and outcome shared by all sites.
    recipe
        The preprocessing, with this site's own numbers where it is per site.
    model
        The model, bound to the input's width.
    train, test
        The rows of each part.
    class_weights
        Weight of each class in the loss; None for equal ones.
    usable
        Which rows of each part say anything; None for all.
    """

    agreement: Agreement
    recipe: Recipe
    model: Model
    train: Examples
    test: Examples
    class_weights: Floats | None
    usable: tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None] = (None, None)

    def truth(self) -> Floats:
        """Return the outcome of the test rows on its own scale; NaN of a row that says nothing."""
        found, usable = self.recipe.restored(self.test.outcome), self.usable[1]
        return found if usable is None else np.where(usable, found, np.float32(np.nan))


class Desk:
    """Reads the table once and keeps the last preparation, which all rounds of a run share."""

    def __init__(
        self,
        name: str,
        table: Callable[[], Table],
        base: Path,
        *,
        columns: tuple[str, ...] | None = None,
        purse: Purse | None = None,
    ) -> None:
        self._name, self._open, self._base = name, table, base
        self._columns, self._purse = columns, purse
        self._studies: dict[str, tuple[Study, Algorithm]] = {}
        self._sheet: Sheet | None = None
        self._translated: tuple[object, Sheet] | None = None
        self._split: tuple[object, tuple[Clean, Clean]] | None = None
        self._prepared: tuple[object, Prepared] | None = None
        self._counted: tuple[object, Units] | None = None

    def study(self, text: str) -> tuple[Study, Algorithm]:
        """Read a study's canonical text, and how it aggregates; the last one is remembered."""
        if text not in self._studies:
            study = Study.model_validate_json(text)
            if not isinstance(study.algorithm, Algorithm):
                raise SiteError("this algorithm cannot train", where=self._name, received=study.algorithm.kind)
            self._studies = {text: (study, study.algorithm)}
        return self._studies[text]

    def sheet(self) -> Sheet:
        """Return the site's table as it is, as far as anybody may know of it."""
        if self._sheet is None:
            self._sheet = sheet_of(self._open()).showing(self._columns)
        return self._sheet

    def translated(self, study: Study) -> Sheet:
        """Return the site's table as a study has it: under its names, in its units, with its codes."""
        columns = study.data.translations(self._name)
        if not columns:
            return self.sheet()
        if self._translated is None or self._translated[0] != columns:
            self._translated = (columns, translated(self.sheet(), columns))
        return self._translated[1]

    def schema(self, study: Study) -> Schema:
        """Return what the table looks like; the ID column is nobody's feature."""
        sheet, dp = self.translated(study).without(study.evaluation.id_column), study.privacy.dp
        return infer(sheet, study.data) if dp is None else declared(sheet.without(dp.patient_id), study.data, dp)

    def summed(self, study: Study, request: Request) -> tuple[dict[str, Any], Statistic]:
        """Return how many rows there are of what, and the sums that preprocessing is fitted from."""
        agreement = Agreement.from_json(request.content["agreement"])
        train, test = self._parts(study, agreement, request.seed)
        guard = self.guard(study, request)
        if guard is not None:
            return _noised(guard, train, test, agreement)
        self.groups(study, request)  # What is wrong with them is told before anything is trained.
        rows = {
            "train_rows": len(train),
            "test_rows": len(test),
            "left_out": train.left_out + train.dropped,
            "train_classes": _classes(train, agreement),
            "test_classes": _classes(test, agreement),
        }
        return {"rows": rows}, sums(train, agreement, preprocess=study.preprocess).prefixed("sums")

    def guard(self, study: Study, request: Request) -> Guard | None:
        """Return what guards answers about single records or patients; None where nothing does.

        Raises
        ------
        RefusedError
            If the study promises what this site keeps no ledger for.
        """
        dp = study.privacy.dp
        if dp is None or not dp.within_sites:
            return None
        if self._purse is None:
            raise RefusedError("no privacy ledger is kept here", where=self._name, remedy="leave privacy.dp out")
        parts = self._parts(study, Agreement.from_json(request.content["agreement"]), request.seed)
        if self._counted is None or self._counted[0] is not parts:
            train, test = (self._units(study, dp, part) for part in parts)
            self._counted = (parts, Units(train, test, (len(parts[0]), len(parts[1])), _content(parts, train, test)))
        units, dataset = self._counted[1], self._purse.named(self.sheet().names)
        return Guard(self._purse, study, dp, request, dataset, self._division(study, dp, request.seed), units)

    def groups(self, study: Study, request: Request) -> dict[str, Groups]:
        """Return who of the test rows belongs to which group, by the grouping's name."""
        asked = study.evaluation.subgroups
        if not asked:
            return {}
        _, test = self._parts(study, Agreement.from_json(request.content["agreement"]), request.seed)
        sheet = self.translated(study).without(study.evaluation.id_column)
        return {name: groups(sheet, how, test.kept, missing=study.data.missing) for name, how in asked.items()}

    def parts(self, study: Study, request: Request) -> tuple[Clean, Clean]:
        """Return the usable rows to train on and to test on."""
        return self._parts(study, Agreement.from_json(request.content["agreement"]), request.seed)

    def prepared(self, study: Study, request: Request) -> Prepared:
        """Return the rows as numbers, by the agreed recipe."""
        key = (request.run, request.study, request.seed, request.content["recipe"])
        if self._prepared is None or self._prepared[0] != key:
            self._prepared = (key, self._prepare(study, request))
        return self._prepared[1]

    def _prepare(self, study: Study, request: Request) -> Prepared:
        agreement = Agreement.from_json(request.content["agreement"])
        train, test = self._parts(study, agreement, request.seed)
        recipe = Recipe.from_json(request.content["recipe"])
        guard, asked = self.guard(study, request), None
        if guard is not None:
            require_fitted(recipe, agreement, study.preprocess)
        if guard is not None and recipe.per_site:
            asked = guard.plausible(train, agreement)
        recipe = localise(recipe, train, agreement=agreement, preprocess=study.preprocess, sums=asked)
        model = build(study.model, features=len(recipe.feature_names), outcome=agreement.outcome)
        weights = _class_weights(study, recipe)
        rows = examples(recipe, train), examples(recipe, test)
        return Prepared(agreement, recipe, model, *rows, weights, (train.usable, test.usable))

    def _parts(self, study: Study, agreement: Agreement, seed: int) -> tuple[Clean, Clean]:
        """Return the usable rows, split for training and testing."""
        dp = study.privacy.dp
        key = (study.data, study.preprocess, study.evaluation, dp, agreement, seed)
        if self._split is None or self._split[0] != key:
            rows = self._rows(study, agreement)
            train, test = self._divide(rows, study, agreement, seed)
            self._split = (key, (rows.take(train), rows.take(test)))
        return self._split[1]

    def _rows(self, study: Study, agreement: Agreement) -> Clean:
        """Return the usable rows; where rows or patients are protected, all rows."""
        sheet, dp = self.translated(study), study.privacy.dp
        if dp is None:
            return clean(sheet, agreement, data=study.data, preprocess=study.preprocess)
        require_declared(agreement, study.data, dp)
        if dp.within_sites:
            return placed(sheet, agreement, data=study.data, preprocess=study.preprocess, dp=dp)
        return bounded(clean(sheet, agreement, data=study.data, preprocess=study.preprocess), agreement)

    def _divide(
        self, rows: Clean, study: Study, agreement: Agreement, seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        how = study.evaluation
        if how.test_ids is not None:
            return by_ids(self._ids(study, how.id_column), self._listed(how.test_ids), kept=rows.kept)
        dp = study.privacy.dp
        if dp is not None and dp.within_sites:
            return self._unit_by_unit(rows, study, dp, seed)
        drawn = seeds.integer(seed, site=self._name, purpose="split")
        labels = None if agreement.outcome.kind == "regression" else rows.outcome
        return split(
            labels, len(rows), fraction=how.test_fraction, seed=drawn if how.split_seed is None else how.split_seed
        )

    def _unit_by_unit(
        self, rows: Clean, study: Study, dp: DifferentialPrivacy, seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw each unit by itself, so that one more of them deals nobody anew."""
        how = study.evaluation
        seed = seed if how.split_seed is None else how.split_seed
        if dp.patient_id is None:
            test = by_place(rows.kept, len(self.sheet()), fraction=how.test_fraction, seed=seed, site=self._name)
        else:
            numbers, names = patients(self._patients(study, dp.patient_id)[rows.kept])
            draw = drawn(seed, self._name, None if self._purse is None else self._purse.secret)
            test = by_patient(numbers, names, fraction=how.test_fraction, draw=draw)
        return divided(test)

    def _units(self, study: Study, dp: DifferentialPrivacy, part: Clean) -> NDArray[np.int64] | None:
        """Return the patient of each row; None where each row is a unit."""
        if dp.patient_id is None:
            return None
        return patients(self._patients(study, dp.patient_id)[part.kept])[0]

    def _patients(self, study: Study, column: str) -> NDArray[Any]:
        return self._ids(study, column, key="[privacy.dp] patient_id")

    def _division(self, study: Study, dp: DifferentialPrivacy, seed: int) -> str:
        """Return a name that two divisions into training and test units share only if they are the same."""
        how = study.evaluation
        patient = dp.patient_id and name_there(study.data.translations(self._name), dp.patient_id)
        words = [patient, how.test_fraction, seed if how.split_seed is None else how.split_seed]
        if dp.patient_id is None:
            # Rows are drawn by their places: with a row more above them, they have others.
            words.append(hashlib.sha256(np.ascontiguousarray(self.sheet().prints()).tobytes()).hexdigest())
        elif self._purse is not None and self._purse.secret is not None:
            # Patients are drawn with the secret: with another one, they lie elsewhere.
            words.append(hashlib.sha256(b"division\x1f" + self._purse.secret).hexdigest())
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()

    def _ids(self, study: Study, column: str | None, *, key: str = "[evaluation] id_column") -> NDArray[Any]:
        sheet = self.translated(study)
        if column is None or column not in sheet.names:
            raise DataError(
                "the table has no such ID column",
                where=key,
                received=str(column),
                remedy=did_you_mean(str(column), sheet.names) or "name the column that holds the IDs",
            )
        return sheet.raw(column)

    def _listed(self, files: dict[str, str]) -> list[str]:
        if self._name not in files:
            raise DataError(
                "no list of test IDs for this site",
                where="[evaluation] test_ids",
                received=f"lists for {', '.join(sorted(files))}",
                remedy=f'add {self._name} = "FILE" with one ID a line',
            )
        path = self._inside(files[self._name])
        try:
            return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                "the list of test IDs cannot be read",
                where=str(path),
                received=type(error).__name__,
                remedy="give a UTF-8 text file with one ID a line",
            ) from error

    def _inside(self, file: str) -> Path:
        """Return the path of a file that the study names: whoever wrote the study must not read elsewhere."""
        base = self._base.resolve()
        path = (base / file).resolve() if "\0" not in file else base
        if path == base or not path.is_relative_to(base):
            raise DataError(
                "the list of test IDs lies outside the folder that studies may read from",
                where=f"[evaluation] test_ids, {self._name}",
                remedy="put the list into the study's folder at the site, and name it by a path inside that",
            )
        return path


def _content(parts: tuple[Clean, Clean], *units: NDArray[np.int64] | None) -> bytes:
    """Return a digest of rows and of whose they are."""
    found = hashlib.sha256()
    for part, whose in zip(parts, units, strict=True):
        for array in (part.numeric, part.codes, part.outcome, part.kept, part.usable, whose):
            if array is not None:
                found.update(np.ascontiguousarray(array).tobytes())
    return found.digest()


def _noised(guard: Guard, train: Clean, test: Clean, agreement: Agreement) -> tuple[dict[str, Any], Statistic]:
    """Return the number of rows, which counts as known, and sums with noise; no count of an outcome leaves."""
    told = guard.told()
    rows = {
        "train_rows": len(train),
        "test_rows": len(test),
        "left_out": train.left_out + train.dropped,
        "train_classes": {},
        "test_classes": {},
    }
    numbers = guard.statistics(train, agreement) if guard.shares else Statistic({"rows": np.array([len(train)])})
    return {"rows": rows, "privacy": told}, numbers.prefixed("sums")


def _class_weights(study: Study, recipe: Recipe) -> Floats | None:
    """Return the loss's weight of each class, in the classes' order.

    Raises
    ------
    DataError
        If the study weights a class that does not exist, or classes where there are none.
    """
    asked, names = study.training.class_weight, recipe.outcome.classes
    if asked is None:
        return None
    if not names:
        raise DataError(
            "a numeric outcome has no classes to weight",
            where="[training] class_weight",
            remedy="leave class_weight out",
        )
    if asked == "balanced":
        return np.array(recipe.class_weights, np.float32)
    unknown = sorted(set(asked) - set(names))
    if unknown:
        raise DataError(
            "the outcome has no such class",
            where="[training] class_weight",
            received=listed(unknown),
            remedy=f"the classes are {listed(names, 20)}",
        )
    return np.array([asked.get(name, 1.0) for name in names], np.float32)


def _classes(rows: Clean, agreement: Agreement) -> dict[str, int]:
    if agreement.outcome.kind == "regression" or rows.outcome is None:
        return {}
    counts = np.bincount(rows.outcome.astype(np.int64), minlength=len(agreement.outcome.classes))
    return {name: int(count) for name, count in zip(agreement.outcome.classes, counts, strict=True)}
