"""An exported model: read it, check it, and predict the rows of a table with it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from medfl.errors import DataError, ModelFileError, did_you_mean
from medfl.learn.data.clean import Clean, clean
from medfl.learn.data.harmonise import Agreement
from medfl.learn.data.preprocess import localise
from medfl.learn.data.recipe import Recipe, apply
from medfl.learn.data.tables import read_table
from medfl.learn.model import Floats, Model
from medfl.learn.models import build
from medfl.spec.data import Data
from medfl.spec.preprocess import Preprocess
from medfl.spec.study import Model as ModelPart

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Exported:
    """A model that is ready to predict.

    Parameters
    ----------
    model, weights
        The model and its flat weights.
    agreement, recipe
        Columns and outcome; the fitted preprocessing.
    data, preprocess
        How the study reads its tables.
    threshold
        Probability from which a row counts as positive; None for other outcomes.
    part
        The model as the study asked for it.
    digest
        Sha256 of the file of weights.
    """

    model: Model
    weights: Floats
    agreement: Agreement
    recipe: Recipe
    data: Data
    preprocess: Preprocess
    threshold: float | None
    part: ModelPart
    digest: str

    def read(self, table: Path) -> pd.DataFrame:
        """Read a table to predict; the study's own names are its columns' where the file has no header line.

        Raises
        ------
        DataError
            If there is no such file, or it is not a well-formed table.
        """
        named = self.data.columns is None or _first_line_names(table, self.agreement)
        columns = None if named else self.data.columns
        return read_table(table, columns=columns, missing=self.data.missing, decimal=self.data.decimal)

    def predict(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
        """Predict every row of a table; return one row each, in order, and what a reader should know.

        Raises
        ------
        DataError
            If a column is missing or holds what the model cannot take.
        """
        import pandas as pd

        self._require_columns(frame)
        rows = clean(
            frame.drop(columns=[self.agreement.target], errors="ignore"),
            self.agreement,
            data=self.data,
            preprocess=self.preprocess,
        )
        recipe, notes = self._fitted(rows)
        scores = self.model.scores(self.weights, apply(recipe, rows))
        if not np.isfinite(scores).all():
            raise ModelFileError(
                "the model's scores are not finite: its training diverged",
                received=f"{np.count_nonzero(~np.isfinite(scores))} of {scores.size} scores",
                remedy="train again with a lower learning_rate in [training], or export another run",
            )
        predicted = pd.DataFrame({"row": rows.kept + 1} | self._in_words(scores))
        if rows.dropped:
            notes.append(f"{rows.dropped} rows have a missing value and are left out, as in training")
        for column, count in rows.unseen.items():
            notes.append(f"{count} rows have a category of {column!r} that no site had; it counts as missing")
        return predicted, notes

    def _require_columns(self, frame: pd.DataFrame) -> None:
        columns = [str(column) for column in frame.columns]
        absent = [feature.name for feature in self.agreement.features if feature.name not in columns]
        if absent:
            hints = {name: did_you_mean(name, columns) for name in absent}
            raise DataError(
                "the table lacks columns that the model needs",
                where="table",
                received=f"no {', '.join(absent)}",
                remedy="add them under these names. " + " ".join(hint for hint in hints.values() if hint),
            )

    def _fitted(self, rows: Clean) -> tuple[Recipe, list[str]]:
        if not self.recipe.per_site:
            return self.recipe, []
        note = f"the model expects values scaled per site: they were scaled by these {len(rows)} rows themselves"
        return localise(self.recipe, rows, agreement=self.agreement, preprocess=self.preprocess), [note]

    def _in_words(self, scores: Floats) -> dict[str, Any]:
        outcome = self.agreement.outcome
        if outcome.kind == "regression":
            return {"predicted": self.recipe.restored(scores)}
        names = np.array(outcome.classes)
        if outcome.kind == "binary":
            probability = 1.0 / (1.0 + np.exp(-np.clip(scores.astype(np.float64), -700, 700)))
            positive = probability >= (0.5 if self.threshold is None else self.threshold)
            return {"probability": probability, "predicted": names[positive.astype(int)]}
        shifted = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
        shares = shifted / shifted.sum(axis=1, keepdims=True)
        by_class = {f"probability of {name}": shares[:, index] for index, name in enumerate(outcome.classes)}
        return by_class | {"predicted": names[scores.argmax(axis=1)]}


def load(path: Path) -> Exported:
    """Read an exported model from its folder, or from a file in it.

    Raises
    ------
    ModelFileError
        If it is absent, incomplete, changed, or written by a newer version.
    """
    folder = path if path.is_dir() else path.parent
    words = _words(folder / "model.json", asked=path)
    body = _read(folder / "model.safetensors", asked=path)
    if hashlib.sha256(body).hexdigest() != words["sha256"]:
        raise ModelFileError(
            "the weights are not those that model.json speaks of",
            where=str(folder / "model.safetensors"),
            received="another sha256",
            remedy=_AGAIN,
        )
    try:
        return _assembled(words, load_tensors(body))
    except (KeyError, TypeError, ValueError, ValidationError, SafetensorError) as error:
        raise ModelFileError(
            "the exported model cannot be put together",
            where=str(folder),
            received=type(error).__name__,
            remedy=_AGAIN,
        ) from error


_AGAIN = "export the model again with: medfl export RUN"


def _assembled(words: dict[str, Any], tensors: dict[str, Floats]) -> Exported:
    agreement, recipe = Agreement.from_json(words["agreement"]), Recipe.from_json(words["recipe"])
    part: Any = TypeAdapter(ModelPart).validate_python(words["model"])
    model = build(part, features=len(recipe.feature_names), outcome=agreement.outcome)
    if {name: array.shape for name, array in tensors.items()} != dict(model.layout.shapes):
        raise ModelFileError(
            "the weights do not fit the model",
            where="model.safetensors",
            received="other names or shapes than the model has",
            remedy="load the plugin that the model was trained with" if part.kind == "torch" else _AGAIN,
        )
    return Exported(
        model,
        model.layout.join(tensors),
        agreement,
        recipe,
        Data.model_validate(words["data"]),
        Preprocess.model_validate(words["preprocess"]),
        words["threshold"],
        part,
        words["sha256"],
    )


def _words(path: Path, *, asked: Path) -> dict[str, Any]:
    try:
        words = json.loads(_read(path, asked=asked))
    except (ValueError, RecursionError) as error:
        raise ModelFileError("the file is not JSON", where=str(path), remedy=_AGAIN) from error
    if not isinstance(words, dict) or words.get("format") != "medfl-model" or not isinstance(words.get("version"), int):
        raise ModelFileError("this is not an exported model", where=str(path), remedy="make one with: medfl export RUN")
    if words["version"] > FORMAT:
        raise ModelFileError(
            "the model was exported by a newer MEDfl",
            where=str(path),
            received=f"format {words['version']}; this one reads up to {FORMAT}",
            remedy="upgrade with: pip install --upgrade medfl",
        )
    seal = words.pop("seal", None)
    if hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest() != seal:
        raise ModelFileError(
            "the file was changed after it was exported", where=str(path), received="another seal", remedy=_AGAIN
        )
    return words


def _read(path: Path, *, asked: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelFileError(
            f"{path.name} cannot be read there" if asked.exists() else "there is no such model",
            where=str(asked),
            received=error.strerror or type(error).__name__,
            remedy="give the folder that medfl export wrote: it holds model.json and model.safetensors",
        ) from error


def _first_line_names(table: Path, agreement: Agreement) -> bool:
    """Whether the first line names the model's columns, rather than being a row."""
    try:
        with table.open(encoding="utf-8", errors="replace") as lines:
            first = lines.readline()
    except OSError:
        return False  # reading the table will say what is wrong
    return all(feature.name in first for feature in agreement.features)
