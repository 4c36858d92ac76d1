"""What a coordinator and a hospital type: the app, a home, the cards of others."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from flwr.common.config import parse_config_args

from medfl.site import peers
from medfl.testing.command import Said, typed


@pytest.fixture
def site(tiny: Path) -> Callable[..., Said]:
    """Return a function that makes a hospital's home beside the small study."""

    def make(name: str, *more: str) -> Said:
        return typed("flower", "site", name, "--data", tiny.parent / "east.csv", "--home", tiny.parent / name, *more)

    return make


def test_a_home_is_its_owners_alone_and_made_once(site: Callable[..., Said], tiny: Path) -> None:
    first = site("east", "--json")
    assert first.code == 0
    home = tiny.parent / "east"
    assert home.stat().st_mode & 0o077 == 0
    assert (home / "identity").stat().st_mode & 0o077 == 0
    (home / "policy.toml").write_text("version = 1\n", encoding="utf-8")
    assert site("east", "--json").json == first.json
    assert (home / "policy.toml").read_text(encoding="utf-8") == "version = 1\n"


def test_the_node_config_is_what_flower_reads(site: Callable[..., Said], tiny: Path) -> None:
    said = site("east")
    (line,) = (line for line in said.out.splitlines() if line.startswith("SuperNode: "))
    words = shlex.split(line)
    assert parse_config_args([words[words.index("--node-config") + 1]]) == {
        "site": "east", "data": str(tiny.parent / "east.csv"), "home": str(tiny.parent / "east")
    }  # fmt: skip


def test_hospitals_are_introduced_by_card_and_fingerprint(site: Callable[..., Said], tiny: Path) -> None:
    east, west = site("east", "--json").json, site("west", "--json").json
    said = typed("flower", "peer", west["card"], "--home", tiny.parent / "east")
    assert said.code == 0
    assert said.out.startswith(f"west: {west['fingerprint']}\n")
    assert "by telephone" in said.err
    kept = json.loads((tiny.parent / "east" / "peers.json").read_text(encoding="utf-8"))
    assert kept == {"west": west["card"].removeprefix("west:")}
    assert east["fingerprint"] != west["fingerprint"]


def test_another_key_takes_the_place_of_one_only_if_that_is_said(site: Callable[..., Said], tiny: Path) -> None:
    site("east")
    card = site("west", "--json").json["card"]
    forged = "west:" + "ab" * 32
    home = ("--home", str(tiny.parent / "east"))
    assert typed("flower", "peer", card, *home).code == 0
    said = typed("flower", "peer", forged, *home)
    assert said.code == 2
    assert "known by another key" in said.err
    assert peers.known(tiny.parent / "east") == {"west": peers.read(card)[1]}
    assert typed("flower", "peer", forged, *home, "--replace").code == 0
    assert peers.known(tiny.parent / "east") == {"west": bytes.fromhex("ab" * 32)}


def test_the_fingerprint_stands_for_name_and_key() -> None:
    key = bytes(range(32))
    told = peers.fingerprint("east", key)
    assert len(told.split()) == 8
    assert told == peers.fingerprint("east", key)
    assert told != peers.fingerprint("west", key)
    assert told != peers.fingerprint("east", bytes(32))


@pytest.mark.parametrize("card", ["east", "east:12", "../x:" + "ab" * 32, "east:" + "zz" * 32, ""])
def test_what_is_no_card(card: str, site: Callable[..., Said], tiny: Path) -> None:
    site("east")
    said = typed("flower", "peer", card, "--home", tiny.parent / "east")
    assert said.code == 2
    assert "not the card of a site" in said.err


def test_mistakes_about_a_home(site: Callable[..., Said], tiny: Path) -> None:
    own = site("east", "--json").json["card"]
    assert "the site's own card" in typed("flower", "peer", own, "--home", tiny.parent / "east").err
    assert "no site's home there" in typed("flower", "peer", own, "--home", tiny.parent / "none").err
    assert "cannot be called so" in site("../up").err
    missing = typed("flower", "site", "west", "--data", tiny.parent / "none.csv", "--home", tiny.parent / "west")
    assert (missing.code, "no such table" in missing.err) == (2, True)
    quoted = typed("flower", "site", "west", "--data", tiny.parent / 'a"b.csv', "--home", tiny.parent / "west")
    assert (quoted.code, "quotes" in quoted.err) == (2, True)
    (tiny.parent / "east" / "peers.json").write_text('{"west": 3}', encoding="utf-8")
    assert "keys cannot be read" in site("east").err


def test_an_app_is_written_once(tiny: Path) -> None:
    said = typed("flower", "app", tiny, "-o", tiny.parent / "app", "--json")
    assert said.code == 0
    assert said.json["sites"] == ["east", "north", "west"]
    assert (tiny.parent / "app" / "study.toml").read_bytes() == tiny.read_bytes()
    again = typed("flower", "app", tiny, "-o", tiny.parent / "app")
    assert (again.code, "exists already" in again.err) == (2, True)


def test_hospitals_that_the_study_does_not_name(edited: Callable[..., Path], tiny: Path) -> None:
    study = edited(
        ('[data.sites]\neast = "east.csv"\nnorth = "north.csv"\nwest = "west.csv"\n', ""),
    )
    said = typed("flower", "app", study, "-o", tiny.parent / "app")
    assert (said.code, "which hospitals take part" in said.err) == (2, True)
    said = typed("flower", "app", study, "-o", tiny.parent / "app", "--site", "b", "--site", "a", "--json")
    assert said.json["sites"] == ["a", "b"]
    twice = typed("flower", "app", study, "-o", tiny.parent / "other", "--site", "a", "--site", "a")
    assert (twice.code, "name each once" in twice.err) == (2, True)


def test_what_takes_one_machine_for_all_is_refused_at_once(edited: Callable[..., Path], tiny: Path) -> None:
    study = edited(
        ('[data.sites]\neast = "east.csv"\nnorth = "north.csv"\nwest = "west.csv"\n', ""),
        ('target = "sick"', 'target = "sick"\nsimulate = { table = "east.csv", sites = 3, partition = "iid" }'),
        ("hidden = [8]", 'hidden = [8]\nstart = { model = "folder" }'),
        more='[evaluation]\nbaselines = ["centralised"]\n',
    )
    said = typed("flower", "app", study, "-o", tiny.parent / "app")
    assert said.code == 2
    for what in ("deals one table out", "all rows in one place", "starts from a file"):
        assert what in said.err
    assert not (tiny.parent / "app").exists()
