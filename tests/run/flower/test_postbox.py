"""A request that comes twice is answered once, and an answer outlives the process that gave it."""

from __future__ import annotations

from pathlib import Path

from flwr.proto.message_pb2 import Message, Metadata

from medfl.messages import TROUBLE, Refusal, Reply, Request, from_bytes, to_bytes
from medfl.run.flower import serving
from medfl.run.flower.postbox import REMEMBERED, Postbox
from medfl.testing.engine_contract import asked
from medfl.testing.probe import probe


def announced(name: str) -> Message:
    return Message(metadata=Metadata(message_id=name))


def work(box: Postbox, answered: list[str]) -> None:
    """Answer all that waits, and note what was worked for."""

    def answer(request: Request) -> Reply | Refusal:
        answered.append(request.id)
        return probe(request)

    while (waiting := next(box.asked(), None)) is not None:
        serving.settle(box, *waiting, serving.Answering(answer))


def test_the_same_request_delivered_twice_is_worked_for_once(tmp_path: Path) -> None:
    (request,) = asked(["east"])
    answered: list[str] = []
    for name in ("first", "second"):
        box = Postbox(tmp_path)
        box.take(announced(name), to_bytes(request))
        work(box, answered)
    assert answered == [request.id]
    sent = {message.metadata.message_id: body for message, body in Postbox(tmp_path).unsent()}
    assert sent.keys() == {"first", "second"}
    assert sent["first"] == sent["second"] == to_bytes(probe(request))


def test_the_same_name_with_another_content_is_another_request(tmp_path: Path) -> None:
    answered: list[str] = []
    box = Postbox(tmp_path)
    for number in range(2):
        (request,) = asked(["east"], content={"number": number})
        box.take(announced(str(number)), to_bytes(request))
        work(box, answered)
    assert len(answered) == 2


def test_a_refusal_may_be_another_one_tomorrow(tmp_path: Path) -> None:
    (request,) = asked(["east"], content={"refuse": True})
    answered: list[str] = []
    box = Postbox(tmp_path)
    for name in ("first", "second"):
        box.take(announced(name), to_bytes(request))
        work(box, answered)
    assert len(answered) == 2


def test_a_request_that_killed_the_site_twice_is_refused(tmp_path: Path) -> None:
    (request,) = asked(["east"])
    answered: list[str] = []
    box = Postbox(tmp_path)
    box.take(announced("deadly"), to_bytes(request))
    assert [box.begun(announced("deadly")) for _ in range(serving.TRIES)] == [0, 1]
    work(Postbox(tmp_path), answered)
    assert answered == []
    ((_, body),) = box.unsent()
    refusal = from_bytes(body)
    assert isinstance(refusal, Refusal)
    assert (refusal.request, refusal.code) == (request.id, "engine")
    assert "lost at the stage 'train', twice" in refusal.reason


def test_a_reply_says_that_the_site_was_killed_over_its_request(tmp_path: Path) -> None:
    (request,) = asked(["east"])
    box = Postbox(tmp_path)
    box.take(announced("hard"), to_bytes(request))
    assert box.begun(announced("hard")) == 0
    work(Postbox(tmp_path), [])
    ((_, body),) = box.unsent()
    reply = from_bytes(body)
    assert isinstance(reply, Reply)
    assert list(reply.content[TROUBLE]) == [
        "the site's agent ended while it worked on the stage 'train', and was started again"
    ]


def test_what_was_sent_is_forgotten_and_old_answers_too(tmp_path: Path) -> None:
    answered: list[str] = []
    box = Postbox(tmp_path)
    for number in range(REMEMBERED + 3):
        (request,) = asked(["east"], content={"number": number})
        box.take(announced("one"), to_bytes(request))
        work(box, answered)
        box.sent(announced("one"))
    assert not list(box.unsent())
    assert len(list((tmp_path / "given").iterdir())) == REMEMBERED


def test_a_node_keeps_its_number(tmp_path: Path) -> None:
    assert Postbox(tmp_path).node is None
    Postbox(tmp_path).node = 2**63 + 5
    assert Postbox(tmp_path).node == 2**63 + 5
