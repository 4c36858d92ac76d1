"""What is started from: named weights, and what is known of how they were made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save

from medfl.errors import ModelFileError
from medfl.learn.data.harmonise import Agreement
from medfl.learn.data.recipe import Recipe
from medfl.learn.exported import load
from medfl.learn.model import Floats, Layout
from medfl.spec.study import Model as ModelPart


@dataclass(frozen=True, slots=True)
class Made:
    """A model with the columns it was made for.

    Parameters
    ----------
    part
        The model as a study asks for it.
    agreement
        Columns, units and outcome.
    recipe
        The fitted preprocessing.
    """

    part: ModelPart
    agreement: Agreement
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class Source:
    """Weights that were learned elsewhere.

    Parameters
    ----------
    told
        What they are, as it is told: "the exported model adults".
    digest
        Sha256 of the file they are in.
    tensors
        By name.
    made
        On which columns they were learned; None where the file does not say.
    """

    told: str
    digest: str
    tensors: Mapping[str, Floats]
    made: Made | None = None


def from_export(folder: Path, *, named: str) -> Source:
    """Return what ``medfl export`` wrote.

    Raises
    ------
    ModelFileError
        If it is absent, incomplete, changed, or something else.
    """
    model = load(folder)
    made = Made(model.part, model.agreement, model.recipe)
    return Source(f"the exported model {named}", model.digest, model.model.layout.split(model.weights), made)


def from_run(body: bytes, *, told: str, model: object, agreement: object, recipe: object) -> Source:
    """Return what a run has learned.

    Parameters
    ----------
    body
        Its last weights, as the artefact holds them.
    told
        What the run is called.
    model, agreement, recipe
        As its journal has them, in plain JSON values.
    """
    part: Any = TypeAdapter(ModelPart).validate_python(model)
    made = Made(part, Agreement.from_json(agreement), Recipe.from_json(recipe))
    return Source(told, hashlib.sha256(body).hexdigest(), load_tensors(body), made)


def from_file(path: Path, *, named: str) -> Source:
    """Return the tensors of a safetensors file.

    Raises
    ------
    ModelFileError
        If it cannot be read, or holds something else than weights.
    """
    try:
        body = path.read_bytes()
    except OSError as error:
        raise ModelFileError(
            "the weights cannot be read",
            where="[model.start] weights",
            received=f"{path}: {error.strerror or type(error).__name__}",
            remedy="name a safetensors file, relative to the study's file",
        ) from error
    try:
        tensors = load_tensors(body)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(
            "this is no whole safetensors file of numbers that can be read",
            where=f"[model.start] weights, {path}",
            received=f"{len(body)} bytes; {type(error).__name__}",
            remedy="copy the file again, or write it anew with safetensors, in float32",
        ) from error
    numbers = {name: array.astype(np.float32) for name, array in tensors.items()}
    return Source(f"the file {named}", hashlib.sha256(body).hexdigest(), numbers)


def from_factory(weights: Floats, layout: Layout, *, name: str) -> Source:
    """Return what a torch factory brings along: what its module holds before any training."""
    tensors = layout.split(weights)
    body = save({key: np.asarray(array, order="C") for key, array in tensors.items()})
    return Source(f"the weights that {name} brings along", hashlib.sha256(body).hexdigest(), tensors)
