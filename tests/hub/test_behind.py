"""Behind a stated web server everybody has their own address; from everywhere else no header counts."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import httpx
import pytest
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from medfl.enrolment import SITES
from medfl.errors import StoreError, UserError
from medfl.hub.behind import NAME, Behind, proxy_of, set_proxy
from medfl.hub.door import EACH, Doors
from medfl.testing.command import typed
from medfl.testing.hub import LOOPBACK, made, served

PROXY, SPOOFED, PERSON = "10.0.0.1", "203.0.113.9", "198.51.100.4"


async def who(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the address that is seen."""
    client = HTTPConnection(scope).client
    await PlainTextResponse(client.host if client else "?")(scope, receive, send)


def seen(from_where: str, *named: str, proxy: str = PROXY) -> str:
    """Return the address that an application sees of a connection with such headers."""

    async def asked() -> str:
        transport = httpx.ASGITransport(Behind(who, proxy), client=(from_where, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            headers = [(b"x-forwarded-for", name.encode()) for name in named] + [(b"forwarded", SPOOFED.encode())]
            return (await client.get("/", headers=headers)).text

    return asyncio.run(asked())


def test_only_the_stated_web_server_is_believed() -> None:
    assert seen(PROXY, PERSON) == PERSON
    assert seen("192.0.2.7", SPOOFED) == "192.0.2.7"
    assert seen("192.0.2.7", PROXY) == "192.0.2.7", "nobody becomes the web server by saying so"
    assert seen(PROXY, PERSON, proxy="") == PROXY, "none is believed unless it is stated"
    assert seen("127.0.0.1", SPOOFED, proxy="") == "127.0.0.1"


def test_only_the_last_address_counts() -> None:
    assert seen(PROXY, f"{SPOOFED}, {PERSON}") == PERSON
    assert seen(PROXY, SPOOFED, PERSON) == PERSON
    assert seen(PROXY, PERSON, f"{SPOOFED},2001:db8::7") == "2001:db8::7"


@pytest.mark.parametrize(
    ("named", "who"),
    [
        (f"{PERSON}:567", PERSON),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        (f"{SPOOFED}:1, [2001:DB8::1]:443 ", "2001:db8::1"),
        ("[::ffff:198.51.100.4]:443", PERSON),
        ("2001:db8::1:443", "2001:db8::1:443"),
    ],
)
def test_brackets_and_a_port_are_no_part_of_an_address(named: str, who: str) -> None:
    assert seen(PROXY, named) == who


@pytest.mark.parametrize("named", [f"{PERSON}:", f"{PERSON}:http", f"{PERSON}:1:2", "[2001:db8::1", "[]:443", "[::1]x"])
def test_half_an_address_is_none(named: str) -> None:
    assert seen(PROXY, named) == PROXY


@pytest.mark.parametrize("named", ["", ",", "unknown", f"{PERSON},", "_hidden", "1.2.3", "\xe9", f"{PERSON}; drop"])
def test_what_is_no_address_leaves_the_web_servers_own(named: str) -> None:
    assert seen(PROXY, named) == PROXY


def test_an_address_is_the_same_however_it_is_written() -> None:
    assert seen("::ffff:10.0.0.1", PERSON) == PERSON
    assert seen("2001:db8::1", PERSON, proxy="2001:DB8:0:0::1") == PERSON
    assert seen(PROXY, "::ffff:198.51.100.4") == PERSON


def test_a_web_server_brings_the_connections_of_many() -> None:
    class Open:
        def is_closing(self) -> bool:
            return False

    doors = Doors(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), PROXY)
    for where, most in ((PROXY, EACH + 1), (PERSON, EACH)):
        let_in = [doors.enter(where, Open()) for _ in range(EACH + 1)]  # type: ignore[arg-type]
        assert sum(let_in) == most


def test_who_has_a_whole_network_has_as_many_connections_as_who_has_one_address() -> None:
    class Open:
        def is_closing(self) -> bool:
            return False

    doors = Doors(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    let_in = [doors.enter(f"2001:db8::{number:x}", Open()) for number in range(EACH + 1)]  # type: ignore[arg-type]
    assert sum(let_in) == EACH
    assert doors.enter("2001:db8:0:1::1", Open())  # type: ignore[arg-type]


def test_what_is_typed_is_what_counts(tmp_path: Path) -> None:
    hub = made(tmp_path / "hub")
    assert typed("hub", "behind", "--home", hub.folder, "--json").json == {"behind": ""}
    said = typed("hub", "behind", PROXY, "--home", hub.folder)
    assert f"From {PROXY} the last address in X-Forwarded-For counts." in said.out
    assert "when it is started again" in said.err + said.out
    assert hub.behind == PROXY
    assert typed("hub", "behind", "none", "--home", hub.folder).code == 0
    assert hub.behind == ""
    assert "headers that name another address do not count" in typed("hub", "behind", "--home", hub.folder).out


@pytest.mark.parametrize(
    "word", ["10.0.0.0/8", "*", "proxy.example.org", "0.0.0.0", "::", "10.0.0.1:80", "", "224.0.0.1"]
)
def test_more_than_one_machine_is_not_believed(word: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not the address of one machine"):
        set_proxy(tmp_path, word)
    assert proxy_of(tmp_path) == ""


@pytest.mark.parametrize("text", ["", "{}", '{"proxy": "*"}', '{"proxy": 3.5}', "[]"])
def test_a_file_that_was_changed_is_not_guessed_at(text: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(StoreError, match="medfl hub behind ADDRESS"):
        proxy_of(tmp_path)


@pytest.mark.parametrize("stated", [True, False])
def test_a_hub_that_serves_tells_its_callers_apart(stated: bool, tmp_path: Path) -> None:
    hub = made(tmp_path / "hub")
    if stated:
        set_proxy(hub.folder, LOOPBACK)
    context = ssl.create_default_context(cafile=hub.authority_file)
    with served(hub), httpx.Client(verify=context, trust_env=False) as client:
        where = f"https://{LOOPBACK}:{hub.about.port}{SITES}"

        def asked(person: str) -> int:
            return client.get(where, headers={"x-forwarded-for": f"{SPOOFED}, {person}"}).status_code

        assert {asked(PERSON) for _ in range(20)} == {403}
        assert asked(PERSON) == 429
        assert asked("192.0.2.7") == (403 if stated else 429)
    log = hub.log.read_text(encoding="utf-8")
    assert SPOOFED not in log
    assert f"refused {PERSON if stated else LOOPBACK} GET" in log
