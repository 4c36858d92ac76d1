"""Whatever arrives at a site: its hub's answers, what wakes it, requests, invitations, offers, and its own files."""

from __future__ import annotations

import hashlib
import io
import json
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from email.message import Message as Head
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.error import HTTPError

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from flwr.proto.message_pb2 import Message, Metadata, ObjectTree
from hypothesis import given
from hypothesis import strategies as st

from medfl.doctor import hops
from medfl.doctor.proxies import NotLetThroughError, Proxy, through
from medfl.enrolment import Invitation, json_of
from medfl.errors import EnrolmentError, MedflError, SpecError, WireError
from medfl.foreign import understood
from medfl.messages import Refusal, Reply, Request, from_bytes, to_bytes
from medfl.run.flower.greeting import Greeting
from medfl.run.flower.postbox import Postbox
from medfl.run.flower.serving import Answering, settle
from medfl.run.flower.wire import letter, opened
from medfl.site import enrolling, joining, reaching
from medfl.site.approvals import Approvals
from medfl.site.audit import AuditLog
from medfl.site.datasets import DataSet, Datasets
from medfl.site.enrolled import SiteHome
from medfl.site.place import Place
from medfl.site.reaching import Hub, skew
from medfl.site.reception import Reception
from medfl.site.rules_reading import read as read_rules
from medfl.site.rules_template import template
from medfl.site.woken import Woken, _words
from medfl.spec.reading import parse
from medfl.testing.fuzzing import CHANGES, EDITS, JSON, WORDS, altered, damaged, fuzzed
from medfl.testing.hub import LOOPBACK, enrolled, made, served
from medfl.testing.probe import probe

BYTES = st.binary(max_size=60) | JSON.map(lambda said: json.dumps(said).encode())
HONEST = Request(run="r", round=0, site="a", task="describe", study="{}", seed=7)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteHome]:
    """An enrolled site, whose hub is away; what it knows stays as it was, whatever is said to it."""
    folder = tmp_path_factory.mktemp("site")
    with served(made(folder / "hub")) as hub:
        (home,) = enrolled(hub, folder, "a").values()
    before = home.file.read_bytes()
    yield home
    assert json_of(home.file.read_bytes())["status"] in ("approved", "waiting", "revoked")
    home.file.write_bytes(before)
    assert home.enrolled().peers.keys() == {"a"}


def saying(said: object) -> Any:
    """Have the hub say something, whatever it is asked, as it comes over the wire."""
    return patch.object(reaching, "asked", lambda *_, **__: json_of(json.dumps(said).encode()))


# -- the hub's answers


@fuzzed(100)
@given(said=JSON, changes=CHANGES)
def test_whatever_a_hub_says_of_the_enrolment_is_taken_up_or_a_reason(home: SiteHome, said: Any, changes: Any) -> None:
    known = home.enrolled()
    honest = {"status": "approved", "title": "A", "certificate": known.certificate, "directory": known.directory}
    for words in (said, altered(honest | {"now": 1.0, "vpn": "none"}, changes)):
        with saying(words), suppress(MedflError):
            now, sentence = enrolling.refresh(home, known)
            assert now.status in ("waiting", "approved", "revoked")
            assert isinstance(sentence, str)
            assert now.peers.keys() <= {"a"}
        home.keep(known)


@fuzzed(60)
@given(said=JSON, changes=CHANGES)
def test_whatever_says_to_be_the_hub_is_it_or_a_reason(home: SiteHome, said: Any, changes: Any) -> None:
    known = home.enrolled()
    honest = {"hub": "x", "authority": known.authority, "transport": {"text": "t", "signature": "00"}}
    for words in (said, altered(honest, changes)):
        with saying(words), pytest.raises(MedflError):
            Hub.recognised(LOOPBACK, 1, authority=bytes(32))


@fuzzed(40)
@given(edits=EDITS)
def test_a_damaged_certificate_of_an_authority_is_refused(home: SiteHome, edits: Any) -> None:
    der = damaged(home.enrolled().anchor.public_bytes(Encoding.DER), edits)
    pem = b"-----BEGIN CERTIFICATE-----\n" + b64encode(der) + b"\n-----END CERTIFICATE-----\n"
    with saying({"hub": "x", "authority": pem.decode()}), pytest.raises(MedflError):
        Hub.recognised(LOOPBACK, 1, authority=bytes(32))


@fuzzed(80)
@given(code=st.integers(100, 599), body=BYTES)
def test_any_refusal_becomes_a_sentence_that_can_be_shown(code: int, body: bytes) -> None:
    error = reaching._refusal(HTTPError("https://hub", code, "", Head(), io.BytesIO(body)), "hub:1")
    assert str(error).encode()
    assert "\x1b" not in str(error)


@fuzzed(60)
@given(what=WORDS, code=WORDS)
def test_a_hubs_words_do_not_steer_the_terminal(what: str, code: str) -> None:
    said = {"code": code, "complaints": [{"what": what, "where": what, "received": what, "remedy": what}]}
    body = json.dumps({"error": said}).encode()
    error = reaching._refusal(HTTPError("https://hub", 403, "", Head(), io.BytesIO(body)), "hub:1")
    assert str(error).encode()
    assert "\x1b" not in str(error) and "\x00" not in str(error)


@fuzzed(60)
@given(now=JSON)
def test_any_time_of_the_hub_is_a_sentence_or_none(now: Any) -> None:
    assert isinstance(skew({"now": now}), str)


@fuzzed(40)
@given(said=JSON)
def test_any_offer_of_a_vpn_is_refused_unless_it_is_signed(home: SiteHome, said: Any) -> None:
    with saying({"offer": said, "address": "10.0.0.2"}), pytest.raises(MedflError):
        joining.join(home)
    assert not (home.vpn / "medfl.conf").exists()


@fuzzed(80)
@given(frame=BYTES | WORDS)
def test_any_frame_of_what_wakes_a_site_is_understood_or_a_reason(home: SiteHome, frame: bytes | str) -> None:
    woken = Woken(home)
    with suppress(WireError):
        said = _words(frame if isinstance(frame, bytes) else frame.encode(errors="replace"))
        proof = json.loads(woken._proof(said))
        assert proof["site"] == "a"


@fuzzed(60)
@given(body=BYTES, status=st.binary(max_size=12))
def test_whatever_answers_the_doctor_is_a_finding_that_can_be_shown(body: bytes, status: bytes) -> None:
    """The hub's answers, and those of a proxy on the way."""
    words = json.loads(body) if body[:1] == b"{" and body[-1:] == b"}" and _is_json(body) else {}
    with patch.object(hops, "_asked", lambda *_: (200, words | {"protocol": words.get("protocol", 1)})):
        found = [one.said for one in hops._spoken(hops.Way(hops.Target("hub", 1), None, 1.0))]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n")
        theirs.shutdown(socket.SHUT_WR)
        proxy = Proxy("proxy", 1)
        with suppress(NotLetThroughError):
            through(ours, proxy, host="hub", port=1)
    assert all("\x1b" not in one and one.encode() for one in found)


def _is_json(body: bytes) -> bool:
    try:
        understood(body)
    except ValueError:
        return False
    return True


# -- requests


@fuzzed(120)
@given(edits=EDITS)
def test_a_damaged_message_is_read_or_a_reason(edits: Any) -> None:
    with suppress(WireError):
        read = from_bytes(damaged(to_bytes(HONEST), edits))
        assert to_bytes(read)


@fuzzed(60)
@given(edits=EDITS, count=st.integers(0, 5))
def test_any_parts_of_a_flower_message_are_put_together_or_a_reason(edits: Any, count: int) -> None:
    announced, tree, objects = letter(to_bytes(HONEST), run=1, to=7)
    for number in range(count):
        tree = ObjectTree(object_id=f"{number}", children=[tree])
    content = {name: damaged(one, edits) for name, one in objects.items()}
    with suppress(WireError):
        # Edits that change nothing are none.
        assert opened(announced.metadata.message_id, tree, lambda name: content.get(name, b"")) == to_bytes(HONEST)


@fuzzed(80)
@given(head=WORDS, kids=st.lists(WORDS, max_size=3), body=st.binary(max_size=40))
def test_parts_with_the_right_digest_are_refused_all_the_same(head: str, kids: list[str], body: bytes) -> None:
    for kind in (head, "Message", "RecordDict", "ConfigRecord", "ArrayRecord", "Array"):
        content = f"{kind} {','.join(kids)} {len(body)}".encode(errors="replace") + b"\x00" + body
        name = hashlib.sha256(content).hexdigest()
        with pytest.raises(WireError):
            opened(name, ObjectTree(object_id=name), {name: content}.__getitem__)


@fuzzed(60)
@given(name=WORDS, body=BYTES)
def test_any_message_is_answered_and_stays_in_its_folder(tmp_path: Path, name: str, body: bytes) -> None:
    box = Postbox(tmp_path / "box")
    with suppress(UnicodeEncodeError):
        message = Message(metadata=Metadata(message_id=name))
        with suppress(WireError):
            box.take(message, body)
            settle(box, message, body, Answering(probe))
            box.sent(message)
    assert {path.name for path in tmp_path.iterdir()} == {"box"}


@fuzzed(80)
@given(study=WORDS | JSON.map(json.dumps), run=WORDS, task=st.sampled_from(["describe", "train", "keys"]), words=JSON)
def test_any_request_gets_a_refusal_and_a_line(place: Place, study: str, run: str, task: Any, words: Any) -> None:
    before = AuditLog(place.log).verify().lines
    content = words if isinstance(words, dict) else {}
    with suppress(WireError):
        request = from_bytes(to_bytes(replace(HONEST, study=study, run=run, task=task, content=content)))
        assert isinstance(request, Request)
        answer = Reception(place, "a").answer(request)
        assert isinstance(answer, Refusal)
        assert to_bytes(answer)
        found = AuditLog(place.log).verify()
        assert (found.lines, found.trouble) == (before + 1, "")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("place"))
    place.policy.write_text(template())
    return place


# -- what people type, and files


@fuzzed(100)
@given(edits=EDITS, host=st.sampled_from(["a..b", "x" * 80, "[::1]", "-", "1", "a.b"]), port=st.integers(0, 99999))
def test_any_invitation_is_read_and_followed_or_a_reason(edits: Any, host: str, port: int) -> None:
    right = str(Invitation("hub.example.org", 8443, "a", bytes(32), bytes(16), 2**31))
    with suppress(EnrolmentError):
        Invitation.read(damaged(right.encode(), edits).decode(errors="replace"))
    strange = Invitation(host.strip("[]"), port, "a", bytes(32), bytes(16), 2**31)
    with patch("socket.create_connection", side_effect=OSError), pytest.raises(MedflError):
        read = Invitation.read(str(strange))
        Hub.recognised(read.host, read.port, authority=read.authority)


@fuzzed(60)
@given(body=BYTES)
def test_any_greeting_is_one_or_a_reason(body: bytes) -> None:
    with suppress(WireError):
        assert Greeting.read(body).to_bytes()


@fuzzed(80)
@given(edits=EDITS, text=st.none() | WORDS)
def test_any_policy_and_any_study_is_read_or_a_reason(tmp_path: Path, edits: Any, text: str | None) -> None:
    body = damaged(template().encode(), edits) if text is None else text.encode(errors="surrogatepass")
    (tmp_path / "policy.toml").write_bytes(body)
    with suppress(SpecError):
        read_rules(tmp_path / "policy.toml")
    with suppress(SpecError):
        parse(damaged(STUDY, edits).decode(errors="replace"), source="study.toml")


STUDY = b"""[study]
name = "tiny"
[data]
target = "sick"
sites = { east = "east.csv" }
[model]
kind = "mlp"
hidden = [8]
[algorithm]
kind = "fedavg"
rounds = 4
"""


@fuzzed(40)
@given(body=BYTES)
def test_any_file_of_a_home_is_read_or_a_reason(tmp_path: Path, body: bytes) -> None:
    place = SiteHome(tmp_path)
    Datasets(place).add("ward", DataSet(source="/nowhere.csv", target="sick"))
    reads: list[tuple[Path, Callable[[], object]]] = [
        (place.file, place.enrolment),
        (next(path for path in tmp_path.iterdir() if path.suffix in (".toml", ".json")), Datasets(place).all),
        (place.studies / ("0" * 64 + ".json"), Approvals(place).all),
        (place.log / "head.json", lambda: AuditLog(place.log).append({"is": "x"})),
        (place.log / "audit.jsonl", lambda: AuditLog(place.log).verify()),
    ]
    for path, read in reads:
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(body)
        path.chmod(0o600)
        with suppress(MedflError):
            read()
        path.unlink(missing_ok=True)


def test_what_is_answered_honestly_is_an_answer(tmp_path: Path) -> None:
    """So that the refusals above are refusals of damage."""
    box = Postbox(tmp_path)
    message = Message(metadata=Metadata(message_id="a"))
    box.take(message, to_bytes(HONEST))
    settle(box, message, to_bytes(HONEST), Answering(probe))
    assert isinstance(from_bytes(next(box.unsent())[1]), Reply)
