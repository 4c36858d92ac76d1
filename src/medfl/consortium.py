"""The pages of a consortium's hub: what they stand on, at the same port at which its sites call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from medfl.costing import costs
from medfl.errors import MissingExtraError, PlanError, listed
from medfl.hosting import queued, require_enrolled, require_fitting
from medfl.hub.fitting import tables
from medfl.hub.place import HubPlace
from medfl.hub.presence import Presence
from medfl.readiness.tables import Known
from medfl.run.explain import explain
from medfl.run.plan import compile
from medfl.spec.data import Data
from medfl.spec.study import Study
from medfl.steering import Steering
from medfl.stopping import ask, settled
from medfl.store.home import Home
from medfl.store.shelf import whole_execution

try:
    from starlette.types import ASGIApp

    from medfl.hub.pages.application import OPEN, application
    from medfl.hub.pages.bench import Bench, Told
    from medfl.hub.pages.bounded import Bounded
    from medfl.hub.pages.people.rooms import people_rooms
    from medfl.hub.pages.shelf import Everything
    from medfl.hub.people.consortium import People
except ImportError as missing:
    raise MissingExtraError("the pages are not installed", remedy="pip install 'medfl[app]'") from missing

BASE = "files-of-pages"
"""A folder of the hub's that stays empty: where the paths of a study that came over a page start from."""


def bench_of(hub: HubPlace, home: Home, troubles: Callable[[], Sequence[str]] = tuple) -> Bench:
    """Return what the pages of a hub stand on.

    Parameters
    ----------
    hub, home
        The hub's folder, and its store.
    troubles
        Says what is wrong with the hub at the moment.
    """

    def busy(execution: str) -> bool:
        return execution in hub.queue.waiting() or home.is_busy(execution)

    def looked(study: Study) -> Sequence[Told]:
        require_no_files(study)
        require_enrolled(hub, study)
        told = [Told("Which sites are asked", tuple(_asked(hub, study)))]
        return told + _read(study)

    def sees(data: Data) -> Known:
        return tables(data, hub.told())

    return Bench(home, _read, looked, Queued(hub, home), busy, hub, troubles, sees, steers=Steering(home), costs=costs)


def pages_of(hub: HubPlace, home: Home, troubles: Callable[[], Sequence[str]] = tuple) -> ASGIApp:
    """Return a hub's pages, as they are served at its port to whoever signs in.

    Parameters
    ----------
    hub, home
        The hub's folder, and its store.
    troubles
        Says what is wrong with the hub at the moment.

    Raises
    ------
    MedflError
        If what the hub says of its people cannot be read.
    """
    names = [f"[{host}]" if ":" in host else host for host in hub.hosts]
    # Without a port where another web server stands before the hub.
    hosts = [*names, *(f"{name}:{hub.about.port}" for name in names)]
    people = People.at(hub.folder, name=hub.about.name)
    access, guard = people.before(hosts=hosts, runs=Everything(home), open_to_all=OPEN)

    def sites() -> tuple[str, ...]:
        return tuple(record.name for record in hub.register.sites() if record.status != "revoked")

    rooms = people_rooms(people, sites)
    bench = replace(bench_of(hub, home, troubles), drafts=people.rules.drafts)
    return Bounded(application(bench, access, guard, rooms))


class Queued:
    """Carries studies out by putting them into the hub's queue.

    Parameters
    ----------
    hub, home
        The hub's folder, and its store.
    """

    def __init__(self, hub: HubPlace, home: Home) -> None:
        self._hub, self._home = hub, home

    def launch(self, study: Study, *, by: str = "", not_before: float = 0.0) -> str:
        """Lay a study down, queue it, and return its execution's id."""
        require_no_files(study)
        base = self._home.folder / BASE
        return queued(self._hub, self._home, study, base=base, by=by, not_before=not_before)

    def stop(self, execution: str) -> None:
        """Have an execution stop once its round is stored; one that still waits leaves the queue."""
        ask(self._home, whole_execution(self._home, execution).every[0])
        if not self._home.is_busy(execution):
            settled(self._home, execution)

    def go_on(self, execution: str) -> None:
        """Queue an execution once more; it goes on where it stopped."""
        first = whole_execution(self._home, execution).every[0]
        self._home.let_go_on(execution)
        self._hub.queue.add(execution, first.study)


def require_no_files(study: Study) -> None:
    """Refuse a study that names files of the hub's machine: whoever writes one in a browser may not read there.

    Raises
    ------
    PlanError
        If it does.
    """
    for arm in study.arms.values():
        start = arm.model.start
        if start is not None and (start.model is not None or (start.weights is not None and not start.bundled)):
            raise PlanError(
                "a study that is launched in a browser names no files of the hub's machine",
                where="[model.start]",
                received=start.model or start.weights or "",
                remedy='start from a run of this hub (run = "RUN") or from bundled weights; or whoever runs the hub '
                "submits the study there: medfl submit",
            )


def _read(study: Study) -> list[Told]:
    """Say what a study would do, as far as its text tells."""
    return [Told(section.title, tuple(section.sentences)) for section in explain(study, compile(study))]


def _asked(hub: HubPlace, study: Study) -> Iterator[str]:
    """Say which sites are asked, for what, and what is known of it.

    Raises
    ------
    MedflError
        If what they have told does not fit.
    """
    untold, told, presence = require_fitting(hub, study), hub.told(), Presence.at(hub.folder)
    titles = {record.name: record.title for record in hub.register.sites()}
    wanted = {(site, name) for arm in study.arms.values() for site, name in (arm.data.sites or {}).items()}
    for site, name in sorted(wanted):
        entry = told[site].datasets.get(name, {})
        rows = f" ({entry['rows']} rows)" if "rows" in entry else ""
        away = "" if presence.of(site)["connected"] else "; it is not connected now, and the study waits for it"
        yield f"{titles[site]} for its data set {name}{rows}{away}."
    if untold:
        who = listed([titles[site] for site in untold], 20)
        yield f"Nothing is known beforehand of the columns at {who}: its policy does not tell. It shows at the start."
    yield (
        "Each site asks its own policy and, where that says so, its own people. The study begins once nobody has still "
        "to decide."
    )
