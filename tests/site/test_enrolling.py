"""A hospital enrols: over real HTTPS, interrupted anywhere, with clocks that differ, and with peers that change."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from medfl.enrolment import Invitation
from medfl.errors import EngineError, EnrolmentError, RefusedError, SecureError
from medfl.hub.place import About, HubPlace
from medfl.privacy.secure.unmasked import UnmaskedHere
from medfl.site.enrolled import Enrolment, SiteHome
from medfl.site.enrolling import enrol, refresh, wait
from medfl.site.reaching import skew
from medfl.testing.command import Said, typed
from medfl.testing.hub import bought, enrolled, free_port, invited, made, served, updated
from medfl.testing.secure import Cohort, values_of


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubPlace]:
    with served(made(tmp_path / "hub")) as hub:
        yield hub


def known(home: SiteHome) -> Enrolment:
    enrolment = home.enrolment()
    assert enrolment is not None
    return enrolment


def test_from_the_invitation_to_the_peers_on_the_command_line(hub: HubPlace, tmp_path: Path) -> None:
    (other,) = enrolled(hub, tmp_path, "hospital-b").values()
    home = tmp_path / "a"
    said = typed("hub", "invite", "--site", "Hospital A", "--home", hub.folder)
    begun = typed("site", "enrol", said.out.strip(), "--no-wait", "--home", home)
    assert begun.code == 0
    assert "waits for the approval" in begun.out
    fingerprint = hub.register.named("hospital-a").fingerprint
    assert fingerprint in begun.out, "both see the same"
    assert typed("hub", "approve", "Hospital A", "--yes", "--home", hub.folder).code == 0
    told = typed("site", "status", "--json", "--home", home).json
    assert (told["status"], told["fingerprint"], told["clock"]) == ("approved", fingerprint, "")
    assert told["peers"] == {"hospital-b": known(other).fingerprint}
    shown = typed("site", "status", "--home", home)
    assert "is enrolled at Test hub" in shown.out
    assert known(other).fingerprint in shown.out
    assert typed("hub", "revoke", "hospital-a", "--home", hub.folder).code == 0
    gone = typed("site", "enrol", "--home", home)
    assert gone.code == 2
    assert "has revoked this site" in gone.err


def test_everything_in_its_home_is_for_its_owner_only(hub: HubPlace, tmp_path: Path) -> None:
    (home,) = enrolled(hub, tmp_path, "a").values()
    made = [home.folder, *home.folder.rglob("*")]
    assert len(made) >= 5
    for path in made:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    home.node_key.chmod(0o644)
    with pytest.raises(EnrolmentError, match="can be read by others"):
        home.node()


def test_what_the_hub_gets_holds_no_private_key(hub: HubPlace, tmp_path: Path) -> None:
    (home,) = enrolled(hub, tmp_path, "a").values()
    secrets = ((home.folder / "keys" / "identity").read_bytes(), home.node_key.read_bytes().splitlines()[1])
    for path in (path for path in hub.folder.rglob("*") if path.is_file()):
        assert not any(secret in path.read_bytes() or secret.hex().encode() in path.read_bytes() for secret in secrets)


def test_it_waits_until_somebody_approves(hub: HubPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medfl.site.enrolling.PAUSES", (0.02, 0.05))
    home = SiteHome(tmp_path / "a")
    told: list[str] = []
    found: list[Enrolment] = []
    begun = enrol(home, str(invited(hub, "a")))
    waiting = Thread(target=lambda: found.append(wait(home, begun, told=told.append)))
    waiting.start()
    hub.register.approve("a", hub.authority)
    waiting.join(30)
    assert [one.status for one in found] == ["approved"]
    assert told == []


def test_it_waits_while_the_hub_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medfl.site.enrolling.PAUSES", (0.02, 0.05))
    hub, home = made(tmp_path / "hub"), SiteHome(tmp_path / "a")
    with served(hub):
        begun = enrol(home, str(invited(hub, "a")))
    hub.register.approve("a", hub.authority)
    back = served(hub)
    told: list[str] = []

    def tell(sentence: str) -> None:
        told.append(sentence)
        back.__enter__()

    try:
        assert wait(home, begun, told=tell).status == "approved"
    finally:
        back.__exit__(None, None, None)
    assert len(told) == 1
    assert "cannot be reached" in told[0]


def test_two_sites_enrol_at_once(hub: HubPlace, tmp_path: Path) -> None:
    names = [f"site-{number}" for number in range(6)]
    invitations = {name: str(invited(hub, name)) for name in names}
    threads = [Thread(target=enrol, args=(SiteHome(tmp_path / name), invitations[name])) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [record.status for record in hub.register.sites()] == ["waiting"] * 6
    assert len({record.fingerprint for record in hub.register.sites()}) == 6


@pytest.mark.parametrize("after", range(1, 4))
def test_whoever_is_killed_on_the_way_goes_on(
    hub: HubPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Killed after each time that something was written down; the last time, the hub has the application."""
    home, kept, invitation = SiteHome(tmp_path / "a"), [0], str(invited(hub, "a"))
    keep = SiteHome.keep

    def dying(self: SiteHome, enrolment: Enrolment) -> Enrolment:
        kept[0] += 1
        if kept[0] == after:
            raise KeyboardInterrupt
        return keep(self, enrolment)

    with monkeypatch.context() as patch:
        patch.setattr(SiteHome, "keep", dying)
        with pytest.raises(KeyboardInterrupt):
            enrol(home, invitation)
    assert enrol(home, invitation).status == "waiting"
    assert enrol(home, None).status == "waiting"
    hub.register.approve("a", hub.authority)
    updated(home)
    assert known(home).status == "approved"
    assert enrol(home, invitation).status == "approved", "the invitation once more changes nothing"


def test_it_goes_on_only_with_what_was_begun(tmp_path: Path) -> None:
    said = typed("site", "enrol", "--home", tmp_path / "a")
    assert said.code == 2
    assert "not been invited yet" in said.err
    assert typed("site", "status", "--home", tmp_path / "a").code == 2


def test_an_enrolled_site_does_not_change_its_hub(hub: HubPlace, tmp_path: Path) -> None:
    (home,) = enrolled(hub, tmp_path, "a").values()
    with served(made(tmp_path / "other")) as other, pytest.raises(EnrolmentError, match="enrolled already"):
        enrol(home, str(invited(other, "a")))
    with pytest.raises(EnrolmentError, match="enrolled already"):
        enrol(home, str(invited(hub, "b")))
    assert known(home).status == "approved"


def test_a_revoked_site_comes_back_with_new_keys(hub: HubPlace, tmp_path: Path) -> None:
    homes = enrolled(hub, tmp_path, "a", "b")
    home, before = homes["a"], known(homes["a"])
    hub.register.revoke("a", hub.authority)
    enrol(home, str(invited(hub, "a")))
    hub.register.approve("a", hub.authority)
    updated(home)
    assert known(home).status == "approved"
    assert known(home).fingerprint != before.fingerprint
    assert len(list((home.folder / "revoked-keys").iterdir())) == 1
    with pytest.raises(SecureError, match="another identity than before"):
        updated(homes["b"])
    said = typed("site", "status", "--home", homes["b"].folder)
    assert said.code == 1
    assert known(home).fingerprint in said.err
    assert "--trust a" in said.err
    assert typed("site", "enrol", "--trust", "a", "--home", homes["b"].folder).code == 0
    assert homes["b"].member(UnmaskedHere()).known == 2


def test_sums_among_enrolled_sites_and_not_with_a_revoked_one(hub: HubPlace, tmp_path: Path) -> None:
    names = ("a", "b", "c", "d")
    homes = enrolled(hub, tmp_path, *names)
    values = values_of(names)
    cohort = Cohort({name: home.member(UnmaskedHere()) for name, home in homes.items()})
    total, _ = cohort.sum(cohort.collector(), values)
    np.testing.assert_array_equal(total["counts"], sum(values[name]["counts"] for name in names))
    hub.register.revoke("d", hub.authority)
    for name in names[:3]:
        updated(homes[name])
    cohort = Cohort({name: homes[name].member(UnmaskedHere()) for name in names[:3]} | {"d": cohort.members["d"]})
    with pytest.raises(SecureError, match="a peer is not known here"):
        cohort.send(cohort.collector(run="again"), values)
    updated(homes["d"])
    with pytest.raises(EnrolmentError, match="not enrolled"):
        homes["d"].member(UnmaskedHere())


def test_clocks_that_differ_are_said_in_words(hub: HubPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home,) = enrolled(hub, tmp_path, "a").values()
    now = time.time()
    assert skew({"now": now}) == ""
    assert "10 minutes ahead of the hub's" in skew({"now": now - 600})
    monkeypatch.setattr("medfl.site.reaching.time", lambda: now - 3 * 3600)
    _, sentence = refresh(home, known(home))
    assert "3.0 hours behind the hub's" in sentence
    assert "NTP" in sentence


def test_a_certificate_that_does_not_hold_at_this_machines_time_is_said_so(tmp_path: Path) -> None:
    hub, brought = HubPlace(tmp_path / "hub"), bought(tmp_path, host="localhost")
    hub.make(About("Study", "localhost", free_port(), own=False), brought=brought)
    old = bought(tmp_path, host="localhost", days=-1, name="old")
    hub.certificate.write_bytes(old.certificate.read_bytes())
    hub.key.write_bytes(old.key.read_bytes())
    hub._trust(hub.authority, old.certificate.read_text())
    with served(hub), pytest.raises(EnrolmentError, match="this machine's clock says"):
        enrol(SiteHome(tmp_path / "a"), str(invited(hub, "a")))


def test_a_certificate_that_was_brought_is_trusted_and_so_is_the_next(tmp_path: Path) -> None:
    hub, brought = HubPlace(tmp_path / "hub"), bought(tmp_path, host="localhost")
    hub.make(About("Study", "localhost", free_port(), own=False), brought=brought)
    with served(hub):
        (home,) = enrolled(hub, tmp_path, "a").values()
    hub.replace(bought(tmp_path, host="localhost", name="next"))
    with served(hub):
        updated(home)
        updated(home)
    assert known(home).status == "approved"


def test_a_hub_that_is_away_is_a_sentence(tmp_path: Path) -> None:
    hub = made(tmp_path / "hub")
    with pytest.raises(EngineError, match="cannot be reached"):
        enrol(SiteHome(tmp_path / "a"), str(invited(hub, "a")))
    said = typed("site", "enrol", "--home", tmp_path / "a")
    assert said.code == 1
    assert "Traceback" not in said.err


def test_damaged_files_are_sentences(hub: HubPlace, tmp_path: Path) -> None:
    (home,) = enrolled(hub, tmp_path, "a").values()
    whole = home.file.read_bytes()
    for damage in (b"", whole[: len(whole) // 2], b"[]", b"{}"):
        home.file.write_bytes(damage)
        said: Said = typed("site", "status", "--home", home.folder)
        assert said.code in (1, 2)
        assert "Traceback" not in said.err
    home.file.write_bytes(whole.replace(b"sequence", b"sequense"))
    with pytest.raises(EnrolmentError, match="not signed by the hub's authority"):
        home.member(UnmaskedHere())


def test_an_invitation_is_read_as_it_was_written(hub: HubPlace) -> None:
    invitation = invited(hub, "Hospital A")
    assert Invitation.read(f"  {invitation}\n") == invitation
    assert invitation.secret.hex() not in repr(invitation)
    six = Invitation("::1", 8443, "a", bytes(32), bytes(16), 2_000_000_000)
    assert Invitation.read(str(six)) == six


def test_keys_that_were_lost_are_not_made_up(hub: HubPlace, tmp_path: Path) -> None:
    (home,) = enrolled(hub, tmp_path, "a").values()
    (home.folder / "keys" / "identity").unlink()
    with pytest.raises(EnrolmentError, match="does not name this site with its key"):
        home.member(UnmaskedHere())
    with pytest.raises(RefusedError, match="no site with this name and this key"):
        updated(home)
