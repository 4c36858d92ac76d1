"""Files that keep a hub or a site running: word for word as they are kept here, and as systemd understands them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from medfl.cli import main
from medfl.errors import EnrolmentError, StoreError
from medfl.hub.place import About, HubPlace
from medfl.services import Kept, caddy, containerfile, hub_unit, nginx, site_unit
from medfl.testing.hub import bought, enrolled, made, served

GOLDEN = Path(__file__).parent / "golden" / "services"
HUB = Kept("Heart study", Path("/srv/medfl hub/100%"), "medfl", Path("/opt/medfl/bin/python"))
SITE = Kept("Klinikum Süd", Path("/home/anna/.medfl-site"), "anna", Path("/opt/medfl/bin/python"))
TEXTS = {
    "hub.service": hub_unit(HUB, port=8443),
    "hub-443.service": hub_unit(HUB, port=443, bind="127.0.0.1"),
    "site.service": site_unit(SITE),
    "Containerfile": containerfile(8443),
    "nginx.conf": nginx("hub.example.org", 8443, authority=Path("/home/medfl/.medfl-hub/authority/authority.crt")),
    "Caddyfile": caddy("hub.example.org", 8443),
}


@pytest.mark.parametrize("name", TEXTS)
def test_word_for_word(name: str) -> None:
    """Write them anew after a change that is meant: MEDFL_GOLDEN=write pytest tests/test_services.py."""
    if os.environ.get("MEDFL_GOLDEN") == "write":
        (GOLDEN / name).write_text(TEXTS[name], encoding="utf-8")
    assert TEXTS[name] == (GOLDEN / name).read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
@pytest.mark.parametrize("name", ["hub", "site"])
def test_systemd_understands_it(name: str, tmp_path: Path) -> None:
    """With a name that needs every kind of quoting."""
    kept = replace(HUB, home=tmp_path / 'a "folder" of 100 % $HOME', user="medfl", python=Path(sys.executable))
    path = tmp_path / f"{name}.service"
    path.write_text(hub_unit(kept, port=443) if name == "hub" else site_unit(kept))
    said = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False)
    assert str(path) not in said.stderr and path.name not in said.stderr
    assert said.returncode == 0, said.stderr


def test_it_writes_nowhere_else_and_has_no_rights() -> None:
    for text in (TEXTS["hub.service"], TEXTS["site.service"]):
        lines = text.splitlines()
        assert {"ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "Restart=on-failure"} <= {
            *lines
        }
        assert sum(line.startswith("ReadWritePaths=") for line in lines) == 1
        assert "User=root" not in lines
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in TEXTS["hub-443.service"]


def test_a_folder_that_no_unit_can_name() -> None:
    with pytest.raises(EnrolmentError, match="cannot stand in a systemd unit"):
        site_unit(replace(SITE, home=Path("/srv/a\nExecStartPre=/bin/sh")))


def typed(*words: object) -> tuple[str, BaseException | None]:
    found = CliRunner().invoke(main, [str(word) for word in words])
    return found.stdout, found.exception


def test_what_is_typed_at_a_hub(tmp_path: Path) -> None:
    hub = HubPlace(tmp_path / "hub")
    hub.make(About("Heart study", "hub.example.org", 443))
    here = ("hub", "service", "--home", hub.folder)
    unit, _ = typed(*here, "--user", "medfl")
    assert f"ExecStart={sys.executable} -m medfl hub start --home {hub.folder} --port 443\n" in unit
    assert "User=medfl\n" in unit
    assert "-p 443:443" in typed(*here, "--for", "container")[0]
    # Before it stands what has port 443, so it listens elsewhere.
    front, _ = typed(*here, "--for", "nginx")
    assert "proxy_pass https://127.0.0.1:8443;" in front and str(hub.authority_file) in front
    assert "reverse_proxy https://127.0.0.1:9000 {" in typed(*here, "--for", "caddy", "--port", "9000")[0]
    assert "cannot both listen" in str(typed(*here, "--for", "caddy", "--port", "443")[1])
    said, _ = typed(*here, "--user", "medfl", "-o", tmp_path / "medfl.service")
    assert said == f"Written: {tmp_path / 'medfl.service'}\n"
    assert (tmp_path / "medfl.service").read_text(encoding="utf-8") == unit
    assert isinstance(typed(*here, "--user", "medfl", "-o", tmp_path / "no" / "folder")[1], StoreError)
    hub.replace(bought(tmp_path))
    assert "/etc/ssl/certs/ca-certificates.crt" in typed(*here, "--for", "nginx")[0]


@pytest.mark.parametrize(("user", "what"), [("root", "no need of"), ("a b", "no user of this name")])
def test_whom_it_does_not_run_as(user: str, what: str, tmp_path: Path) -> None:
    hub = made(tmp_path / "hub")
    _, error = typed("hub", "service", "--home", hub.folder, "--user", user)
    assert isinstance(error, EnrolmentError) and what in str(error)


def test_who_owns_the_folder_is_whom_it_runs_as(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = made(tmp_path / "hub")
    monkeypatch.setattr(Path, "owner", lambda self: "anna")
    assert "User=anna\n" in typed("hub", "service", "--home", hub.folder)[0]


def test_what_is_typed_at_a_site(tmp_path: Path) -> None:
    assert isinstance(typed("site", "service", "--home", tmp_path, "--user", "anna")[1], EnrolmentError)
    with served(made(tmp_path / "hub")) as hub:
        (home,) = enrolled(hub, tmp_path, "a").values()
    unit, _ = typed("site", "service", "--home", home.folder, "--user", "anna")
    assert f"ExecStart={sys.executable} -m medfl site start --home {home.folder}\n" in unit
    assert f"ReadWritePaths={home.folder}\n" in unit
