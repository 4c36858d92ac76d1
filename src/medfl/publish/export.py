"""Writes what a user takes away: a text, or a run's model in a folder of its own.

``model.safetensors``
    The named weights, byte for byte the artefact that the journal names.
``model.json``
    Architecture, columns, categories, outcome and fitted preprocessing; its ``sha256`` is that of the weights, its
    ``seal`` that of everything else in it, as JSON with sorted keys.
``MODEL_CARD.md``
    What it is for, what it was trained on, how well it does, and what it must not be used for.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

from medfl.errors import MedflError, NotFoundError, StoreError, UserError
from medfl.publish.model_card import model_card
from medfl.store.artefacts import Artefacts
from medfl.store.views import RunView

FORMAT = 1


def export(run: RunView, artefacts: Artefacts, folder: Path) -> None:
    """Write the last good model of a run; an unfinished export is never left under the folder's name.

    Raises
    ------
    NotFoundError
        If the run has no model to export.
    UserError
        If parts of the model stayed at the sites, or the folder exists already, or cannot be where it is asked for.
    StoreError
        If it cannot be written.
    """
    if not run.model:
        raise NotFoundError(
            "this run has no model to export",
            where=run.run,
            received=f"a {run.role} run that is {run.status}",
            remedy="choose a run that finished a round; each site's own models stay at the site",
        )
    if not is_whole(run):
        raise UserError(
            "this model is whole at the sites only: their batch normalisation stayed there",
            where=run.run,
            received='[model] batch_norm = "local"',
            remedy='to have one model for all, run the study with batch_norm = "shared"',
        )
    if folder.exists():
        raise UserError("the folder exists already", where=str(folder), remedy="choose another with -o, or remove it")
    with artefacts.open(run.model) as body:
        weights = body.read()
    draft = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}")
    try:
        draft.mkdir(parents=True)
        (draft / "model.safetensors").write_bytes(weights)
        (draft / "model.json").write_text(described_model(run), encoding="utf-8")
        (draft / "MODEL_CARD.md").write_text(model_card(run), encoding="utf-8")
        draft.rename(folder)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise refused(error, folder) from error


def described_model(run: RunView) -> str:
    """Return what is needed to use a run's weights, as the text of ``model.json``."""
    return json.dumps(_described(run), indent=2, ensure_ascii=False)


def is_whole(run: RunView) -> bool:
    """Say whether no part of a run's model stayed at the sites."""
    return not (run.federated and run.asked("model").get("batch_norm") == "local")


def save(target: Path, text: str) -> None:
    """Write a text into a file that the user named.

    Raises
    ------
    UserError
        If the file cannot be where it is asked for.
    StoreError
        If it cannot be written.
    """
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise refused(error, target) from error


def refused(error: OSError, target: Path) -> MedflError:
    """Tell what the operating system said; a full disk is nobody's mistake, a wrong place is."""
    is_full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    return (StoreError if is_full else UserError)(
        "this cannot be written",
        where=str(target),
        received=error.strerror or type(error).__name__,
        remedy="free some space, or choose another place" if is_full else "choose another place with -o",
    )


def _described(run: RunView) -> dict[str, Any]:
    words = _words(run)
    return words | {"seal": hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()}


def _words(run: RunView) -> dict[str, Any]:
    return {
        "format": "medfl-model",
        "version": FORMAT,
        "sha256": run.model,
        "study": run.study,
        "run": run.run,
        "arm": run.arm,
        "seed": run.seed,
        "rounds": run.rounds,
        "study_digest": run.digest,
        "model": run.asked("model"),
        "preprocess": run.asked("preprocess"),
        "data": run.asked("data"),
        "agreement": _without_ranges(run),
        "recipe": run.recipe,
        "threshold": _threshold(run),
        "versions": dict(run.versions),
    }


def _without_ranges(run: RunView) -> dict[str, Any]:
    """Leave out the columns' smallest and largest values: somebody has them, and a fitted recipe needs them no more.

    Only per-site preprocessing, which is fitted anew for each table, still does.
    """
    preprocess = run.asked("preprocess")
    if any(str(preprocess.get(key, "")).endswith("-per-site") for key in ("impute", "scale")):
        return dict(run.agreement)
    features = [{**column, "minimum": None, "maximum": None} for column in run.agreement.get("features", ())]
    return {**run.agreement, "features": features}


def _threshold(run: RunView) -> float | None:
    """Return the operating point the run was judged at, in probability."""
    return run.metrics.get("threshold")
