"""What stands before a hub's pages at its port, beside what sites call."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from medfl import console_hub, hosting
from medfl.consortium import pages_of
from medfl.enrolment import AUTHORITY
from medfl.hub.pages import bounded
from medfl.hub.pages.bounded import LARGEST, Bounded
from medfl.hub.place import HubPlace
from medfl.hub.service import Service
from medfl.store.home import Home
from medfl.testing.command import typed
from medfl.testing.hub import LOOPBACK, made
from medfl.testing.visits import asked


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with how much came, or that whoever sent it has left."""
    size = 0
    while (message := await receive())["type"] == "http.request":
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    said = f"{message['type']} {size}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": said})


def test_a_form_of_a_page_comes_through_and_no_more_than_that() -> None:
    app = Bounded(echo)
    answer = asked(app, "POST", "/x", content=b"a" * 1000)
    assert (answer.status_code, answer.text) == (200, "http.request 1000")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert asked(app, "POST", "/x", content=b"a" * LARGEST).text == f"http.request {LARGEST}"
    for length in (str(LARGEST + 1), "-1", "ten", "9" * 400):
        assert asked(app, "POST", "/x", headers={"content-length": length}).status_code == 413, length

    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"

    refused = asked(app, "POST", "/x", content=pieces())
    assert (refused.status_code, refused.headers["connection"]) == (411, "close")
    assert "default-src 'none'" in refused.headers["content-security-policy"]


def test_a_form_that_does_not_come_to_its_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "PATIENCE", 0.05)
    said: list[Message] = []
    came: list[Message] = [{"type": "http.request", "body": b"half", "more_body": True}]

    async def receive() -> Message:
        if came:
            return came.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        said.append(message)

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/x", "headers": [(b"content-length", b"9")]}
    asyncio.run(Bounded(echo)(scope, receive, send))
    assert said[-1]["body"] == b"http.disconnect 4"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubPlace]:
    """Return a hub that serves its pages, and no SuperLink."""
    hub = made(tmp_path_factory.mktemp("hub") / "hub")
    with Home(hub.folder) as home, serving(hub, home):
        yield hub


@contextmanager
def serving(hub: HubPlace, home: Home) -> Iterator[None]:
    service, ready = Service(hub, bind=LOOPBACK, pages=pages_of(hub, home)), Event()
    thread = Thread(target=service.run, args=(ready.set,))
    thread.start()
    try:
        assert ready.wait(30)
        yield
    finally:
        service.end()
        thread.join()


def test_sites_and_people_are_answered_at_one_port(hub: HubPlace) -> None:
    context = ssl.create_default_context(cafile=hub.authority_file)
    where = f"https://{LOOPBACK}:{hub.about.port}"
    with closing(httpx.Client(base_url=where, verify=context, trust_env=False)) as client:
        site = client.get(AUTHORITY)
        assert site.json()["hub"] == hub.about.name
        assert "content-security-policy" not in site.headers, "nothing of the pages is in a site's way"
        assert client.get("/v1/nothing").json()["error"]["complaints"][0]["what"] == "there is nothing here"
        page = client.get("/queue")
        assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=%2Fqueue")
        assert page.headers["strict-transport-security"] == "max-age=31536000"
        assert client.get("/api/sites").status_code == 401
        assert client.get("/static/consortium.css").status_code == 200
        assert client.get("/", headers={"host": "evil.example.org"}).status_code == 421
        assert client.post("/sites/invite", headers={"origin": "https://evil.example.org"}).status_code == 403
        assert client.post("/sites/invite", content=b"x" * (LARGEST + 1)).status_code == 413


def test_without_the_pages_installed_a_hub_serves_its_sites_and_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, told = made(tmp_path / "hub"), list[Any]()

    def host(hub: HubPlace, *, ready: Any, pages: Any, **more: Any) -> None:
        told.append(pages)
        ready(8443)

    monkeypatch.setattr(hosting, "host", host)
    whole = typed("hub", "start", "--home", hub.folder)
    assert f"People open https://{LOOPBACK}:{hub.about.port} in a browser." in whole.err + whole.out
    monkeypatch.setattr(console_hub, "find_spec", lambda name: None if name == "fastapi" else True)
    without = typed("hub", "start", "--home", hub.folder)
    assert "pip install 'medfl[app]'" in without.err + without.out
    assert [pages is None for pages in told] == [False, True]
