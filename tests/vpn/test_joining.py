"""A VPN between hub and sites: who gets in, what is written for WireGuard, and what is refused that goes around it."""

from __future__ import annotations

import json
import os
import shlex
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import httpx
import pytest
from filelock import FileLock

from medfl import tunnel
from medfl.enrolment import PROTOCOL, certificate_digest
from medfl.errors import BusyError, EngineError, EnrolmentError, MedflError, RefusedError, WireError
from medfl.hub import vpn as networks
from medfl.hub.authority import certificate_at, hosts_of
from medfl.hub.place import About, HubPlace
from medfl.hub.vpn import Wanted, open_network
from medfl.site import agent as agents
from medfl.site import joining
from medfl.site.enrolled import Enrolment, SiteHome
from medfl.site.enrolling import JOIN, enrol, refresh
from medfl.site.joining import join, leave
from medfl.testing.command import typed
from medfl.testing.hub import LOOPBACK, bought, enrolled, invited, made, served
from medfl.tunnel import PURPOSE, VPN, Offer, statement

HEAD = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
SUBNET = "10.77.0.0/24"


@pytest.fixture(autouse=True)
def routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this machine's networks are told: just one, 192.0.2.0/24, and the way to all others."""
    path = tmp_path / "routes"
    path.write_text(HEAD + row("eth0", "00000000", "00000000") + row("eth0", "000200C0", "00FFFFFF"))
    monkeypatch.setattr(tunnel, "ROUTES", path)
    return path


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubPlace]:
    hub = made(tmp_path / "hub")
    open_network(hub, Wanted(51820))
    with served(hub) as hub:
        yield hub


def row(interface: str, target: str, mask: str) -> str:
    return f"{interface} {target} 00000000 0001 0 0 0 {mask} 0 0 0\n"


def known(home: SiteHome) -> Enrolment:
    return home.enrolled()


def begun(home: SiteHome) -> Enrolment:
    found = home.enrolment()
    assert found is not None
    return found


def offered(hub: HubPlace) -> Offer:
    offer = hub.vpn.offer
    assert offer is not None
    return offer


def on_loopback(hub: HubPlace, *, required: bool = True) -> Offer:
    """Make a VPN whose addresses are this machine's own, so that its hub is reached without a tunnel."""
    key = hub.vpn.secret.public_key().public_bytes_raw()
    offer = Offer("wireguard", IPv4Address(LOOPBACK), IPv4Network("127.0.0.0/8"), required, LOOPBACK, 51820, key)
    hub.vpn.keep(hub.authority.signed(offer.text(), purpose=PURPOSE), hub.register.sites())
    return offer


def asking(home: SiteHome, key: bytes, *, site: str = "", authority: bytes = b"") -> dict[str, object]:
    """Return what a site sends to join with a key."""
    enrolment, identity = known(home), home.identity()
    name, digest = site or enrolment.site, authority or certificate_digest(enrolment.anchor)
    words = {"protocol": PROTOCOL, "site": name, "identity": identity.public.hex(), "key": key.hex()}
    return words | {"proof": identity.sign(statement(digest, name, key)).hex()}


def test_both_ends_have_each_others_keys_and_addresses(hub: HubPlace, tmp_path: Path) -> None:
    homes = enrolled(hub, tmp_path, "a", "b")
    files = {}
    for name, home in homes.items():
        found, offer = join(home)
        assert (found.tunnel, found.way) == ("10.77.0.1", "10.77.0.1")
        files[name] = (home.vpn / "medfl.conf").read_text()
        assert f"PublicKey = {tunnel._text(offer.key)}" in files[name]
        assert "AllowedIPs = 10.77.0.1/32" in files[name], "nothing else of the site goes through it"
        assert f"Endpoint = {LOOPBACK}:51820" in files[name]
    at_hub = hub.vpn.configuration.read_text()
    assert "Address = 10.77.0.1/24\nListenPort = 51820" in at_hub
    for number, (name, home) in enumerate(homes.items(), 2):
        public = tunnel.secret_in(home.vpn).public_key().public_bytes_raw()
        assert f"# {name}\nPublicKey = {tunnel._text(public)}\nAllowedIPs = 10.77.0.{number}/32" in at_hub
        assert f"Address = 10.77.0.{number}/32" in files[name]
        assert tunnel._text(tunnel.secret_in(home.vpn).private_bytes_raw()) not in at_hub


def test_everything_is_for_its_owner_only(hub: HubPlace, tmp_path: Path) -> None:
    (home,) = enrolled(hub, tmp_path, "a").values()
    join(home)
    paths = [*home.folder.rglob("*"), *hub.vpn.folder.rglob("*"), hub.vpn.folder]
    assert {path.name for path in paths} >= {"medfl.conf", "private.key", "offer.json", "joined.json"}
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    (home.vpn / "private.key").chmod(0o640)
    with pytest.raises(EnrolmentError, match="can be read by others"):
        join(home)


def test_joining_again_changes_nothing(hub: HubPlace, tmp_path: Path) -> None:
    home = enrolled(hub, tmp_path, "a", "b")["b"]
    first, _ = join(home)
    before = (home.vpn / "medfl.conf").read_bytes(), hub.vpn.configuration.read_bytes()
    assert join(home)[0] == first
    assert ((home.vpn / "medfl.conf").read_bytes(), hub.vpn.configuration.read_bytes()) == before


def test_the_hubs_certificate_is_for_its_address_in_the_tunnel(tmp_path: Path) -> None:
    hub = made(tmp_path / "hub")
    assert hosts_of(certificate_at(hub.certificate)) == [LOOPBACK]
    open_network(hub, Wanted(51820))
    shown = hub.certificate.read_bytes()
    assert hosts_of(certificate_at(hub.certificate)) == [LOOPBACK, "10.77.0.1"]
    hub.renew()
    assert hub.certificate.read_bytes() == shown, "not made anew at each start"


def test_a_certificate_that_was_brought_must_name_the_address(tmp_path: Path) -> None:
    hub = HubPlace(tmp_path / "hub")
    hub.make(About("Study", "hub.example.org", 8443, own=False), brought=bought(tmp_path))
    with pytest.raises(EnrolmentError, match=r"was brought is not for 10\.77\.0\.1"):
        open_network(hub, Wanted(51820))
    assert hub.vpn.offer is None


def test_a_certificate_brought_later_must_name_it_too(hub: HubPlace, tmp_path: Path) -> None:
    with pytest.raises(EnrolmentError, match="is not for"):
        hub.replace(bought(tmp_path, host=LOOPBACK))


def test_only_enrolled_sites_join(hub: HubPlace, tmp_path: Path) -> None:
    home = SiteHome(tmp_path / "a")
    enrol(home, str(invited(hub, "a")))
    with pytest.raises(EnrolmentError, match="not enrolled"):
        join(home)
    home.keep(replace(begun(home), status="approved"))
    with pytest.raises(RefusedError, match="only enrolled sites join"):
        join(home)
    assert hub.vpn.joined(hub.register.sites()) == ()


@pytest.mark.parametrize("wrong", ["another authority", "another site", "another key", "no key", "zeros"])
def test_what_a_site_did_not_sign_for_this_hub_is_refused(hub: HubPlace, tmp_path: Path, wrong: str) -> None:
    homes, key = enrolled(hub, tmp_path, "a", "b"), b"k" * 32
    words = asking(homes["a"], key)
    match wrong:
        case "another authority":
            words = asking(homes["a"], key, authority=b"x" * 32)
        case "another site":
            words = asking(homes["a"], key, site="b")
        case "another key":
            words["key"] = (b"m" * 32).hex()
        case "no key":
            words = asking(homes["a"], b"")
        case "zeros":
            words = asking(homes["a"], bytes(32))
    with pytest.raises(MedflError) as refused:
        known(homes["a"]).reached().ask(VPN, words)
    assert isinstance(refused.value, RefusedError | WireError)
    assert hub.vpn.joined(hub.register.sites()) == ()
    assert "refused" in hub.log.read_text(encoding="utf-8")


def test_a_key_is_one_sites_and_stays_so(hub: HubPlace, tmp_path: Path) -> None:
    homes = enrolled(hub, tmp_path, "a", "b")
    join(homes["a"])
    (homes["b"].vpn).mkdir(mode=0o700)
    stolen = homes["b"].vpn / "private.key"
    stolen.touch(mode=0o600)
    stolen.write_bytes((homes["a"].vpn / "private.key").read_bytes())
    with pytest.raises(RefusedError, match="somebody else's"):
        join(homes["b"])
    stolen.write_bytes((hub.vpn.folder / "private.key").read_bytes())
    with pytest.raises(RefusedError, match="somebody else's"):
        join(homes["b"])
    (homes["a"].vpn / "private.key").unlink()
    with pytest.raises(RefusedError, match="joined the VPN with another key"):
        join(homes["a"])


def test_a_revoked_site_leaves_the_configuration_and_comes_back_with_other_keys(hub: HubPlace, tmp_path: Path) -> None:
    homes = enrolled(hub, tmp_path, "a", "b")
    for home in homes.values():
        join(home)
    before = tunnel.secret_in(homes["a"].vpn).private_bytes_raw()
    said = typed("hub", "revoke", "a", "--home", hub.folder)
    assert said.code == 0
    assert "wg syncconf medfl" in said.out + said.err
    text = hub.vpn.configuration.read_text()
    assert "# b\n" in text
    assert "# a\n" not in text
    leave(homes["a"])
    again = enrolled(hub, tmp_path, "a")["a"]
    assert known(again).way == LOOPBACK
    join(again)
    assert tunnel.secret_in(again.vpn).private_bytes_raw() != before
    assert "# a\n" in hub.vpn.configuration.read_text()


def test_a_revoked_site_cannot_join(hub: HubPlace, tmp_path: Path) -> None:
    (home,) = enrolled(hub, tmp_path, "a").values()
    hub.revoke("a")
    with pytest.raises(RefusedError, match="only enrolled sites join"):
        join(home)


def test_a_site_that_joined_reaches_the_hub_no_other_way(
    hub: HubPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home,) = enrolled(hub, tmp_path, "a").values()
    join(home)
    monkeypatch.setattr("medfl.site.reaching.PATIENCE", 0.2)
    # The hub would answer on loopback; without a tunnel it is not asked there, and not through a proxy either.
    with proxy(monkeypatch) as nobody_came:
        with pytest.raises(EngineError, match="cannot be reached") as failed:
            refresh(home, known(home))
        assert nobody_came()
    assert failed.value.complaints[0].where == f"10.77.0.1:{hub.about.port}"
    assert "medfl vpn leave" in failed.value.complaints[0].remedy
    monkeypatch.delenv("HTTPS_PROXY")
    assert refresh(home, leave(home))[0].status == "approved"
    assert not (home.vpn / "medfl.conf").exists()


@contextmanager
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bool]]:
    """Name a proxy in the environment; yield what says whether nobody has asked it for anything."""
    with socket.create_server((LOOPBACK, 0)) as listening:
        listening.setblocking(False)
        monkeypatch.setenv("HTTPS_PROXY", f"http://{LOOPBACK}:{listening.getsockname()[1]}")

        def nobody_came() -> bool:
            try:
                listening.accept()[0].close()
            except BlockingIOError:
                return True
            return False

        yield nobody_came


def test_the_agent_goes_past_proxies_into_the_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with proxy(monkeypatch) as nobody_came:
        with pytest.raises(httpx.HTTPError):
            httpx.get("https://10.77.0.1:8443", timeout=0.2)
        assert not nobody_came()
        agents._past_proxies("10.77.0.1")
        with pytest.raises(httpx.HTTPError):
            httpx.get("https://10.77.0.1:8443", timeout=0.2)
        assert nobody_came()


def test_what_the_environment_says_of_proxies_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.setenv("no_proxy", "*")
    agents._past_proxies("10.77.0.1")
    assert os.environ["NO_PROXY"] == "example.org,10.77.0.1"
    assert os.environ["no_proxy"] == "*"


def test_nobody_joins_or_leaves_under_a_running_agent(hub: HubPlace, tmp_path: Path) -> None:
    (home,) = enrolled(hub, tmp_path, "a").values()
    with FileLock(home.folder / "agent.lock"):
        for act in (join, leave):
            with pytest.raises(BusyError, match="an agent of this site runs already"):
                act(home)


def test_a_running_hub_is_not_changed(hub: HubPlace) -> None:
    with pytest.raises(BusyError, match="this hub runs already"):
        open_network(hub, Wanted(51820, required=True))


def test_an_offer_that_the_authority_did_not_sign_is_refused(tmp_path: Path) -> None:
    hub, other = made(tmp_path / "hub"), made(tmp_path / "other")
    open_network(hub, Wanted(51820))
    with served(hub):
        (home,) = enrolled(hub, tmp_path, "a").values()
        for signed in (
            other.authority.signed(offered(hub).text(), purpose=PURPOSE),
            hub.authority.signed(offered(hub).text(), purpose="directory of sites"),
        ):
            hub.vpn.keep(signed, hub.register.sites())
            with pytest.raises(EnrolmentError, match="not signed by the hub's authority"):
                join(home)
    assert known(home).tunnel == ""
    assert not (home.vpn / "medfl.conf").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", "hub\nPostUp = touch /tmp/owned"),
        ("host", "hub.example.org\n"),
        ("host", "fe80::1%\nPostUp=x"),
        ("host", ""),
        ("address", "10.78.0.1"),
        ("address", "10.77.0.1\n"),
        ("network", "10.77.0.0/24; rm"),
        ("port", 0),
        ("port", "51820"),
        ("key", "00"),
        ("key", "zz"),
        ("required", 1),
        ("kind", "openvpn"),
    ],
)
def test_an_offer_cannot_write_what_it_likes_into_a_file_for_root(name: str, value: object) -> None:
    good = Offer("wireguard", IPv4Address("10.77.0.1"), IPv4Network(SUBNET), True, "hub", 51820, b"k" * 32)
    assert Offer.of(good.text()) == good
    words = json.loads(good.text()) | {name: value}
    with pytest.raises(WireError):
        Offer.of(json.dumps(words))


@pytest.mark.parametrize("own", ["10.77.0.1", "10.77.0.0", "10.77.0.255", "10.78.0.2", "10.77.0.2\nPostUp=x", ""])
def test_an_address_that_is_none_for_a_site_is_refused(own: str) -> None:
    offer = Offer("wireguard", IPv4Address("10.77.0.1"), IPv4Network(SUBNET), True, "hub", 51820, b"k" * 32)
    assert offer.own("10.77.0.2") == IPv4Address("10.77.0.2")
    with pytest.raises(WireError):
        offer.own(own)


@pytest.mark.parametrize("subnet", ["192.0.2.0/24", "10.77.0.0/31", "8.8.8.0/24", "10.77.0.1/24", "fd00::/64", "x"])
def test_a_network_that_cannot_be_used_is_a_sentence(tmp_path: Path, routes: Path, subnet: str) -> None:
    made(tmp_path / "hub")
    said = typed("vpn", "init", "--subnet", subnet, "--home", tmp_path / "hub")
    assert said.code == 2
    assert "--subnet" in said.err
    assert "Traceback" not in said.err


def test_networks_that_overlap_are_seen(tmp_path: Path, routes: Path) -> None:
    hub = made(tmp_path / "hub")
    routes.write_text(HEAD + row("eth0", "0000000A", "000000FF"))
    with pytest.raises(EnrolmentError, match="another way already"):
        open_network(hub, Wanted(51820))
    routes.write_text(HEAD + row("medfl", "00004D0A", "00FFFFFF"))
    assert open_network(hub, Wanted(51820)).network == IPv4Network(SUBNET), "its own tunnel is no stranger"


def test_a_hospital_in_a_wide_network_joins_and_one_in_the_same_does_not(
    hub: HubPlace, tmp_path: Path, routes: Path
) -> None:
    (home,) = enrolled(hub, tmp_path, "a").values()
    routes.write_text(HEAD + row("eth0", "40004D0A", "C0FFFFFF"))
    with pytest.raises(EnrolmentError, match="in use here already"):
        join(home)
    routes.write_text(HEAD + row("eth0", "0000000A", "000000FF"))
    assert join(home)[0].inside == "10.77.0.2"


def test_the_addresses_may_run_out(tmp_path: Path) -> None:
    hub = made(tmp_path / "hub")
    open_network(hub, Wanted(51820, subnet="10.77.0.0/30"))
    with served(hub):
        homes = enrolled(hub, tmp_path, "a", "b")
        join(homes["a"])
        with pytest.raises(RefusedError, match="all addresses of the VPN are taken"):
            join(homes["b"])
    open_network(hub, Wanted(51820, subnet=SUBNET))
    with served(hub):
        assert join(homes["b"])[0].inside == "10.77.0.3", "who is there keeps its address"


def test_who_joined_another_network_has_to_join_the_new_one(tmp_path: Path) -> None:
    hub = made(tmp_path / "hub")
    open_network(hub, Wanted(51820))
    with served(hub):
        (home,) = enrolled(hub, tmp_path, "a").values()
        join(home)
    open_network(hub, Wanted(51820, subnet="10.99.0.0/24"))
    assert "[Peer]" not in hub.vpn.configuration.read_text()
    with served(hub):
        assert join(home)[0].tunnel == "10.99.0.1"
    assert "AllowedIPs = 10.99.0.2/32" in hub.vpn.configuration.read_text()


def test_what_is_not_said_again_stays(tmp_path: Path) -> None:
    hub = made(tmp_path / "hub")
    first = open_network(hub, Wanted(51820, subnet="10.99.0.0/24", endpoint="vpn.example.org", required=True))
    assert (first.network, first.host, first.required) == (IPv4Network("10.99.0.0/24"), "vpn.example.org", True)
    assert open_network(hub, Wanted(4500)) == replace(first, port=4500)
    assert not open_network(hub, Wanted(4500, required=False)).required


def test_without_a_vpn_there_is_nothing_to_join(tmp_path: Path) -> None:
    with served(made(tmp_path / "hub")) as hub:
        (home,) = enrolled(hub, tmp_path, "a").values()
        with pytest.raises(RefusedError, match="this hub has no VPN"):
            join(home)


def test_a_site_is_told_that_its_hub_wants_the_vpn(tmp_path: Path) -> None:
    hub = made(tmp_path / "hub")
    open_network(hub, Wanted(51820, required=True))
    with served(hub):
        (home,) = enrolled(hub, tmp_path, "a").values()
        assert refresh(home, known(home))[1] == JOIN
        said = typed("site", "status", "--home", home.folder)
        assert JOIN in " ".join((said.out + said.err).split())


def test_tailscale_is_used_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = made(tmp_path / "hub")
    monkeypatch.setattr(networks, "tailscale_address", lambda: IPv4Address("100.101.102.103"))
    offer = open_network(hub, Wanted(51820, tailscale=True, required=True))
    assert (offer.kind, offer.address) == ("tailscale", IPv4Address("100.101.102.103"))
    assert "100.101.102.103" in hosts_of(certificate_at(hub.certificate))
    assert not hub.vpn.configuration.exists()
    monkeypatch.setattr(joining, "tailscale_address", lambda: IPv4Address("100.64.0.9"))
    with served(hub):
        (home,) = enrolled(hub, tmp_path, "a").values()
        found, _ = join(home)
        assert (found.tunnel, found.inside) == ("100.101.102.103", "100.64.0.9")
        assert not (home.vpn / "medfl.conf").exists()
        assert [one.site for one in hub.vpn.joined(hub.register.sites())] == ["a"]


def test_what_root_is_to_type_is_one_command_whatever_the_folder_is_called() -> None:
    file = Path("/home/a b/it's/medfl.conf")
    assert shlex.split(tunnel.up_command(file)) == ["sudo", "wg-quick", "up", str(file)]
    *before, script = shlex.split(tunnel.reload_command(file))
    assert before == ["sudo", "bash", "-c"]
    assert shlex.split(script)[-1] == f"{file})", script


def test_tailscale_that_is_not_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path / "hub")
    monkeypatch.setattr(tunnel, "TAILSCALE", IPv4Network("203.0.113.0/24"))
    said = typed("vpn", "init", "--tailscale", "--home", tmp_path / "hub")
    assert said.code == 2
    assert "no address in a Tailscale network" in said.err
    said = typed("vpn", "init", "--tailscale", "--subnet", SUBNET, "--home", tmp_path / "hub")
    assert said.code == 2
    assert "leave these out" in said.err


def test_the_command_line_from_one_end_to_the_other(tmp_path: Path) -> None:
    hub, endpoint = made(tmp_path / "hub"), "vpn.example.org"
    none = typed("vpn", "status", "--hub", hub.folder)
    assert "medfl vpn init" in none.out
    said = typed("vpn", "init", "--endpoint", endpoint, "--require", "--home", hub.folder)
    assert said.code == 0
    assert f"sudo wg-quick up {hub.vpn.configuration}" in said.out
    with served(hub):
        (home,) = enrolled(hub, tmp_path, "a").values()
        assert "not joined" in typed("vpn", "status", "--site", home.folder).out
        told = typed("vpn", "join", "--json", "--home", home.folder).json
        assert (told["own"], told["address"], told["host"], told["required"]) == (
            "10.77.0.2",
            "10.77.0.1",
            endpoint,
            True,
        )
        written = typed("vpn", "config", "--json", "--home", hub.folder).json
        assert written == {"file": str(hub.vpn.configuration), "sites": ["a"]}
        shown = typed("vpn", "status", "--json", "--hub", hub.folder).json["hub"]
        assert (shown["sites"], shown["up"], shown["required"]) == (["a 10.77.0.2"], False, True)
    assert typed("vpn", "leave", "--json", "--home", home.folder).json == {"site": "a", "hub": LOOPBACK}


def test_status_at_a_site_says_whether_the_tunnel_carries(tmp_path: Path) -> None:
    hub = made(tmp_path / "hub")
    offer = on_loopback(hub)
    with served(hub):
        (home,) = enrolled(hub, tmp_path, "a").values()
        home.keep(replace(known(home), tunnel=str(offer.address), inside=LOOPBACK))
        shown = typed("vpn", "status", "--json", "--site", home.folder).json["site"]
    assert (shown["up"], shown["answers"]) == (True, "yes: the site is approved")
    shown = typed("vpn", "status", "--json", "--site", home.folder).json["site"]
    assert shown["answers"].startswith("no: the hub cannot be reached")


def test_doctor_names_a_tunnel_that_is_down(hub: HubPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medfl.site.reaching.PATIENCE", 0.2)
    monkeypatch.setattr("medfl.doctor.hops.PATIENCE", 0.2)
    (home,) = enrolled(hub, tmp_path, "a").values()
    home.keep(replace(known(home), tunnel=LOOPBACK, inside="10.77.0.2"))
    said = typed("doctor", "--site", home.folder)
    assert said.code == 2
    assert "does not have the address 10.77.0.2" in " ".join(said.out.split())
