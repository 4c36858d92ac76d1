"""A study as code to take along: it gives the same models, to the bit, and says so when it is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from medfl.errors import Complaint, PlanError
from medfl.publish.code import models_of, notebook, script
from medfl.publish.flower_app import App, files, packed, unfit
from medfl.spec.study import Study
from medfl.spec.writing import as_toml
from medfl.store.leaving import left_out_of
from medfl.store.views import ExecutionView

FORMS = ("study.py", "study.ipynb", "study.toml", "flower-app.zip")
"""Files that a study can be taken along as."""
FLOWER = FORMS[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePage:
    """A study as code.

    Parameters
    ----------
    execution, study, question, digest
        What it is.
    python, toml
        The script and the spec.
    models
        How many models the script will compare.
    left_out
        Sites that were left out by hand, which script, notebook and app leave out again and the spec does not.
    app
        The files of the Flower app, by name; empty where there cannot be one.
    unfit
        Why there cannot be one.
    """

    execution: str
    study: str
    question: str
    digest: str
    python: str
    toml: str
    models: int
    left_out: tuple[str, ...]
    app: Mapping[str, str]
    unfit: tuple[Complaint, ...]


def code_page(view: ExecutionView) -> CodePage:
    """Return an execution's study as code."""
    study = Study.model_validate(view.spec)
    reasons = tuple(_unfit(view, study))
    return CodePage(
        execution=view.execution,
        study=view.study,
        question=view.question,
        digest=view.digest,
        python=script(study, models=models_of(view), left_out=left_out_of(view)),
        toml=as_toml(study),
        models=len(models_of(view)),
        left_out=tuple(sorted({site for rounds in left_out_of(view).values() for site in rounds})),
        app={} if reasons else dict(files(_app(view, study))),
        unfit=reasons,
    )


def written(view: ExecutionView, form: str) -> bytes:
    """Return an execution's study as one of the :data:`FORMS`.

    Raises
    ------
    PlanError
        If it cannot be a Flower app.
    """
    study = Study.model_validate(view.spec)
    match form:
        case "study.py":
            return script(study, models=models_of(view), left_out=left_out_of(view)).encode()
        case "study.ipynb":
            return notebook(study, models=models_of(view), left_out=left_out_of(view)).encode()
        case "flower-app.zip":
            if reasons := list(_unfit(view, study)):
                raise PlanError.of(reasons)
            return packed(_app(view, study))
    return as_toml(study).encode()


def _app(view: ExecutionView, study: Study) -> App:
    return App(
        study.study.name,
        study.study.question,
        study.digest,
        _sites(view),
        as_toml(study),
        simulated=study.data.simulate is not None,
        models=models_of(view),
        left_out=left_out_of(view),
    )


def _unfit(view: ExecutionView, study: Study) -> Iterator[Complaint]:
    yield from unfit(study)
    if not _sites(view):
        yield Complaint(
            "which sites take part is not known before the first run has begun", remedy="come back when it has"
        )


def _sites(view: ExecutionView) -> tuple[str, ...]:
    return next((tuple(sorted(run.sites)) for run in view.runs if run.sites), ())
