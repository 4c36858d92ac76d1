"""How people come in and go out, and what is their own: the addresses of the sign-in and of one's account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from medfl.errors import NotFoundError, RefusedError, UserError
from medfl.hub.pages.drawn import Drawn
from medfl.hub.pages.forms import forms
from medfl.hub.pages.people.contexts import AccountPage, SignInPage, WelcomePage, account_page
from medfl.hub.pages.routes import changing
from medfl.hub.people.access import Asked, Who, may
from medfl.hub.people.accounts import Account
from medfl.hub.people.audit import By
from medfl.hub.people.consortium import People
from medfl.hub.people.entrance import BEFORE, COOKIE, PeopleEntrance, by, look_again
from medfl.hub.people.gate import SIGN_IN, safe_next
from medfl.hub.people.passwords import LONGEST
from medfl.hub.people.permits import Action, Actor
from medfl.hub.people.provider import ProviderSignIn
from medfl.hub.people.signing_in import Given

Word = Annotated[str, Form(max_length=400)]
Secret = Annotated[str, Form(max_length=4 * LONGEST)]
Words = Annotated[list[str], Form()]
Days = Annotated[int, Form()]


def entering(people: People, drawn: Drawn) -> APIRouter:
    """Return the sign-in, the sign-out, and where a link leads to."""
    routes = forms()
    guarded = [Depends(changing)]

    @routes.get(SIGN_IN, dependencies=[may(Action.SIGN_IN)], include_in_schema=False)
    def ask(request: Request, who: Who, access: Asked, next: str = "/", done: str = "") -> Response:
        if who.name:
            return RedirectResponse(safe_next(next), status_code=303)
        said = "Your password is set. Sign in with it." if done == "password" else ""
        page = _sign_in_page(people, back=safe_next(next), said=said)
        return _before(request, access.entrance, drawn.page(request, "sign-in", page))

    @routes.post(SIGN_IN, dependencies=[*guarded, may(Action.SIGN_IN)])
    def sign_in(
        request: Request, name: Word = "", password: Secret = "", code: Word = "", next: Word = "/"
    ) -> Response:
        """Sign in with name, password and, where one is set up, a code."""
        address, agent = by_address(request), request.headers.get("user-agent", "")
        try:
            secret = people.sign_in.enter(Given(name, password, code), address=address, agent=agent)
        except RefusedError as error:
            page = _sign_in_page(people, back=safe_next(next), name=name[:80], complaints=error.complaints)
            return drawn.page(request, "sign-in", page, status=403)
        return entered(people, request, secret, _first(people, secret, safe_next(next)))

    @routes.post("/sign-out", dependencies=[*guarded, may(Action.SIGN_IN)])
    def sign_out(request: Request, who: Who) -> Response:
        """End this session."""
        people.sessions.end(request.cookies.get(COOKIE, ""))
        people.audit.note(by(who, request), "sign-out", who.name)
        answer = RedirectResponse(SIGN_IN, status_code=303)
        answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")
        return answer

    @routes.get("/welcome", dependencies=[may(Action.SIGN_IN)], include_in_schema=False)
    def welcome(request: Request, access: Asked, token: str = "") -> Response:
        return _before(request, access.entrance, drawn.page(request, "welcome", _welcome(people, token)))

    @routes.post("/welcome", dependencies=[*guarded, may(Action.SIGN_IN)])
    def choose(request: Request, who: Who, token: Word = "", password: Secret = "", again: Secret = "") -> Response:
        """Choose a password, with a link that is good once."""
        page = _welcome(people, token)
        try:
            _require_same(password, again)
            people.accounts.take_link(token, password, by=by(who, request))
        except UserError as error:
            return drawn.page(request, "welcome", replace(page, complaints=error.complaints), status=400)
        return RedirectResponse(f"{SIGN_IN}?done=password", status_code=303)

    return routes


def providing(people: People, drawn: Drawn) -> APIRouter:
    """Return the way to an institution's sign-in, and the way back."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/sign-in/provider", dependencies=[may(Action.SIGN_IN)])
    def leave(request: Request, access: Asked, next: str = "/") -> Response:
        entrance = access.entrance
        if people.provider is None or not isinstance(entrance, PeopleEntrance):
            raise NotFoundError("no institution signs people in here", remedy=f"sign in at {SIGN_IN}")
        redirect = f"https://{request.url.netloc}/sign-in/back"
        there = people.provider.begin(
            browser=entrance.before(request), back=safe_next(next), redirect=redirect, address=by_address(request)
        )
        return _before(request, entrance, RedirectResponse(there, status_code=303))

    @routes.get("/sign-in/back", dependencies=[may(Action.SIGN_IN)])
    def come_back(request: Request) -> Response:
        if people.provider is None:
            raise NotFoundError("no institution signs people in here", remedy=f"sign in at {SIGN_IN}")
        address = by_address(request)
        try:
            with people.sign_in.counted(address):
                account, back = _vouched(people, people.provider, request)
        except RefusedError as error:
            return drawn.page(request, "sign-in", _sign_in_page(people, complaints=error.complaints), status=403)
        people.audit.note(By(account.name, "provider", address), "sign-in", account.name)
        agent = request.headers.get("user-agent", "")
        secret = people.sessions.begin(account.name, address=address, agent=agent, provider=True)
        return entered(people, request, secret, back)

    return routes


def own_twin(people: People) -> APIRouter:
    """Return one's own account for programs."""
    api = APIRouter(prefix="/api")

    @api.get("/account", dependencies=[may(Action.SEE_ACCOUNT)])
    def account(request: Request, who: Who) -> AccountPage:
        """Tell one's own account, with its sessions and tokens."""
        return account_page(people, who, here=request.cookies.get(COOKIE, ""))[0]

    return api


def own(people: People, drawn: Drawn) -> APIRouter:
    """Return one's own account for people, and what changes it."""
    routes = forms()
    changed = [Depends(changing), may(Action.CHANGE_ACCOUNT)]

    def shown(request: Request, who: Actor, *, status: int = 200, **more: object) -> Response:
        page, set_up = account_page(people, who, here=request.cookies.get(COOKIE, ""))
        full = replace(page, **more)  # type: ignore[arg-type]  # fields of the page, as they are named below
        return drawn.page(request, "account", full, status=status, set_up=set_up)

    @routes.get("/account", dependencies=[may(Action.SEE_ACCOUNT)], include_in_schema=False)
    def account(request: Request, who: Who) -> Response:
        return shown(request, who)

    @routes.post("/account/password", dependencies=changed)
    def password(request: Request, who: Who, old: Secret = "", new: Secret = "", again: Secret = "") -> Response:
        """Change one's own password."""
        try:
            _require_same(new, again)
            with people.sign_in.counted(by_address(request)):
                people.accounts.change_password(who.name, old, new, by=by(who, request))
        except UserError as error:
            return shown(request, who, status=400, complaints=error.complaints)
        people.sessions.end_others(who.name, request.cookies.get(COOKIE, ""))
        return shown(request, who, said="Your password is changed. All your other sessions have ended.")

    @routes.post("/account/second", dependencies=changed)
    def second(request: Request, who: Who, code: Word = "") -> Response:
        """Set a second factor up."""
        try:
            with people.sign_in.counted(by_address(request)):
                codes = people.second.confirm(who.name, code, by=by(who, request))
        except UserError as error:
            return shown(request, who, status=400, complaints=error.complaints)
        look_again(request)
        said = "From now on you are asked for a code, too."
        return shown(request, replace(who, barred=""), codes=tuple(codes), said=said)

    _sessions_and_tokens(routes, people, shown)
    return routes


def _sessions_and_tokens(routes: APIRouter, people: People, shown: Callable[..., Response]) -> None:
    """Add what changes by which one is known: sessions, and tokens of programs."""
    changed = [Depends(changing), may(Action.CHANGE_ACCOUNT)]

    @routes.post("/account/sessions/end", dependencies=changed)
    def end(request: Request, who: Who, session: Word = "") -> Response:
        """End one of one's own sessions, or all others."""
        people.audit.note(by(who, request), "end-session", session[:16] or "all others")
        if session:
            people.sessions.end_one(who.name, session)
        else:
            people.sessions.end_others(who.name, request.cookies.get(COOKIE, ""))
        return RedirectResponse("/account", status_code=303)

    @routes.post("/account/tokens", dependencies=changed)
    def make(request: Request, who: Who, scope: Words, label: Word = "", days: Days = 90) -> Response:
        """Make a token for a program; it is shown this once."""
        try:
            wanted = [Action(one) for one in scope if one in set(Action)]
            token = people.tokens.make(who.name, label, wanted, days=days, by=by(who, request))
        except UserError as error:
            return shown(request, who, status=400, complaints=error.complaints)
        return shown(request, who, made=token)

    @routes.post("/account/tokens/revoke", dependencies=changed)
    def revoke(request: Request, who: Who, token: Word = "") -> Response:
        """Revoke a token."""
        people.tokens.revoke(who.name, token, by=by(who, request))
        return RedirectResponse("/account", status_code=303)


def entered(people: People, request: Request, secret: str, back: str) -> Response:
    """Return the answer that gives a browser its new session, instead of whatever it had before."""
    people.sessions.end(request.cookies.get(COOKIE, ""))
    answer = RedirectResponse(back, status_code=303)
    answer.set_cookie(COOKIE, secret, path="/", secure=True, httponly=True, samesite="lax")
    answer.delete_cookie(BEFORE, path="/", secure=True, httponly=True, samesite="lax")
    return answer


def by_address(request: Request) -> str:
    """Return the address of the connection, whatever headers say."""
    return request.client.host if request.client else ""


def _before(request: Request, entrance: object, answer: Response) -> Response:
    """Give a browser that is not signed in what its form belongs to."""
    if isinstance(entrance, PeopleEntrance) and BEFORE not in request.cookies:
        secret = entrance.before(request)
        answer.set_cookie(BEFORE, secret, path="/", secure=True, httponly=True, samesite="lax")
    return answer


def _welcome(people: People, token: str) -> WelcomePage:
    account = people.accounts.linked(token)
    return WelcomePage(hub=people.name, token=token, name=account.name, title=account.title)


def _first(people: People, secret: str, back: str) -> str:
    """Return where somebody goes: to their account where nothing else is within reach."""
    known = people.sessions.known(secret)
    held = known is not None and known.account.roles & people.rules.second_factor and not known.account.has_second
    return "/account" if held else back


def _sign_in_page(people: People, **more: Any) -> SignInPage:
    provider = people.rules.provider
    return SignInPage(hub=people.name, provider=provider.name if provider is not None else "", **more)


def _vouched(people: People, provider: ProviderSignIn, request: Request) -> tuple[Account, str]:
    """Return whom an institution vouches for, and where they wanted to go; who is refused is written down.

    Raises
    ------
    RefusedError
        If it vouches for nobody, or for somebody who is not let in.
    """
    address = by_address(request)
    try:
        identity, back = provider.end(dict(request.query_params), browser=request.cookies.get(BEFORE, ""))
        return people.accounts.provided(identity, address=address), back
    except RefusedError as error:
        why = error.complaints[0].what
        people.audit.note(By("", "provider", address), "sign-in", verdict="refused", why=why)
        raise


def _require_same(password: str, again: str) -> None:
    if password != again:
        raise UserError("the two passwords are not the same", where="password", remedy="type both once more")
