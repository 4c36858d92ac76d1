"""Which web server stands before the hub: a file in its folder; what that one says of whom it passes on is believed.

A hub that nobody stands before believes no header. Of a chain of addresses only the last counts: it is the one that the
stated web server has seen itself, whatever was in the header before.
"""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from medfl.enrolment import json_of
from medfl.errors import StoreError, UserError, WireError
from medfl.private import write_private

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

NAME = "behind.json"
HEADER = b"x-forwarded-for"
_WRITTEN = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")
"""An address with a port behind it, or in brackets, as some web servers write it."""
NOBODY = "none"
"""What is typed where nothing stands before the hub any more."""


class Behind:
    """Stands before an application (ASGI), and has it see the address that the web server before the hub has seen.

    Parameters
    ----------
    app
        What is served.
    proxy
        The address from which that web server connects; empty where none stands there.
    """

    def __init__(self, app: ASGIApp, proxy: str) -> None:
        self._app, self._proxy = app, address_of(proxy)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a connection through."""
        if self._proxy is not None and scope["type"] in ("http", "websocket"):
            client = scope.get("client")
            seen = _last(scope["headers"]) if client and address_of(client[0]) == self._proxy else None
            if seen is not None:
                scope = {**scope, "client": (str(seen), 0)}
        await self._app(scope, receive, send)


def proxy_of(folder: Path) -> str:
    """Return the address of the web server that stands before a hub; empty where none does.

    Raises
    ------
    StoreError
        If the file was changed into something else.
    """
    path = folder / NAME
    try:
        proxy = address_of(str(json_of(path.read_bytes())["proxy"]))
    except FileNotFoundError:
        return ""
    except (OSError, WireError, KeyError):
        proxy = None
    if proxy is None:
        raise StoreError(
            "which web server stands before the hub cannot be read",
            where=str(path),
            remedy="set it again: medfl hub behind ADDRESS, or medfl hub behind none",
        )
    return str(proxy)


def set_proxy(folder: Path, address: str) -> None:
    """Believe what the web server at an address says of whom it passes on, or nobody where it is "none".

    Raises
    ------
    UserError
        If it is no address.
    """
    if address == NOBODY:
        (folder / NAME).unlink(missing_ok=True)
        return
    proxy = address_of(address)
    if proxy is None or proxy.is_unspecified or proxy.is_multicast:
        raise UserError(
            "this is not the address of one machine",
            where="medfl hub behind",
            received=address[:80],
            remedy="give the one from which the web server connects, such as 127.0.0.1, or the word none",
        )
    write_private(folder / NAME, (json.dumps({"proxy": str(proxy)}) + "\n").encode())


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address, the same however it is written; None for what is none."""
    try:
        found = ip_address(text.strip())
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def _last(headers: list[tuple[bytes, bytes]]) -> IPv4Address | IPv6Address | None:
    """Return the last address of all headers that name some; None where that is none."""
    named = [value for name, value in headers if name.lower() == HEADER]
    if not named:
        return None
    last = named[-1].rpartition(b",")[2].decode("latin-1").strip()
    written = _WRITTEN.fullmatch(last)
    return address_of((written[1] or written[2]) if written else last)
