"""A study to take along: its report as a document, its models with their cards, its bundle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryFile
from typing import IO

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse

from medfl.bundles.contents import models_of
from medfl.bundles.writing import write_to
from medfl.errors import NotFoundError
from medfl.hub.again import waiting
from medfl.hub.pages.bench import Bench
from medfl.hub.pages.called import attached
from medfl.hub.pages.language import reading
from medfl.hub.pages.retold import retold
from medfl.hub.pages.turns import Turns
from medfl.hub.people.access import Who, may
from medfl.hub.people.permits import Action
from medfl.publish.model_card import model_card
from medfl.publish.pdf import report_pdf
from medfl.publish.report import report
from medfl.publish.ways import Mark, mark_of
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
    # A bundle may take long: nobody who wants a report waits for it.
    turns, turns_of_bundles = Turns(), Turns()

    @routes.get("/studies/{execution}/report.html", dependencies=[may(Action.SEE_STUDY)])
    async def whole_report(request: Request, execution: str, who: Who) -> Response:
        told = partial(retold, language=reading())

        def drawn() -> str:
            view = bench.whole(execution)
            return told(report(view, waits=waiting(bench.home, view.every)))

        body = await turns(request, drawn, who=who.name)
        # Written by MEDfl alone and without scripts; its styles are within it.
        policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
        return HTMLResponse(body, headers={"Content-Security-Policy": policy})

    @routes.get("/studies/{execution}/report.pdf", dependencies=[may(Action.SEE_STUDY)])
    async def pdf(request: Request, execution: str, who: Who) -> Response:
        told = partial(retold, language=reading())

        def drawn() -> tuple[str, bytes]:
            view = bench.whole(execution)
            return view.study, report_pdf(view, told=told, waits=waiting(bench.home, view.every))

        study, body = await turns(request, drawn, who=who.name)
        return Response(body, headers=attached(study, "report", ending=".pdf"), media_type="application/pdf")

    @routes.get("/studies/{execution}/bundle.zip", dependencies=[may(Action.SEE_STUDY)])
    async def bundle(request: Request, execution: str, who: Who) -> Response:
        study, file = await turns_of_bundles(request, lambda: _bundled(bench, execution), who=who.name)
        headers = attached(study, "bundle", ending=".zip") | {"Content-Length": str(file.tell())}
        return StreamingResponse(_read(file), headers=headers, media_type="application/zip")

    @routes.get("/studies/{execution}/models/{run}/model.safetensors", dependencies=[may(Action.SEE_STUDY)])
    def weights(execution: str, run: str) -> Response:
        view = bench.whole(execution)
        found = _with_model(view, run)
        file = bench.home.artefacts.open(found.model or "")
        headers = attached(*_names(view, found), ending=".safetensors")
        return StreamingResponse(_read(file), headers=headers, media_type="application/octet-stream")

    @routes.get("/studies/{execution}/models/{run}/model-card.md", dependencies=[may(Action.SEE_STUDY)])
    def card(execution: str, run: str) -> Response:
        view = bench.whole(execution)
        found = _with_model(view, run)
        headers = attached(*_names(view, found), "model-card", ending=".md")
        return Response(model_card(found), headers=headers, media_type="text/markdown; charset=utf-8")

    return routes


def _bundled(bench: Bench, execution: str) -> tuple[str, IO[bytes]]:
    """Return a study's name and its bundle, written whole before any of it leaves: what is wrong is said on a page."""
    with ExitStack() as stack:
        file = stack.enter_context(TemporaryFile())
        write_to(bench.home, execution, file)
        study = bench.whole(execution).study
        stack.pop_all()  # It is closed once it was read.
    return study, file


def _with_model(view: ExecutionView, name: str) -> RunView:
    """Return a run of this execution, and of no other, that has a model."""
    if name not in models_of(view):
        raise NotFoundError(
            "this study has no such run with a model", received=name[:80], remedy="choose one on the page of results"
        )
    return next(run for run in view.every if run.run == name)


def _names(view: ExecutionView, run: RunView) -> tuple[str, str, str]:
    """Return what tells a run's files from those of others: the study, the arm, the seed."""
    return view.study, mark_of(view, run.arm).label, f"seed-{run.seed}"


def _read(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while part := file.read(_BLOCK):
            yield part
