"""An execution is followed from its journal: each look reads what was added, and all who watch see the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from medfl import simulate
from medfl.errors import NotFoundError, StoreError
from medfl.events import Event
from medfl.hub.pages.live import Followed, Live
from medfl.hub.pages.watching import watch_page
from medfl.spec.reading import parse
from medfl.store.home import Home
from medfl.store.shelf import whole_execution
from medfl.store.views import ExecutionView
from medfl.testing.pages import STUDY


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Event]]:
    """All that happened in a study."""
    folder: Path = tmp_path_factory.mktemp("told")
    results = simulate(parse(STUDY, source="study.toml"), home=folder, progress=False)
    with Home(folder) as home:
        return results.execution, [recorded.event for recorded in home.journal.read()]


def test_each_look_tells_what_was_added_and_ends_as_the_whole(told: tuple[str, list[Event]], tmp_path: Path) -> None:
    execution, events = told
    with Home(tmp_path) as home:
        home.journal.append(events[:5])
        followed = Followed(home, home.is_busy, execution)
        assert followed.news() is not None
        assert followed.news() is None
        for event in events[5:]:
            home.journal.append([event])
            view = followed.news()
        assert followed.news() is None
        assert view == whole_execution(home, execution)


def test_nobody_follows_what_is_not_there(tmp_path: Path) -> None:
    with Home(tmp_path) as home, pytest.raises(NotFoundError, match="no such study"):
        Followed(home, home.is_busy, "none")


def test_a_page_is_drawn_once_for_all_who_watch_and_a_slow_one_sees_the_last(
    told: tuple[str, list[Event]], tmp_path: Path
) -> None:
    execution, events = told
    drawn: list[int] = []

    async def watched() -> list[str]:
        with Home(tmp_path) as home:
            home.journal.append(events[:5])

            def draw(view: object) -> str:
                drawn.append(len(drawn))
                return str(len(drawn))

            live = Live(home, home.is_busy, draw)
            async with live.watching(execution) as one, live.watching(execution) as other:
                first = [await anext(one), await anext(other)]
                home.journal.append(events[5:])
                return [*first, await anext(one), await anext(other)]

    assert asyncio.run(watched()) == ["1", "1", "2", "2"]
    assert len(drawn) == 2


def test_a_look_that_fails_is_not_the_last(
    told: tuple[str, list[Event]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution, events = told
    looks: list[str] = []
    news = Followed.news

    def failing(followed: Followed) -> ExecutionView | None:
        looks.append("look")
        if len(looks) == 2:
            raise StoreError("the journal is locked")
        return news(followed)

    async def watched() -> list[str]:
        with Home(tmp_path) as home:
            home.journal.append(events[:5])
            async with Live(home, home.is_busy, lambda view: str(len(looks))).watching(execution) as shown:
                first = await anext(shown)
                home.journal.append(events[5:])
                return [first, await anext(shown)]

    monkeypatch.setattr(Followed, "news", failing)
    assert asyncio.run(watched()) == ["1", "3"]


@pytest.mark.parametrize("part", range(1, 12, 2))
def test_a_study_can_be_looked_at_at_any_moment(part: int, told: tuple[str, list[Event]], tmp_path: Path) -> None:
    execution, events = told
    cut = len(events) * part // 12 or 1
    with Home(tmp_path) as home:
        home.journal.append(events[: max(cut, 5)])
        page = watch_page(whole_execution(home, execution), home.is_busy, home)
    assert page.state == "waiting"
    assert 0 <= page.done < page.planned
