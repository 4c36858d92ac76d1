"""A cable between a site and its hub that can be pulled out: a network namespace with one line to this machine."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from contextlib import ExitStack

from medfl.testing.relay import Relay

HUB, SITE = "198.51.100.1", "198.51.100.2"
"""Addresses of the two ends of the cable, of a range that nobody has."""


class Cable:
    """A namespace in which 127.0.0.1 at a port leads over the cable to the same port here.

    Parameters
    ----------
    port
        Where the hub, or a road to it, is on 127.0.0.1.
    stack
        Takes it all away.
    """

    def __init__(self, port: int, stack: ExitStack) -> None:
        self.name, line = f"medfl-{os.getpid()}", f"mk{secrets.token_hex(4)}"
        ran("ip", "netns", "add", self.name)
        stack.callback(ran, "ip", "netns", "del", self.name)
        ran("ip", "link", "add", line, "type", "veth", "peer", "name", "cable", "netns", self.name)
        # The namespace takes its end along only some time after it is gone.
        stack.callback(ran, "ip", "link", "del", line)
        ran("ip", "address", "add", f"{HUB}/30", "dev", line)
        ran("ip", "link", "set", line, "up")
        for words in (
            ("link", "set", "lo", "up"),
            ("address", "add", f"{SITE}/30", "dev", "cable"),
            ("link", "set", "cable", "up"),
        ):
            ran("ip", "-n", self.name, *words)
        here = stack.enter_context(Relay(("127.0.0.1", port), here=HUB))
        command = [*self.inside, sys.executable, "-m", "medfl.testing.relay"]
        process = subprocess.Popen(  # noqa: S603 - the command is this package's own
            [*command, "127.0.0.1", str(port), HUB, str(here.port)], stdin=subprocess.PIPE
        )
        # Closes its input, by which it ends.
        stack.enter_context(process)

    @property
    def inside(self) -> tuple[str, ...]:
        """What to put before a command that is to run at the other end."""
        return ("ip", "netns", "exec", self.name)

    def pull(self) -> None:
        """Pull the cable out."""
        ran("ip", "-n", self.name, "link", "set", "cable", "down")

    def plug(self) -> None:
        """Plug it in again."""
        ran("ip", "-n", self.name, "link", "set", "cable", "up")


def ran(*words: str) -> None:
    """Run a command, which must succeed."""
    subprocess.run(words, capture_output=True, timeout=60, check=True)  # noqa: S603 - the commands of above
