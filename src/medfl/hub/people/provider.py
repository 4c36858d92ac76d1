"""The sign-in of an institution: OpenID Connect Core 1.0, code flow with PKCE (RFC 7636), state and nonce.

What comes back is believed only for whom it was asked: a state is good once and in the browser that it was made for,
the identity is signed with a key of the issuer's, made for this hub, and carries the nonce of this very request.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from medfl.errors import EngineError, RefusedError
from medfl.hub.people.accounts import NAME, Identity
from medfl.hub.people.permits import Role
from medfl.hub.people.rules import Provider

PATIENCE, HOLDS, KNOWN = 10.0, 600.0, 3600.0
"""Seconds for an answer of the provider, for somebody to sign in there, and for what is known of it."""
AT_ONCE, OF_ONE = 1000, 20
"""Sign-ins that are under way, and those from one address."""
LARGEST = 2**20
"""Bytes of the largest answer."""
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures with a key that only the issuer has; never "none", never one with a shared secret."""
LEEWAY = 60.0
"""Seconds by which the provider's clock may be off."""
_KEYS = "jwks_uri"
_ENDS = ("authorization_endpoint", "token_endpoint", _KEYS)
_MAY_BE = frozenset({"userinfo_endpoint"})


@dataclass(frozen=True, slots=True)
class Flow:
    """A sign-in that is under way.

    Parameters
    ----------
    browser
        What the browser has in its cookie that began it.
    nonce, verifier
        What the identity carries, and what proves to the provider who began it.
    back, redirect
        Where somebody goes afterwards, and where the provider sends them.
    until, address
        When it is too late, and from where it was begun.
    """

    browser: str
    nonce: str
    verifier: str
    back: str
    redirect: str
    until: float
    address: str


class ProviderSignIn:
    """Signs people in at an institution.

    Parameters
    ----------
    provider
        What is written of it in ``people.toml``.
    clock
        Tells seconds since 1970.
    client
        Asks it.
    """

    def __init__(
        self,
        provider: Provider,
        clock: Callable[[], float] = time.time,
        client: Callable[[], httpx.Client] = lambda: httpx.Client(timeout=PATIENCE),
    ) -> None:
        self._provider, self._clock, self._client = provider, clock, client
        self._turn = Lock()
        self._flows: OrderedDict[str, Flow] = OrderedDict()
        self._known: tuple[float, Mapping[str, Any]] = (0.0, {})

    def begin(self, *, browser: str, back: str, redirect: str, address: str) -> str:
        """Return where a browser goes to sign in.

        Raises
        ------
        EngineError
            If the provider does not answer, or not as it should.
        """
        about = self._about()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        with self._turn:
            # Whoever begins many gives up their own first, and not those of others.
            own = [one for one, flow in self._flows.items() if flow.address == address]
            for one in own[: max(0, len(own) + 1 - OF_ONE)]:
                del self._flows[one]
            self._flows[state] = Flow(browser, nonce, verifier, back, redirect, self._clock() + HOLDS, address)
            while len(self._flows) > AT_ONCE:
                self._flows.popitem(last=False)
        challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        words = {
            "response_type": "code",
            "client_id": self._provider.client_id,
            "redirect_uri": redirect,
            "scope": " ".join(self._provider.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        there = str(about["authorization_endpoint"])
        return f"{there}{'&' if urlsplit(there).query else '?'}{urlencode(words)}"

    def end(self, sent: Mapping[str, str], *, browser: str) -> tuple[Identity, str]:
        """Return who has signed in, and where they go.

        Parameters
        ----------
        sent
            What came back with the browser: code, state, perhaps the issuer or an error.
        browser
            What it has in its cookie.

        Raises
        ------
        RefusedError
            If it is not the answer to a question of this browser, or the institution gives no role here.
        EngineError
            If the provider does not answer, or not as it should.
        """
        with self._turn:
            flow = self._flows.pop(sent.get("state", ""), None)
        if flow is None or self._clock() > flow.until or not secrets.compare_digest(flow.browser, browser):
            raise _refused("this is not the answer to a sign-in that began in this browser")
        if sent.get("iss", self._provider.issuer).rstrip("/") != self._provider.issuer:
            raise _refused("another provider than the one that was asked has answered")
        if "error" in sent or not sent.get("code"):
            raise _refused("the institution has not signed you in", sent.get("error", "")[:80])
        claims = self._claims(flow, sent["code"])
        return self._identity(claims), flow.back

    def _claims(self, flow: Flow, code: str) -> Mapping[str, Any]:
        """Exchange a code for claims, and look whether they are what was asked for."""
        about = self._about()
        words = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": flow.redirect,
            "code_verifier": flow.verifier,
            "client_id": self._provider.client_id,
        }
        shared = self._provider.client_secret
        auth = httpx.BasicAuth(self._provider.client_id, shared) if shared else None
        answer = self._asked("POST", str(about["token_endpoint"]), data=words, auth=auth)
        claims = self._signed(str(answer.get("id_token", "")))
        meant = claims.get("aud")
        audience = [meant] if isinstance(meant, str) else list(meant or ())
        if str(claims.get("iss", "")).rstrip("/") != self._provider.issuer:
            raise _refused("the identity is of another issuer")
        if self._provider.client_id not in audience or claims.get("azp", self._provider.client_id) != (
            self._provider.client_id
        ):
            raise _refused("the identity was made for somebody else than this hub")
        if not secrets.compare_digest(str(claims.get("nonce", "")), flow.nonce):
            raise _refused("the identity is not the answer to this sign-in")
        self._require_fresh(claims)
        access = str(answer.get("access_token", ""))
        if self._provider.claim in claims or "userinfo_endpoint" not in about or not access:
            return claims
        more = self._asked("GET", str(about["userinfo_endpoint"]), headers={"Authorization": f"Bearer {access}"})
        # Only of the same person, and without taking anything over that was signed (section 5.3.2).
        return {**more, **claims} if more.get("sub") == claims.get("sub") else claims

    def _signed(self, token: str) -> Mapping[str, Any]:
        try:
            try:
                return jwt.decode(token, self._keys(), algorithms=ALGORITHMS).claims
            except (JoseError, ValueError):
                # It may have new keys since they were read.
                self._known = (0.0, {})
                return jwt.decode(token, self._keys(), algorithms=ALGORITHMS).claims
        except (JoseError, ValueError) as error:
            raise _refused("the identity is not signed by the issuer", type(error).__name__) from error

    def _require_fresh(self, claims: Mapping[str, Any]) -> None:
        now = self._clock()
        moments = [claims.get(key) for key in ("exp", "iat")]
        if not all(isinstance(one, int | float) for one in moments):
            raise _refused("the identity does not say how long it holds")
        until, made = (float(str(one)) for one in moments)
        if not made - LEEWAY <= now <= until + LEEWAY:
            raise _refused("the identity has expired, or the clocks of hub and institution differ")

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        subject = str(claims.get("sub", ""))
        told = claims.get(self._provider.claim, [])
        groups = {str(one) for one in ([told] if isinstance(told, str) else told if isinstance(told, list) else [])}
        roles = frozenset(role for group in groups for role in self._provider.roles.get(group, ()))
        if not subject:
            raise _refused("the identity does not say whose it is")
        sites = frozenset(site for group in groups for site in self._provider.sites.get(group, ()))
        name = str(claims.get("preferred_username") or claims.get("email") or subject).lower()
        if not NAME.fullmatch(name):
            name = hashlib.sha256(subject.encode()).hexdigest()[:12]
        return Identity(
            issuer=self._provider.issuer,
            subject=subject,
            name=name,
            title=str(claims.get("name") or name),
            roles=roles,
            sites=sites if Role.DATA_OWNER in roles else frozenset(),
        )

    def _about(self) -> Mapping[str, Any]:
        """Return what the provider says of itself, with its keys."""
        read, about = self._known
        if about and self._clock() - read < KNOWN:
            return about
        found = self._asked("GET", f"{self._provider.issuer}/.well-known/openid-configuration")
        if str(found.get("issuer", "")).rstrip("/") != self._provider.issuer:
            raise _wrong("it says that it is another issuer", str(found.get("issuer", ""))[:80])
        for end in (*_ENDS, *_MAY_BE & found.keys()):
            parts = urlsplit(str(found.get(end, "")))
            if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost"):
                raise _wrong(f"its {end} is not reached by https", str(found.get(end, ""))[:80])
        about = {**found, "keys": self._asked("GET", str(found[_KEYS]))}
        self._known = (self._clock(), about)
        return about

    def _keys(self) -> KeySet:
        return KeySet.import_key_set(self._about()["keys"])

    def _asked(self, method: str, address: str, **more: Any) -> dict[str, Any]:
        try:
            with self._client() as client:
                answer = client.request(method, address, follow_redirects=False, **more)
            if answer.status_code != httpx.codes.OK or len(answer.content) > LARGEST:
                raise _wrong("it does not answer as it should", f"status {answer.status_code}")
            words = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise _wrong("it cannot be reached, or does not answer in JSON", type(error).__name__) from error
        if not isinstance(words, dict):
            raise _wrong("it does not answer as it should", type(words).__name__)
        return words


def _refused(
    what: str, received: str = "", *, remedy: str = "sign in once more; begin at page /sign-in"
) -> RefusedError:
    return RefusedError(what, where="sign-in", received=received, remedy=remedy)


def _wrong(what: str, received: str) -> EngineError:
    return EngineError(
        f"the institution's sign-in is not usable: {what}",
        where="provider",
        received=received,
        remedy="try again later; an administrator compares people.toml with what the institution says",
    )
