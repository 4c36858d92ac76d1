"""What lies in a bundle, and what never does."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
from pathlib import Path

import pandas as pd
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.bundles.conftest import STUDY, Done, carried_out, table, unpacked

import medfl
from medfl.bundles.archive import Piece, pack
from medfl.bundles.checking import verify
from medfl.bundles.contents import contents
from medfl.bundles.signing import signer_of, trusted
from medfl.bundles.writing import write
from medfl.errors import BusyError, EnrolmentError, NotFoundError, StoreError, UserError
from medfl.events import RunPlanned
from medfl.hub.authority import Authority
from medfl.site.rules_template import template
from medfl.spec.reading import parse
from medfl.store.home import Home
from medfl.store.shelf import whole_execution


def test_the_same_execution_gives_the_same_bytes(done: Done, tmp_path: Path) -> None:
    with Home(done.home) as home:
        write(home, done.execution, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == done.bundle.read_bytes()


def test_everything_is_in_it(done: Done) -> None:
    bodies = unpacked(done.bundle)
    with Home(done.home) as home:
        view = whole_execution(home, done.execution)
    assert hashlib.sha256(bodies["study/canonical.json"]).hexdigest() == view.digest
    assert parse(bodies["study/study.toml"].decode(), source="").digest == view.digest
    assert bodies["study/study.toml"].decode() == done.study.read_text(), "with the remarks of whoever wrote it"
    for run in view.every:
        if run.role != "local-only":
            assert hashlib.sha256(bodies[f"models/{run.run}/model.safetensors"]).hexdigest() == run.model
            assert "# Model card" in bodies[f"models/{run.run}/MODEL_CARD.md"].decode()
    assert len(json.loads(bodies["plan.json"])["runs"]) == 3
    assert json.loads(bodies["metrics.json"])["digest"] == view.digest
    schemas = json.loads(bodies["schemas.json"])["runs"][view.runs[0].run]
    assert schemas["north"] == {"schema": view.runs[0].sites["north"].schema, "rows": 90}
    assert json.loads(bodies["versions.json"])["runs"][view.runs[0].run]["seed"] == 7
    assert json.loads(bodies["approvals.json"])["simulated"] is True
    for name in ("README.md", "methods.md", "report.html", "study/study.py", "tripod-ai.md", "privacy.json"):
        assert len(bodies[name]) > 20, name


def test_no_value_of_a_patient_is_in_it(done: Done) -> None:
    bodies = unpacked(done.bundle)
    assert len(bodies) > 15
    for number in range(3):
        for column in ("age", "dose"):
            for value in table(60 + 30 * number, number)[column]:
                for name, body in bodies.items():
                    assert repr(float(value)).encode() not in body, f"a value of {column} is in {name}"


def test_nor_where_the_files_are(done: Done) -> None:
    for name, body in unpacked(done.bundle).items():
        assert str(done.study.parent).encode() not in body, name


def test_of_preprocessing_by_smallest_and_largest_values_nothing_is_told(tmp_path: Path) -> None:
    text = STUDY.replace("[training]", '[preprocess]\nscale = "min-max"\n\n[training]')
    made = carried_out(tmp_path, text)
    bodies = unpacked(made.bundle)
    ends = [
        repr(float(end)) for number in range(3) for end in table(60 + 30 * number, number)["age"].agg(["min", "max"])
    ]
    assert not any(end.encode() in body for end in ends for body in bodies.values())
    assert not any(name.endswith("model.json") for name in bodies)
    assert "medfl export" in bodies["README.md"].decode()
    assert verify(made.bundle).sound


def test_the_key_is_for_its_owner_only(done: Done, tmp_path: Path) -> None:
    key = done.home / "signing.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    folder = tmp_path / "home"
    signer_of(folder)
    (folder / "signing.pem").chmod(0o644)
    with pytest.raises(EnrolmentError, match="can be read by others"):
        signer_of(folder)


def test_a_damaged_key_is_said(tmp_path: Path) -> None:
    signer_of(tmp_path / "home")
    (tmp_path / "home" / "signing.pem").write_bytes(b"nothing")
    with pytest.raises(StoreError, match="key that signs bundles cannot be read"):
        signer_of(tmp_path / "home")


def test_a_hubs_authority_vouches_for_the_key(done: Done, tmp_path: Path) -> None:
    with Home(done.home) as home:
        view = whole_execution(home, done.execution)
    folder = tmp_path / "hub"
    authority = Authority.make("north")
    authority.keep(folder)
    signer = signer_of(folder)
    assert signer.vouched is not None
    assert signer.vouched.fingerprint == authority.digest.hex()
    assert signer_of(folder).signature(b"list") == signer.signature(b"list"), "kept, so that bundles stay the same"
    assert trusted(str(folder / "authority.crt")) == authority.digest.hex()
    assert view.runs


def test_another_authority_vouches_anew(tmp_path: Path) -> None:
    Authority.make("north").keep(tmp_path)
    signer_of(tmp_path)
    other = Authority.make("south")
    other.keep(tmp_path)
    vouched = signer_of(tmp_path).vouched
    assert vouched is not None
    assert vouched.fingerprint == other.digest.hex()


def test_a_signer_is_named_in_many_ways(tmp_path: Path) -> None:
    signer = signer_of(tmp_path)
    digits = signer.fingerprint
    (tmp_path / "words.txt").write_text(f"SHA256:{digits.upper()}\n")
    pem = signer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pub").write_bytes(pem)
    spaced = " ".join(digits[start : start + 8] for start in range(0, 64, 8))
    for named in (digits, spaced, tmp_path / "words.txt", tmp_path / "key.pub"):
        assert trusted(str(named)) == digits
    (tmp_path / "other").write_text("hello")
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for wrong in ("abc", "\0", tmp_path / "other", tmp_path / "broken.pem", tmp_path):
        with pytest.raises(UserError, match="names no signer"):
            trusted(str(wrong))


def test_a_file_that_is_there_is_not_overwritten(done: Done) -> None:
    before = done.bundle.read_bytes()
    with Home(done.home) as home, pytest.raises(UserError, match="such a file already"):
        write(home, done.execution, done.bundle)
    assert done.bundle.read_bytes() == before


def test_a_place_that_is_none_is_said(done: Done, tmp_path: Path) -> None:
    with Home(done.home) as home, pytest.raises(UserError, match="cannot be written"):
        write(home, done.execution, tmp_path / "no" / "folder.zip")
    assert not list(tmp_path.iterdir())


def test_what_still_runs_is_not_bundled(done: Done, tmp_path: Path) -> None:
    with Home(done.home) as home, home.lock(done.execution), pytest.raises(BusyError, match="still runs"):
        write(home, done.execution, tmp_path / "now.zip")


def test_what_never_began_is_bundled_as_it_is(done: Done, tmp_path: Path) -> None:
    with Home(done.home) as before, Home(tmp_path / "home") as home:
        plans = [one.event for one in before.journal.read(kinds=["RunPlanned"])]
        home.journal.append([plan for plan in plans if isinstance(plan, RunPlanned)])
        write(home, done.execution, tmp_path / "planned.zip")
    found = verify(tmp_path / "planned.zip")
    assert found.sound
    assert {check.name for check in found.checks if check.verdict == "not looked at"} == {"signer", "models", "privacy"}


def test_a_model_that_is_gone_is_said(done: Done, tmp_path: Path) -> None:
    with Home(done.home) as before, Home(tmp_path / "home") as home:
        home.journal.append(one.event for one in before.journal.read())
        with pytest.raises(NotFoundError, match="no such artefact"):
            write(home, done.execution, tmp_path / "gone.zip")
    assert not (tmp_path / "gone.zip").exists()


def test_more_files_than_a_zip_holds_are_refused(tmp_path: Path) -> None:
    pieces = [Piece.of(f"{number}", "", b"") for number in range(2**16)]
    with (tmp_path / "much.zip").open("wb") as out, pytest.raises(UserError, match="too large for one bundle"):
        pack(pieces, out)


def test_the_policy_of_simulated_sites_is_in_it(tmp_path: Path) -> None:
    for number, name in enumerate(("east", "north", "west")):
        table(60 + 30 * number, number).to_csv(tmp_path / f"{name}.csv", index=False)
    (tmp_path / "study.toml").write_text(STUDY)
    cautious = template().replace("minimum_rows = 50", "minimum_rows = 10")
    text = cautious.replace("studies = []", 'studies = ["tiny"]').replace("required = true", "required = false")
    (tmp_path / "policy.toml").write_text(text)
    results = medfl.simulate(
        tmp_path / "study.toml", home=tmp_path / "home", policy=tmp_path / "policy.toml", progress=False
    )
    with Home(tmp_path / "home") as home:
        found = {piece.name: piece for piece in contents(home, results.execution).pieces}
    assert found["study/policy.toml"].open().read().decode() == text


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (b'{"sites": {"east": {"ab": {"said": "approved"}}}}', {"sites": {"east": {"ab": {"said": "approved"}}}}),
        (b"{]", {"unreadable": True}),
    ],
)
def test_what_sites_said_beforehand_is_in_it(kept: bytes, told: object, done: Done, tmp_path: Path) -> None:
    shutil.copytree(done.home, tmp_path / "home")
    (tmp_path / "home" / "asked").mkdir()
    (tmp_path / "home" / "asked" / f"{done.execution}.json").write_bytes(kept)
    with Home(tmp_path / "home") as home:
        write(home, done.execution, tmp_path / "asked.zip")
    assert json.loads(unpacked(tmp_path / "asked.zip")["approvals.json"])["asked_beforehand"] == told


def test_from_python(done: Done, tmp_path: Path) -> None:
    results = medfl.Results(Home(done.home), done.execution)
    made = medfl.bundle(results, tmp_path / "python.zip")
    assert medfl.verify(made.path, signer=made.signer).sound
    assert not medfl.verify(str(made.path), signer="0" * 64).sound
    results.home.close()


def test_frames_from_python_are_in_no_bundle(tmp_path: Path) -> None:
    frames = {name: table(60, number) for number, name in enumerate(("east", "north", "west"))}
    study = parse(STUDY.partition("[data.sites]")[0] + "[algorithm]\nrounds = 1\n", source="")
    results = medfl.simulate(study, frames, home=tmp_path / "home", progress=False)
    with Home(tmp_path / "home") as home:
        write(home, results.execution, tmp_path / "frames.zip")
    assert verify(tmp_path / "frames.zip").sound
    everything = b"".join(unpacked(tmp_path / "frames.zip").values())
    assert isinstance(frames["east"], pd.DataFrame)
    assert not any(repr(float(value)).encode() in everything for value in frames["east"]["dose"])
