"""The sign-in of an institution, against a provider that is served beside the test, honest and otherwise."""

from __future__ import annotations

import hashlib
import re
import socket
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from medfl.hub.people.audit import TERMINAL
from medfl.hub.people.entrance import BEFORE
from medfl.hub.people.permits import Role
from medfl.store.home import Home
from medfl.testing.pages import serving
from medfl.testing.people import Browser, Consortium, consortium

SECRET = "what only hub and provider know"
Words = dict[str, Any]


@dataclass
class Institution:
    """A provider that speaks discovery, keys, authorise, token and userinfo.

    Parameters
    ----------
    issuer
        Its address.
    person
        Who signs in there.
    change
        Changes the claims before they are signed.
    """

    issuer: str
    person: Words = field(default_factory=lambda: {"sub": "17", "preferred_username": "Grace", "name": "Grace H"})
    groups: list[str] = field(default_factory=lambda: ["fl-researchers"])
    change: Callable[[Words], None] = lambda claims: None
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    signs_with: Any = None
    told: Words = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    in_userinfo: bool = False

    def app(self) -> Starlette:
        routes = [
            Route("/.well-known/openid-configuration", self.discovery),
            Route("/keys", self.keys),
            Route("/authorise", self.authorise),
            Route("/token", self.token, methods=["POST"]),
            Route("/userinfo", self.userinfo),
        ]
        return Starlette(routes=routes)

    async def discovery(self, request: Request) -> Response:
        ends = {"authorization_endpoint": "authorise", "token_endpoint": "token", "jwks_uri": "keys"}
        told = {name: f"{self.issuer}/{path}" for name, path in (ends | {"userinfo_endpoint": "userinfo"}).items()}
        return JSONResponse({"issuer": self.issuer, **told, **self.told})

    async def keys(self, request: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def authorise(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        back = f"{asked['redirect_uri']}?code={code}&state={asked['state']}"
        return RedirectResponse(back)

    async def token(self, request: Request) -> Response:
        form = await request.form()
        name, _, secret = b64decode(request.headers["authorization"].removeprefix("Basic ")).decode().partition(":")
        asked = self.codes.pop(str(form["code"]), None)
        challenge = urlsafe_b64encode(hashlib.sha256(str(form["code_verifier"]).encode()).digest()).rstrip(b"=")
        if (
            asked is None
            or (unquote(name), unquote(secret)) != ("medfl", SECRET)
            or challenge.decode() != asked["code_challenge"]
            or form["redirect_uri"] != asked["redirect_uri"]
        ):
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        now = int(time.time())
        claims: Words = {"iss": self.issuer, "aud": "medfl", "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        claims |= self.person | ({} if self.in_userinfo else {"groups": self.groups})
        self.change(claims)
        key = self.signs_with or self.key
        algorithm = "HS256" if isinstance(key, OctKey) else "RS256"
        signed = jwt.encode({"alg": algorithm, "kid": "one"}, claims, key, algorithms=[algorithm])
        return JSONResponse({"id_token": signed, "access_token": "bearer", "token_type": "Bearer"})

    async def userinfo(self, request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer bearer"
        return JSONResponse(self.person | {"groups": self.groups})


@dataclass
class Both:
    """A hub, and the institution whose sign-in it takes."""

    hub: Consortium
    institution: Institution
    browsers: int = 0

    def browser(self) -> Browser:
        """Return a browser at an address of its own, which has not been refused anything."""
        self.browsers += 1
        return replace(self.hub.browser(), address=f"198.51.100.{self.browsers}")

    def there_and_back(self, browser: Browser, back: str = "/") -> httpx.Response:
        """Go to the institution and come back, as a browser does."""
        leaving = browser.get(f"/sign-in/provider?next={back}")
        assert leaving.status_code == 303, leaving.text
        there = httpx.get(leaving.headers["location"], trust_env=False)
        assert there.status_code == 307
        parts = urlsplit(there.headers["location"])
        assert (parts.scheme, parts.path) == ("https", "/sign-in/back")
        return browser.get(f"{parts.path}?{parts.query}")


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder: Path = tmp_path_factory.mktemp("provider")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        institution = Institution(f"http://127.0.0.1:{listener.getsockname()[1]}")
        (folder / "hub").mkdir(mode=0o700)
        (folder / "hub" / "people.toml").write_text(
            f"""
second_factor = ["researcher"]
[provider]
name = "University Hospital"
issuer = "{institution.issuer}"
client_id = "medfl"
client_secret = "{SECRET}"
[provider.roles]
fl-researchers = ["researcher"]
fl-owners = ["data owner", "researcher"]
[provider.sites]
fl-owners = ["charite"]
""",
            encoding="utf-8",
        )
        (folder / "hub" / "people.toml").chmod(0o600)
        with Home(folder / "store") as home, serving(institution.app(), listener):
            yield Both(consortium(folder / "hub", home), institution)


@pytest.fixture
def both(everything: Both) -> Both:
    """The hub, emptied, at the time of the provider, which is honest again and knows Grace."""
    everything.hub.emptied().clock.now = time.time()
    fresh = Institution(everything.institution.issuer)
    for name in ("person", "groups", "change", "signs_with", "told", "codes", "in_userinfo"):
        setattr(everything.institution, name, getattr(fresh, name))
    return everything


def test_somebody_comes_in_with_the_roles_of_their_groups(both: Both) -> None:
    browser = both.browser()
    assert "Sign in with University Hospital" in browser.get("/sign-in").text
    answer = both.there_and_back(browser, back="/new")
    assert (answer.status_code, answer.headers["location"]) == (303, "/new")
    assert browser.get("/new").status_code == 200, "the institution asks for its second factor itself"
    told = browser.get("/api/account").json()
    assert (told["name"], told["title"], told["roles"]) == ("grace", "Grace H", ["researcher"])
    assert told["provider"] == "University Hospital"
    page = browser.get("/account").text
    assert "Old password" not in page
    assert both.browser().sign_in("grace").status_code == 403, "there is no password"


@pytest.mark.parametrize("in_userinfo", [False, True])
def test_groups_are_followed_at_each_sign_in(in_userinfo: bool, both: Both) -> None:
    both.institution.in_userinfo = in_userinfo
    both.there_and_back(both.browser())
    both.institution.groups = ["fl-owners", "others"]
    both.institution.person = both.institution.person | {"preferred_username": "renamed", "name": "Grace Hopper"}
    both.there_and_back(both.browser())
    (account,) = both.hub.people.accounts.every()
    assert account.name == "grace", "an account is known by the subject"
    assert account.title == "Grace Hopper"
    assert account.sites == {"charite"}
    assert account.roles == {Role.DATA_OWNER, Role.RESEARCHER}
    changed = [entry.why for entry in both.hub.people.audit.read() if entry.what == "change-roles"]
    assert changed == ["researcher → data owner, researcher for charite"]


def test_who_is_in_no_group_is_not_let_in(both: Both) -> None:
    both.institution.groups = ["others"]
    answer = both.there_and_back(both.browser())
    assert answer.status_code == 403
    assert "gives you no role at this hub" in answer.text
    assert not both.hub.people.accounts.every()


def test_who_is_in_no_group_any_more_loses_role_session_and_token(both: Both) -> None:
    browser = both.browser()
    both.there_and_back(browser)
    assert browser.get("/").status_code == 200
    both.institution.groups = ["others"]
    assert "gives you no role at this hub" in both.there_and_back(both.browser()).text
    assert browser.get("/").status_code == 303
    assert both.hub.people.accounts.named("grace").roles == frozenset()


def test_an_account_is_not_taken_over_by_its_name(both: Both) -> None:
    both.hub.has("grace", Role.ADMIN)
    answer = both.there_and_back(both.browser())
    assert "not your institution" in answer.text
    assert both.hub.people.accounts.named("grace").roles == {Role.ADMIN}


def test_who_is_disabled_here_stays_out(both: Both) -> None:
    both.hub.has("ada", Role.ADMIN)
    both.there_and_back(both.browser())
    both.hub.people.accounts.disable("grace", by=TERMINAL)
    assert "his account is disabled" in both.there_and_back(both.browser()).text


def test_a_name_that_is_none_is_replaced(both: Both) -> None:
    both.institution.person = {"sub": "x y", "preferred_username": "<script>", "name": "<script>alert(1)</script>"}
    browser = both.browser()
    assert both.there_and_back(browser).status_code == 303
    assert "<script>alert" not in browser.get("/account").text
    assert re.fullmatch("[0-9a-f]{12}", both.hub.people.accounts.every()[0].name)


def _set(key: str, value: object) -> Callable[[Words], None]:
    return lambda claims: claims.__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_set("iss", "https://elsewhere.example"), "of another issuer"),
        (_set("aud", "another-client"), "somebody else than this hub"),
        (_set("aud", ["another-client"]), "somebody else than this hub"),
        (lambda claims: claims.update(aud=["medfl", "b"], azp="b"), "somebody else than this hub"),
        (_set("nonce", "an older one"), "not the answer to this sign-in"),
        (lambda claims: claims.pop("nonce"), "not the answer to this sign-in"),
        (lambda claims: claims.update(iat=1, exp=2), "expired"),
        (lambda claims: claims.update(iat=time.time() + 900), "expired"),
        (lambda claims: claims.pop("exp"), "how long it holds"),
        (_set("exp", "tomorrow"), "how long it holds"),
        (_set("sub", ""), "does not say whose it is"),
    ],
)
def test_an_identity_that_is_not_meant_is_not_believed(change: Callable[[Words], None], told: str, both: Both) -> None:
    both.institution.change = change
    browser = both.browser()
    answer = both.there_and_back(browser)
    assert answer.status_code == 403
    assert told in answer.text
    assert browser.get("/").status_code == 303
    assert not both.hub.people.accounts.every()


@pytest.mark.parametrize(
    "key",
    [
        RSAKey.generate_key(2048, {"kid": "one"}),
        OctKey.import_key(SECRET, {"kid": "one"}),
    ],
)
def test_an_identity_that_the_issuer_has_not_signed_is_not_believed(key: object, both: Both) -> None:
    both.institution.signs_with = key
    assert "not signed by the issuer" in both.there_and_back(both.browser()).text


def test_an_issuer_may_change_its_keys(both: Both) -> None:
    both.there_and_back(both.browser())
    both.institution.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
    assert both.there_and_back(both.browser()).status_code == 303


def test_an_answer_counts_once_and_in_the_browser_that_asked(both: Both) -> None:
    mine, theirs = both.browser(), both.browser()
    there = httpx.get(mine.get("/sign-in/provider").headers["location"], trust_env=False).headers["location"]
    back = f"/sign-in/back?{urlsplit(there).query}"
    assert "began in this browser" in theirs.get(back).text
    assert mine.get(back).status_code == 403, "it was used up by whoever tried it elsewhere"
    answer = both.there_and_back(mine)
    assert answer.status_code == 303
    assert BEFORE not in mine.cookies


@pytest.mark.parametrize(
    "query",
    ["", "code=x", "state=x&code=y", "error=access_denied", "state=&code="],
)
def test_an_answer_without_a_question_is_refused(query: str, both: Both) -> None:
    browser = both.browser()
    browser.get("/sign-in")
    assert browser.get(f"/sign-in/back?{query}").status_code == 403


def test_what_the_institution_refuses_is_said_and_another_issuer_is_noticed(both: Both) -> None:
    for more, told in (
        ("error=access_denied", "has not signed you in"),
        ("code=x&iss=https://evil", "nother provider"),
    ):
        browser = both.browser()
        leaving = browser.get("/sign-in/provider").headers["location"]
        (state,) = parse_qs(urlsplit(leaving).query)["state"]
        assert told in browser.get(f"/sign-in/back?state={state}&{more}").text


def test_a_sign_in_takes_ten_minutes_at_most(both: Both) -> None:
    browser = both.browser()
    there = httpx.get(browser.get("/sign-in/provider").headers["location"], trust_env=False).headers["location"]
    both.hub.clock.now += 601
    assert browser.get(f"/sign-in/back?{urlsplit(there).query}").status_code == 403


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"issuer": "https://elsewhere.example"}, "another issuer"),
        ({"token_endpoint": "http://elsewhere.example/token"}, "not reached by https"),
        ({"jwks_uri": "http://127.0.0.1:1/keys"}, "cannot be reached"),
    ],
)
def test_a_provider_that_is_not_as_it_should_be_is_not_used(told: Words, says: str, both: Both) -> None:
    both.institution.told = told
    both.hub.clock.now += 3601
    answer = both.browser().get("/sign-in/provider")
    assert answer.status_code == 500
    assert says in answer.text
    assert SECRET not in answer.text


def test_without_a_provider_there_is_none(hub: Consortium) -> None:
    assert hub.browser().get("/sign-in/provider").status_code == 404
    assert hub.browser().get("/sign-in/back").status_code == 404
