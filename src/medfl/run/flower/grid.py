"""The engine over Flower's own Grid: for a consortium that runs SuperLink and SuperNodes already.

A node is greeted before anything else, since Flower knows nodes by numbers only. Who is who is the hospitals' own
word; where whoever runs the SuperLink has registered a node under the name of a site, that name binds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from time import monotonic

from flwr.app import Message
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid as Grid  # named so for those who may not know Flower

from medfl.errors import Complaint, EngineError, WireError, listed
from medfl.messages import Refusal, Reply, Request
from medfl.run.flower.engine import LineEngine
from medfl.run.flower.greeting import HELLO, Greeting, installed
from medfl.run.flower.wire import KIND, LIVES, brought, record

AGAIN = 600.0
"""Seconds after which a request is sent once more: a stock SuperNode starts a process for each."""
PAUSE = 0.25
"""Seconds between two looks for nodes and greetings."""


class GridLine:
    """A run of Flower's, as a ServerApp has it."""

    def __init__(self, grid: Grid) -> None:
        self._grid, self._pause = grid, Event()

    def push(self, letters: Sequence[tuple[bytes, int]]) -> list[str]:
        """Send bytes to nodes and return the ids under which the answers can be fetched.

        Raises
        ------
        EngineError
            If Flower does not take them.
        """
        return [self._pushed(body, node) for body, node in letters]

    def pull(self, ids: Iterable[str], *, patience: float) -> list[tuple[str, bytes | None]]:
        """Return the answers that have come by the ids of their requests, after so many seconds.

        None stands where Flower gave up on the site, and no bytes where the answer never came whole.
        """
        self._pause.wait(patience)
        return [(str(one.metadata.reply_to_message_id), _opened(one)) for one in self._grid.pull_messages(list(ids))]

    def close(self) -> None:
        """Leave the run, which ends with its ServerApp."""

    def _pushed(self, body: bytes, node: int) -> str:
        # One by one: what Flower sends together, it holds together in memory.
        sent = list(self._grid.push_messages([Message(record(body), node, KIND, ttl=LIVES)]))
        if not sent or not sent[0]:
            raise EngineError(
                "Flower's SuperLink does not take a message",
                where=f"node {node}",
                received=f"{len(body)} bytes",
                remedy="see the SuperLink's log: it may have a limit on the size of messages",
            )
        return str(sent[0])


class GridEngine(LineEngine[GridLine]):
    """Reaches the sites of a consortium's own Flower.

    Parameters
    ----------
    grid
        What Flower hands to a ServerApp.
    sites
        The sites' names.
    seconds
        How long they may take to come.

    Raises
    ------
    EngineError
        If one is missing after so many seconds, or a node cannot take part.
    """

    def __init__(self, grid: Grid, sites: Iterable[str], *, seconds: float) -> None:
        self._reception = Reception(grid, tuple(sorted(sites)))
        nodes = self._reception.wait(seconds)
        super().__init__(lambda: GridLine(grid), nodes, where="Flower's SuperLink", again=AGAIN)

    def exchange(self, requests: Iterable[Request], *, timeout: float | None = None) -> Iterator[Reply | Refusal]:
        """Send every request and yield the answers as they come; a SuperNode that was started anew is found again."""
        self._nodes = self._reception.again(self._nodes)
        yield from super().exchange(requests, timeout=timeout)


@dataclass(frozen=True, slots=True)
class _Guest:
    """A node that is there."""

    node: int
    registered: str

    @property
    def name(self) -> str:
        return f"node {self.node}" + (f" ({self.registered})" if self.registered else "")


class Reception:
    """Greets nodes and remembers who they are.

    Parameters
    ----------
    grid
        What Flower hands to a ServerApp.
    sites
        The names of the sites that are expected.
    """

    def __init__(self, grid: Grid, sites: Sequence[str]) -> None:
        self._grid, self._line, self._sites = grid, GridLine(grid), tuple(sites)
        self._asked: dict[str, _Guest] = {}
        self._met: set[int] = set()
        self._said: dict[int, Greeting] = {}
        self._troubles: dict[int, Complaint] = {}

    def wait(self, seconds: float) -> dict[str, int]:
        """Return the node of each site as soon as all are there.

        Raises
        ------
        EngineError
            If one is missing after so many seconds, or a node cannot take part.
        """
        until, pause = monotonic() + seconds, Event()
        while True:
            self._look()
            nodes = self._nodes()
            if self._troubles and not self._asked:
                raise EngineError.of(list(self._troubles.values()))
            if missing := [site for site in self._sites if site not in nodes]:
                if monotonic() > until:
                    raise _missing(missing, seconds, self._said)
                pause.wait(PAUSE)
            else:
                return nodes

    def again(self, nodes: Mapping[str, int]) -> dict[str, int]:
        """Return the nodes of the sites; where a site's is gone and another answers for it now, that one.

        Nobody waits here for a newcomer's greeting: one that comes late is taken up at the next exchange.
        """
        online = {guest.node for guest in self._look()}
        back = {said.site: node for node, said in self._said.items() if node in online}
        return {site: node if node in online else back.get(site, node) for site, node in nodes.items()}

    def _look(self) -> list[_Guest]:
        """Greet who is new, and hear who has answered; return who is there."""
        guests = [_Guest(int(one.node_id), str(one.name)) for one in self._grid.get_nodes()]
        for guest in guests:
            if guest.node not in self._met:
                self._met.add(guest.node)
                self._asked[self._line.push([(HELLO, guest.node)])[0]] = guest
        if self._asked:
            for name, body in self._line.pull(self._asked, patience=0.0):
                self._hear(self._asked.pop(name), body, guests)
        return guests

    def _hear(self, guest: _Guest, body: bytes | None, guests: Sequence[_Guest]) -> None:
        if body is None and guest not in guests:
            return  # It left before it could answer, as one does that is started anew.
        try:
            said = Greeting.read(body or b"")
        except WireError:
            said = Greeting("", "", "its app did not start; its log says why")
        if trouble := self._trouble(guest, said, {one.registered for one in guests}):
            self._troubles[guest.node] = trouble
        elif said.site in self._sites:
            self._said[guest.node] = said

    def _trouble(self, guest: _Guest, said: Greeting, registered: set[str]) -> Complaint | None:
        """Return why a node cannot take part; nothing is wrong with one of another study."""
        who = f"{guest.name}, site {said.site}" if said.site else guest.name
        if said.trouble:
            return Complaint("a node cannot take part", who, said.trouble, "mend it there, then start anew")
        theirs, claimed = guest.registered in self._sites, said.site in self._sites and said.site in registered
        if (theirs or claimed) and said.site != guest.registered:
            return Complaint(
                "a node answers for a site that it is not registered as",
                who,
                f"registered as {guest.registered or 'nobody'}",
                "name the site in its node config as it is registered with the SuperLink",
            )
        if said.site in self._sites and said.medfl != installed():
            return Complaint(
                "hub and site run different versions of MEDfl",
                who,
                f"{said.medfl} there, {installed()} here",
                "install the same version at both",
            )
        return None

    def _nodes(self) -> dict[str, int]:
        """Return the node of each site that is there.

        Raises
        ------
        EngineError
            If two nodes answer for one site.
        """
        nodes: dict[str, int] = {}
        for node, said in self._said.items():
            if said.site in nodes:
                raise EngineError(
                    "two nodes answer for one site",
                    where=f"site {said.site}",
                    received=f"nodes {nodes[said.site]} and {node}",
                    remedy="let each hospital start one SuperNode, and ask both whose it is",
                )
            nodes[said.site] = node
        return nodes


def _opened(message: Message) -> bytes | None:
    if message.has_error():
        return b"" if message.error.code == ErrorCode.MESSAGE_UNAVAILABLE else None
    try:
        return brought(message)
    except WireError:
        return b""


def _missing(sites: Sequence[str], seconds: float, said: Mapping[int, Greeting]) -> EngineError:
    here = sorted(greeting.site for greeting in said.values())
    return EngineError(
        f"not all sites came within {seconds:g} s",
        where="Flower's SuperLink",
        received=f"missing: {listed(sites, 20)}; there: {listed(here, 20) if here else 'nobody'}",
        remedy="see that their SuperNodes run and name these sites in their node config, or wait longer with "
        "--run-config 'wait=SECONDS'",
    )
