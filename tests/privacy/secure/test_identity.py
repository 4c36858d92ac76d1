"""A site's identity is made once, for its own eyes; a key counts only with its owner's signature for this run."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import pytest

from medfl.errors import SecureError, StoreError
from medfl.messages import Json
from medfl.privacy.secure.identity import Identity, verified_key
from medfl.privacy.secure.member import Member
from medfl.privacy.secure.unmasked import UnmaskedHere
from medfl.testing.secure import identity_of


def hello(site: str = "a", run: str = "r", session: str = "s") -> Json:
    return Member(site, identity_of(site), {}, unmasked=UnmaskedHere()).hello(run, session)


DIRECTORY = {name: identity_of(name).public for name in "ab"}


def test_an_identity_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "site" / "identity"
    made = Identity.at(path)
    assert Identity.at(path).public == made.public
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert len(path.read_bytes()) == 32
    assert [each.name for each in path.parent.iterdir()] == ["identity"]
    assert Identity.at(tmp_path / "other").public != made.public
    assert path.read_bytes().hex() not in repr(made)


def test_whoever_makes_it_at_the_same_time_gets_the_same(tmp_path: Path) -> None:
    made: list[bytes] = []
    threads = [Thread(target=lambda: made.append(Identity.at(tmp_path / "identity").public)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1


def test_an_identity_that_others_can_read_is_refused(tmp_path: Path) -> None:
    Identity.at(tmp_path / "identity")
    (tmp_path / "identity").chmod(0o644)
    with pytest.raises(StoreError, match=r"can be read by others \(found: mode 644\)"):
        Identity.at(tmp_path / "identity")


def test_a_file_that_is_no_identity_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "identity"
    path.write_bytes(b"short")
    path.chmod(0o600)
    with pytest.raises(SecureError, match=r"not a key \(found: 5 bytes\)"):
        Identity.at(path)


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be kept"):
        Identity.at(tmp_path / "file" / "identity")


def test_a_signed_key_is_accepted_and_the_same_for_every_process_of_the_site() -> None:
    said = hello()
    assert hello() == said
    key = verified_key(said, DIRECTORY, site="a", run="r", session="s")
    assert key.public_bytes_raw().hex() == said["key"]
    others = [hello(run="r2"), hello(session="s2"), hello("b")]
    assert len({said["key"], *(each["key"] for each in others)}) == 4


def _forged(said: Json, **changed: object) -> Json:
    return dict(said) | changed


BAD: dict[str, object] = {
    "of another run": hello(run="r2"),
    "of another session": hello(session="s2"),
    "of another site": hello("b"),
    "of another site under this name": _forged(hello("b"), site="a"),
    "substituted": _forged(hello(), key=os.urandom(32).hex()),
    "signed by another": _forged(hello(), signature=hello("b")["signature"]),
    "not signed": {"site": "a", "key": hello()["key"]},
    "signature too short": _forged(hello(), signature="00"),
    "key too short": _forged(hello(), key="00"),
    "no hex": _forged(hello(), key="zz"),
    "no text": _forged(hello(), key=7),
    "nothing": None,
    "a list": [],
}


@pytest.mark.parametrize("said", BAD.values(), ids=BAD.keys())
def test_any_other_key_is_refused_by_name(said: object) -> None:
    with pytest.raises(SecureError, match="site a, run r: a peer's key is not signed by that peer"):
        verified_key(said, DIRECTORY, site="a", run="r", session="s")


def test_a_site_that_is_not_known_is_refused_by_name() -> None:
    with pytest.raises(SecureError, match="site c: a peer is not known here"):
        verified_key(hello("c"), DIRECTORY, site="c", run="r", session="s")
