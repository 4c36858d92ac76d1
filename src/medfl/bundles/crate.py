"""A bundle's description for machines: RO-Crate Metadata Specification 1.1 (w3id.org/ro/crate/1.1).

Written by hand: what a bundle needs of it is one JSON-LD document, and it has to be the same bytes each time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from medfl.bundles.contents import models_of
from medfl.store.views import ExecutionView, RunView

NAME = "ro-crate-metadata.json"
CONTEXT, VERSION = "https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/crate/1.1"
UNLISTED = ("manifest.json", "signature.json")
"""Files that are described without a digest: they are made of the digests of all others."""


def crate(view: ExecutionView, files: Mapping[str, Mapping[str, Any]], *, made_by: str) -> str:
    """Return the metadata of a bundle.

    Parameters
    ----------
    view
        The execution.
    files
        ``about``, ``sha256``, ``bytes`` and ``media`` of each file by its name.
    made_by
        The version of MEDfl.
    """
    graph = [_descriptor(), _root(view, files), *_files(files), *_context(view, made_by)]
    return json.dumps({"@context": CONTEXT, "@graph": graph}, indent=1, ensure_ascii=False) + "\n"


def _descriptor() -> dict[str, Any]:
    return {"@id": NAME, "@type": "CreativeWork", "about": {"@id": "./"}, "conformsTo": {"@id": VERSION}}


def _root(view: ExecutionView, files: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Federated study {view.study}",
        "description": view.question or f"The federated study {view.study}; no question was written down.",
        "identifier": f"medfl:{view.execution}:{view.digest}",
        "datePublished": _day(view),
        "license": {"@id": "#license"},
        "hasPart": [{"@id": name} for name in (*sorted(files), *UNLISTED)],
        "mentions": [{"@id": _action(run)} for run in view.every],
    }


def _files(files: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for name, told in sorted(files.items()):
        yield {
            "@id": name,
            "@type": "File",
            "name": name.rpartition("/")[2],
            "description": told["about"],
            "encodingFormat": told["media"],
            "contentSize": str(told["bytes"]),
            "sha256": told["sha256"],
        }
    for name, about in zip(UNLISTED, ("Every file with its SHA-256", "The signature of manifest.json"), strict=True):
        yield {"@id": name, "@type": "File", "name": name, "description": about, "encodingFormat": "application/json"}


def _context(view: ExecutionView, made_by: str) -> Iterator[dict[str, Any]]:
    yield {
        "@id": "#license",
        "@type": "CreativeWork",
        "name": "Not chosen",
        "description": "MEDfl does not know under which licence the authors share this; ask them.",
    }
    yield {
        "@id": "#medfl",
        "@type": "SoftwareApplication",
        "name": "MEDfl",
        "softwareVersion": made_by,
        "description": "Federated learning over hospitals",
    }
    models = models_of(view)
    for run in view.every:
        yield _run(run, models.get(run.run))


def _run(run: RunView, model: str | None) -> dict[str, Any]:
    """Return a run as an action (Process Run Crate 0.5): what was used, what came out, when."""
    done = {"finished": "CompletedActionStatus", "failed": "FailedActionStatus"}.get(
        run.status, "PotentialActionStatus" if run.status == "planned" else "ActiveActionStatus"
    )
    action: dict[str, Any] = {
        "@id": _action(run),
        "@type": "CreateAction",
        "name": f"{run.arm}, seed {run.seed}",
        "instrument": {"@id": "#medfl"},
        "object": [{"@id": "study/canonical.json"}],
        "result": [{"@id": name} for name in ([model] if model else []) + ["journal.jsonl"]],
        "actionStatus": {"@id": f"http://schema.org/{done}"},
    }
    times = {"startTime": run.started, "endTime": run.ended}
    return action | {name: at for name, at in times.items() if at}


def _action(run: RunView) -> str:
    return f"#run-{run.run}"


def _day(view: ExecutionView) -> str:
    """Return the day on which the last run ended: the bundle says nothing of when it was made, and stays the same."""
    return max((run.ended or run.planned for run in view.every), default=view.started)[:10]
