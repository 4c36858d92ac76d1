"""A hospital on a stock SuperNode: everything is read from its home, and nothing leaves that should not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flwr.app import Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from medfl.errors import SiteError
from medfl.flower_home import settle
from medfl.messages import Refusal, Reply, Request, from_bytes, to_bytes
from medfl.run.flower.greeting import HELLO, Greeting
from medfl.run.flower.wire import brought, record
from medfl.site.answer import Site
from medfl.site.supernode import Place, answered
from medfl.spec.study import Study
from medfl.testing.policies import text

VALUE = "patient 4711 weighs 83.2 kg"


@pytest.fixture
def config(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the node config of a hospital that lets everything through."""
    for name in ("_run_id", "_task_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)  # as Flower does for the process of a task
    made = settle("east", tiny.parent / "east.csv", tiny.parent / "home")
    (made.place.home / "policy.toml").write_text(text(), encoding="utf-8")
    return {"site": "east", "data": str(made.place.data), "home": str(made.place.home)}


def message(body: bytes) -> Message:
    """Return a message as Flower brings it, which has another name each time."""
    sent = Message(record(body), 1, "query.medfl")
    sent.metadata.__dict__["_message_id"] = sent.object_id
    return sent


def describe(tiny: Path, **changes: Any) -> Request:
    study = Study.model_validate({"study": {"name": "tiny"}, "data": {"target": "sick"}} | changes)
    return Request(run="a-1", round=0, site="east", task="describe", study=study.canonical, seed=7)


def said(request: Request, config: dict[str, Any]) -> Reply | Refusal:
    reply = from_bytes(brought(answered(message(to_bytes(request)), config)))
    assert not isinstance(reply, Request)
    return reply


def refused(request: Request, config: dict[str, Any]) -> Refusal:
    reply = said(request, config)
    assert isinstance(reply, Refusal)
    assert (reply.request, reply.site) == (request.id, request.site)
    return reply


def test_it_answers_from_what_the_node_config_names(tiny: Path, config: dict[str, Any]) -> None:
    reply = said(describe(tiny), config)
    assert isinstance(reply, Reply), reply
    assert reply.content["schema"]["rows"] == 60


def test_a_request_that_comes_twice_is_worked_for_once(
    tiny: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = to_bytes(describe(tiny))
    first = brought(answered(message(request), config))
    monkeypatch.setattr(Site, "answer", lambda site, asked: pytest.fail("it worked again"))
    assert brought(answered(message(request), config)) == first


def test_nothing_is_left_of_messages_that_were_answered(tiny: Path, config: dict[str, Any]) -> None:
    said(describe(tiny), config)
    box = Path(config["home"]) / "postbox"
    assert {path.name for path in box.iterdir() if list(path.iterdir())} == {"given"}


def test_a_request_that_it_has_died_of_twice_is_refused(
    tiny: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(site: Site, asked: Request) -> Reply:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Site, "answer", die)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                said(describe(tiny), config)
    assert "was lost at the stage 'describe', twice" in refused(describe(tiny), config).reason
    assert isinstance(said(describe(tiny, study={"name": "another"}), config), Reply), "it is there for the next"


def test_what_nobody_foresaw_travels_as_its_kind_only(
    tiny: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(place: Place, request: Request) -> Site:
        raise ValueError(VALUE)

    monkeypatch.setattr(Place, "opened", fail)
    refusal = refused(describe(tiny), config)
    assert refusal.code == SiteError.code
    assert "ValueError" in refusal.reason
    assert VALUE not in refusal.reason
    assert VALUE in caplog.text, "the trace stays at the hospital"


def test_what_nobody_foresaw_in_a_greeting_too(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(place: Place) -> str:
        raise ValueError(VALUE)

    monkeypatch.setattr(Place, "present", fail)
    greeting = Greeting.read(brought(answered(message(HELLO), config)))
    assert greeting.site == ""
    assert "ValueError" in greeting.trouble
    assert VALUE not in greeting.trouble


def test_a_disk_that_fails_is_told_without_more_than_its_place(
    tiny: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, VALUE)

    monkeypatch.setattr("medfl.run.flower.app.settle", full)
    refusal = refused(describe(tiny), config)
    assert "the site's home cannot be used" in refusal.reason
    assert VALUE not in refusal.reason


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"data": ""}, "no data"),
        ({"site": 3}, "no site"),
        ({"home": "/nowhere/at/all"}, "no home there"),
        ({"data": "/nowhere.csv"}, "no such table"),
        ({"site": "../east"}, "cannot be called so"),
    ],
)
def test_a_node_config_that_will_not_do(change: dict[str, Any], what: str, tiny: Path, config: dict[str, Any]) -> None:
    assert what in refused(describe(tiny), config | change).reason
    assert what in Greeting.read(brought(answered(message(HELLO), config | change))).trouble


def test_a_home_that_others_can_read(tiny: Path, config: dict[str, Any]) -> None:
    Path(config["home"]).chmod(0o755)
    assert "can be read by others" in refused(describe(tiny), config).reason


def test_a_request_for_another_site(tiny: Path, config: dict[str, Any]) -> None:
    reply = said(describe(tiny), config | {"site": "west"})
    assert isinstance(reply, Refusal)
    assert "meant for another" in reply.reason


def test_what_the_study_names_is_not_what_is_read(tiny: Path, config: dict[str, Any]) -> None:
    secret = tiny.parent / "secret.csv"
    secret.write_text("a,sick\n1,0\n", encoding="utf-8")
    asked = describe(tiny, data={"target": "sick", "sites": {"east": str(secret), "west": "west.csv"}})
    reply = said(asked, config)
    assert isinstance(reply, Reply), reply
    assert reply.content["schema"]["rows"] == 60


@pytest.mark.parametrize("content", [RecordDict(), record(b"no message"), record(to_bytes(Reply(request="", site="")))])
def test_what_is_no_message_of_ours(content: RecordDict, config: dict[str, Any]) -> None:
    sent = Message(content, 1, "query.medfl")
    sent.metadata.__dict__["_message_id"] = sent.object_id
    assert isinstance(from_bytes(brought(answered(sent, config))), Refusal)


def test_a_plugin_that_the_hospital_names_is_loaded(tiny: Path, config: dict[str, Any]) -> None:
    plugin = tiny.parent / "mine.py"
    plugin.write_text("import pathlib\npathlib.Path(__file__).with_suffix('.loaded').touch()\n", encoding="utf-8")
    said(describe(tiny), config | {"plugin": str(plugin)})
    assert plugin.with_suffix(".loaded").exists()
