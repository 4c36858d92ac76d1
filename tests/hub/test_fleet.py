"""What the hub passes on to its SuperLink, and what it does not."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from medfl.hub import fleet as passing
from medfl.hub.proofs import KEY
from medfl.over_hub import keys_of
from medfl.site.enrolled import SiteHome
from medfl.testing.hub import LOOPBACK, made, updated
from medfl.testing.upstream import Line, lined
from medfl.tunnel import PURPOSE, Offer


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with lined(made(tmp_path / "hub"), tmp_path) as line:
        yield line


def test_an_enrolled_sites_calls_pass_and_their_answers_come_back(line: Line) -> None:
    body = bytes(range(256)) * 4000
    code, said, heads = line.post("/v1/fleet/push-object", body)
    assert (code, said, heads["content-type"]) == (207, body[::-1], "application/x-protobuf")
    (seen,) = line.upstream.seen
    assert seen.url.path == "/v1/fleet/push-object"
    assert seen.headers[KEY] == b64encode(keys_of(line.hub)["a"]).decode()
    assert "cookie" not in seen.headers


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/start-run",
        "/v1/control/register-node",
        "/v1/runtime/acquire-task",
        "/v1/fleet/register-node",
        "/v1/fleet/unregister-node",
        "/v1/fleet/get-fab",
        "/v1/fleet/",
        "/v1/fleet/pull-messages/more",
        "/v1/fleet/../control/start-run",
        "/v1/fleet/..%2fcontrol%2fstart-run",
        "/v1/fleet//v1/control/start-run",
        "//v1/control/start-run",
    ],
)
def test_nothing_else_passes_whoever_asks(line: Line, path: str) -> None:
    assert line.post(path)[0] == 404
    assert line.upstream.seen == []
    assert "nothing here" in line.hub.log.read_text(encoding="utf-8")


@pytest.mark.parametrize("key", [b"", b"another key", b"-----BEGIN PUBLIC KEY-----"])
def test_a_key_that_is_nobodys_is_refused(line: Line, key: bytes) -> None:
    code, said, _ = line.post("/v1/fleet/pull-messages", key=key)
    assert code == 403
    assert b"belongs to no enrolled site" in said
    assert line.upstream.seen == []
    assert "belongs to no enrolled site" in line.hub.log.read_text(encoding="utf-8")


def test_a_revoked_site_is_refused_from_then_on(line: Line) -> None:
    assert line.post("/v1/fleet/pull-messages")[0] == 207
    line.hub.register.revoke("a", line.hub.authority)
    assert line.post("/v1/fleet/pull-messages")[0] == 403
    assert len(line.upstream.seen) == 1


def test_a_superlink_that_is_away_is_said_to_be(line: Line) -> None:
    line.upstream.away = True
    code, _, heads = line.post("/v1/fleet/pull-messages")
    assert (code, heads["retry-after"]) == (503, "1")


def test_what_is_too_large_is_cut_off(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passing, "LARGEST", 1000)
    assert line.post("/v1/fleet/push-object", bytes(1001))[0] == 413
    assert line.post("/v1/fleet/push-object", bytes(1000))[0] == 207


@pytest.mark.parametrize(
    ("address", "network", "required", "code"),
    [
        ("10.77.0.1", "10.77.0.0/24", True, 403),
        ("10.77.0.1", "10.77.0.0/24", False, 207),
        ("127.0.0.1", "127.0.0.0/8", True, 207),
        ("127.0.0.2", "127.0.0.0/8", True, 403),
    ],
)
def test_where_the_hub_wants_its_vpn_a_call_from_outside_is_refused(
    tmp_path: Path, address: str, network: str, required: bool, code: int
) -> None:
    hub = made(tmp_path / "hub")
    offer = Offer("wireguard", IPv4Address(address), IPv4Network(network), required, "hub", 51820, b"k" * 32)
    hub.vpn.keep(hub.authority.signed(offer.text(), purpose=PURPOSE), [])
    with lined(hub, tmp_path) as line:
        for _ in range(25):
            said = line.post("/v1/fleet/pull-messages")
            assert said[0] == code
        updated(SiteHome(tmp_path / "a"))
        assert len(line.upstream.seen) == (25 if code == 207 else 0)
        if code == 403:
            assert b"through its VPN only" in said[1]
            assert b"medfl vpn join" in said[1]
            assert f"a call from {LOOPBACK}" in hub.log.read_text(encoding="utf-8")
