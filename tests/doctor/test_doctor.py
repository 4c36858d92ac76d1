"""``medfl doctor`` at either end: a real hub, a real site, and what goes wrong between them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from medfl.cli import main
from medfl.doctoring import address_of
from medfl.errors import BlockedError, NotFoundError
from medfl.hub.place import PORT
from medfl.testing.hub import LOOPBACK, enrolled, free_port, made, served


@pytest.fixture(autouse=True)
def nothing_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("MEDFL_HUB_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("MEDFL_SITE_HOME", str(tmp_path / "clinic"))


def examined(*words: str) -> tuple[dict[str, dict[str, Any]], BaseException | None]:
    """Return what was found at each hop, and the error that it ended with."""
    found = CliRunner().invoke(main, ["doctor", *words, "--json"])
    said = json.loads(found.stdout)
    return {one["hop"]: one for one in said["findings"]}, found.exception


def test_hub_and_site_in_order(tmp_path: Path) -> None:
    with served(made(tmp_path / "hub")) as hub:
        enrolled(hub, tmp_path, "clinic")
        (tmp_path / "table.csv").write_text("age,sick\n50,0\n60,1\n", encoding="ascii")
        added = ["site", "dataset", "add", "ward", str(tmp_path / "table.csv"), "--target", "sick"]
        assert CliRunner().invoke(main, added).exit_code == 0
        at_hub, first = examined("--hub", str(tmp_path / "hub"))
        at_site, second = examined("--site", str(tmp_path / "clinic"))
        shown = CliRunner().invoke(main, ["doctor"])
    assert first is None and second is None
    assert at_hub["hub"]["said"] == "Test hub answers"
    assert at_site["key"]["said"] == "the hub knows this site's key, as clinic"
    assert at_site["wake-up"]["said"].startswith("a WebSocket can be opened")
    assert at_site["data"]["said"] == "ward: 2 rows can be read"
    assert {one["state"] for one in (*at_hub.values(), *at_site.values())} == {"clear"}
    # Without a word about which, both are looked at.
    assert shown.output.count("Test hub answers") == 2 and shown.output.endswith("Nothing is blocked.\n")


def test_a_hub_that_does_not_run(tmp_path: Path) -> None:
    hub = made(tmp_path / "hub")
    with served(hub):
        enrolled(hub, tmp_path, "clinic")
    found, error = examined("--site", str(tmp_path / "clinic"))
    assert isinstance(error, BlockedError) and error.exit_code == 2
    assert found["connection"]["state"] == "blocked" and "encryption" not in found
    # What does not lie behind the hop is looked at all the same.
    assert found["data"]["remedy"].startswith("medfl site dataset add")


def test_a_revoked_site_is_told_so(tmp_path: Path) -> None:
    with served(made(tmp_path / "hub")) as hub:
        enrolled(hub, tmp_path, "clinic")
        hub.register.revoke("clinic", hub.authority)
        found, error = examined("--site", str(tmp_path / "clinic"))
    assert isinstance(error, BlockedError)
    assert "revoked" in found["key"]["said"]


def test_a_table_that_is_gone(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("age,sick\n50,0\n60,1\n", encoding="ascii")
    assert CliRunner().invoke(main, ["site", "dataset", "add", "ward", str(table), "--target", "sick"]).exit_code == 0
    table.unlink()
    found, error = examined()
    assert isinstance(error, BlockedError)
    assert found["data"]["said"].startswith("ward: ") and found["enrolment"]["state"] == "caution"


def test_before_enrolment_the_way_can_be_tried(tmp_path: Path) -> None:
    with served(made(tmp_path / "hub")) as hub:
        found, error = examined(f"{LOOPBACK}:{hub.about.port}")
    assert error is None and found["version"]["state"] == "clear"
    _, error = examined(f"{LOOPBACK}:{free_port()}")
    assert isinstance(error, BlockedError)


def test_where_there_is_nothing(tmp_path: Path) -> None:
    found = CliRunner().invoke(main, ["doctor"])
    assert isinstance(found.exception, NotFoundError) and "medfl doctor HOST:PORT" in str(found.exception)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("hub.example.org", "hub.example.org", PORT),
        ("hub.example.org:443", "hub.example.org", 443),
        ("https://hub.example.org:443/", "hub.example.org", 443),
        ("[2001:db8::1]:443", "2001:db8::1", 443),
        ("2001:db8::1", "2001:db8::1", PORT),
    ],
)
def test_addresses_as_people_write_them(text: str, host: str, port: int) -> None:
    assert address_of(text) == (host, port)


@pytest.mark.parametrize("text", ["", ":443", "hub:port", "hub:70000", "https://"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(NotFoundError, match="HOST:PORT"):
        address_of(text)
