"""Which way an enrolment may go, and what is signed when."""

from __future__ import annotations

import io
import stat
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from medfl.enrolment import Directory, Invitation
from medfl.errors import EnrolmentError, RefusedError, StoreError, WireError
from medfl.hub.authority import Authority
from medfl.hub.place import HubPlace
from medfl.hub.register import name_of
from medfl.testing.command import typed
from medfl.testing.hub import application, invited, made


@pytest.fixture
def hub(tmp_path: Path) -> HubPlace:
    return made(tmp_path / "hub")


def directory(hub: HubPlace) -> Directory:
    return Directory.read(hub.register.directory(), hub.authority.certificate)


def test_from_an_invitation_to_the_directory_and_out_again(hub: HubPlace) -> None:
    invitation = invited(hub, "Hospital A")
    applied = application(invitation)
    assert directory(hub).peers == {}
    waiting = hub.register.apply(applied, invitation.authority)
    assert (waiting.name, waiting.title, waiting.status) == ("hospital-a", "Hospital A", "waiting")
    assert directory(hub).peers == {}
    approved = hub.register.approve("Hospital A", hub.authority)
    certificate = x509.load_pem_x509_certificate(approved.certificate.encode())
    certificate.verify_directly_issued_by(hub.authority.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    spoken = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert spoken == ["medfl:site:hospital-a", f"medfl:identity:{applied.identity.hex()}"]
    enrolled = directory(hub)
    assert enrolled.peers["hospital-a"].identity == applied.identity
    assert hub.register.approve("hospital-a", hub.authority) == approved, "twice is once"
    hub.register.revoke("hospital-a", hub.authority)
    assert directory(hub).peers == {}
    assert directory(hub).sequence > enrolled.sequence
    assert hub.register.standing("hospital-a", applied.identity).status == "revoked"


def test_a_secret_is_kept_as_its_digest_only(hub: HubPlace) -> None:
    invitation = invited(hub, "a")
    kept = (hub.folder / "sites.db").read_bytes()
    assert invitation.secret.hex().encode() not in kept
    assert invitation.secret not in kept
    assert stat.S_IMODE((hub.folder / "sites.db").stat().st_mode) == 0o600


def test_a_second_invitation_ends_the_first(hub: HubPlace) -> None:
    first, second = invited(hub, "a"), invited(hub, "a")
    with pytest.raises(RefusedError, match="does not know this invitation"):
        hub.register.apply(application(first), first.authority)
    assert hub.register.apply(application(second), second.authority).status == "waiting"


def test_who_waits_or_is_enrolled_is_not_invited_again(hub: HubPlace) -> None:
    invitation = invited(hub, "a")
    hub.register.apply(application(invitation), invitation.authority)
    with pytest.raises(EnrolmentError, match="such a site already"):
        invited(hub, "a")
    hub.register.approve("a", hub.authority)
    with pytest.raises(EnrolmentError, match="such a site already"):
        invited(hub, "a")


def test_revoked_keys_stay_out_under_every_name(hub: HubPlace) -> None:
    first = invited(hub, "a")
    node = ec.generate_private_key(ec.SECP384R1())
    hub.register.apply(application(first, node=node), first.authority)
    hub.register.revoke("a", hub.authority)
    for name in ("a", "b"):
        again = invited(hub, name)
        with pytest.raises(RefusedError, match="belong to another site, or were revoked"):
            hub.register.apply(application(again, node=node), again.authority)
    fresh = invited(hub, "a")
    assert hub.register.apply(application(fresh), fresh.authority).status == "waiting"


def test_two_sites_do_not_share_a_key(hub: HubPlace) -> None:
    node = ec.generate_private_key(ec.SECP384R1())
    first, second = invited(hub, "a"), invited(hub, "b")
    hub.register.apply(application(first, node=node), first.authority)
    with pytest.raises(RefusedError, match="belong to another site"):
        hub.register.apply(application(second, node=node), second.authority)


def test_only_who_waits_is_approved(hub: HubPlace) -> None:
    invited(hub, "a")
    with pytest.raises(EnrolmentError, match="does not wait for approval"):
        hub.register.approve("a", hub.authority)
    with pytest.raises(EnrolmentError, match="no such site"):
        hub.register.approve("b", hub.authority)


def test_an_application_for_another_name_is_refused(hub: HubPlace) -> None:
    invitation = invited(hub, "a")
    with pytest.raises(WireError, match="not those of its keys"):
        hub.register.apply(application(invitation, name="b"), invitation.authority)


def test_an_approval_that_is_cut_off_leaves_everything_as_it_was(
    hub: HubPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    invitation = invited(hub, "a")
    hub.register.apply(application(invitation), invitation.authority)

    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Authority, "signed", cut)
        with pytest.raises(KeyboardInterrupt):
            hub.register.approve("a", hub.authority)
    assert hub.register.named("a").status == "waiting"
    assert hub.register.approve("a", hub.authority).status == "approved"


def test_a_damaged_register_is_a_sentence(hub: HubPlace) -> None:
    (hub.folder / "sites.db").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match="register of sites cannot be used"):
        hub.register.sites()


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Hospital A", "hospital-a"),
        ("St. Anne’s, Zürich", "st-annes-zurich"),
        ("Charité", "charite"),
        ("UKE_2", "UKE_2"),
    ],
)
def test_a_title_becomes_a_name(title: str, name: str) -> None:
    assert name_of(title) == name


@pytest.mark.parametrize("title", ["", "  ", "...", "東京", "x" * 65, "all-rows"])
def test_what_gives_no_name_is_refused(title: str) -> None:
    with pytest.raises(EnrolmentError, match="cannot be called so"):
        name_of(title)


@pytest.mark.parametrize("expires", ["0m", "7", "7w", "91d", "-1d", "seven days"])
def test_an_invitation_holds_for_a_sensible_time(hub: HubPlace, expires: str) -> None:
    said = typed("hub", "invite", "--site", "a", f"--expires={expires}", "--home", hub.folder)
    assert said.code == 2
    assert "30m, 12h or 7d" in said.err


def test_the_list_of_sites(hub: HubPlace) -> None:
    assert "No site yet" in typed("hub", "sites", "--home", hub.folder).out
    said = typed("hub", "invite", "--site", "Hospital A", "--json", "--home", hub.folder).json
    invitation = Invitation.read(said["invitation"])
    shown = typed("hub", "sites", "--home", hub.folder)
    assert "hospital-a" in shown.out
    assert "invited" in shown.out
    waiting = hub.register.apply(application(invitation), invitation.authority)
    (told,) = typed("hub", "sites", "--json", "--home", hub.folder).json
    assert (told["status"], told["fingerprint"]) == ("waiting", waiting.fingerprint)
    stands = {"name", "title", "status", "fingerprint", "since", "connected", "seen", "hardware"}
    assert set(told) == stands | {"doing", "state", "trouble", "version"}


@pytest.mark.parametrize("typed_in", ["", "n\n"])
def test_nobody_is_approved_without_a_word(hub: HubPlace, typed_in: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed_in))
    invitation = invited(hub, "a")
    waiting = hub.register.apply(application(invitation), invitation.authority)
    said = typed("hub", "approve", "a", "--home", hub.folder)
    assert said.code != 0
    assert waiting.fingerprint in said.err
    assert hub.register.named("a").status == "waiting"
    assert typed("hub", "approve", "a", "--yes", "--home", hub.folder).code == 0
    assert hub.register.named("a").status == "approved"
