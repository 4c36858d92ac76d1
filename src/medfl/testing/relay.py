"""A road between a site and its hub that a test can cut, slow down and make lose connections: a TCP relay.

``python -m medfl.testing.relay HERE PORT THERE PORT`` is one in a process of its own, as in a network namespace.
"""

from __future__ import annotations

import random
import socket
import sys
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Self

LATENCY, LOSS, RESENT, RESET = 0.3, 0.3, 0.2, 0.005
"""Of a slow road: seconds one way; the share of pieces that are lost and sent again, as TCP does; seconds after which,
doubled each time; the share of pieces at which the connection breaks."""


class Relay:
    """Passes connections on.

    Parameters
    ----------
    there
        Host and port of the other end.
    here
        The address to listen on.
    port
        The port there; a free one where 0.
    """

    def __init__(self, there: tuple[str, int], *, here: str = "127.0.0.1", port: int = 0) -> None:
        self._there, self._closing, self._lock = there, Event(), Lock()
        self._open = set[socket.socket]()
        self._luck = random.Random(7)  # noqa: S311 - no secret: which pieces are lost
        self.cut = self.slow = False
        """Whether nothing passes; whether it passes slowly, and with losses."""
        self._listener = socket.create_server((here, port))
        self.port = int(self._listener.getsockname()[1])
        self._thread = Thread(target=self._accept, daemon=True)
        self._thread.start()

    def break_off(self) -> None:
        """Break all connections that are open now."""
        with self._lock:
            lines = list(self._open)
        for line in lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        # Closing alone does not wake a thread that accepts.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.break_off()
        self._thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            Thread(target=self._joined, args=(line,), daemon=True).start()

    def _joined(self, line: socket.socket) -> None:
        try:
            onward = socket.create_connection(self._there, timeout=10)
        except OSError:
            line.close()
            return
        onward.settimeout(None)
        pair = {line, onward}
        with self._lock:
            self._open |= pair
        back = Thread(target=self._carry, args=(onward, line), daemon=True)
        back.start()
        self._carry(line, onward)
        back.join()
        with self._lock:
            self._open -= pair
        for end in pair:
            end.close()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while body := source.recv(65536):
                while self.cut and not self._closing.wait(0.05):
                    pass
                if self.slow and self._closing.wait(self._delay()):
                    break
                sink.sendall(body)
        except OSError:
            pass
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _delay(self) -> float:
        """Return the seconds that a piece takes: its latency, and the time until it has been sent again often enough.

        Raises
        ------
        ConnectionError
            Now and then, instead.
        """
        with self._lock:
            if self._luck.random() < RESET:
                raise ConnectionError("the road is bad")
            delay, again = LATENCY, RESENT
            while self._luck.random() < LOSS:
                delay, again = delay + again, again * 2
            return delay


if __name__ == "__main__":
    with Relay((sys.argv[3], int(sys.argv[4])), here=sys.argv[1], port=int(sys.argv[2])):
        sys.stdin.read()
