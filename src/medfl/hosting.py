"""A hub that runs studies: beside the service, a SuperLink that is kept running, and a process for each execution.

All of them end with the hub, and whatever is not finished goes on when the hub is started again.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any

import httpx
from starlette.types import ASGIApp

from medfl.errors import MedflError, PlanError, listed
from medfl.execution import lay_down
from medfl.hub.asked import may_go_on
from medfl.hub.fitting import doubts, misfits, untold
from medfl.hub.fleet import Fleet
from medfl.hub.place import HubPlace
from medfl.hub.queue import require_soon
from medfl.hub.service import ALL, Service
from medfl.hub.standing import Standing
from medfl.inspection import opened
from medfl.over_hub import keys_of, require_understood, sites_of
from medfl.private import turn
from medfl.readiness.gap import Gap
from medfl.run.flower.coordinator import let_in_only
from medfl.run.flower.superlink import QUIET, Certificates, SuperLink
from medfl.run.processes import ONE_THREAD
from medfl.site.sources import Sources
from medfl.spec.placing import placing
from medfl.spec.reading import text_of
from medfl.spec.study import Study
from medfl.store.home import Home
from medfl.store.written import keep_written

log = logging.getLogger("medfl.hub")
LOOK = 0.5
"""Seconds between two looks at who is enrolled and what is queued."""
AT_ONCE = 4
"""Executions that are carried out side by side; the others wait."""
TRIES, SLOWEST = 50, 60.0
"""How often an execution that fails is tried again without a round between, and the longest pause in seconds."""
ROOM = 2**24
"""Bytes that must be free on the disk of the hub's folder for an execution to be begun, or gone on with."""
FULL = "The disk of the hub is full: studies wait until there is room, and what is finished stays."
AWAY = "The hub's SuperLink does not answer: it is being started again, and studies go on where they are then."


def host(
    hub: HubPlace,
    *,
    bind: str | None,
    port: int | None,
    ready: Callable[[int], Any],
    pages: ASGIApp | None = None,
    standing: Standing | None = None,
) -> None:
    """Serve a hub and run its studies, until told to end.

    Parameters
    ----------
    hub
        Its folder.
    bind, port
        Where to listen; everywhere, and on the invitations' port, where None.
    ready
        Is told the port, once it listens.
    pages
        What people see in a browser at the same port.
    standing
        Is told what stands against the hub's work.

    Raises
    ------
    MedflError
        If it cannot.
    """
    with ExitStack() as stack:
        stack.enter_context(hub.running())
        hub.renew()
        certificates = Certificates(hub.authority_file, *hub.loopback)
        link = stack.enter_context(SuperLink(hub.superlink, certificates))
        fleet = Fleet(link.address, certificates.root, lambda: keys_of(hub))
        service = Service(hub, bind=bind or ALL, port=port, fleet=fleet, pages=pages)
        stack.enter_context(_kept_up(hub, link, standing or Standing()))
        service.run(lambda: ready(service.port))


def submit(hub: HubPlace, file: Path) -> tuple[str, Study]:
    """Lay a study down for the hub's enrolled sites, and queue it; return its execution's id, and the study.

    Raises
    ------
    MedflError
        With all that is wrong with it, or if it cannot be run over the hub.
    """
    study, base = opened(file)
    with Home(hub.folder) as home, placing(file):
        execution = queued(hub, home, study, base=base)
        keep_written(home, execution, text_of(file, "study"))
    return execution, study


def queued(hub: HubPlace, home: Home, study: Study, *, base: Path, by: str = "", not_before: float = 0.0) -> str:
    """Lay a study down for the hub's enrolled sites, and queue it; return its execution's id.

    Parameters
    ----------
    hub, home
        The hub's folder, and its store.
    study, base
        What is asked, and the folder that its paths start from.
    by, not_before
        Who launches it, and when it may begin, as in :class:`medfl.hub.queue.Entry`.

    Raises
    ------
    MedflError
        With all that is wrong with it, or if it cannot be run over the hub.
    """
    require_enrolled(hub, study)
    require_fitting(hub, study)
    require_soon(not_before)
    sources = Sources(base, home.folder / "sites")
    execution = lay_down(study, home, sources=sources, engine="hub", arm=None)
    hub.queue.add(execution, study.study.name, by=by, not_before=not_before)
    return execution


def fitting(hub: HubPlace, file: Path) -> tuple[Study, list[str], list[Gap]]:
    """Return a study that fits what its sites have told, the sites that have told nothing, and what is doubtful.

    Nothing is queued.

    Raises
    ------
    MedflError
        With all that does not fit.
    """
    study, _ = opened(file)
    with placing(file):
        require_enrolled(hub, study)
        return study, require_fitting(hub, study), doubts(study, hub.told())


def require_fitting(hub: HubPlace, study: Study) -> list[str]:
    """Refuse a study that cannot be, by what its sites have told; return the sites that have told nothing.

    Raises
    ------
    PlanError
        With each data set or column that is not there, and each that is of another kind or in another unit elsewhere.
    VersionError
        If a site does not understand what it would be asked.
    """
    told = hub.told()
    require_understood(hub, sites_of(study))
    if complaints := misfits(study, told):
        raise PlanError.of(complaints)
    return untold(study, told)


def require_enrolled(hub: HubPlace, study: Study) -> tuple[str, ...]:
    """Return the sites of a study, if all of them are enrolled and it asks nothing of them that real sites do not do.

    Raises
    ------
    PlanError
        If it cannot be run over the hub.
    """
    arms = study.arms.values()
    sites = sites_of(study)
    if not sites or any(arm.data.simulate is not None for arm in arms):
        raise PlanError(
            "the study does not say which enrolled sites take part",
            where="[data]",
            remedy='name each of them in [data.sites] with its data set, as in hospital-a = "diabetes"',
        )
    if "centralised" in study.evaluation.baselines:
        raise PlanError(
            "no rows leave a hospital, so there is no baseline with all rows in one place",
            where="[evaluation] baselines",
            received="centralised",
            remedy='leave "centralised" out; "local-only" can be had',
        )
    known = {record.name: record.status for record in hub.register.sites()}
    missing = [name for name in sites if known.get(name) != "approved"]
    if missing:
        raise PlanError(
            "not all sites of the study are enrolled",
            where="[data.sites]",
            received=listed(f"{name}: {known.get(name, 'unknown')}" for name in missing),
            remedy="see who is: medfl hub sites; invite and approve the others, or leave them out",
        )
    return sites


@contextmanager
def _kept_up(hub: HubPlace, link: SuperLink, standing: Standing) -> Iterator[None]:
    """Keep the SuperLink's list of sites and the executions going, in a thread, as long as the context lasts."""
    closing, work = Event(), _Work(hub, standing)

    def keep() -> None:
        known: dict[str, bytes] | None = None
        pid = link.pid
        while not closing.is_set():
            if pid != link.pid:
                pid = link.pid
                log.warning("the SuperLink ended and was started again; its log is %s", link.folder / "log")
            standing.say("SuperLink", "" if link.answers else AWAY)
            try:
                keys = keys_of(hub)
                if keys != known:
                    let_in_only(link, keys)
                    known = keys
                work.look()
                standing.say("files", "")
                turn(hub.superlink / "log", held=True)
            except httpx.HTTPError as error:
                log.debug("the SuperLink does not answer yet: %s", type(error).__name__)
            except (MedflError, OSError) as error:
                said = " ".join(str(error).split())
                log.warning("%s", said)
                standing.say("files", f"The hub cannot go on with its studies at the moment: {said}")
            closing.wait(LOOK)

    thread = Thread(target=keep)
    thread.start()
    try:
        yield
    finally:
        closing.set()
        thread.join()
        work.end()


@dataclass(slots=True)
class _Work:
    """The processes that carry executions out."""

    hub: HubPlace
    standing: Standing = field(default_factory=Standing)
    going: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)
    full: bool = False

    def look(self) -> None:
        """Take notice of processes that ended, and start those that are due."""
        for execution, process in list(self.going.items()):
            if process.poll() is not None:
                self._ended(execution)
        waiting = self.hub.queue.entries()
        if not waiting or not self._has_room():
            return
        for entry in waiting:
            if len(self.going) >= AT_ONCE:
                break
            rests = entry.execution in self.going or self.due.get(entry.execution, 0.0) > monotonic()
            if not rests and may_go_on(self.hub.folder, entry):
                self.going[entry.execution] = self._started(entry.execution)

    def end(self) -> None:
        """End all of them; they go on from their last finished round when the hub is started again."""
        for process in self.going.values():
            process.terminate()
        for process in self.going.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()
            process.wait()
            _close(process)

    def _has_room(self) -> bool:
        """Say whether there is room for what a round writes; where there is none, executions wait, and it is told."""
        free = shutil.disk_usage(self.hub.folder).free
        if (free < ROOM) != self.full:
            self.full = free < ROOM
            self.standing.say("disk", FULL if self.full else "")
            if self.full:
                what = "the disk of the hub's folder %s is full, %d MB are free: studies wait until there is room"
                log.error(what, self.hub.folder, free // 10**6)
            else:
                log.warning("there is room on the disk of the hub's folder again: studies go on")
        return not self.full

    def _ended(self, execution: str) -> None:
        process = self.going.pop(execution)
        _close(process)
        entry = next((one for one in self.hub.queue.entries() if one.execution == execution), None)
        if entry is None:
            log.info("execution %s is done", execution)
            return
        if not may_go_on(self.hub.folder, entry):
            log.info("execution %s waits for its sites' people, or for its time", execution)
            return
        if (moved := self.hub.queue.moved(execution)) != self.moved.get(execution):
            # A round was finished meanwhile: this is the first failure since.
            self.moved[execution] = moved
            self.tries.pop(execution, None)
        tries = self.tries[execution] = self.tries.get(execution, 0) + 1
        if tries >= TRIES:
            log.warning("execution %s is given up after %d tries; go on with: medfl resume", execution, tries)
            self.hub.queue.done(execution)
            return
        pause = min(0.5 * 2.0 ** min(tries, 10), SLOWEST)
        log.warning("execution %s ended with code %s; again in %.0f s", execution, process.returncode, pause)
        self.due[execution] = monotonic() + pause

    def _started(self, execution: str) -> subprocess.Popen[bytes]:
        command = (sys.executable, "-m", "medfl.coordinating", str(self.hub.folder), execution)
        log.info("execution %s is begun", execution)
        with _log_of(self.hub, execution).open("ab") as output:
            return subprocess.Popen(  # noqa: S603 - the command is this package's own
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(),
                start_new_session=True,
            )


def environment() -> Mapping[str, str]:
    """Return the environment of a process that carries an execution out."""
    return os.environ | QUIET | ONE_THREAD


def _log_of(hub: HubPlace, execution: str) -> Path:
    folder = hub.folder / "executions"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{execution}.log"
    path.touch(mode=0o600)
    return path


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
