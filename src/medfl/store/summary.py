"""What ``--json`` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from medfl.store.compared import told
from medfl.store.views import ExecutionView, RunView


def summary(execution: ExecutionView) -> dict[str, Any]:
    """Return what ``medfl run --json`` and ``medfl resume --json`` print.

    A run that did not finish has what is known of it; one that failed has an ``error`` too.
    """
    return {
        "study": execution.study,
        "digest": execution.digest,
        "runs": [_run(run) for run in execution.runs],
        "baselines": [entry for run in execution.baselines for entry in _baseline(run)],
        **told(execution),
    }


def listing(views: Iterable[RunView], *, baselines: bool = False) -> list[dict[str, Any]]:
    """Return what ``medfl runs --json`` prints."""
    return [
        {
            "run": view.run,
            "study": view.study,
            "arm": view.arm + (f", by {len(view.members)} only" if view.members else ""),
            "seed": view.seed,
            "status": status_of(view),
            "rounds": view.rounds,
        }
        for view in listed(views, baselines=baselines)
    ]


def status_of(view: RunView) -> str:
    """Return where a run stands; one that was stopped for a while is paused."""
    return "paused" if view.status == "stopped" and view.stopped is not None and view.stopped.paused else view.status


def listed(views: Iterable[RunView], *, baselines: bool = False) -> list[RunView]:
    """Return the runs that a list shows: the arms' runs, the one planned last first; baselines if asked for.

    A run that was begun and has no end is listed whatever it is for: it is what is to be resumed.
    """
    roles = ("arm", "centralised", "local-only") if baselines else ("arm",)
    found = [view for view in views if view.role in roles or view.status not in ("planned", "finished")]
    return sorted(found, key=lambda view: view.place, reverse=True)


def _run(run: RunView) -> dict[str, Any]:
    entry = {
        "run": run.run,
        "arm": run.arm,
        "seed": run.seed,
        "status": run.status,
        "rounds": run.rounds,
        "model": run.model,
        "wall_s": round(run.seconds, 3),
        "metrics": dict(run.metrics),
        "sites": {
            name: {"train_rows": site.train_rows, "test_rows": site.test_rows, "metrics": dict(site.metrics)}
            | ({"fine_tuned": dict(site.fine_tuned)} if site.fine_tuned else {})
            for name, site in run.sites.items()
        },
        "privacy": _privacy(run),
    }
    return entry | _error(run)


def _privacy(run: RunView) -> dict[str, Any]:
    """Return what was in force, and what was spent: the largest ε and δ of any site."""
    kept = run.privacy
    if kept is None:
        return {"secure_aggregation": run.secure, "unit": None, "epsilon": None, "delta": None}
    return {"secure_aggregation": run.secure, "unit": kept.unit, "epsilon": kept.epsilon, "delta": kept.delta}


def _baseline(run: RunView) -> Iterator[dict[str, Any]]:
    """One entry for all rows in one place; one a site where each learns alone; none before anything is known."""
    if run.latest is None and run.error is None:
        return
    entry: dict[str, Any] = {"baseline": run.role, "seed": run.seed}
    if run.role == "centralised" or run.latest is None:
        yield entry | {"site": None, "metrics": dict(run.metrics)} | _error(run)
        return
    for name, metrics in run.latest.sites.items():
        yield entry | {"site": name, "metrics": dict(metrics)} | _error(run)


def _error(run: RunView) -> dict[str, Any]:
    return {"error": {"code": run.error.code, "message": run.error.message}} if run.error else {}
