"""Whatever is done to a bundle is found, and named."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from tests.bundles.conftest import Change, Done, Remade, edited, resign, unpacked

from medfl.bundles import kept
from medfl.bundles.checking import Verified, verify
from medfl.bundles.signing import signer_of
from medfl.errors import MissingExtraError, NotFoundError, VersionError


def wrong(found: Verified) -> dict[str, str]:
    return {check.name: check.text for check in found.checks if check.verdict == "wrong"}


def test_a_bundle_as_it_was_written_is_sound(done: Done) -> None:
    signer = signer_of(done.home).fingerprint
    found = verify(done.bundle, signer=signer)
    assert found.sound
    assert (found.signer, found.authority, found.execution) == (signer, "", done.execution)
    assert [check.name for check in found.checks if check.verdict == "not looked at"] == ["privacy"]


def test_another_signer_than_the_one_asked_for_is_found(done: Done) -> None:
    found = verify(done.bundle, signer="0" * 64)
    assert list(wrong(found)) == ["signer"]


def test_a_bundle_of_a_hub_is_trusted_by_its_authority(done: Done, tmp_path: Path, remade: Remade) -> None:
    from medfl.hub.authority import Authority

    authority = Authority.make("north")
    authority.keep(tmp_path / "hub")
    path = remade(done.bundle, lambda bodies: None, home=tmp_path / "hub")
    found = verify(path, signer=authority.digest.hex())
    assert found.sound
    assert found.authority == authority.digest.hex()
    forged = remade(path, edited("signature.json", lambda told: told["authority"].update(text="0" * 64)), home=None)
    assert list(wrong(verify(forged))) == ["signature"]


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "none.zip", tmp_path):
        with pytest.raises(NotFoundError):
            verify(path)


def test_a_bundle_of_a_newer_version_is_refused_with_a_remedy(done: Done, remade: Remade) -> None:
    path = remade(done.bundle, edited("manifest.json", lambda told: told.update(version=2)), home=None)
    with pytest.raises(VersionError, match="newer version"):
        verify(path)


# -- the archive -------------------------------------------------------------------------------------------------------


def rezipped(bundle: Path, target: Path, change: Callable[[zipfile.ZipFile], None], **how: Any) -> Path:
    with zipfile.ZipFile(target, "w", **how) as archive:
        for name, body in unpacked(bundle).items():
            archive.writestr(name, body)
        change(archive)
    return target


ARCHIVES: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "cut off": (lambda bundle, path: _written(path, bundle.read_bytes()[:-40]), "cut off"),
    "in the middle": (lambda bundle, path: _written(path, bundle.read_bytes()[:5000]), "cut off"),
    "empty": (lambda bundle, path: _written(path, b""), "cut off"),
    "something else": (lambda bundle, path: _written(path, b"%PDF-1.7 nothing"), "something else"),
    "more behind it": (lambda bundle, path: _written(path, bundle.read_bytes() + b"!"), "added or changed"),
    "more before it": (lambda bundle, path: _written(path, b"#!/bin/sh\n" + bundle.read_bytes()), "added or changed"),
    "packed otherwise": (lambda bundle, path: rezipped(bundle, path, lambda archive: None), "laid out"),
    "compressed": (
        lambda bundle, path: rezipped(bundle, path, lambda archive: None, compression=zipfile.ZIP_DEFLATED),
        "compressed",
    ),
    "a bomb": (lambda bundle, path: _bomb(path), "unpacks to 10000000 bytes"),
    "out of the folder": (
        lambda bundle, path: rezipped(bundle, path, lambda archive: archive.writestr("../../etc/passwd", b"")),
        "lead out of the folder",
    ),
    "an absolute path": (
        lambda bundle, path: rezipped(bundle, path, lambda archive: archive.writestr("/etc/passwd", b"")),
        "lead out of the folder",
    ),
    "a backslash": (
        lambda bundle, path: rezipped(bundle, path, lambda archive: archive.writestr("a\\..\\b", b"")),
        "lead out of the folder",
    ),
}


def _written(path: Path, body: bytes) -> Path:
    path.write_bytes(body)
    return path


def _bomb(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", compression=zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", b" " * 10_000_000)
    return path


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_that_is_none_is_named(name: str, done: Done, tmp_path: Path) -> None:
    make, told = ARCHIVES[name]
    found = verify(make(done.bundle, tmp_path / "other.zip"))
    assert list(wrong(found)) == ["archive"]
    assert told in wrong(found)["archive"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_named(done: Done, tmp_path: Path) -> None:
    path = rezipped(done.bundle, tmp_path / "two.zip", lambda archive: archive.writestr("metrics.json", b"{}"))
    assert "two files have the same name" in wrong(verify(path))["archive"]


def test_an_encrypted_file_is_named(done: Done, tmp_path: Path) -> None:
    body = bytearray(done.bundle.read_bytes())
    start = body.rindex(b"PK\1\2")
    body[start + 8] |= 1
    assert "encrypted" in wrong(verify(_written(tmp_path / "locked.zip", bytes(body))))["archive"]


# -- files, list and signature -----------------------------------------------------------------------------------------


def without(bodies: dict[str, bytes]) -> None:
    del bodies["methods.md"]


def swapped(bodies: dict[str, bytes]) -> None:
    one, other = (name for name in sorted(bodies) if name.endswith("model.safetensors"))
    bodies[one], bodies[other] = bodies[other], bodies[one]


FILES: dict[str, tuple[Change, str]] = {
    "a file more": (lambda bodies: bodies.update({"more.txt": b"more"}), "more.txt is in nobody's list"),
    "a file less": (without, "methods.md is missing"),
    "another file": (lambda bodies: bodies.update({"methods.md": b"# Methods"}), "methods.md is not as it was"),
    "two swapped": (swapped, "model.safetensors is not as it was"),
    "the journal edited": (
        lambda bodies: bodies.update(
            {"journal.jsonl": bodies["journal.jsonl"].replace(b"RunFinished", b"RunFailed", 1)}
        ),
        "journal.jsonl is not as it was",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_what_was_done_to_files_is_named(name: str, done: Done, remade: Remade) -> None:
    change, told = FILES[name]
    assert told in wrong(verify(remade(done.bundle, change, home=None)))["files"]


@pytest.mark.parametrize("missing", ["manifest.json", "signature.json"])
def test_a_bundle_without_list_or_signature_is_none(missing: str, done: Done, remade: Remade) -> None:
    found = verify(remade(done.bundle, lambda bodies: bodies.pop(missing) and None, home=None))
    assert "missing" in " ".join(wrong(found).values())


def test_a_list_that_was_changed_is_not_signed(done: Done, remade: Remade) -> None:
    path = remade(done.bundle, edited("manifest.json", lambda told: told.update(study="other")), home=None)
    assert "signature" in wrong(verify(path))


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.update(signature="00" * 64),
        lambda told: told.update(public_key="zz"),
        lambda told: told.update(public_key="00" * 31),
        lambda told: told.update(fingerprint="0" * 64),
        lambda told: told.update(algorithm="none"),
        lambda told: told.update(authority={"certificate": "none", "text": "", "signature": ""}),
        lambda told: told.update(authority=[1]),
        lambda told: told.pop("signature"),
        lambda told: [1, 2],
    ],
)
def test_a_signature_that_is_none_is_found(change: Callable[[Any], Any], done: Done, remade: Remade) -> None:
    assert "signature" in wrong(verify(remade(done.bundle, edited("signature.json", change), home=None)))


# -- a bundle that whoever has the key has changed ---------------------------------------------------------------------


def rewritten(bodies: dict[str, bytes], old: bytes, new: bytes) -> None:
    """Change the journal and chain it anew, head and all."""
    before, lines = kept.NOTHING, []
    for raw in kept.lines(bodies["journal.jsonl"]):
        line = json.loads(raw.replace(old, new)) | {"before": before}
        text = json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        before = hashlib.sha256(text).hexdigest()
        lines.append(text + b"\n")
    bodies["journal.jsonl"] = b"".join(lines)
    manifest = json.loads(bodies["manifest.json"])
    manifest["journal"]["head"] = before
    bodies["manifest.json"] = json.dumps(manifest).encode()


def cut(bodies: dict[str, bytes]) -> None:
    bodies["journal.jsonl"] = b"\n".join(bodies["journal.jsonl"].split(b"\n")[:-3]) + b"\n"


def one_line_less(bodies: dict[str, bytes]) -> None:
    lines = bodies["journal.jsonl"].split(b"\n")
    bodies["journal.jsonl"] = b"\n".join(lines[:4] + lines[5:])


def another_study(bodies: dict[str, bytes]) -> None:
    bodies["study/canonical.json"] = bodies["study/canonical.json"].replace(b'"rounds":2', b'"rounds":3')


RESIGNED: dict[str, tuple[Change, str, str]] = {
    "a line less": (one_line_less, "journal", "does not follow the line before"),
    "an end cut off": (cut, "journal", "another end"),
    "no journal": (lambda bodies: bodies.update({"journal.jsonl": b""}), "journal", ""),
    "no JSON": (lambda bodies: bodies.update({"journal.jsonl": b"{]\n"}), "journal", "cannot be read"),
    "another execution": (lambda bodies: rewritten(bodies, b'"execution":"', b'"execution":"x'), "journal", "another"),
    "another outcome": (lambda bodies: rewritten(bodies, b'"auc":0.', b'"auc":0.9'), "results", "not those"),
    "another model in the journal": (lambda bodies: rewritten(bodies, b'"model":"', b'"model":"f'), "models", "model"),
    "another study": (another_study, "study", "digest"),
    "another digest": (lambda bodies: rewritten(bodies, b'"digest":"', b'"digest":"f'), "study", "digest"),
    "swapped models": (swapped, "models", "not the one"),
    "a model more": (
        lambda bodies: bodies.update({"models/x/model.safetensors": b"0"}),
        "models",
        "that the journal does not know",
    ),
    "better results": (
        edited("metrics.json", lambda told: told["runs"][0]["metrics"].update(auc=1.0)),
        "results",
        "not those of the journal",
    ),
    "another seed": (
        edited("versions.json", lambda told: next(iter(told["runs"].values())).update(seed=8)),
        "provenance",
        "versions.json: this is told otherwise",
    ),
    "more rows": (
        edited("schemas.json", lambda told: next(iter(told["runs"].values()))["east"].update(rows=600)),
        "provenance",
        "schemas.json",
    ),
    "a run less in the plan": (
        edited("plan.json", lambda told: told["runs"].pop() and None),
        "provenance",
        "plan.json",
    ),
    "fewer results": (edited("metrics.json", lambda told: told["runs"].clear()), "results", ""),
}


@pytest.mark.parametrize("name", RESIGNED)
def test_what_its_maker_has_changed_does_not_hold_together(name: str, done: Done, remade: Remade) -> None:
    change, check, told = RESIGNED[name]
    found = verify(remade(done.bundle, change, home=done.home), signer=signer_of(done.home).fingerprint)
    assert check in wrong(found)
    assert told in wrong(found)[check]


def test_whoever_signs_anew_is_another(done: Done, remade: Remade, tmp_path: Path) -> None:
    path = remade(done.bundle, lambda bodies: None, home=tmp_path / "thief")
    assert verify(path).sound
    assert list(wrong(verify(path, signer=signer_of(done.home).fingerprint))) == ["signer"]


def test_a_description_of_other_files_is_found(done: Done, remade: Remade, tmp_path: Path) -> None:
    bodies = unpacked(done.bundle)
    resign(bodies, signer_of(done.home))
    crate = json.loads(bodies["ro-crate-metadata.json"])
    crate["@graph"] = crate["@graph"][:-1]
    manifest = json.loads(bodies["manifest.json"])
    bodies["ro-crate-metadata.json"] = text = json.dumps(crate).encode()
    manifest["files"]["ro-crate-metadata.json"] = {"sha256": hashlib.sha256(text).hexdigest(), "bytes": len(text)}
    bodies["manifest.json"] = json.dumps(manifest).encode()
    bodies["signature.json"] = signer_of(done.home).signature(bodies["manifest.json"])
    path = remade(done.bundle, lambda all_: all_.update(bodies), home=None)
    assert list(wrong(verify(path))) == ["description"]


# -- privacy -----------------------------------------------------------------------------------------------------------


def test_epsilon_is_added_up_again(private: Done) -> None:
    found = verify(private.bundle)
    assert found.sound
    told = {check.name: check for check in found.checks}
    assert told["privacy"].text == "ε of 3 ledgers is what the accountant makes of it."
    words = json.loads(unpacked(private.bundle)["privacy.json"])
    run = words["runs"][f"{private.execution}-1"]
    assert run["promised_epsilon"] == 6.0
    assert all(0 < site["epsilon"] <= 6.0 for site in run["sites"].values())
    assert set(words["ledgers"]) == {"east", "north", "west"}
    assert not {"digest", "split", "key", "columns", "dataset"} & {
        key for line in words["ledgers"]["east"] for key in line
    }


def test_a_smaller_epsilon_is_found(private: Done, remade: Remade) -> None:
    epsilon = json.loads(unpacked(private.bundle)["privacy.json"])["runs"][f"{private.execution}-1"]["sites"]["east"]

    def smaller(bodies: dict[str, bytes]) -> None:
        rewritten(bodies, f'"epsilon":{epsilon["epsilon"]!r}'.encode(), b'"epsilon":0.5')
        told = json.loads(bodies["privacy.json"])
        for site in told["runs"][f"{private.execution}-1"]["sites"].values():
            site["epsilon"] = 0.5 if site["epsilon"] == epsilon["epsilon"] else site["epsilon"]
        bodies["privacy.json"] = json.dumps(told).encode()

    assert "another ε" in wrong(verify(remade(private.bundle, smaller, home=private.home)))["privacy"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda told: next(iter(told["runs"].values()))["sites"]["east"].update(epsilon=0.1), "another ε"),
        (lambda told: told["ledgers"]["east"].pop() and None, "ledger says otherwise"),
        (lambda told: told["ledgers"]["east"].append({}), "cannot be read"),
        (lambda told: told["runs"].clear(), "KeyError"),
    ],
)
def test_another_ledger_than_the_journals_is_found(
    change: Callable[[Any], Any], told: str, private: Done, remade: Remade
) -> None:
    path = remade(private.bundle, edited("privacy.json", change), home=private.home)
    assert told in wrong(verify(path))["privacy"]


def test_without_the_accountant_it_is_said_that_nothing_was_added_up(private: Done) -> None:
    missing = MissingExtraError("not installed")
    with patch("medfl.bundles.spent.epsilon", side_effect=missing):
        found = {check.name: check for check in verify(private.bundle).checks}
    assert found["privacy"].verdict == "not looked at"
    assert "medfl[dp]" in found["privacy"].text


def test_the_archive_is_a_zip_that_others_read(done: Done) -> None:
    with zipfile.ZipFile(io.BytesIO(done.bundle.read_bytes())) as archive:
        assert archive.testzip() is None
        assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}
