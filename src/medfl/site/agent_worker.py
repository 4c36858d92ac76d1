"""The process in which an agent's site works: requests on standard input, answers on standard output.

It can be killed at any moment, and ends itself as soon as its agent is gone.
"""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, BinaryIO

from medfl.errors import MedflError, SiteError, WireError
from medfl.messages import Refusal, Reply, Request, from_bytes, read_frame, to_bytes, write_frame
from medfl.privacy.secure.member import Member
from medfl.privacy.secure.unmasked import FolderUnmasked
from medfl.site.agent import BEGINNING
from medfl.site.audit import note_refusal
from medfl.site.catalogue import catalogue
from medfl.site.enrolled import SiteHome
from medfl.site.limits import Limits, out_of_memory
from medfl.site.log import logged
from medfl.site.machine import told_hardware
from medfl.site.reception import Reception
from medfl.site.rules_reading import read
from medfl.site.workshop import DESCRIBE

log = logging.getLogger("medfl.site")


class Hospital:
    """What answers: a hospital's reception, with the peers that are enrolled when a run begins.

    Parameters
    ----------
    home
        The site's folder.
    sitting
        What its replies name it by; another word after it or its agent died. One is drawn where None.
    """

    def __init__(self, home: SiteHome, sitting: str | None = None) -> None:
        self._home, self._sitting = home, sitting
        self._reception: Reception | None = None
        self.member: Member | None = None
        """The site's part in secure aggregation, from the first request on."""

    def answer(self, request: Request) -> Reply | Refusal:
        """Answer a request; what is wrong with the site's home, or with who its peers are, is an answer too."""
        try:
            reception = self._opened(request)
            return reception.answer(request)
        except MedflError as error:
            return self._refusal(request, error)
        except MemoryError:
            return self._refusal(request, out_of_memory(request.task))

    def _opened(self, request: Request) -> Reception:
        if self._reception is None or self.member is None:
            self.member = self._home.member(FolderUnmasked(self._home.folder / "unmasked"))
            self._reception = Reception(self._home, self.member.site, member=self.member, sitting=self._sitting)
        elif request.task in BEGINNING:
            self.member.meet(self._home.identities())
        return self._reception

    def _refusal(self, request: Request, error: MedflError) -> Refusal:
        refusal = Refusal(request=request.id, site=request.site, code=error.code, complaints=error.complaints)
        note_refusal(self._home.log, request, refusal)
        return refusal


def serve(requests: BinaryIO, answers: BinaryIO, *, ended: Callable[[], None]) -> None:
    """Answer until the pipe is closed, or the process is killed.

    Parameters
    ----------
    requests, answers
        The pipes.
    ended
        Is called, in another thread, as soon as the agent has closed the pipe, whatever is under way.
    """
    first = read_frame(requests)
    if first is None:
        return
    words = json.loads(first)
    Limits.from_json(words["limits"]).take()
    home, waiting = SiteHome(Path(words["home"])), SimpleQueue[bytes | None]()

    def listen() -> None:
        try:
            while (body := read_frame(requests)) is not None:
                waiting.put(body)
        except (WireError, MemoryError) as error:
            # The agent waits for an answer, or for the end of this process; and half a frame is the end of the agent.
            log.error("the worker cannot take what it is sent: %s", type(error).__name__)
        finally:
            waiting.put(None)
            ended()

    Thread(target=listen, daemon=True).start()
    hospital = Hospital(home, words.get("sitting"))
    with logged(home.folder):
        while (body := waiting.get()) is not None:
            if body == DESCRIBE:
                write_frame(answers, json.dumps({"catalogue": described(home), "hardware": equipped(home)}).encode())
                continue
            request = from_bytes(body)
            if not isinstance(request, Request):
                raise SiteError("a worker was sent something that is not a request")
            write_frame(answers, to_bytes(hospital.answer(request)))


def described(home: SiteHome) -> dict[str, Any] | None:
    """Return what the hub may see of the data sets: None, unless the site's policy says that it may see something."""
    try:
        if not home.policy.is_file() or not read(home.policy).releases.catalogue:
            return None
        return catalogue(home)
    except MedflError as error:
        log.warning("the hub is not told what the data sets are like: %s", error)
        return None


def equipped(home: SiteHome) -> dict[str, Any] | None:
    """Return what the hub may see of this machine: None, unless the site's policy says that it may see something."""
    try:
        found = told_hardware(home)
    except MedflError as error:
        log.warning("the hub is not told what this machine is like: %s", error)
        return None
    return None if found is None else found.to_json()


def main() -> None:
    """Be the worker that the first message of the pipe says."""
    # Nothing but answers may reach the pipe: whatever else prints goes to standard error.
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # Nothing that this process holds is needed, and no signal that could be ignored may keep it here without its agent.
    serve(os.fdopen(os.dup(0), "rb"), pipe, ended=lambda: os.kill(os.getpid(), signal.SIGKILL))


if __name__ == "__main__":
    main()
