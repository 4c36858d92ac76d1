"""A study of a hub that ended without a site has not failed: it says whom it waits for, and goes on by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from medfl.events import Event, RoundFinished, RunFailed, RunStopped
from medfl.hub.again import taken_up_again
from medfl.hub.pages.bench import Bench
from medfl.hub.pages.design.drafts import Drafts
from medfl.hub.pages.live import Followed
from medfl.hub.pages.shelf import Everything, HomePage, home_page
from medfl.hub.pages.watching import watch_page
from medfl.hub.place import HubPlace
from medfl.hub.presence import Presence
from medfl.store.home import Home
from medfl.store.shelf import outlines, whole_execution
from medfl.testing.command import typed
from medfl.testing.wall import EXECUTION, RUN, beginning, names, one_round

FOUR = 4
AWAY = "hospital-03"


def ended() -> list[Event]:
    """Return what happened until a run ended in round 2, because one of its sites was silent."""
    events = [*beginning(FOUR, 6), *(event for some in one_round(1, FOUR) for event in some)]
    second = [event for some in one_round(2, FOUR, failing=(AWAY,)) for event in some]
    events += [event for event in second if not isinstance(event, RoundFinished)]
    return [*events, RunFailed(run=RUN, code="engine", message=f"site {AWAY}, round 2: it did not answer in time")]


@pytest.fixture
def hub(tmp_path: Path) -> HubPlace:
    """Return a hub whose study waits in the queue for a site that is away."""
    place = HubPlace(tmp_path)
    with Home(tmp_path) as home:
        home.journal.append(ended())
    place.queue.add(EXECUTION, "tumours")
    Presence().keep(tmp_path, set(names(FOUR)) - {AWAY})
    return place


def pages(hub: HubPlace) -> HomePage:
    with Home(hub.folder) as home:
        looked = cast(Any, None)
        bench = Bench(home, looked, looked, looked, lambda one: one in hub.queue.waiting(), hub)
        return home_page(bench, Everything(home), Drafts(hub.folder / "drafts"))


def test_it_waits_for_the_site_that_is_away(hub: HubPlace) -> None:
    told = f"Waits for {AWAY}. It is taken up again by itself once it is back."
    with Home(hub.folder) as home:
        page = watch_page(whole_execution(home, EXECUTION), lambda _: True, home)
    assert (page.again, page.runs[0].status) == (told, "waits")
    (line,) = pages(hub).running
    assert line.again == told
    (entry,) = typed("runs", "--home", hub.folder, "--json").json
    assert (entry["status"], entry["waits_for"]) == ("waits", [AWAY])
    assert f"waits for {AWAY}" in typed("runs", "--home", hub.folder).out
    entry = typed("show", RUN, "--home", hub.folder, "--json").json
    assert (entry["status"], entry["waits_for"]) == ("waits", [AWAY])
    shown = typed("show", RUN, "--home", hub.folder).out
    assert told in shown
    assert "medfl resume" not in shown


@pytest.mark.parametrize(
    ("language", "failed", "says"),
    [
        ("en", "failed", ("The study waits", ": waits after 1 of 6 rounds.", f"Waits for {AWAY}.", "<td>waits</td>")),
        ("fr", "a échoué", ("L’étude attend", "en attente (tours terminés\u00a0: 1 sur 6)", f"Attend {AWAY}.")),
    ],
)
def test_the_report_says_what_it_waits_for(language: str, failed: str, says: tuple[str, ...], hub: HubPlace) -> None:
    target = hub.folder / "report.html"

    def told() -> str:
        assert typed("report", RUN, "--home", hub.folder, "-o", target, "--language", language).code == 0
        return target.read_text(encoding="utf-8")

    report = told()
    assert [text for text in says if text not in report] == []
    assert "medfl resume" not in report
    assert f": {failed} " not in report
    hub.queue.done(EXECUTION)
    report = told()
    assert [text for text in says if text in report] == []
    assert "medfl resume" in report
    assert f": {failed} " in report


def test_the_page_says_so_when_it_is_back(hub: HubPlace) -> None:
    with Home(hub.folder) as home:
        looks = Followed(home, lambda _: True, EXECUTION)
        assert looks.news() is not None
        assert looks.news() is None
        Presence().keep(hub.folder, set(names(FOUR)))
        view = looks.news()
        assert view is not None, "nothing is in the journal, and yet it is another thing"
        again = taken_up_again(home, view.every)
    assert again is not None
    assert again.told == f"{AWAY} did not answer. It is taken up again by itself, in a minute at the latest."


def test_what_nobody_takes_up_again_has_failed(hub: HubPlace) -> None:
    hub.queue.done(EXECUTION)
    with Home(hub.folder) as home:
        assert taken_up_again(home, outlines(home)) is None
        page = watch_page(whole_execution(home, EXECUTION), lambda _: False, home)
    assert (page.again, page.runs[0].status) == ("", "failed")
    (line,) = pages(hub).waiting
    assert (line.again, line.why) == ("", f"site {AWAY}, round 2: it did not answer in time")
    assert typed("runs", "--home", hub.folder, "--json").json[0]["status"] == "failed"
    assert typed("show", RUN, "--home", hub.folder, "--json").json["status"] == "failed"


def test_who_paused_it_and_since_when_is_said_and_it_is_not_stopped(hub: HubPlace) -> None:
    hub.queue.done(EXECUTION)
    with Home(hub.folder) as home:
        home.journal.append([RunStopped(run=RUN, by="anna", why="the night", paused=True)])
        view = whole_execution(home, EXECUTION)
        page = watch_page(view, lambda _: False, home)
    (line,) = pages(hub).waiting
    assert (line.paused, line.why) == ("Paused by anna: the night.", "")
    assert line.since == page.since == view.every[0].ended
    assert page.runs[0].status == "paused"
    assert typed("runs", "--home", hub.folder, "--json").json[0]["status"] == "paused"
