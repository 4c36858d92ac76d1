"""What an agent has to tell its hub: how it is, what it did, and what its data sets are like where its policy says so.

Names, stages, counts of rounds, and the sentences of refusals that the hub has had already: nothing of a table, and
nothing that an error of a library has said.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from threading import Event, Lock
from typing import Any

from medfl.channel import LARGEST, LINES, LONGEST, State
from medfl.messages import Refusal, Reply, Request

TRAINING = frozenset({"train", "alone", "fine-tune"})
_ROOM = LARGEST - 1024


class Voice:
    """Keeps what is to be told until it was sent.

    Parameters
    ----------
    paused
        Says whether the site's people have paused it.
    """

    def __init__(self, paused: Callable[[], bool] = lambda: False) -> None:
        self._paused, self._lock = paused, Lock()
        self._doing, self._told = State("idle", since=time.time()), State("idle")
        self._lines: deque[dict[str, Any]] = deque(maxlen=LINES)
        self._entries: Mapping[str, Any] | None = None
        self._hardware: Mapping[str, Any] | None = None
        self._untold: list[str] | None = None
        self._decisions: Mapping[str, Any] = {}
        self._undecided: dict[str, Any] = {}
        self.changed = Event()
        """Is set when there is something new."""

    def begins(self, request: Request) -> None:
        """Tell that work on a request begins."""
        doing: Any = "training" if request.task in TRAINING else "busy"
        rounds = _rounds(request.study)
        self._set(State(doing, request.run, request.task, request.round, rounds=rounds, since=time.time()))

    def ended(self, request: Request, answer: Reply | Refusal) -> None:
        """Tell what became of it."""
        about = f"{request.task} of run {request.run[:12]}" + (f", round {request.round}" if request.round else "")
        if isinstance(answer, Reply):
            self.say(f"{about}: answered in {answer.seconds:.1f} s")
        else:
            self.say(f"{about}: refused: {'; '.join(one.what for one in answer.complaints)}")
        self._set(State("idle", since=time.time()))

    def say(self, text: str) -> None:
        """Tell a line."""
        with self._lock:
            self._lines.append({"at": time.time(), "text": " ".join(text.split())[:LONGEST]})
        self.changed.set()

    def describe(self, entries: Mapping[str, Any] | None, hardware: Mapping[str, Any] | None = None) -> None:
        """Tell what the data sets and the machine are like; None where the hub may not know."""
        with self._lock:
            if self._untold is None or (entries, hardware) != (self._entries, self._hardware):
                self._entries, self._hardware, self._untold = entries, hardware, ["", *(entries or ())]
        self.changed.set()

    def decided(self, studies: Mapping[str, Any]) -> None:
        """Tell what was decided on studies, by their digests: ``verdict`` and ``reason`` of each."""
        with self._lock:
            self._undecided |= {key: one for key, one in studies.items() if self._decisions.get(key) != one}
            self._decisions = dict(studies)
        self.changed.set()

    def anew(self) -> None:
        """Tell all over again what is so at the moment: there is another connection."""
        with self._lock:
            self._told = State("idle", since=-1.0)
            if self._untold is not None:
                self._untold = ["", *(self._entries or ())]
            self._undecided = dict(self._decisions)
        self.changed.set()

    def send(self, send: Callable[[str], None]) -> None:
        """Send what is not sent yet; whatever `send` raises leaves the rest for the next time."""
        now, before = State("paused") if self._paused() else self._doing, self._told
        if now != before:
            send(_text({"tell": "state", "state": now.to_json()}))
            # Unless there is another connection meanwhile, over which nothing is told yet.
            if self._told is before:
                self._told = now
        with self._lock:
            lines = list(self._lines)[:_FEW]
        while lines:
            send(_text({"tell": "lines", "lines": lines}))
            with self._lock:
                for line in lines:
                    # Unless newer ones have pushed it out meanwhile.
                    if self._lines and self._lines[0] is line:
                        self._lines.popleft()
                lines = list(self._lines)[:_FEW]
        untold = self._untold
        while untold:
            send(self._catalogue(untold[0]))
            untold.pop(0)

    def send_decisions(self, send: Callable[[str], None]) -> None:
        """Send which decisions are not sent yet, to a hub that understands them."""
        while some := dict(list(self._undecided.items())[:_FEW]):
            send(_text({"tell": "decisions", "studies": some}))
            with self._lock:
                # Unless there is another one on the same study meanwhile.
                self._undecided = {key: one for key, one in self._undecided.items() if some.get(key) != one}

    def _set(self, state: State) -> None:
        self._doing = state
        self.changed.set()

    def _catalogue(self, name: str) -> str:
        """Return a message about one data set; the first, without a name, says which there are."""
        if not name or self._entries is None:
            # A hub that is older than this word overlooks it, where a message of its own would end the connection.
            machine = {} if self._hardware is None else {"hardware": self._hardware}
            return _text({"tell": "catalogue", "all": None if self._entries is None else [*self._entries], **machine})
        return _text({"tell": "catalogue", "dataset": name, "entry": _short(self._entries[name])})


_FEW = 20
"""Lines of one message."""


def _text(words: Mapping[str, Any]) -> str:
    return json.dumps(words, ensure_ascii=False)


def _short(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry with as many columns as one message holds, and how many it leaves out."""
    columns, others = list(told.get("columns", ())), list(told.get("other_columns", ()))
    short, whole = dict(told), len(columns) + len(others)
    while len(json.dumps(short)) > _ROOM and columns + others:
        others = others[: len(others) // 2]
        if not others:
            columns = columns[: len(columns) * 3 // 4]
        short |= {"columns": columns, "other_columns": others, "left_out": whole - len(columns) - len(others)}
    return short


def _rounds(study: str) -> int:
    """Return how many rounds a study has, as far as it says so."""
    try:
        found = json.loads(study)["algorithm"]["rounds"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0
    return found if type(found) is int and 0 <= found < 10**9 else 0
