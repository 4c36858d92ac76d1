"""A study as code to take along: it gives the same models, to the bit, and says so when it is run."""

from __future__ import annotations

from dataclasses import dataclass

from medfl.publish.code import Models, notebook, script
from medfl.spec.study import Study
from medfl.spec.writing import as_toml
from medfl.store.views import ExecutionView

FORMS = ("study.py", "study.ipynb", "study.toml")
"""Files that a study can be taken along as."""


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
    """

    execution: str
    study: str
    question: str
    digest: str
    python: str
    toml: str
    models: int


def code_page(view: ExecutionView) -> CodePage:
    """Return an execution's study as code."""
    return CodePage(
        execution=view.execution,
        study=view.study,
        question=view.question,
        digest=view.digest,
        python=written(view, "study.py"),
        toml=written(view, "study.toml"),
        models=len(_models(view)),
    )


def written(view: ExecutionView, form: str) -> str:
    """Return an execution's study as one of the :data:`FORMS`."""
    study = Study.model_validate(view.spec)
    match form:
        case "study.py":
            return script(study, models=_models(view))
        case "study.ipynb":
            return notebook(study, models=_models(view))
    return as_toml(study)


def _models(view: ExecutionView) -> Models:
    return {(run.arm, run.seed): run.model for run in view.runs if run.model is not None and run.status == "finished"}
