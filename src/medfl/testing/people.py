"""A consortium's pages in one process, and browsers that sign in at them."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from argon2 import PasswordHasher
from fastapi import FastAPI
from starlette.types import ASGIApp

from medfl.hub.pace import Pace
from medfl.hub.pages.application import OPEN, application
from medfl.hub.pages.bench import Bench
from medfl.hub.pages.people.rooms import people_rooms
from medfl.hub.pages.shelf import Everything
from medfl.hub.people.audit import TERMINAL
from medfl.hub.people.consortium import People
from medfl.hub.people.passwords import Hashes
from medfl.hub.people.permits import Role
from medfl.hub.place import HubPlace
from medfl.store.home import Home
from medfl.testing.pages import Carriers, looked

HOST = "hub.example.org:8443"
GOOD = "seven quiet herons wade"
"""A password that is good enough."""


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now


@dataclass
class Browser:
    """Somebody's browser: it keeps cookies and sends a page's token along, as a person's would."""

    app: ASGIApp
    address: str = "192.0.2.7"
    always: Mapping[str, str] = field(default_factory=dict)
    cookies: httpx.Cookies = field(default_factory=httpx.Cookies)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Open an address."""
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, *, page: str = "", **data: str | list[str]) -> httpx.Response:
        """Send a form of a page that is open; of none where the page is empty."""
        token = {"csrf": self.token(page)} if page else {}
        return self.ask("POST", path, data={**token, **data})

    def send(self, path: str, *, page: str, files: Mapping[str, tuple[str, bytes]], **data: str) -> httpx.Response:
        """Send files with a form of a page that is open."""
        return self.ask("POST", path, data={"csrf": self.token(page), **data}, files=files)

    def token(self, page: str) -> str:
        """Return the token of a page's forms."""
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', self.get(page).text)
        return found[1] if found else ""

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        data: dict[str, str | list[str]] | None = None,
        files: Mapping[str, tuple[str, bytes]] | None = None,
    ) -> httpx.Response:
        """Ask for something, and keep the cookies that come back."""

        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=(self.address, 1))
            async with httpx.AsyncClient(
                transport=transport, base_url=f"https://{HOST}", cookies=self.cookies, headers=self.always
            ) as client:
                answer = await client.request(method, path, headers=headers, data=data, files=files)
                self.cookies = client.cookies
                return answer

        return asyncio.run(asked())

    def sign_in(self, name: str, password: str = GOOD, code: str = "", back: str = "/") -> httpx.Response:
        """Sign in."""
        sent = {"name": name, "password": password, "code": code, "next": back}
        return self.post("/sign-in", page="/sign-in", **sent)


@dataclass
class Consortium:
    """A hub's people and pages.

    Parameters
    ----------
    people, app, clock
        Who they are, what is served, and its time.
    carries
        Writes down what the pages ask for.
    """

    people: People
    app: FastAPI
    clock: Clock
    carries: Carriers

    def has(self, name: str, *roles: Role, sites: tuple[str, ...] = ()) -> Consortium:
        """Add somebody with a good password."""
        token = self.people.accounts.add(name, name.title(), roles, sites, by=TERMINAL)
        self.people.accounts.take_link(token, GOOD, by=TERMINAL)
        return self

    def emptied(self) -> Consortium:
        """Forget everybody, all that they did and all that they began: making pages anew takes longer."""
        folder = self.people.book.path.parent
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.carries.home.folder / "drafts", ignore_errors=True)
        self.clock.now += 30 * 86400
        self.carries.asked.clear()
        return self

    def browser(self, name: str = "") -> Browser:
        """Return a browser; of somebody who has signed in, where a name is given."""
        browser = Browser(self.app)
        if name:
            answer = browser.sign_in(name)
            assert answer.status_code == 303, answer.text
        return browser


def cheap() -> Hashes:
    """Return what does next to no work on passwords."""
    return Hashes(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def consortium(folder: Path, home: Home, hub: HubPlace | None = None) -> Consortium:
    """Return a hub's people in a folder, and its pages over a store; with those of its sites where there is a hub."""
    clock, carries = Clock(), Carriers(home)
    people = People.at(folder, name="Breast Cancer Consortium", clock=clock, hashes=cheap(), pace=Pace(clock=clock))
    access, gate = people.before(hosts=[HOST], runs=Everything(home), open_to_all=OPEN)
    bench = Bench(home, looked, looked, carries, home.is_busy, hub, drafts=people.rules.drafts)
    rooms = people_rooms(people, lambda: ("charite", "mayo"))
    return Consortium(people, application(bench, access, gate, rooms), clock, carries)
