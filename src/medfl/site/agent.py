"""A hospital's agent: one process that fetches its hub's requests and has the reception answer them, until it is ended.

It only calls out, and executes nothing but what is installed here.
"""

from __future__ import annotations

import logging
import os
from time import monotonic

from medfl.enrolment import address
from medfl.errors import EngineError, EnrolmentError, MedflError
from medfl.messages import Refusal, Reply, Request, Task
from medfl.privacy.secure.unmasked import FolderUnmasked
from medfl.private import held, write_private
from medfl.site.enrolled import SiteHome
from medfl.site.enrolling import refresh
from medfl.site.log import logged
from medfl.site.reception import Reception

log = logging.getLogger("medfl.site")
BEGINNING: frozenset[Task] = frozenset({"describe", "keys"})
"""Tasks with which a run begins."""
AGAIN = 60.0
"""Seconds after which a site that cannot reach its hub asks how its enrolment stands."""


def serve(home: SiteHome) -> None:
    """Answer for an enrolled site until the process ends, or the hub revokes it.

    Raises
    ------
    EnrolmentError
        If the site is not enrolled, or no longer.
    BusyError
        If another process answers for it.
    """
    # Flower is an extra, and takes a second to import.
    from medfl.run.flower.serving import Address
    from medfl.run.flower.serving import serve as served
    from medfl.site.woken import Woken

    enrolment = home.enrolled()
    with held(home.folder / "agent.lock", what="an agent of this site"), logged(home.folder):
        agent = Agent(home)
        home.node()
        root = home.folder / "hub.crt"
        write_private(root, home.enrolled().trust.encode())
        if enrolment.tunnel:
            _past_proxies(enrolment.tunnel)
        where = Address(address(enrolment.way, enrolment.port), root, home.node_key)
        with Woken(home) as calls:
            served(where, agent.answer, folder=home.folder / "postbox", house=agent, calls=calls)


class Agent:
    """Answers, with the peers that are enrolled at that moment.

    Parameters
    ----------
    home
        The site's folder.
    """

    def __init__(self, home: SiteHome) -> None:
        self._home = home
        self._looked = float("-inf")
        self._look()
        self.member = home.member(FolderUnmasked(home.folder / "unmasked"))
        """The site's part in secure aggregation."""
        self._reception = Reception(home, self.member.site, member=self.member)

    def answer(self, request: Request) -> Reply | Refusal:
        """Answer a request; where a run begins, or its secure aggregation, look who is enrolled."""
        try:
            if request.task in BEGINNING:
                self._look()
                self.member.meet(self._home.identities())
        except MedflError as error:
            return self._reception.refuse(request, error)
        return self._reception.answer(request)

    def once_more(self, request: Request, given: bytes) -> Refusal | None:
        """Let an answer that was given before go out again, with a line in the log; else return why not."""
        return self._reception.once_more(request, given)

    def unread(self, body: bytes, error: MedflError) -> None:
        """Write down that something came that is no request."""
        self._reception.unread(body, error)

    def before_connecting(self) -> None:
        """Look, every minute without a connection, whether the site is still enrolled, and what the hub shows.

        Raises
        ------
        EnrolmentError
            If it is not.
        """
        if monotonic() - self._looked > AGAIN:
            self._look()
            write_private(self._home.folder / "hub.crt", self._home.enrolled().trust.encode())

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


def _past_proxies(host: str) -> None:
    """Have this process reach a host without the proxy that the environment names: it would go around the tunnel."""
    for name in ("NO_PROXY", "no_proxy"):
        said = os.environ.get(name) or os.environ.get(name.swapcase(), "")
        if "*" not in said.split(","):
            os.environ[name] = f"{said},{host}".strip(",")
