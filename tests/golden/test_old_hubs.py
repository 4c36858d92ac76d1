"""Hubs of earlier releases open as they are: a register of each is kept here, and the journal of the same release."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from medfl.hub.place import HubPlace
from medfl.testing.command import typed
from medfl.testing.hub import made

HERE = Path(__file__).parent
REGISTERS = sorted((HERE / "hub").glob("*.sql"))


@pytest.fixture(params=REGISTERS, ids=lambda path: path.stem)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> HubPlace:
    hub = made(tmp_path / "hub")
    (hub.folder / "sites.db").unlink()
    with closing(sqlite3.connect(hub.folder / "sites.db")) as database:
        database.executescript(request.param.read_text(encoding="utf-8"))
    shutil.copy(HERE / "journal" / f"{request.param.stem}.db", hub.folder / "journal.db")
    return hub


def test_its_sites_and_runs_are_known(old: HubPlace) -> None:
    listed = typed("hub", "sites", "--home", old.folder, "--json").json
    assert {one["name"]: one["status"] for one in listed} == {
        "north": "approved",
        "south-clinic": "invited",
        "west": "revoked",
    }
    runs = typed("runs", "--home", old.folder, "--json").json
    assert runs
    assert typed("show", runs[0]["run"], "--home", old.folder).code == 0


def test_it_goes_on(old: HubPlace) -> None:
    assert typed("hub", "revoke", "north", "--home", old.folder).code == 0
    assert typed("hub", "invite", "--site", "East", "--home", old.folder).code == 0
    assert old.register.named("north").status == "revoked"
