"""A backup of a hub is whole whatever goes on meanwhile, and nothing else is taken for one."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from medfl.errors import EnrolmentError, MedflError, StoreError
from medfl.events import Noticed
from medfl.hub import backup
from medfl.hub.backup import MANIFEST, back_up, restore
from medfl.hub.people.audit import TERMINAL
from medfl.hub.people.consortium import People
from medfl.hub.people.permits import Role
from medfl.hub.people.signing_in import Given
from medfl.hub.place import HubPlace
from medfl.site.enrolled import Enrolment, SiteHome
from medfl.store.home import Home
from medfl.store.sql import SqlJournal
from medfl.testing.command import typed
from medfl.testing.hub import enrolled, invited, made, served, updated
from medfl.testing.people import GOOD, cheap


@pytest.fixture
def hub(tmp_path: Path) -> HubPlace:
    """A hub with a site that was invited, a journal that another connection has open, and what is not copied."""
    hub = made(tmp_path / "hub")
    invited(hub, "north")
    hub.queue.add("aa", "tiny")
    with Home(hub.folder) as home:
        home.artefacts.write(b"weights")
        home.journal.append([Noticed(run="aa-1", text="first")])
    os.mkfifo(hub.folder / "bell")
    for name in ("superlink/state.db", "locks/aa.lock", "presence.json", "executions/aa.log"):
        path = hub.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    return hub


def known(home: SiteHome) -> Enrolment:
    found = home.enrolment()
    assert found is not None
    return found


def texts(folder: Path) -> list[str]:
    with Home(folder) as home:
        return [entry.event.text for entry in home.journal.read() if isinstance(entry.event, Noticed)]


def test_what_is_restored_is_the_hub(hub: HubPlace, tmp_path: Path) -> None:
    file, again = tmp_path / "copy.tar", HubPlace(tmp_path / "again")
    copied = back_up(hub, file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert restore(file, again) == copied
    assert (again.about, again.register.sites(), again.queue.waiting()) == (hub.about, hub.register.sites(), ["aa"])
    assert again.authority.certificate == hub.authority.certificate
    assert texts(again.folder) == ["first"]
    assert {path.read_bytes() for path in (again.folder / "artefacts").rglob("*") if path.is_file()} == {b"weights"}
    assert not [name for name in ("superlink", "bell", "locks", "presence.json") if (again.folder / name).exists()]
    for path in (again.folder, *again.folder.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_people_come_back_with_what_they_did_and_nobody_is_signed_in(hub: HubPlace, tmp_path: Path) -> None:
    people = People.at(hub.folder, name="hub", hashes=cheap())
    token = people.accounts.add("ada", "Ada", [Role.ADMIN], [], by=TERMINAL)
    people.accounts.take_link(token, GOOD, by=TERMINAL)
    session = people.sign_in.enter(Given("ada", GOOD), address="192.0.2.1", agent="")
    back_up(hub, tmp_path / "copy.tar")
    restore(tmp_path / "copy.tar", HubPlace(tmp_path / "again"))
    again = People.at(tmp_path / "again", name="hub", hashes=cheap())
    assert again.accounts.every() == people.accounts.every()
    assert again.audit.verify() == people.audit.verify()
    assert again.audit.verify().lines == 3
    assert people.sessions.known(session) is not None
    assert again.sessions.known(session) is None
    assert again.sign_in.enter(Given("ada", GOOD), address="192.0.2.1", agent="")


def test_sites_come_back_although_the_register_has_gone_back(tmp_path: Path) -> None:
    """They take up no directory that is older than the one they know, and must not take this for one."""
    hub, file = made(tmp_path / "hub"), tmp_path / "copy.tar"
    with served(hub):
        homes = enrolled(hub, tmp_path, "north")
        back_up(hub, file)
        homes |= enrolled(hub, tmp_path, "west")
        updated(homes["north"])
        assert set(known(homes["north"]).peers) == {"north", "west"}
    shutil.rmtree(hub.folder)
    restore(file, HubPlace(hub.folder))
    with served(HubPlace(hub.folder)):
        updated(homes["north"])
        assert set(known(homes["north"]).peers) == {"north"}
        with pytest.raises(MedflError, match="knows no site"):
            updated(homes["west"])


def test_what_is_not_merged_yet_is_copied_too(hub: HubPlace, tmp_path: Path) -> None:
    """A copy of the files alone would miss it: it is in SQLite's log beside them."""
    with SqlJournal.open(hub.folder / "journal.db") as journal:
        journal.append([Noticed(run="aa-1", text="second")])
        back_up(hub, tmp_path / "copy.tar")
    restore(tmp_path / "copy.tar", HubPlace(tmp_path / "again"))
    assert texts(tmp_path / "again") == ["first", "second"]


def test_whatever_is_written_meanwhile_no_copy_speaks_of_what_it_lacks(
    hub: HubPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study is submitted, and a model stored, in between any two steps."""
    copy, steps = backup._copied_by_sqlite, 0

    def busy(source: Path, target: Path) -> None:
        nonlocal steps
        copy(source, target)
        steps += 1
        with Home(hub.folder) as home:
            digest = home.artefacts.write(f"model {steps}".encode())
            home.journal.append([Noticed(run=f"b{steps}-1", text=digest)])
            hub.queue.add(f"b{steps}", "tiny")

    monkeypatch.setattr(backup, "_copied_by_sqlite", busy)
    back_up(hub, tmp_path / "copy.tar")
    again = HubPlace(tmp_path / "again")
    restore(tmp_path / "copy.tar", again)
    assert steps == 2
    told = texts(again.folder)
    assert again.queue.waiting() == ["aa"], "none that the journal's copy does not know"
    with Home(again.folder) as home:
        assert all(home.artefacts.open(digest).read() for digest in told[1:])


def test_a_backup_never_takes_the_place_of_anything(hub: HubPlace, tmp_path: Path) -> None:
    file = tmp_path / "copy.tar"
    back_up(hub, file)
    with pytest.raises(EnrolmentError, match="such a file already"):
        back_up(hub, file)
    with pytest.raises(EnrolmentError, match="would be lost with it"):
        back_up(hub, hub.folder / "copy.tar")
    with pytest.raises(EnrolmentError, match="something in this folder already"):
        restore(file, hub)
    with pytest.raises(EnrolmentError, match="no hub here"):
        back_up(HubPlace(tmp_path / "nobody"), tmp_path / "other.tar")


def test_a_backup_that_fails_leaves_nothing(hub: HubPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*words: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "_copied_by_sqlite", full)
    with pytest.raises(StoreError, match="No space left"):
        back_up(hub, tmp_path / "copy.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["hub"]


def entry(name: str, body: bytes = b"x") -> tuple[tarfile.TarInfo, io.BytesIO]:
    about = tarfile.TarInfo(name)
    about.size = len(body)
    return about, io.BytesIO(body)


def link(name: str, to: str) -> tuple[tarfile.TarInfo, io.BytesIO]:
    about = tarfile.TarInfo(name)
    about.type, about.linkname = tarfile.SYMTYPE, to
    return about, io.BytesIO()


NEWER = json.dumps({"format": 2, "hub": "h", "made": "", "medfl": "9.0", "files": {}}).encode()


@pytest.mark.parametrize(
    ("entries", "what"),
    [
        ([entry("hub.json")], "cut off"),
        ([entry("../outside")], "no backup has"),
        ([entry("/outside")], "no backup has"),
        ([link("a", "/etc/passwd")], "no backup has"),
        ([entry(MANIFEST, b"{}")], "cannot be read"),
        ([entry(MANIFEST, NEWER)], "newer version"),
    ],
)
def test_what_is_no_backup_is_refused(
    tmp_path: Path, entries: list[tuple[tarfile.TarInfo, io.BytesIO]], what: str
) -> None:
    file = tmp_path / "evil.tar"
    with tarfile.open(file, "w") as archive:
        for about, body in entries:
            body.seek(0)
            archive.addfile(about, body)
    with pytest.raises(EnrolmentError, match=what):
        restore(file, HubPlace(tmp_path / "again"))
    assert [path.name for path in tmp_path.iterdir()] == ["evil.tar"]


@pytest.mark.parametrize(
    "harm", [lambda body: body[: len(body) // 2], lambda body: body.replace(b"weights", b"wEights")]
)
def test_a_damaged_backup_is_refused_and_leaves_nothing(
    hub: HubPlace, tmp_path: Path, harm: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / "copy.tar"
    back_up(hub, file)
    file.write_bytes(harm(file.read_bytes()))
    with pytest.raises((StoreError, EnrolmentError)):
        restore(file, HubPlace(tmp_path / "again"))
    assert not (tmp_path / "again").exists()


def test_as_it_is_typed(hub: HubPlace, tmp_path: Path) -> None:
    file, home = tmp_path / "copy.tar", tmp_path / "again"
    said = typed("hub", "backup", file, "--home", hub.folder)
    assert said.code == 0, said.err
    assert "Whoever has this file is the hub" in said.err
    shutil.rmtree(hub.folder)
    said = typed("hub", "restore", file, "--home", home, "--json")
    assert (said.code, said.json["hub"]) == (0, "Test hub")
    assert typed("hub", "restore", file, "--home", home).code == 2
    assert "north" in typed("hub", "sites", "--home", home).out
    missing = typed("hub", "restore", tmp_path / "none.tar", "--home", tmp_path / "other")
    assert missing.code == 2
    assert "no such file" in missing.err


def test_a_register_of_a_newer_version_is_not_touched(hub: HubPlace) -> None:
    with closing(sqlite3.connect(hub.folder / "sites.db")) as database:
        database.execute("PRAGMA user_version = 2")
    for command in (("sites",), ("invite", "--site", "west"), ("revoke", "north")):
        said = typed("hub", *command, "--home", hub.folder)
        assert said.code == 1
        assert "newer version of MEDfl" in said.err
        assert "pip install --upgrade medfl" in said.err
