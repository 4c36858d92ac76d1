"""A hub's folder: what is in it, who can read it, and whose certificate it shows."""

from __future__ import annotations

import datetime
import stat
from pathlib import Path

import pytest

from medfl.enrolment import TRANSPORT
from medfl.errors import EnrolmentError
from medfl.hub.authority import certificate_at
from medfl.hub.place import About, Brought, HubPlace
from medfl.testing.command import typed
from medfl.testing.hub import bought


def test_everything_in_it_is_for_its_owner_only(tmp_path: Path) -> None:
    said = typed("hub", "init", "--name", "Study", "--host", "hub.example.org", "--home", tmp_path / "hub")
    assert said.code == 0
    made = [tmp_path / "hub", *(tmp_path / "hub").rglob("*")]
    assert len(made) >= 8
    for path in made:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_second_hub_in_the_same_place_is_refused(tmp_path: Path) -> None:
    typed("hub", "init", "--name", "First", "--host", "hub.example.org", "--home", tmp_path / "hub")
    before = (tmp_path / "hub" / "authority" / "authority.pem").read_bytes()
    said = typed("hub", "init", "--name", "Second", "--host", "hub.example.org", "--home", tmp_path / "hub")
    assert said.code == 2
    assert "there is a hub here already" in said.err
    assert "medfl hub start" in said.err
    assert (tmp_path / "hub" / "authority" / "authority.pem").read_bytes() == before


def test_a_hub_that_was_half_made_is_made_anew(tmp_path: Path) -> None:
    hub = HubPlace(tmp_path / "hub")
    hub.make(About("Study", "hub.example.org", 8443))
    (tmp_path / "hub" / "hub.json").unlink()
    token = hub.make(About("Study", "hub.example.org", 8443))
    assert hub.is_administrator(token)
    assert not hub.is_administrator(token[:-1])
    assert hub.register.sites() == []


def test_a_folder_that_others_can_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub").chmod(0o755)
    (tmp_path / "hub" / "something").touch()
    said = typed("hub", "init", "--name", "Study", "--host", "hub.example.org", "--home", tmp_path / "hub")
    assert said.code == 2
    assert "chmod 700" in said.err


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    hub = HubPlace(tmp_path / "hub")
    hub.make(About("Study", "hub.example.org", 8443))
    (tmp_path / "hub" / "authority" / "authority.pem").chmod(0o644)
    with pytest.raises(EnrolmentError, match="can be read by others"):
        _ = hub.authority


def test_without_a_hub_every_verb_says_so(tmp_path: Path) -> None:
    for words in (("sites",), ("invite", "--site", "A"), ("approve", "a"), ("revoke", "a"), ("start",)):
        said = typed("hub", *words, "--home", tmp_path)
        assert said.code == 2, words
        assert "there is no hub here" in said.err


@pytest.mark.parametrize("host", ["https://hub.example.org", "hub.example.org:8443", "a b", "", "-x.org", "x" * 300])
def test_what_is_no_host_is_refused(tmp_path: Path, host: str) -> None:
    said = typed("hub", "init", "--name", "Study", "--host", host, "--home", tmp_path / "hub")
    assert said.code == 2
    assert "no name of a machine" in said.err


def test_a_certificate_that_is_brought_is_shown_and_signed_for(tmp_path: Path) -> None:
    hub, brought = HubPlace(tmp_path / "hub"), bought(tmp_path)
    hub.make(About("Study", "hub.example.org", 8443, own=False), brought=brought)
    assert hub.certificate.read_bytes() == brought.certificate.read_bytes()
    trusted = hub.trust.verified(certificate_at(hub.authority_file), purpose=TRANSPORT)
    assert trusted == brought.certificate.read_text()


def test_a_certificate_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    fit, other = bought(tmp_path), bought(tmp_path, name="other")
    for brought, why in (
        (Brought(fit.certificate, other.key), "not for this key"),
        (bought(tmp_path, host="elsewhere.org", name="else"), "not for hub.example.org"),
        (bought(tmp_path, days=-1, name="old"), "does not hold now"),
        (Brought(fit.key, fit.key), "cannot be read"),
        (Brought(fit.certificate, fit.certificate), "cannot be read"),
    ):
        with pytest.raises(EnrolmentError, match=why):
            HubPlace(tmp_path / "hub").make(About("Study", "hub.example.org", 8443, own=False), brought=brought)
    assert not (tmp_path / "hub" / "hub.json").exists()
    words = ("hub", "init", "--name", "S", "--host", "h.org", "--certificate", fit.certificate)
    assert "come together" in typed(*words, "--home", tmp_path / "hub").err


def test_its_own_certificate_is_renewed_in_its_last_year(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = HubPlace(tmp_path / "hub")
    hub.make(About("Study", "hub.example.org", 8443))
    before = hub.certificate.read_bytes()
    hub.renew()
    assert hub.certificate.read_bytes() == before
    monkeypatch.setattr("medfl.hub.authority.YEAR", datetime.timedelta(days=6 * 365))
    hub.renew()
    assert hub.certificate.read_bytes() != before
