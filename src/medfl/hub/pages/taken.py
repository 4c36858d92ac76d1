"""Figures and tables of a study as files: the drawings of the report, the numbers of the pages' twins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from fastapi import APIRouter
from starlette.responses import Response

from medfl.errors import NotFoundError, listed
from medfl.hub.pages.bench import Bench
from medfl.hub.pages.called import attached, titles
from medfl.hub.people.access import may
from medfl.hub.people.permits import Action
from medfl.publish.drawing import Drawing
from medfl.publish.glance import glance
from medfl.publish.pictures_of_parts import pictures
from medfl.publish.sheets import Sheet, as_csv, sheets
from medfl.store.views import ExecutionView

Found = TypeVar("Found")
STILL = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
"""What a drawing may do when it is opened by itself."""


def twin(bench: Bench) -> APIRouter:
    """Return the tables for programs."""
    api = APIRouter()

    @api.get("/studies/{execution}/tables/{name}", dependencies=[may(Action.SEE_STUDY)])
    def table(execution: str, name: str) -> Sheet:
        """Give one table behind a study's figures, whole."""
        return _sheet(bench.whole(execution), name)

    return api


def files(bench: Bench) -> APIRouter:
    """Return figures and tables to take along."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/studies/{execution}/figures/{name}.svg", dependencies=[may(Action.SEE_STUDY)])
    def svg(execution: str, name: str) -> Response:
        view = bench.whole(execution)
        headers = _figure(view, name, ".svg") | {"Content-Security-Policy": STILL}
        return Response(_drawing(view, name).file, headers=headers, media_type="image/svg+xml")

    @routes.get("/studies/{execution}/figures/{name}.png", dependencies=[may(Action.SEE_STUDY)])
    def png(execution: str, name: str) -> Response:
        view = bench.whole(execution)
        return Response(_drawing(view, name).png(), headers=_figure(view, name, ".png"), media_type="image/png")

    @routes.get("/studies/{execution}/tables/{name}.csv", dependencies=[may(Action.SEE_STUDY)])
    def table(execution: str, name: str) -> Response:
        view = bench.whole(execution)
        kind = "text/csv; charset=utf-8; header=present"
        return Response(as_csv(_sheet(view, name)), headers=attached(view.study, name, ending=".csv"), media_type=kind)

    return routes


def _drawing(view: ExecutionView, name: str) -> Drawing:
    metric = glance(view).metric
    picture = _one(pictures(view, metric) if metric else {}, name, "figure")
    return picture.draw(name=picture.name)


def _sheet(view: ExecutionView, name: str) -> Sheet:
    metric = glance(view).metric
    found: Iterable[Sheet] = sheets(view, metric) if metric else ()
    return _one({sheet.name: sheet for sheet in found}, name, "table")


def _one(every: Mapping[str, Found], name: str, kind: str) -> Found:
    if name in every:
        return every[name]
    has = f"take one of {listed(every, 30)}" if every else "come back when a model was judged"
    raise NotFoundError(f"this study has no such {kind}", received=name[:80], remedy=has)


def _figure(view: ExecutionView, name: str, ending: str) -> dict[str, str]:
    metric = glance(view).metric
    title, number = titles(pictures(view, metric) if metric else ()).get(name, (name, 0))
    return attached(view.study, title.lower(), number or "", ending=ending)
