"""Bad weather is said on the page: a process that is gone, a full disk, a newer journal, one that cannot be read."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from medfl.errors import StoreError
from medfl.hub.pages.application import OPEN, application
from medfl.hub.pages.bench import Bench
from medfl.hub.pages.live import Followed, Live
from medfl.hub.pages.watching import watch_page
from medfl.hub.pages.weather import last_words, log_of, weather
from medfl.hub.people.alone import alone
from medfl.loopback import Sessions
from medfl.spec.reading import parse
from medfl.steering import Steering
from medfl.store.home import Home
from medfl.store.shelf import whole_execution
from medfl.store.views import ExecutionView
from medfl.testing.disk import filled, small_disk
from medfl.testing.held import until
from medfl.testing.pages import STUDY, Carriers, looked, serving
from medfl.testing.wall import EXECUTION, beginning, one_round
from medfl.workbench import Workers

LONG = STUDY.replace("rounds = 2", "rounds = 400").replace(
    'baselines = ["centralised", "local-only"]', "baselines = []"
)


@contextmanager
def served(home: Home) -> Iterator[httpx.Client]:
    """Serve the pages of a store; give a browser that was let in."""
    sessions = Sessions()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
        bench = Bench(home, looked, looked, Carriers(home), home.is_busy, steers=Steering(home))
        with (
            serving(application(bench, *alone(sessions, port=port, open_to_all=OPEN)), listener),
            httpx.Client(
                base_url=f"http://127.0.0.1:{port}", follow_redirects=True, trust_env=False, timeout=60
            ) as client,
        ):
            client.get(sessions.link())
            yield client


def told(home: Home, execution: str, workers: Workers) -> str:
    view = whole_execution(home, execution)
    return " ".join(weather(home, view, busy=workers.working(execution) or home.is_busy(execution)))


def test_a_process_that_was_killed_is_said(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        workers = Workers(home, tmp_path)
        execution = workers.launch(parse(LONG, source="study.toml"))
        until(lambda: whole_execution(home, execution).every[0].rounds > 1)
        assert not told(home, execution, workers)
        os.kill(workers._processes[execution].pid, signal.SIGKILL)
        until(lambda: not workers.working(execution))
        page = watch_page(whole_execution(home, execution), home.is_busy, home)
        workers.close()
    assert page.state == "waiting"
    assert "ended without telling the journal" in page.weather[0]
    assert "it can go on" in page.weather[0]


def test_a_full_disk_ends_a_study_and_is_said(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as mounted:
        if not mounted:
            pytest.skip("no small disk can be mounted here")
        with Home(tmp_path / "disk") as home:
            workers = Workers(home, tmp_path)
            execution = workers.launch(parse(LONG, source="study.toml"))
            until(lambda: whole_execution(home, execution).every[0].rounds > 1)
            with filled(home.folder):
                until(lambda: not workers.working(execution))
                with served(home) as client:
                    page = client.get(f"/studies/{execution}/watch")
                    assert page.status_code == 200
                    assert "The disk is full" in page.text
                    token = page.text.partition('x-csrf-token": "')[2].partition('"')[0]
                    draft = client.post("/drafts", data={"text": STUDY}, headers={"x-csrf-token": token})
                    assert draft.status_code == 500
                    assert "No space left on device" in draft.text, draft.text
            workers.go_on(execution)
            before = whole_execution(home, execution).every[0].rounds
            until(lambda: whole_execution(home, execution).every[0].rounds > before)
            workers.close()


def test_the_last_words_of_a_process_are_told_without_a_trace(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text(
        "federated, seed 0: round 1 of 4\n"
        "Traceback (most recent call last):\n"
        '  File "a.py", line 3, in read\n'
        "    raise ValueError(cell)\n"
        "pandas.errors.ParserError: could not convert 'Smith, 61 years'\n"
        "the \x1b[31mend\n"
    )
    words = last_words(log)
    assert words == (
        "federated, seed 0: round 1 of 4",
        f"a mistake in MEDfl (ParserError); the trace is in {log}",
        "the [31mend",
    )
    assert "Smith" not in " ".join(words)
    assert last_words(tmp_path / "none") == ()


def test_a_process_that_never_began_has_its_last_words_told(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        home.journal.append(beginning(3, 4)[:1])
        log_of(home, EXECUTION).parent.mkdir()
        log_of(home, EXECUTION).write_text("Error: another process is working on f00dfeed-1\n")
        view = whole_execution(home, EXECUTION)
        found = list(weather(home, view, busy=False))
        assert "ended before it began" in found[0]
        assert found[1] == "Its last words: Error: another process is working on f00dfeed-1"
        assert not list(weather(home, view, busy=True))


def test_a_journal_of_a_newer_version_is_said_on_every_page(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        home.journal.append(beginning(3, 4))
    with sqlite3.connect(tmp_path / "journal.db") as database:
        database.execute("update meta set schema = schema + 1")
    with Home(tmp_path) as home, served(home) as client:
        for path in ("/", f"/studies/{EXECUTION}/watch"):
            page = client.get(path)
            assert page.status_code == 500
            assert "written by a newer version of MEDfl" in page.text
            assert "pip install --upgrade medfl" in page.text


def test_that_the_journal_cannot_be_read_is_said_and_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, news = list[str](), Followed.news

    def failing(followed: Followed) -> ExecutionView | None:
        looks.append("look")
        if len(looks) in (2, 3):
            raise StoreError("the journal was locked for too long by another process")
        return news(followed)

    async def watched() -> list[str]:
        with Home(tmp_path) as home:
            home.journal.append(beginning(3, 4))
            live = Live(
                home,
                home.is_busy,
                lambda view: "<section id=page></section>",
                lambda complaints: f"<section id=unread>{''.join(one.what for one in complaints)}</section>",
            )
            async with live.watching(EXECUTION) as shown:
                return [await anext(shown) for _ in range(3)]

    monkeypatch.setattr(Followed, "news", failing)
    assert asyncio.run(watched()) == [
        "<section id=page></section>",
        "<section id=unread>the journal was locked for too long by another process</section>",
        "<section id=unread></section>",
    ]


def test_who_comes_late_is_shown_all_and_who_was_there_only_what_changed(tmp_path: Path) -> None:
    def draw(view: ExecutionView) -> str:
        done = view.every[0].rounds
        return f"<section id=one>{done}</section>\n<section id=two>always the same</section>"

    async def watched() -> list[str]:
        with Home(tmp_path) as home:
            home.journal.append(beginning(3, 4))
            live = Live(home, home.is_busy, draw)
            async with live.watching(EXECUTION) as early:
                first = await anext(early)
                home.journal.append([event for some in one_round(1, 3) for event in some])
                news = await anext(early)
                async with live.watching(EXECUTION) as late:
                    return [first, news, await anext(late)]

    first, news, late = asyncio.run(watched())
    assert "always the same" in first
    assert news.strip() == "<section id=one>1</section>"
    assert "<section id=one>1</section>" in late
    assert "always the same" in late


def test_a_run_behind_one_that_was_skipped_is_still_followed(tmp_path: Path) -> None:
    """Runs are looked at that come next; at times all of them, since one may begin out of turn."""
    planned = beginning(3, 4)[0]
    with Home(tmp_path) as home:
        home.journal.append([replace(planned, run=f"{EXECUTION}-{number}") for number in range(1, 7)])
        followed = Followed(home, home.is_busy, EXECUTION)
        assert followed.news() is not None
        last = f"{EXECUTION}-6"
        home.journal.append([replace(event, run=last) for event in beginning(3, 4)[1:]])
        found = [view for _ in range(8) if (view := followed.news()) is not None]
        assert [run.run for run in found[-1].every if run.started] == [last]
