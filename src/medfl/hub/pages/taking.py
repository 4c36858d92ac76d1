"""A study to take along: its report as a document, its models with their cards, its bundle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryFile
from typing import IO

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from medfl.bundles.contents import models_of
from medfl.bundles.writing import write_to
from medfl.errors import NotFoundError
from medfl.hub.pages.bench import Bench
from medfl.hub.pages.language import reading
from medfl.hub.pages.retold import retold
from medfl.hub.people.access import may
from medfl.hub.people.permits import Action
from medfl.publish.model_card import model_card
from medfl.publish.pdf import report_pdf
from medfl.publish.ways import Mark, mark_of
from medfl.store.shelf import whole_execution
from medfl.store.views import ExecutionView, RunView

_BLOCK = 2**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A model that can be taken along.

    Parameters
    ----------
    run, mark, seed
        The run that learned it.
    digest
        SHA-256 of its file.
    """

    run: str
    mark: Mark
    seed: int
    digest: str


def kept_models(view: ExecutionView) -> tuple[Kept, ...]:
    """Return the models of an execution that can be taken along."""
    places = models_of(view)
    return tuple(
        Kept(run=run.run, mark=mark_of(view, run.arm), seed=run.seed, digest=run.model or "")
        for run in view.every
        if run.run in places
    )


def documents(bench: Bench) -> APIRouter:
    """Return what of a study can be taken along whole."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/studies/{execution}/report.pdf", dependencies=[may(Action.SEE_STUDY)])
    def pdf(execution: str) -> Response:
        view = whole_execution(bench.home, execution)
        body = report_pdf(view, told=partial(retold, language=reading()))
        return Response(body, headers=_attached(f"{execution}.pdf"), media_type="application/pdf")

    @routes.get("/studies/{execution}/bundle.zip", dependencies=[may(Action.SEE_STUDY)])
    def bundle(execution: str) -> Response:
        # Written whole before anything of it leaves: whatever is wrong is then said on a page.
        with ExitStack() as stack:
            file = stack.enter_context(TemporaryFile())
            write_to(bench.home, execution, file)
            stack.pop_all()  # It is closed once it was read.
        headers = _attached(f"{execution}.zip") | {"Content-Length": str(file.tell())}
        return StreamingResponse(_read(file), headers=headers, media_type="application/zip")

    @routes.get("/studies/{execution}/models/{run}/model.safetensors", dependencies=[may(Action.SEE_STUDY)])
    def weights(execution: str, run: str) -> Response:
        found = _with_model(whole_execution(bench.home, execution), run)
        file = bench.home.artefacts.open(found.model or "")
        return StreamingResponse(
            _read(file), headers=_attached(f"{run}.safetensors"), media_type="application/octet-stream"
        )

    @routes.get("/studies/{execution}/models/{run}/model-card.md", dependencies=[may(Action.SEE_STUDY)])
    def card(execution: str, run: str) -> Response:
        found = _with_model(whole_execution(bench.home, execution), run)
        kind = "text/markdown; charset=utf-8"
        return Response(model_card(found), headers=_attached(f"{run}-card.md"), media_type=kind)

    return routes


def _with_model(view: ExecutionView, name: str) -> RunView:
    """Return a run of this execution, and of no other, that has a model."""
    if name not in models_of(view):
        raise NotFoundError(
            "this study has no such run with a model", received=name[:80], remedy="choose one on the page of results"
        )
    return next(run for run in view.every if run.run == name)


def _attached(name: str) -> dict[str, str]:
    plain = "".join(letter for letter in name if letter.isascii() and (letter.isalnum() or letter in "-._"))
    return {"Content-Disposition": f'attachment; filename="{plain}"'}


def _read(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while part := file.read(_BLOCK):
            yield part
