"""A hospital's agent: one light process that fetches its hub's requests and has a worker answer them, until ended.

It only calls out, and executes nothing but what is installed here.
"""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from typing import Any, Protocol

from medfl.enrolment import address
from medfl.errors import EngineError, EnrolmentError, MedflError
from medfl.messages import Refusal, Reply, Request, Task
from medfl.private import held, write_private
from medfl.site.audit import note_refusal, note_unread
from medfl.site.deciding import Deciding
from medfl.site.enrolled import SiteHome
from medfl.site.enrolling import refresh
from medfl.site.limits import Limits
from medfl.site.log import logged
from medfl.site.place import require_going_on
from medfl.site.repeated import note_repeated
from medfl.site.voice import Voice
from medfl.site.workshop import Workshop

log = logging.getLogger("medfl.site")
BEGINNING: frozenset[Task] = frozenset({"describe", "keys"})
"""Tasks with which a run begins: the worker reads then who is enrolled."""
AGAIN = 60.0
"""Seconds after which a site that cannot reach its hub asks how its enrolment stands."""


def serve(home: SiteHome, limits: Limits | None = None) -> None:
    """Answer for an enrolled site until the process ends, or the hub revokes it.

    Parameters
    ----------
    home
        The site's folder.
    limits
        What its worker may take of this machine.

    Raises
    ------
    EnrolmentError
        If the site is not enrolled, or no longer.
    BusyError
        If another process answers for it.
    """
    # Flower is an extra, and takes a second to import.
    from medfl.run.flower.node import Address
    from medfl.run.flower.serving import serve as served
    from medfl.site.woken import Woken

    enrolment = home.enrolled()
    with held(home.folder / "agent.lock", what="an agent of this site"), logged(home.folder):
        voice = Voice(home.pause.exists)
        workshop = Workshop(
            {"home": str(home.folder)},
            limits or Limits.usual(),
            go_on=lambda: require_going_on(home),
            tell=voice.say,
        )
        agent = Agent(home, workshop, voice)
        home.node()
        root = home.folder / "hub.crt"
        write_private(root, home.enrolled().trust.encode())
        if enrolment.tunnel:
            _past_proxies(enrolment.tunnel)
        where = Address(address(enrolment.way, enrolment.port), root, home.node_key)
        calls = Woken(home, voice, describe=Describing(home, workshop), decided=Deciding(home))
        with workshop, calls:
            served(where, agent.answer, folder=home.folder / "postbox", house=agent, calls=calls)


class Worker(Protocol):
    """What answers an agent's requests."""

    def answer(self, request: Request) -> Reply | Refusal:
        """Answer one; what goes wrong on the way is raised as it is."""
        ...


class Agent:
    """Has requests answered, and knows how the site stands at its hub.

    Parameters
    ----------
    home
        The site's folder.
    worker
        What answers.
    voice
        Is told what the agent does.
    """

    def __init__(self, home: SiteHome, worker: Worker, voice: Voice | None = None) -> None:
        self._home, self._worker, self._voice = home, worker, voice or Voice()
        self._looked = float("-inf")
        self._look()
        self._name = home.enrolled().site

    def answer(self, request: Request) -> Reply | Refusal:
        """Have a request answered; where a run begins, or its secure aggregation, look before who is enrolled."""
        self._voice.begins(request)
        answer = self._answered(request)
        self._voice.ended(request, answer)
        return answer

    def once_more(self, request: Request, given: bytes) -> Refusal | None:
        """Let an answer that was given before go out again, with a line in the log; else return why not."""
        try:
            require_going_on(self._home)
            note_repeated(self._home, request, given)
        except MedflError as error:
            return self._refused(request, error)
        return None

    def unread(self, body: bytes, error: MedflError) -> None:
        """Write down that something came that is no request."""
        note_unread(self._home.log, body, error)

    def before_connecting(self) -> None:
        """Look, every minute without a connection, whether the site is still enrolled, and what the hub shows.

        Raises
        ------
        EnrolmentError
            If it is not.
        VersionError
            If hub and site do not understand each other any more.
        """
        if monotonic() - self._looked > AGAIN:
            self._look()
            write_private(self._home.folder / "hub.crt", self._home.enrolled().trust.encode())

    def _answered(self, request: Request) -> Reply | Refusal:
        try:
            if request.task in BEGINNING:
                self._look()
            return self._worker.answer(request)
        except MedflError as error:
            return self._refused(request, error)

    def _refused(self, request: Request, error: MedflError) -> Refusal:
        refusal = Refusal(request=request.id, site=self._name, code=error.code, complaints=error.complaints)
        log.warning("%s: %s", request.id, error)
        note_refusal(self._home.log, request, refusal)
        return refusal

    def _look(self) -> None:
        """Ask the hub how the enrolment stands; what was known is good enough while it cannot be reached."""
        self._looked = monotonic()
        try:
            now, sentence = refresh(self._home, self._home.enrolled())
        except EngineError as error:
            log.info("the hub cannot be reached: %s", error.complaints[0].received)
            return
        if sentence:
            log.warning("%s", sentence)
        if now.status != "approved":
            raise EnrolmentError(
                "the hub has revoked this site",
                where=now.site,
                remedy="ask whoever runs the hub; with a new invitation: medfl site enrol INVITATION",
            )


class Describing:
    """Tells what the data sets are like, whenever that may have changed.

    Parameters
    ----------
    home
        The site's folder.
    worker
        What reads the tables.
    """

    def __init__(self, home: SiteHome, worker: Workshop) -> None:
        self._home, self._worker = home, worker
        self._known: tuple[float, ...] | None = None

    def __call__(self) -> Mapping[str, Any] | None:
        """Return under ``catalogue`` what the data sets are like, under ``hardware`` the machine; None if that stays.

        Nothing where neither has changed since, or the worker has other work.
        """
        now = tuple(_changed(path) for path in (self._home.policy, self._home.datasets))
        if now == self._known or self._home.pause.exists():
            return None
        try:
            # Where it surely may not be told, no worker has to be started to say so.
            found = self._worker.described() if _may_be_told(self._home.policy) else _NOTHING
        except MedflError as error:
            log.info("%s", " ".join(str(error).split()))
            return None
        if found is not None:
            self._known = now
        return found


_NOTHING: Mapping[str, Any] = MappingProxyType({"catalogue": None, "hardware": None})
"""What is told by a site whose policy says nothing of it."""


def _may_be_told(policy: Path) -> bool:
    """Say whether a policy lets anything be told; whether it is a policy, the worker says, who reads it whole."""
    try:
        releases = tomllib.loads(policy.read_text(encoding="utf-8")).get("releases")
    except (OSError, ValueError):
        return False
    return isinstance(releases, dict) and any(releases.get(key) is True for key in _NOTHING)


def _changed(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _past_proxies(host: str) -> None:
    """Have this process reach a host without the proxy that the environment names: it would go around the tunnel."""
    for name in ("NO_PROXY", "no_proxy"):
        said = os.environ.get(name) or os.environ.get(name.swapcase(), "")
        if "*" not in said.split(","):
            os.environ[name] = f"{said},{host}".strip(",")
