from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medfl.errors import NotFoundError, StoreError
from medfl.store import artefacts
from medfl.store.artefacts import Artefacts, FileArtefacts


@pytest.fixture
def store(tmp_path: Path) -> FileArtefacts:
    return FileArtefacts(tmp_path / "artefacts")


def files(store: FileArtefacts) -> list[Path]:
    return [path for path in store.folder.rglob("*") if path.is_file()]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200))
def test_what_is_written_comes_back_by_its_sha256(store: Artefacts, body: bytes) -> None:
    digest = store.write(body)
    assert digest == hashlib.sha256(body).hexdigest() == store.write(BytesIO(body))
    with store.open(digest) as file:
        assert file.read() == body


def test_a_body_longer_than_a_chunk(store: FileArtefacts) -> None:
    body = os.urandom(artefacts.CHUNK * 2 + 17)
    with store.open(store.write(BytesIO(body))) as file:
        assert file.read() == body


def test_the_same_body_is_written_once(store: FileArtefacts) -> None:
    store.write(b"weights")
    (path,) = files(store)
    before = path.stat()
    store.write(b"weights")
    store.write(BytesIO(b"weights"))
    assert files(store) == [path]
    assert path.stat().st_ino == before.st_ino


def test_only_the_owner_reads_it(store: FileArtefacts) -> None:
    path = store.path(store.write(b"weights"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert [folder.stat().st_mode & 0o777 for folder in (store.folder, path.parent)] == [0o700, 0o700]


def test_it_is_on_the_disk_before_it_has_its_name(store: FileArtefacts, monkeypatch: pytest.MonkeyPatch) -> None:
    store.folder.mkdir()
    done: list[str] = []
    sync, rename = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        sync(handle)

    def replace(self: Path, target: Path) -> Path:
        done.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    store.write(b"weights")
    assert done == ["file", "folder", "rename", "folder"], "contents, the new subfolder, the name, the name's folder"


@pytest.mark.parametrize("damage", [lambda body: body[:-1], lambda body: b"\0" + body[1:], lambda body: b""])
def test_a_damaged_artefact_is_refused_and_can_be_written_again(
    store: FileArtefacts, damage: Callable[[bytes], bytes]
) -> None:
    digest = store.write(b"weights")
    store.path(digest).write_bytes(damage(b"weights"))
    with pytest.raises(StoreError, match="corrupted artefact") as error:
        store.open(digest)
    assert str(store.path(digest)) in str(error.value)
    assert error.value.complaints[0].remedy
    store.write(b"weights")
    with store.open(digest) as file:
        assert file.read() == b"weights"


def test_a_removed_artefact_is_gone(store: FileArtefacts) -> None:
    digest = store.write(b"weights")
    store.remove(digest)
    store.remove(digest)
    with pytest.raises(NotFoundError):
        store.open(digest)


@pytest.mark.parametrize("digest", ["", "abc", "../../etc/passwd", "A" * 64, "a" * 63 + "\n", "/" + "a" * 63])
def test_what_is_no_digest_names_no_file(store: FileArtefacts, digest: str) -> None:
    for use in (store.open, store.remove):
        with pytest.raises(NotFoundError, match="digest"):
            use(digest)


FULL = """
import resource, sys
from io import BytesIO
from pathlib import Path
from medfl.errors import StoreError
from medfl.store.artefacts import FileArtefacts

store = FileArtefacts(Path(sys.argv[1]))
store.write(b"small")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for body in (b"x" * 200_000, BytesIO(b"x" * 200_000)):
    try:
        store.write(body)
    except StoreError as error:
        print(error)
"""


def test_a_full_disk_leaves_nothing_behind(store: FileArtefacts) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(store.folder)], capture_output=True, text=True, check=True)
    assert done.stdout.count("no room left to write") == 2
    assert done.stdout.count(str(store.folder)) == 2
    assert done.stdout.count("medfl resume") == 2
    assert [path.read_bytes() for path in files(store)] == [b"small"]


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "artefacts").touch()
    with pytest.raises(StoreError, match="cannot be written to"):
        FileArtefacts(tmp_path / "artefacts").write(b"weights")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="cannot be written to"):
        FileArtefacts(tmp_path / "artefacts").write(b"weights")
