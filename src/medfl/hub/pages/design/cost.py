"""The page on which it is tried out what a draft's differential privacy costs."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, params
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from medfl.errors import Complaint, MedflError, PlanError
from medfl.hub.pages.bench import Attempt, Bench, Cost
from medfl.hub.pages.design.drafts import Drafts
from medfl.hub.pages.design.page import SOURCE, title_of
from medfl.hub.pages.drawn import Drawn
from medfl.hub.pages.forms import Moved, forms
from medfl.hub.people.access import may
from medfl.hub.people.permits import Action
from medfl.spec.reading import parse


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPage:
    """What a draft's differential privacy costs, as far as that is known.

    Parameters
    ----------
    draft, title
        The draft, and what its study is called.
    complaints
        Why the draft is no study.
    costs
        What is expected by arithmetic.
    attempt
        What came of trying it out; None where nothing can be.
    """

    draft: str
    title: str
    complaints: tuple[Complaint, ...] = ()
    costs: tuple[Cost, ...] = ()
    attempt: Attempt | None = None


def cost_page(bench: Bench, drafts: Drafts, name: str) -> CostPage:
    """Return what is known of a draft's cost, whatever is written in it."""
    text = drafts.read(name).text
    about = CostPage(draft=name, title=title_of(text))
    try:
        study = parse(text, source=SOURCE)
        attempt = None if bench.tries is None else bench.tries.seen(text)
        costs = tuple(bench.costs(study, bench.sees(study.data)))
    except MedflError as error:
        return CostPage(draft=name, title=about.title, complaints=error.complaints)
    return CostPage(draft=name, title=about.title, costs=costs, attempt=attempt)


def twin(bench: Bench, drafts: Drafts) -> APIRouter:
    """Return the page for programs."""
    api = APIRouter()

    @api.get("/drafts/{name}/cost", dependencies=[may(Action.SEE_DRAFT)])
    def cost(name: str) -> CostPage:
        """Tell what a draft's differential privacy costs, by arithmetic and as it was tried out."""
        return cost_page(bench, drafts, name)

    return api


def pages(bench: Bench, drafts: Drafts, drawn: Drawn) -> APIRouter:
    """Return the page for people."""
    routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @routes.get("/drafts/{name}/cost", dependencies=[may(Action.SEE_DRAFT)])
    def cost(request: Request, name: str) -> Response:
        return drawn.page(request, "cost", cost_page(bench, drafts, name))

    @routes.get("/drafts/{name}/cost/parts", dependencies=[may(Action.SEE_DRAFT)])
    def parts(name: str) -> Response:
        page = cost_page(bench, drafts, name)
        if page.attempt is None or page.attempt.state != "running":
            # The whole page is another one then: with what came of it, and nothing that asks again.
            return HTMLResponse("", headers={"HX-Refresh": "true"})
        return HTMLResponse(drawn.part("cost-parts", page))

    return routes


def trials(bench: Bench, drafts: Drafts, guarded: params.Depends) -> APIRouter:
    """Return what begins and ends a trial; `guarded` stands before it."""
    routes = forms(guarded)

    @routes.post("/drafts/{name}/cost", dependencies=[may(Action.CHANGE_DRAFT)])
    def begin(name: str) -> Response:
        """Try out what a draft's differential privacy costs."""
        if bench.tries is None:
            raise PlanError(
                "nothing can be tried out here",
                where=name,
                remedy="on a machine with a table that is no secret, type: medfl check STUDY --public TABLE",
            )
        bench.tries.begin(drafts.read(name).text)
        return Moved(f"/drafts/{name}/cost")

    @routes.post("/drafts/{name}/cost/stop", dependencies=[may(Action.CHANGE_DRAFT)])
    def stop(name: str) -> Response:
        """End the trial of a draft."""
        if bench.tries is not None:
            bench.tries.stop(drafts.read(name).text)
        return Moved(f"/drafts/{name}/cost")

    return routes
