"""The page on which a promise's cost is tried out: begun and ended by a word, said in words and in a table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from medfl.costing import costs
from medfl.errors import BusyError
from medfl.hub.pages.application import application
from medfl.hub.pages.bench import Attempt, Bench, Tried
from medfl.hub.people.permits import Role
from medfl.spec.reading import parse
from medfl.store.home import Home
from medfl.testing.pages import STUDY, Carriers, looked
from medfl.testing.visits import OPEN_DOOR, Visit, asked, posted

DP = """
[preprocess]
impute = "median"

[privacy.dp]
unit = "record"
epsilon = 3.0
"""
RANGES = "ranges = { age = [0, 120] }\n"
PRIVATE = STUDY.replace('baselines = ["centralised", "local-only"]', "threshold = 0.5") + DP
DONE = Tried(arm="base", epsilon=3.0, metric="AUC", private=0.95012, open=0.9612, rows=569, sites=3)


@dataclass
class Scripted:
    """Tries nothing, and says what it is told to."""

    attempt: Attempt = field(default_factory=lambda: Attempt(state="none", table="breast-cancer", own=False))
    asked: list[str] = field(default_factory=list)
    busy: bool = False

    def begin(self, text: str) -> None:
        """Write down what was to be tried."""
        if self.busy:
            raise BusyError("another study is being tried out", remedy="wait until it is done, or stop it")
        self.asked.append(parse(text, source="x").study.name)

    def seen(self, text: str) -> Attempt:
        """Return what it was told to say."""
        return self.attempt

    def stop(self, text: str) -> None:
        """Write down what was to stop."""
        self.asked.append(f"stop {parse(text, source='x').study.name}")


@dataclass
class Pages:
    """Pages with a draft."""

    app: ASGIApp
    tries: Scripted
    draft: str
    visit: Visit

    def get(self, path: str = "") -> str:
        """Return a page under the draft's cost."""
        answer = asked(self.app, "GET", f"{self.draft}/cost{path}")
        assert answer.status_code == 200, answer.text
        return re.sub(r"\s+", " ", answer.text)


def begun(home: Home, text: str, *, tries: Scripted | None, visit: Visit | None = None) -> tuple[ASGIApp, str]:
    visit = visit or Visit()
    visit.come("ada", Role.RESEARCHER)
    bench = Bench(home, looked, looked, Carriers(home), home.is_busy, costs=costs, tries=tries)
    app = application(bench, visit.access, OPEN_DOOR)
    return app, posted(app, "/drafts", text=text).headers["location"]


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Pages]:
    tries, visit = Scripted(), Visit()
    with Home(tmp_path / "home") as home:
        app, draft = begun(home, PRIVATE, tries=tries, visit=visit)
        yield Pages(app, tries, draft, visit)


def test_it_is_begun_from_the_draft_and_ended_by_a_word(pages: Pages) -> None:
    shown = re.sub(r"\s+", " ", asked(pages.app, "GET", pages.draft).text)
    assert f'<form id="try" method="post" action="{pages.draft}/cost">' in shown
    assert '<button class="small" form="try">Try what it costs</button>' in shown
    assert "It has not been tried out yet." in pages.get()
    assert "569 women" in pages.get(), "which table it would be is said beforehand"
    answer = posted(pages.app, f"{pages.draft}/cost")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{pages.draft}/cost")
    assert posted(pages.app, f"{pages.draft}/cost/stop").status_code == 303
    assert pages.tries.asked == ["tumours", "stop tumours"]
    pages.tries.busy = True
    assert "another study is being tried out" in posted(pages.app, f"{pages.draft}/cost").text


def test_while_it_is_under_way_the_page_asks_how_far_it_is_and_then_no_more(pages: Pages) -> None:
    pages.tries.attempt = replace(pages.tries.attempt, state="running", own=True, done=1, of=2)
    shown = pages.get()
    assert 'hx-get="' in shown
    assert "Stop it" in shown
    assert "on the table that it deals out itself" in shown
    part = pages.get("/parts")
    assert "Run 2 of 2 is under way" in part
    assert "hx-" not in part, "what is replaced asks for nothing itself"
    pages.tries.attempt = replace(pages.tries.attempt, state="done", results=(DONE,))
    assert asked(pages.app, "GET", f"{pages.draft}/cost/parts").headers["hx-refresh"] == "true"
    assert 'hx-get="' not in pages.get()


def test_what_came_of_it_is_said_in_words_and_in_a_table(pages: Pages) -> None:
    other = replace(DONE, arm="<strict>", epsilon=0.5, private=None)
    pages.tries.attempt = replace(pages.tries.attempt, state="done", results=(DONE, other))
    shown = pages.get()
    assert "AUC 0.961 without noise, 0.950 at ε = 3" in shown
    assert "AUC 0.961 without noise, not defined at ε = 0.5" in shown
    assert "&lt;strict&gt;" in shown
    twin = asked(pages.app, "GET", f"/api{pages.draft}/cost").json()
    assert [(one["epsilon"], one["private"]) for one in twin["attempt"]["results"]] == [(3.0, 0.95012), (0.5, None)]
    assert "Expected cost</b> <span>Tried out: AUC 0.961 without noise, 0.950 at ε = 3." in shown
    assert "cannot be told" not in shown, "what was measured stands in its place"
    drafted = re.sub(r"\s+", " ", asked(pages.app, "GET", pages.draft).text)
    assert "Expected cost</b> <span>Tried out: AUC 0.961 without noise, 0.950 at ε = 3." in drafted
    french = asked(pages.app, "GET", f"{pages.draft}/cost", headers={"accept-language": "fr"}).text
    assert "AUC 0,961 sans bruit, 0,950 à ε = 3" in re.sub(r"\s+", " ", french)


def test_arithmetic_says_what_it_knows_and_never_that_little_is_lost(pages: Pages) -> None:
    shown = pages.get()
    assert "Expected cost</b> <span>It cannot be told without trying it." in shown
    assert "How long the noise is in all depends on how many numbers the model has" in shown
    known = posted(pages.app, "/drafts", text=PRIVATE.replace("target =", 'features = ["age"]\ntarget =') + RANGES)
    assert "That is the best case" in asked(pages.app, "GET", known.headers["location"]).text
    assert "Preprocessing takes 10 % of ε" in shown.replace("\N{NO-BREAK SPACE}", " ").replace("10%", "10 %")
    assert "The counts for judging carry noise, too" in shown
    (one,) = asked(pages.app, "GET", f"/api{pages.draft}/cost").json()["costs"]
    assert (one["loss"], one["share"]) == ("untold", 0.1)
    assert one["statistics"] > 0
    assert one["judging"] > 0
    french = asked(pages.app, "GET", f"{pages.draft}/cost", headers={"accept-language": "fr"}).text
    assert "On ne peut le dire sans l’essayer." in french
    assert "Faible" not in french


def test_where_there_is_no_result_the_page_says_why(pages: Pages) -> None:
    pages.tries.attempt = replace(pages.tries.attempt, state="failed", why="the table <is> away")
    assert "There is no result: the table &lt;is&gt; away." in pages.get()
    pages.tries.attempt = replace(pages.tries.attempt, state="stopped", why="")
    assert "It was stopped." in pages.get()


def test_what_is_no_study_and_where_nothing_can_be_tried(tmp_path: Path) -> None:
    with Home(tmp_path / "home") as home:
        app, broken = begun(home, PRIVATE.replace("epsilon = 3.0", "epsilon = -1"), tries=Scripted())
        shown = asked(app, "GET", f"{broken}/cost").text
        assert "The draft is no study yet" in shown
        assert "Try what it costs" not in shown
        app, draft = begun(home, PRIVATE, tries=None)
        assert "Try what it costs" not in asked(app, "GET", draft).text
        assert "Nothing can be tried out here" in asked(app, "GET", f"{draft}/cost").text
        answer = posted(app, f"{draft}/cost")
        assert (answer.status_code, "nothing can be tried out here" in answer.text) == (400, True)


@pytest.mark.parametrize("role", [None, *Role])
def test_nobody_else_sees_begins_or_stops_somebodys_trial(pages: Pages, role: Role | None) -> None:
    pages.tries.attempt = replace(pages.tries.attempt, state="done", results=(DONE,))
    addresses = (f"{pages.draft}/cost", f"/api{pages.draft}/cost", f"{pages.draft}/cost/parts")
    pages.visit.come("bob", *(() if role is None else (role,)))
    for address in addresses:
        answer = asked(pages.app, "GET", address)
        # An auditor sees every draft, and changes none.
        assert (answer.status_code == 403) is (role is not Role.AUDITOR), address
        if role is not Role.AUDITOR:
            assert "0.95" not in answer.text
    for what in ("cost", "cost/stop"):
        assert posted(pages.app, f"{pages.draft}/{what}").status_code == 403
    assert pages.tries.asked == []
    pages.visit.come("ada", Role.RESEARCHER)
    assert [asked(pages.app, "GET", address).status_code for address in addresses] == [200] * 3


def test_who_stops_a_draft_of_their_own_stops_no_other(pages: Pages) -> None:
    pages.visit.come("bob", Role.RESEARCHER)
    own = posted(pages.app, "/drafts", text=PRIVATE.replace('"tumours"', '"lungs"')).headers["location"]
    assert posted(pages.app, f"{own}/cost/stop").status_code == 303
    assert pages.tries.asked == ["stop lungs"], "and not what ada tries"
