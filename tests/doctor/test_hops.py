"""Each way in which the road to a hub can be blocked is named, with what to do about it."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from medfl.doctor.finding import Finding, first_blocked
from medfl.doctor.hops import Target, walk
from medfl.enrolment import PROTOCOL
from medfl.testing.roads import certificate, hub, proxy, serving
from medfl.versions import here

WORDS: dict[str, object] = {"protocol": PROTOCOL, "hub": "Ward", "version": "3.0"}
HOPS = ["name", "connection", "encryption", "hub", "version", "clock", "wake-up"]


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def words(**changes: object) -> dict[str, object]:
    return {**WORDS, "now": time.time(), **changes}


def walked(port: int, *, trust: str = "", host: str = "127.0.0.1", inspector: Path | None = None) -> list[Finding]:
    return list(walk(Target(host, port, trust, inspector), patience=2.0))


def stops_at(found: list[Finding], hop: str) -> Finding:
    stop = first_blocked(found)
    assert stop is not None and stop.hop == hop and found[-1] is stop, found
    assert stop.remedy
    return stop


def test_a_clear_way(tmp_path: Path) -> None:
    shown = certificate(tmp_path, "ward")
    with serving(hub(words()), shown=shown) as port:
        found = walked(port, trust=shown.pem)
    assert [one.hop for one in found] == HOPS
    assert {one.state for one in found} == {"clear"}, found


def test_before_enrolment_the_issuer_is_named(tmp_path: Path) -> None:
    with serving(hub(words()), shown=certificate(tmp_path, "ward")) as port:
        found = walked(port)
    assert "'ward'" in found[2].said and found[2].state == "clear"


def test_a_name_that_nobody_knows() -> None:
    assert "hub.invalid" in stops_at(walked(443, host="hub.invalid"), "name").said


def test_a_port_that_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "refuses" in stops_at(walked(port), "connection").said


def test_a_firewall_that_drops() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        # Its queue is full: what comes now gets no answer, as behind a firewall that drops.
        waiting = []
        for _ in range(4):
            line = socket.socket()
            line.setblocking(False)
            line.connect_ex(address)
            waiting.append(line)
        found = list(walk(Target("127.0.0.1", address[1]), patience=0.3))
        for line in waiting:
            line.close()
    assert "within" in stops_at(found, "connection").said


def test_something_that_is_not_encrypted() -> None:
    with serving(hub(words())) as port:
        stops_at(walked(port), "encryption")


def test_somebody_opens_encrypted_traffic(tmp_path: Path) -> None:
    with serving(hub(words()), shown=certificate(tmp_path, "Acme Web Gateway")) as port:
        found = walked(port, trust=certificate(tmp_path, "ward").pem)
    stop = stops_at(found, "encryption")
    assert "'Acme Web Gateway'" in stop.said and "MEDFL_CA_FILE" in stop.remedy


def test_an_inspection_that_the_site_accepts(tmp_path: Path) -> None:
    gateway = certificate(tmp_path, "Acme Web Gateway")
    accepted = tmp_path / "acme.crt"
    accepted.write_text(gateway.pem, encoding="ascii")
    with serving(hub(words()), shown=gateway) as port:
        found = walked(port, trust=certificate(tmp_path, "ward").pem, inspector=accepted)
    assert first_blocked(found) is None and found[2].state == "caution" and "Acme" in found[2].said


@pytest.mark.parametrize(("days", "word"), [((-9, -1), "expired"), ((1, 9), "not yet valid")])
def test_a_certificate_of_another_time(tmp_path: Path, days: tuple[int, int], word: str) -> None:
    shown = certificate(tmp_path, "ward", days=days)
    with serving(hub(words()), shown=shown) as port:
        stop = stops_at(walked(port, trust=shown.pem), "encryption")
    assert word in stop.said and "clock" in stop.remedy


def test_a_certificate_that_ends_soon(tmp_path: Path) -> None:
    shown = certificate(tmp_path, "ward", days=(-1, 9))
    with serving(hub(words()), shown=shown) as port:
        found = walked(port, trust=shown.pem)
    assert found[2].state == "caution" and "renew" in found[2].remedy


def test_somebody_who_is_no_hub(tmp_path: Path) -> None:
    shown = certificate(tmp_path, "ward")
    with serving(hub({"hello": "world"}), shown=shown) as port:
        assert "no hub" in stops_at(walked(port, trust=shown.pem), "hub").said


@pytest.mark.parametrize("body", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 502 Bad\r\nContent-Length: 3\r\n\r\n\xff\xfe["])
def test_bytes_that_are_no_answer(tmp_path: Path, body: bytes) -> None:
    shown = certificate(tmp_path, "ward")
    with serving(lambda line: line.sendall(body), shown=shown) as port:
        stops_at(walked(port, trust=shown.pem), "hub")


@pytest.mark.parametrize(
    "other",
    [
        {"protocol": PROTOCOL + 1, "version": "9.9"},
        {"speaks": here().to_json() | {"medfl": "9.9", "wire": [7, 8]}},
        {"speaks": "9.9, please upgrade"},
    ],
)
def test_another_version(tmp_path: Path, other: dict[str, object]) -> None:
    shown = certificate(tmp_path, "ward")
    with serving(hub(words(**{"version": "9.9", **other})), shown=shown) as port:
        found = walked(port, trust=shown.pem)
    stop = first_blocked(found)
    assert stop is not None and stop.hop == "version" and stop.remedy
    assert "9.9" in stop.said or "cannot be read" in stop.said


def test_a_clock_that_is_an_hour_off(tmp_path: Path) -> None:
    shown = certificate(tmp_path, "ward")
    with serving(hub(words(now=time.time() - 3600)), shown=shown) as port:
        found = {one.hop: one for one in walked(port, trust=shown.pem)}
    assert found["clock"].state == "caution" and "60 minutes ahead" in found["clock"].said


def test_websockets_that_are_blocked(tmp_path: Path) -> None:
    shown = certificate(tmp_path, "ward")
    with serving(hub(words(), upgrades=False), shown=shown) as port:
        found = walked(port, trust=shown.pem)
    assert first_blocked(found) is None
    assert found[-1].state == "caution" and "asks for work now and then" in found[-1].said


def test_through_a_proxy_with_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, asked = certificate(tmp_path, "ward"), list[str]()
    with (
        serving(hub(words()), shown=shown) as port,
        serving(proxy("200 OK", asked=asked)) as gate,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://anna:s%40crt@127.0.0.1:{gate}")
        found = walked(port, trust=shown.pem)
    assert [one.hop for one in found] == [*HOPS[:2], "proxy", *HOPS[2:]]
    assert {one.state for one in found} == {"clear"}, found
    assert all("Proxy-Authorization: Basic YW5uYTpzQGNydA==" in one for one in asked)
    assert "s@crt" not in str(found) and "s%40crt" not in str(found)


@pytest.mark.parametrize(
    ("status", "who", "word"),
    [
        ("407 Proxy Authentication Required", "", "asks who you are"),
        ("407 Proxy Authentication Required", "anna:wrong@", "does not accept the credentials of 'anna'"),
        ("403 Forbidden", "", "does not pass on"),
        ("nonsense", "", "no proxy"),
    ],
)
def test_a_proxy_that_does_not_pass_on(status: str, who: str, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(proxy(status, asked=[])) as gate:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{who}127.0.0.1:{gate}")
        found = walked(1)
    assert word in stops_at(found, "proxy").said
    assert "wrong" not in str(found)


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://gate.invalid:3128")
    stop = stops_at(walked(1), "name")
    assert "the proxy" in stop.said and "gate.invalid" in stop.said


def test_no_proxy_for_this_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = certificate(tmp_path, "ward")
    monkeypatch.setenv("HTTPS_PROXY", "http://gate.invalid:3128")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(hub(words()), shown=shown) as port:
        assert first_blocked(walked(port, trust=shown.pem)) is None


def test_a_proxy_that_is_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://gate:1080")
    stops_at(walked(1), "proxy")
