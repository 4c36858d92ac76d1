"""What lies in a bundle: all of it follows from the study, its journal and its artefacts; nothing is asked anew."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from medfl.bundles import kept, spent
from medfl.bundles.archive import Piece
from medfl.bundles.words import readme
from medfl.errors import BusyError
from medfl.foreign import understood
from medfl.publish.code import script
from medfl.publish.export import described_model, is_whole
from medfl.publish.methods import arms_of, methods, setting_of
from medfl.publish.model_card import model_card
from medfl.publish.report import report
from medfl.publish.tables import described
from medfl.publish.tripod import as_markdown, checklist
from medfl.spec.study import Study
from medfl.spec.writing import as_toml
from medfl.store.folding import view_execution, view_run
from medfl.store.home import Home
from medfl.store.journal import Recorded
from medfl.store.leaving import left_out_of
from medfl.store.shelf import whole_execution
from medfl.store.summary import summary
from medfl.store.views import ExecutionView, RunView
from medfl.store.written import written

JOURNAL, CANONICAL, METRICS, PRIVACY = "journal.jsonl", "study/canonical.json", "metrics.json", "privacy.json"
PLAN, SCHEMAS, VERSIONS = "plan.json", "schemas.json", "versions.json"
POLICY, SCRIPT = "study/policy.toml", "study/study.py"


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything of a bundle but its list, its signature and its description for machines.

    Parameters
    ----------
    view
        The execution, as the bundle's journal tells it.
    pieces
        The files.
    head
        Hash of the journal's last line.
    events
        Lines of the journal.
    """

    view: ExecutionView
    pieces: tuple[Piece, ...]
    head: str
    events: int


def contents(home: Home, execution: str) -> Contents:
    """Return what a bundle of an execution holds.

    Raises
    ------
    NotFoundError
        If there is no such execution, or a model of it is gone.
    BusyError
        If it is being worked on.
    StoreError
        If something of it is damaged.
    """
    whole = whole_execution(home, execution)
    if home.is_busy(execution) or any(run.status == "running" for run in whole.every):
        raise BusyError(
            "the study still runs: a bundle is made of what is finished",
            where=execution,
            remedy="wait for its end, or stop it: medfl stop RUN",
        )
    events = _events(home, whole)
    # All that is told in a bundle is told from the journal in it, which is more discreet than the store's.
    view = view_execution([view_run(one for one in events if one.event.run == run.run) for run in whole.every])
    body, head = kept.written(events)
    pieces = (
        Piece.of(JOURNAL, "Everything that happened, an event a line, each with the hash of the line before", body),
        *_study(home, view),
        *_told(view),
        *_facts(home, view, events),
        *(piece for run in view.every for piece in _model(home, run)),
    )
    readable = Piece.of("README.md", "What this is, and how to verify it", readme(view, pieces))
    return Contents(view, (*pieces, readable), head, len(events))


def models_of(view: ExecutionView) -> dict[str, str]:
    """Return where the models of an execution lie in its bundle, by the run's id."""
    return {run.run: f"models/{run.run}/model.safetensors" for run in view.every if _is_kept(run)}


def _events(home: Home, whole: ExecutionView) -> list[Recorded]:
    runs = {run.run: run for run in whole.every}
    found = [kept.discreet(one, run) for run in runs.values() for one in home.journal.read(run=run.run)]
    return sorted(found, key=lambda one: one.seq)


def _study(home: Home, view: ExecutionView) -> Iterator[Piece]:
    study = Study.model_validate(view.spec)
    yield Piece.of(CANONICAL, "The study with every default spelled out; its SHA-256 is the digest", study.canonical)
    text = written(home, view.execution)
    about = "The study as it was written" if text is not None else "The study, in the shortest text that means it"
    yield Piece.of("study/study.toml", about, as_toml(study) if text is None else text)
    models = {(run.arm, run.seed): run.model for run in view.runs if run.model is not None and run.status == "finished"}
    yield Piece.of(
        SCRIPT,
        "The study as a Python script that compares its models with these",
        script(study, models=models, left_out=left_out_of(view)),
    )
    policy = home.folder / "policies" / f"{view.execution}.toml"
    if policy.is_file():
        yield Piece.of(POLICY, "The policy that the simulated sites answered under", policy.read_bytes())


def _told(view: ExecutionView) -> Iterator[Piece]:
    yield Piece.of("report.html", "The report, for reading", report(view))
    yield Piece.of("tripod-ai.md", "TRIPOD+AI: where each item is answered, and what its author has to add",
                   as_markdown(checklist(view)))  # fmt: skip
    run = described(view)
    paragraphs = methods(view.spec, setting_of(run, among=view.every) if run else None)
    text = "# Methods\n\n" + "\n\n".join(f"**{one.title}.** {one.text}" for one in paragraphs) + "\n"
    yield Piece.of("methods.md", "The methods section, as text", text)


def _facts(home: Home, view: ExecutionView, events: Sequence[Recorded]) -> Iterator[Piece]:
    yield _json(PLAN, "Every run that was planned, and every arm with all its settings", _plan(view))
    yield _json(METRICS, "Results of every run", summary(view))
    about = "What identifies the sites' tables: digests of their columns, and numbers of rows"
    yield _json(SCHEMAS, about, schemas(view))
    yield _json(VERSIONS, "On what each run was computed, and with which seed", computed(view))
    told = spent.extract(view.every, events, ledgers=home.folder / "sites" / ".ledgers")
    yield _json(PRIVACY, "What was spent of privacy, by run and site", told)
    yield _json("approvals.json", "Who took part, and by whose leave", _approvals(home, view))


def _plan(view: ExecutionView) -> dict[str, Any]:
    arms = {name: dict(arm) for name, arm in arms_of(view.spec).items()}
    return {"digest": view.digest, "runs": planned_runs(view), "arms": arms}


def planned_runs(view: ExecutionView) -> list[dict[str, Any]]:
    """Return every run as it was planned."""
    return [
        {"run": run.run, "role": run.role, "arm": run.arm, "seed": run.seed, "engine": run.engine,
         "members": list(run.members), "rounds": run.planned_rounds}
        for run in view.every
    ]  # fmt: skip


def schemas(view: ExecutionView) -> dict[str, Any]:
    """Return what identifies the tables of every run."""
    runs = {
        run.run: {site.name: {"schema": site.schema, "rows": site.rows} for site in run.sites.values()}
        for run in view.every
    }
    return {"runs": runs}


def computed(view: ExecutionView) -> dict[str, Any]:
    """Return on what every run was computed."""
    runs = {run.run: {"seed": run.seed, "versions": dict(run.versions), "platform": run.platform} for run in view.every}
    return {"runs": runs}


def _approvals(home: Home, view: ExecutionView) -> dict[str, Any]:
    """Return by whose leave sites answered: where a site is a hospital, its own audit log holds the proof."""
    engines = sorted({run.engine for run in view.every})
    asked = home.folder / "asked" / f"{view.execution}.json"
    try:
        said = understood(asked.read_bytes()) if asked.is_file() else {}
    except (OSError, ValueError):
        said = {"unreadable": True}
    answered = sorted({site for run in view.every for site, one in run.sites.items() if one.rows is not None})
    failed = sorted({(one.site, one.code, one.reason) for run in view.every for one in run.failures})
    return {
        "engines": engines,
        "simulated": not set(engines) & FEDERATED or bool(view.spec["data"].get("simulate")),
        "policy": (home.folder / "policies" / f"{view.execution}.toml").is_file(),
        "asked_beforehand": said,
        "answered": answered,
        "refused_or_failed": [{"site": site, "code": code, "reason": reason} for site, code, reason in failed],
        "where_the_proof_is": "A hospital's consent to each study, and each of its answers, is in the chained audit "
        "log at that hospital: medfl site log --verify. The hub has what is listed here.",
    }


FEDERATED = frozenset({"hub", "flower-app"})
"""Engines whose sites are hospitals elsewhere."""


def _is_kept(run: RunView) -> bool:
    return run.model is not None and run.role in ("arm", "centralised")


def _model(home: Home, run: RunView) -> Iterator[Piece]:
    if not _is_kept(run) or run.model is None:
        return
    folder = f"models/{run.run}"
    weights = partial(home.artefacts.open, run.model)
    yield Piece(f"{folder}/model.safetensors", f"The model of {run.arm}, seed {run.seed}", weights)
    yield Piece.of(f"{folder}/MODEL_CARD.md", "What the model is for, and how well it does", model_card(run))
    if is_whole(run) and not kept.scaled_by_ends(run):
        yield Piece.of(f"{folder}/model.json", "Columns and preprocessing, for: medfl predict", described_model(run))


def _json(name: str, about: str, value: Any) -> Piece:
    return Piece.of(name, about, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def listing(pieces: Iterable[Piece]) -> dict[str, dict[str, Any]]:
    """Return name, digest and size of each file, for the list that is signed."""
    return {piece.name: _line(piece) for piece in sorted(pieces, key=lambda one: one.name)}


def _line(piece: Piece) -> dict[str, Any]:
    sha, size = hashlib.sha256(), 0
    with piece.open() as body:
        while part := body.read(2**20):
            sha.update(part)
            size += len(part)
    return {"sha256": sha.hexdigest(), "bytes": size, "about": piece.about}
