"""What one person may keep, and what is made one at a time: limits are said in sentences."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
from starlette.requests import Request
from starlette.types import Message

from medfl.errors import CrowdedError, PlanError
from medfl.hub.pages import taking
from medfl.hub.pages.design import uploads
from medfl.hub.pages.design.drafts import Drafts
from medfl.hub.pages.turns import Turns
from medfl.hub.people.permits import Role
from medfl.store.home import Home
from medfl.testing.pages import STUDY, Visitor
from medfl.testing.people import Consortium, consortium


@pytest.fixture
def hub(tmp_path: Path) -> Consortium:
    """Return a hub whose people may have two drafts each."""
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "people.toml").write_text("drafts = 2\n")
    with Home(tmp_path / "store") as home:
        return consortium(tmp_path / "hub", home).has("ada", Role.RESEARCHER).has("bob", Role.RESEARCHER)


def test_nobody_has_more_drafts_than_the_hub_lets_them(hub: Consortium) -> None:
    ada, bob = hub.browser("ada"), hub.browser("bob")
    begun = [ada.post("/drafts", page="/new", text=STUDY) for _ in range(3)]
    assert [answer.status_code for answer in begun] == [303, 303, 400]
    assert "you have 2 drafts, and nobody may have more" in begun[2].text.lower()
    assert "remove it" in begun[2].text
    first = begun[0].headers["location"]
    assert "nobody may have more" in ada.post(f"{first}/copy", page="/new").text
    file = {"file": ("study.toml", STUDY.encode())}
    assert "nobody may have more" in ada.send("/drafts/file", page="/new", files=file).text
    assert bob.post("/drafts", page="/new", text=STUDY).status_code == 303, "each has their own"
    assert len(ada.get("/api/home").json()["drafts"]) == 2
    assert ada.post(f"{first}/remove", page="/new").status_code == 303
    assert ada.post("/drafts", page="/new", text=STUDY).status_code == 303


def test_tables_that_were_sent_have_room_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "WHOLE", 25)
    folder = tmp_path / "tables"
    for _ in range(2):
        uploads.keep(folder, "a.csv", io.BytesIO(b"x" * 10))
    with pytest.raises(PlanError, match="too large together") as error:
        uploads.keep(folder, "a.csv", io.BytesIO(b"x" * 10))
    assert str(folder) in str(error.value)
    assert "delete tables there" in str(error.value)
    assert sorted(path.name for path in folder.iterdir()) == ["a-2.csv", "a.csv"]
    uploads.keep(folder, "small.csv", io.BytesIO(b"x" * 5))


def asking(*said: Message, path: str = "/") -> Request:
    """Return a request whose other end says something, and then nothing any more."""
    pending = list(said)

    async def receive() -> Message:
        if pending:
            return pending.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    return Request({"type": "http", "method": "GET", "path": path, "headers": []}, receive)


class Work:
    """Work that goes on until it is told to end."""

    def __init__(self) -> None:
        self.began, self.end, self.done = Event(), Event(), 0

    def __call__(self) -> int:
        self.began.set()
        assert self.end.wait(30)
        self.done += 1
        return self.done


async def until(what: Callable[[], bool]) -> None:
    """Let others go on until something holds."""
    while not what():
        await asyncio.sleep(0)


def test_heavy_work_is_done_one_at_a_time_in_order() -> None:
    async def both() -> tuple[int, int, bool]:
        turns, first, second = Turns(), Work(), Work()
        one = asyncio.create_task(turns(asking(), first, who="ada"))
        await until(first.began.is_set)
        other = asyncio.create_task(turns(asking(), second, who="bob"))
        second.end.set()
        await asyncio.sleep(0)
        before = second.began.is_set()
        first.end.set()
        return await one, await other, before

    assert asyncio.run(both()) == (1, 1, False)


def test_nobody_waits_for_long_or_in_a_crowd() -> None:
    async def crowd() -> None:
        turns, work = Turns(patience=0.0), Work()
        one = asyncio.create_task(turns(asking(), work, who="ada"))
        await until(work.began.is_set)
        with pytest.raises(CrowdedError, match="one at a time"):
            await turns(asking(), work, who="bob")
        full = Turns(most=0)
        with pytest.raises(CrowdedError):
            await full(asking(), work, who="ada")
        work.end.set()
        assert await one == 1
        assert await turns(asking(), lambda: "next", who="bob") == "next"

    asyncio.run(crowd())


def test_who_left_or_failed_gives_the_turn_back() -> None:
    async def gone() -> None:
        turns, work = Turns(patience=0.0), Work()
        with pytest.raises(CrowdedError):
            await turns(asking({"type": "http.disconnect"}), work, who="ada")
        assert not work.began.is_set()
        with pytest.raises(ZeroDivisionError):
            await turns(asking(), lambda: 1 // 0, who="ada")
        waiting = asyncio.create_task(Turns()(asking(), work, who="ada"))
        await until(work.began.is_set)
        work.end.set()
        await waiting
        assert await turns(asking(), lambda: "next", who="bob") == "next"

    asyncio.run(gone())


def test_who_is_cancelled_while_waiting_leaves_the_queue() -> None:
    async def cancelled() -> None:
        turns, work = Turns(most=1), Work()
        one = asyncio.create_task(turns(asking(), work, who="ada"))
        await until(work.began.is_set)
        waits = asyncio.create_task(turns(asking(), work, who="mallory"))
        await asyncio.sleep(0)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        after = asyncio.create_task(turns(asking(), lambda: 7, who="bob"))
        await asyncio.sleep(0)
        work.end.set()
        assert (await one, await after) == (1, 7)

    asyncio.run(cancelled())


def test_one_account_does_not_keep_all_others_out() -> None:
    async def crowd() -> tuple[list[object], str]:
        turns, work = Turns(), Work()
        first = asyncio.create_task(turns(asking(path="/0"), work, who="mallory"))
        await until(work.began.is_set)
        paths = [f"/{number}" for number in range(1, 20)]
        more = [asyncio.create_task(turns(asking(path=path), work, who="mallory")) for path in paths]
        await asyncio.sleep(0)
        other = asyncio.create_task(turns(asking(), lambda: "made", who="alice"))
        await asyncio.sleep(0)
        work.end.set()
        made = await other
        return await asyncio.gather(first, *more, return_exceptions=True), made

    (first, second, *rest), made = asyncio.run(crowd())
    assert (first, second, made) == (1, 2, "made")
    assert len(rest) == 18
    assert all(isinstance(one, CrowdedError) and "nobody waits for two" in str(one) for one in rest)


def test_who_asks_for_the_same_again_waits_in_the_same_place() -> None:
    async def again() -> list[object]:
        turns, work, order = Turns(most=2), Work(), list[object]()
        first = asyncio.create_task(turns(asking(), work, who="ada"))
        await until(work.began.is_set)

        async def asks(who: str) -> None:
            await turns(asking(), lambda: order.append(who), who=who)

        every = [asyncio.create_task(asks(who)) for who in ("mallory", "mallory", "mallory", "bob")]
        await asyncio.sleep(0)
        work.end.set()
        await asyncio.gather(first, *every)
        return order

    assert asyncio.run(again()) == ["mallory", "bob", "mallory", "mallory"]


def test_nobody_who_wants_a_report_waits_for_a_bundle(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []

    def slow(*_: object) -> None:
        found.append(visitor.client.get(f"/studies/{visitor.execution}/report.html").status_code)

    monkeypatch.setattr(taking, "write_to", slow)
    assert visitor.client.get(f"/studies/{visitor.execution}/bundle.zip").status_code == 200
    assert found == [200]


@pytest.mark.parametrize("file", ["report.html", "report.pdf", "bundle.zip"])
def test_a_crowd_is_told_when_to_come_again(file: str, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    def crowded(*_: object, **__: object) -> bytes:
        raise CrowdedError("documents are made one at a time", remedy="ask again")

    monkeypatch.setattr(taking, "report", crowded)
    monkeypatch.setattr(taking, "report_pdf", crowded)
    monkeypatch.setattr(taking, "write_to", crowded)
    answer = visitor.client.get(f"/studies/{visitor.execution}/{file}")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "30"
    assert "made one at a time" in answer.text


def test_only_what_somebody_may_see_is_read(tmp_path: Path) -> None:
    """A hub of twenty people may have four thousand drafts."""
    drafts = Drafts(tmp_path)
    mine, theirs = drafts.begin(STUDY), drafts.begin(STUDY)
    (tmp_path / f"{theirs.name}.json").write_text("not to be read")
    assert [one.name for one in drafts.every(lambda name: name == mine.name)] == [mine.name]


def test_a_draft_that_is_removed_while_all_are_listed_is_missed_by_nobody(tmp_path: Path) -> None:
    drafts = Drafts(tmp_path)
    kept, gone = drafts.begin(STUDY), drafts.begin(STUDY)

    def wanted(name: str) -> bool:
        drafts.remove(gone.name)
        return True

    assert [one.name for one in drafts.every(wanted)] == [kept.name]
