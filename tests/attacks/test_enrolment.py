"""Somebody tries to get in, to be somebody else, or to stand between a hospital and its hub."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medfl.enrolment import APPLY, DIRECTORY, STATUS, Application, Directory, Invitation, Peer, Signed
from medfl.errors import EnrolmentError, MedflError, RefusedError, SecureError, WireError
from medfl.hub.authority import Authority
from medfl.hub.place import HubPlace
from medfl.site.enrolled import Enrolment, SiteHome
from medfl.site.enrolling import enrol
from medfl.site.reaching import Hub
from medfl.testing.hub import application, enrolled, invited, made, served, updated


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubPlace]:
    with served(made(tmp_path / "hub")) as hub:
        yield hub


@pytest.fixture
def home(tmp_path: Path) -> SiteHome:
    return SiteHome(tmp_path / "site")


def known(home: SiteHome) -> Enrolment:
    enrolment = home.enrolment()
    assert enrolment is not None
    return enrolment


def recognised(hub: HubPlace) -> Hub:
    return Hub.recognised(hub.about.host, hub.about.port, authority=hub.authority.digest)


def test_a_hub_that_is_not_the_one_that_invited_learns_no_secret(hub: HubPlace, home: SiteHome, tmp_path: Path) -> None:
    """Whoever answers in the hub's place has another authority; nothing but the first, public question reaches it."""
    right = made(tmp_path / "right")
    invitation = dataclasses.replace(invited(right, "a"), port=hub.about.port)
    with pytest.raises(EnrolmentError, match="not the hub that invited you"):
        enrol(home, str(invitation))
    assert not hub.log.exists() or "site a applies" not in hub.log.read_text(encoding="utf-8")


def test_a_hub_that_shows_the_right_authority_and_has_not_its_certificate_learns_no_secret(
    home: SiteHome, tmp_path: Path
) -> None:
    """What an authority says in public can be repeated by anybody; to be the hub takes its key."""
    right = made(tmp_path / "right")
    between = made(tmp_path / "between")
    for name in ("authority/authority.crt", "tls/trust.json"):
        (between.folder / name).write_bytes((right.folder / name).read_bytes())
    invitation = dataclasses.replace(invited(right, "a"), port=between.about.port)
    with served(between), pytest.raises(EnrolmentError, match="does not show the hub's certificate"):
        enrol(home, str(invitation))


def test_a_forged_invitation_is_refused(hub: HubPlace, home: SiteHome) -> None:
    invitation = invited(hub, "a")
    with pytest.raises(RefusedError, match="does not know this invitation"):
        enrol(home, str(dataclasses.replace(invitation, secret=bytes(16))))
    with pytest.raises(RefusedError, match="does not know this invitation"):
        enrol(home, str(dataclasses.replace(invitation, site="b")))
    assert hub.register.named("a").status == "invited"


def test_the_expiry_in_the_invitation_is_the_hubs_and_not_the_holders(hub: HubPlace, home: SiteHome) -> None:
    late = dataclasses.replace(invited(hub, "a", seconds=-3700), expires=4_000_000_000)
    with pytest.raises(RefusedError, match="expired") as error:
        enrol(home, str(late))
    assert "1 hour ago, by the hub's clock" in str(error.value)


@pytest.mark.parametrize("place", [0, 10, 40, 60, -1])
def test_a_letter_that_is_wrong_is_noticed_before_anything_is_sent(hub: HubPlace, home: SiteHome, place: int) -> None:
    text = str(invited(hub, "a"))
    body = text.rpartition("/")[2]
    wrong = list(body)
    wrong[place] = "A" if wrong[place] != "A" else "B"
    with pytest.raises(EnrolmentError, match="no invitation"):
        enrol(home, text.replace(body, "".join(wrong)))
    assert home.enrolment() is None


def test_an_invitation_is_good_once(hub: HubPlace, home: SiteHome, tmp_path: Path) -> None:
    invitation = str(invited(hub, "a"))
    enrol(home, invitation)
    thief = SiteHome(tmp_path / "thief")
    with pytest.raises(RefusedError, match="was used before"):
        enrol(thief, invitation)
    assert hub.register.named("a").fingerprint == known(home).fingerprint


def test_an_application_that_was_recorded_gives_nobody_else_anything(hub: HubPlace) -> None:
    """A replay changes nothing, and after a revocation it is refused."""
    invitation = invited(hub, "a")
    recorded = application(invitation).to_json()
    before = recognised(hub).ask(APPLY, recorded)["status"]
    assert recognised(hub).ask(APPLY, recorded)["status"] == before == "waiting"
    hub.register.revoke("a", hub.authority)
    with pytest.raises(RefusedError, match="was revoked"):
        recognised(hub).ask(APPLY, recorded)


@pytest.mark.parametrize("part", ["request", "identity", "proof", "site"])
def test_an_application_that_was_changed_on_the_way_is_refused(hub: HubPlace, part: str) -> None:
    invitation = invited(hub, "a")
    invited(hub, "b")
    other = application(dataclasses.replace(invitation, site="a")).to_json()
    changed = application(invitation).to_json() | {part: other[part] if part != "site" else "b"}
    with pytest.raises(WireError if part != "site" else RefusedError):
        recognised(hub).ask(APPLY, changed)
    assert hub.register.named("a").status == "invited"


def test_an_application_to_one_hub_is_none_to_another(hub: HubPlace, tmp_path: Path) -> None:
    other = made(tmp_path / "other")
    invitation = dataclasses.replace(invited(hub, "a"), authority=other.authority.digest)
    with pytest.raises(WireError, match="not those of its keys"):
        recognised(hub).ask(APPLY, application(invitation).to_json())


def test_who_has_not_a_sites_key_is_not_told_how_it_stands(hub: HubPlace, tmp_path: Path) -> None:
    homes = enrolled(hub, tmp_path, "a", "b")
    keys = {name: home.identity() for name, home in homes.items()}
    words = {"protocol": 1, "site": "a", "identity": keys["a"].public.hex(), "proof": keys["b"].sign(b"a").hex()}
    with pytest.raises(WireError, match="does not have the site's key"):
        recognised(hub).ask(STATUS, words)


def test_a_directory_that_the_authority_has_not_signed_is_not_believed(hub: HubPlace, tmp_path: Path) -> None:
    """A hub's service that was broken into has no key of the authority, and cannot bring a site of its own."""
    (home,) = enrolled(hub, tmp_path, "a").values()
    enrolment = known(home)
    stranger = Authority.make("stranger")
    peers = enrolment.peers | {"spy": Peer("Spy", bytes(32), "00000")}
    forged = stranger.signed(Directory("Test hub", 99, peers).text(), purpose=DIRECTORY)
    with pytest.raises(EnrolmentError, match="not signed by the hub's authority"):
        _ = dataclasses.replace(enrolment, directory=forged.to_json()).peers
    trust = hub.trust
    with pytest.raises(EnrolmentError, match="not signed by the hub's authority"):
        Signed(trust.text, trust.signature).verified(hub.authority.certificate, purpose=DIRECTORY)


def test_an_older_directory_is_not_taken_up(hub: HubPlace, tmp_path: Path) -> None:
    """A service that was broken into could otherwise bring a revoked site back."""
    homes = enrolled(hub, tmp_path, "a", "b")
    old = (hub.folder / "sites.db").read_bytes()
    hub.register.revoke("b", hub.authority)
    updated(homes["a"])
    assert set(known(homes["a"]).peers) == {"a"}
    (hub.folder / "sites.db").write_bytes(old)
    with pytest.raises(EnrolmentError, match="older directory"):
        updated(homes["a"])
    assert set(known(homes["a"]).peers) == {"a"}


def test_a_hub_that_lies_about_a_peers_key_is_noticed(hub: HubPlace, tmp_path: Path) -> None:
    """Even with the authority's key: a peer that is known has the key that it had."""
    homes = enrolled(hub, tmp_path, "a", "b")
    before = known(homes["a"])
    peers = before.peers | {"b": dataclasses.replace(before.peers["b"], identity=bytes(32))}
    lie = hub.authority.signed(Directory("Test hub", 99, peers).text(), purpose=DIRECTORY)
    homes["a"].keep(dataclasses.replace(before, directory=lie.to_json()))
    with pytest.raises(SecureError, match="another identity than before"):
        homes["a"].member(_Nothing())


class _Nothing:
    def keep(self, name: str, text: str) -> str:
        return text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    said=st.dictionaries(
        st.sampled_from(["protocol", "site", "secret", "request", "identity", "proof"]),
        st.one_of(st.none(), st.integers(), st.text(max_size=20), st.just("00" * 32), st.lists(st.integers())),
    )
)
def test_whatever_is_sent_is_an_application_or_an_error_on_purpose(said: dict[str, object]) -> None:
    try:
        read = Application.from_json(json.loads(json.dumps(said)))
    except MedflError:
        return
    assert read.site == said["site"]


@settings(max_examples=200, deadline=None)
@given(text=st.one_of(st.text(max_size=200), st.from_regex(r"\A[a-z.]{1,9}:\d{1,5}/[a-z]{1,5}/[\w-]{0,90}\Z")))
def test_whatever_is_copied_is_an_invitation_or_an_error_on_purpose(text: str) -> None:
    with pytest.raises(EnrolmentError):
        Invitation.read(text)
