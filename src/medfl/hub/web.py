"""What the hub answers on the network: who it is, applications, how they stand; nothing else."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, TypeAlias

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from medfl.enrolment import (
    APPLY,
    AUTHORITY,
    LARGEST,
    PROTOCOL,
    SITES,
    STATUS,
    WAKE,
    Application,
    bytes_of,
    certificate_digest,
    json_of,
    texts,
)
from medfl.errors import MedflError, RefusedError, UserError, WireError
from medfl.hub.applying import require_shown, require_signed
from medfl.hub.authority import certificate_at, pem_of
from medfl.hub.fleet import CALLS, PATH, Fleet
from medfl.hub.pace import Pace
from medfl.hub.place import HubPlace
from medfl.hub.register import Record
from medfl.hub.shown import everything
from medfl.hub.waking import Waking
from medfl.tunnel import VPN, Offer, statement
from medfl.versions import Speaks, agreed, here

log = logging.getLogger(__name__)
FOR_SITES = "/v1/"
"""Beginning of every address that sites call."""
PATIENCE = 20.0
"""Seconds that whoever enrols, or asks how it stands, has to send its words."""
Words: TypeAlias = dict[str, Any]
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


def application(
    hub: HubPlace, *, pace: Pace | None = None, fleet: Fleet | None = None, pages: ASGIApp | None = None
) -> ASGIApp:
    """Return the hub's web application.

    Parameters
    ----------
    hub
        Its folder.
    pace
        How often somebody may be refused before the hub wants to be left in peace.
    fleet
        Passes the calls of enrolled sites on to a SuperLink; without one the hub only enrols.
    pages
        What people see in a browser: whatever is not under ``/v1/``, which is for sites.
    """
    desk, pace = _Desk(hub), pace or Pace()
    gate, waking = _Gate(pace, hub.vpn.offer), Waking(hub, desk.authority_digest, pace)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with waking.working():
            yield
        if fleet is not None:
            await fleet.close()

    passing = [] if fleet is None else [Route(PATH, gate.passing_on(fleet), methods=["POST"])]
    app = Starlette(
        routes=[
            Route(AUTHORITY, gate.passing(desk.authority), methods=["GET"]),
            Route(APPLY, gate.passing(desk.apply), methods=["POST"]),
            Route(STATUS, gate.passing(desk.status), methods=["POST"]),
            Route(VPN, gate.passing(desk.join), methods=["POST"]),
            Route(SITES, gate.passing(desk.sites), methods=["GET"]),
            Route(WAKE, gate.no_websocket, methods=["GET"]),
            WebSocketRoute(WAKE, gate.waking(waking.serve)),
            *passing,
        ],
        lifespan=lifespan,
        exception_handlers={HTTPException: gate.nothing_here},
    )
    app.router.redirect_slashes = False  # An address is right or wrong.
    return app if pages is None else _beside(app, pages)


def _beside(sites: ASGIApp, pages: ASGIApp) -> ASGIApp:
    """Return what answers sites and people at one port; what sites call does not pass by anything of the pages."""

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        ours = scope["type"] == "lifespan" or scope["path"].startswith(FOR_SITES)
        await (sites if ours else pages)(scope, receive, send)

    return both


class _Desk:
    """Answers."""

    def __init__(self, hub: HubPlace) -> None:
        self._hub = hub
        authority = certificate_at(hub.authority_file)
        self._pem, self._digest = pem_of(authority).decode(), certificate_digest(authority)

    @property
    def authority_digest(self) -> bytes:
        """SHA-256 of the authority's certificate."""
        return self._digest

    def authority(self, request: Request, body: bytes) -> Words:
        """Say who the hub is; whoever was invited knows the digest of this."""
        return {"hub": self._hub.about.name, "authority": self._pem, "transport": self._hub.trust.to_json()}

    def apply(self, request: Request, body: bytes) -> Words:
        """Take an application in."""
        said = _spoken_alike(json_of(body))
        record = self._hub.register.apply(Application.from_json(said), self._digest)
        log.info("site %s applies, fingerprint %s", record.name, record.fingerprint)
        return self._told(record)

    def status(self, request: Request, body: bytes) -> Words:
        """Say how a site stands."""
        said = _spoken_alike(json_of(body))
        words = texts(said, "site", "identity", "proof")
        identity = bytes_of(words["identity"])
        require_shown(words["site"], identity, bytes_of(words["proof"]), authority=self._digest)
        return self._told(self._hub.register.standing(words["site"], identity))

    def join(self, request: Request, body: bytes) -> Words:
        """Let an enrolled site join the VPN, and tell it how."""
        said = _spoken_alike(json_of(body))
        words = texts(said, "site", "identity", "proof", "key")
        site, identity, key = words["site"], bytes_of(words["identity"]), bytes_of(words["key"])
        require_signed(site, identity, bytes_of(words["proof"]), statement=statement(self._digest, site, key))
        record = self._hub.register.standing(site, identity)
        if record.status != "approved":
            raise RefusedError(
                "only enrolled sites join the VPN", where=record.name, received=record.status, remedy="medfl site enrol"
            )
        offer, joined = self._hub.vpn.signed, self._hub.vpn.let_in(record, key, self._hub.register.sites())
        log.info("site %s joined the VPN, with the address %s", joined.site, joined.address or "that Tailscale gave it")
        return {"offer": offer.to_json(), "address": joined.address}

    def sites(self, request: Request, body: bytes) -> Words:
        """Tell an administrator which sites there are."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self._hub.is_administrator(token.strip()):
            raise RefusedError("this is for administrators", remedy="send the token: Authorization: Bearer TOKEN")
        return {"sites": everything(self._hub)}

    def _told(self, record: Record) -> Words:
        """Return what a site is told of itself; once approved, with its certificate and who its peers are."""
        offer = self._hub.vpn.offer
        words: Words = {"status": record.status, "site": record.name, "title": record.title}
        words["vpn"] = "none" if offer is None else "required" if offer.required else "offered"
        if record.status == "approved":
            words |= {"certificate": record.certificate, "directory": self._hub.register.directory().to_json()}
        return words


class _Gate:
    """Stands before all answers: reads up to a size, tells errors as JSON, slows down who is refused often."""

    def __init__(self, pace: Pace, vpn: Offer | None) -> None:
        self._pace, self._vpn = pace, vpn

    def passing(self, answer: Callable[[Request, bytes], Words]) -> Endpoint:
        """Return what serves one address."""

        async def endpoint(request: Request) -> Response:
            who = request.client.host if request.client else "?"
            if (wait := self._pace.wait(who)) > 0:
                log.warning("refused %s %s %s: %s", who, request.method, request.url.path, "too many refusals")
                return _refusal(RefusedError("too many refusals", remedy=f"wait for {wait:.0f} s"), 429, wait=wait)
            try:
                words = await run_in_threadpool(answer, request, await _body(request))
            except ClientDisconnect:
                return Response(status_code=400)  # Nobody is there to read it.
            except MedflError as error:
                log.warning("refused %s %s %s: %s", who, request.method, request.url.path, " ".join(str(error).split()))
                if isinstance(error, UserError | WireError):
                    self._pace.refused(who)
                return _refusal(error, _code(error))
            common = {"protocol": PROTOCOL, "version": version("medfl"), "speaks": here().to_json()}
            return JSONResponse(words | common | {"now": time.time()})

        return endpoint

    def passing_on(self, fleet: Fleet) -> Endpoint:
        """Return what passes the calls of enrolled sites on; they are not held up by what others did."""

        async def endpoint(request: Request) -> Response:
            if request.path_params["call"] not in CALLS:
                return await self.nothing_here(request, HTTPException(404))
            if (outside := _outside(request, self._vpn)) is not None:
                # Not counted: a site that has not joined yet must still be able to.
                log.warning("refused %s", " ".join(str(outside).split()))
                return _refusal(outside, _code(outside))
            try:
                if not fleet.fresh:
                    await run_in_threadpool(fleet.look)
                site = fleet.require_enrolled(request)
            except MedflError as error:
                who = request.client.host if request.client else "?"
                first = error.complaints[0]
                log.warning(
                    "refused %s %s: %s", who, request.url.path, f"{first.where}: {first.what}".removeprefix(": ")
                )
                self._pace.refused(who)
                return _refusal(error, _code(error))
            return await fleet.passed_on(request, site)

        return endpoint

    def waking(self, serve: Callable[[WebSocket], Awaitable[None]]) -> Callable[[WebSocket], Awaitable[None]]:
        """Return what serves WebSockets, by the VPN only where studies go by it only."""

        async def endpoint(socket: WebSocket) -> None:
            if (outside := _outside(socket, self._vpn)) is not None:
                log.warning("refused %s", " ".join(str(outside).split()))
                await socket.close()
                return
            await serve(socket)

        return endpoint

    async def no_websocket(self, request: Request) -> Response:
        """Answer who asks for the WebSocket in another way, or by a proxy that does not let one pass."""
        error = RefusedError(
            "here sites are woken, over a WebSocket",
            received="a request without the headers of one",
            remedy="behind nginx or Caddy pass the headers Upgrade and Connection on",
        )
        return _refusal(error, 426, headers={"Upgrade": "websocket", "Connection": "Upgrade"})

    async def nothing_here(self, request: Request, error: Exception) -> Response:
        """Answer who asks for something that does not exist."""
        who = request.client.host if request.client else "?"
        log.warning("refused %s %r: nothing here", who, f"{request.method} {request.url.path}"[:200])
        code = error.status_code if isinstance(error, HTTPException) else 404
        return _refusal(RefusedError("there is nothing here"), code)


def _outside(request: HTTPConnection, vpn: Offer | None) -> RefusedError | None:
    """Return why a call of a study is refused that did not come through the VPN, where it must; else None."""
    who, here = request.client, request.scope.get("server")
    if vpn is None or not vpn.required or (who and vpn.has(who.host) and here and here[0] == str(vpn.address)):
        return None
    return RefusedError(
        "this hub answers the calls of studies through its VPN only",
        where=request.url.path,
        received=f"a call from {who.host if who else '?'} to {here[0] if here else '?'}",
        remedy="join it with 'medfl vpn join', bring the tunnel up, and start the site again",
    )


async def _body(request: Request) -> bytes:
    """Read what was sent, unless it is too large, or takes too long."""
    body = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for part in request.stream():
                body += part
                if len(body) > LARGEST // 16:
                    raise WireError("what was sent is too large", received=f"more than {LARGEST // 16} bytes")
    except TimeoutError as error:
        raise WireError(
            "what was sent did not come to its end", received=f"{len(body)} bytes in {PATIENCE:g} s"
        ) from error
    return bytes(body)


def _spoken_alike(said: Words) -> Words:
    if said.get("protocol") != PROTOCOL:
        raise RefusedError(
            "site and hub speak different versions of enrolment",
            received=f"version {str(said.get('protocol'))[:20]} at the site, {PROTOCOL} at the hub",
            remedy="upgrade MEDfl where the number is lower: pip install --upgrade medfl",
        )
    agreed(here(), Speaks.read(said.get("speaks")))
    return said


def _code(error: MedflError) -> int:
    if isinstance(error, WireError):
        return 400
    return 403 if isinstance(error, UserError) else 503


def _refusal(error: MedflError, code: int, *, wait: float = 0.0, headers: Mapping[str, str] | None = None) -> Response:
    said = [{"what": c.what, "where": c.where, "received": c.received, "remedy": c.remedy} for c in error.complaints]
    if code == 503:
        # What is wrong at the hub is for the hub's people, who have it in their log.
        said = [{"what": "the hub has a problem of its own", "where": "", "received": "", "remedy": "try again later"}]
    words: Mapping[str, Any] = {"error": {"code": error.code, "complaints": said}, "protocol": PROTOCOL}
    # Closed, so that nobody holds a connection with what is not read any more.
    more = {"Connection": "close", **(headers or {}), **({"Retry-After": str(int(wait) + 1)} if wait else {})}
    return JSONResponse({**words, "now": time.time()}, status_code=code, headers=more)
