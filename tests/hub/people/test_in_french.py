"""Every page of a consortium's hub in French, as people of each role find it: none of it is half in English."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from medfl.channel import Decision, State
from medfl.consortium import bench_of
from medfl.hub.asked import Answer, Asked
from medfl.hub.pace import Pace
from medfl.hub.pages.application import OPEN, application
from medfl.hub.pages.catalogue import catalogue
from medfl.hub.pages.people.rooms import people_rooms
from medfl.hub.pages.shelf import Everything
from medfl.hub.people.audit import TERMINAL
from medfl.hub.people.consortium import People
from medfl.hub.people.permits import Role
from medfl.hub.place import HubPlace
from medfl.hub.presence import Presence
from medfl.hub.standing import Standing
from medfl.hub.told import Told
from medfl.store.home import Home
from medfl.testing.hub import application as applying
from medfl.testing.hub import invited, made
from medfl.testing.people import GOOD, HOST, Browser, Clock, cheap
from medfl.testing.spoken import foreign, sayings, words_of_language, words_of_one_only
from medfl.versions import here

STUDY = """
[study]
name = "sites"
question = "Qui est malade ?"
[data]
target = "malade"
sites = { nord = "salle", sud = "salle" }
[algorithm]
kind = "fedavg"
rounds = 2
"""
NAMES = ("DELETE", "releases.ranges")
LOG = "train of run r-1: answered"
"""What a site writes down of itself is English, and says so."""
PEOPLE = {
    "ada": Role.ADMIN,
    "cleo": Role.COORDINATOR,
    "rob": Role.RESEARCHER,
    "dora": Role.DATA_OWNER,
    "otto": Role.AUDITOR,
}
PATHS = (
    *("/", "/new", "/queue", "/sites", "/presence", "/sites/nord", "/sites/parti", "/sites/luc", "/people"),
    *("/audit", "/audit?look=true", "/audit?words=xyz", "/account", "/ailleurs"),
)
OF_A_STUDY = ("launch", "launch/parts", "watch", "results", "code", "events", "drop", "share")


class French(Browser):
    """A browser that asks for French."""

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        data: dict[str, str | list[str]] | None = None,
        files: Mapping[str, tuple[str, bytes]] | None = None,
    ) -> httpx.Response:
        return super().ask(method, path, headers={"Accept-Language": "fr", **(headers or {})}, data=data, files=files)


def test_no_page_of_a_hub_is_half_in_english(tmp_path: Path) -> None:
    known = catalogue("fr")
    words = words_of_one_only({**known.texts, **{one: forms[-1] for one, forms in known.plurals.items()}})
    wrong: dict[str, str] = {}
    pages = 0
    for what, html in told(tmp_path):
        pages += 1
        for one in sayings(html, language="fr"):
            english = set(foreign(one.text, words, names=NAMES)) - words_of_language()
            if (one.language == "en" and one.text not in ("English", LOG)) or (one.language == "fr" and english):
                wrong[one.text] = what
    assert not wrong
    assert pages > 100


def told(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what the pages say, by what was asked and by whom."""
    hub = made(folder / "hub", "Cœurs du Nord")
    for site in ("nord", "sud", "est", "parti"):
        applied(hub, site)
        hub.register.approve(site, hub.authority)
    hub.revoke("parti")
    applied(hub, "luc")
    invited(hub, "Clinique du Lac")
    tell(hub)
    clock, standing = Clock(time.time()), Standing()
    with Home(hub.folder) as home:
        people = People.at(hub.folder, name=hub.about.name, clock=clock, hashes=cheap(), pace=Pace(clock=clock))
        for name, role in PEOPLE.items():
            spoken = ("nord",) if role is Role.DATA_OWNER else ()
            token = people.accounts.add(name, name.title(), (role,), spoken, by=TERMINAL)
            people.accounts.take_link(token, GOOD, by=TERMINAL)
        access, gate = people.before(hosts=[HOST], runs=Everything(home), open_to_all=OPEN)
        rooms = people_rooms(people, lambda: ("nord", "sud"))
        app = application(bench_of(hub, home, standing), access, gate, rooms)
        yield from outside(app)
        clock.now += 86400.0
        executions = [launched(app, name) for name in ("cleo", "rob")]
        decide(hub, executions)
        standing.say("disk", "The disk is full: studies wait until there is room.")
        for name in PEOPLE:
            yield from visited(app, name, executions)
        yield "people at last", entered(app, "ada").get("/people").text
        yield "audit at last", entered(app, "ada").get("/audit?look=true").text


def applied(hub: HubPlace, title: str) -> None:
    invitation = invited(hub, title)
    hub.register.apply(applying(invitation), invitation.authority)


def tell(hub: HubPlace) -> None:
    """Have sites tell what they have, what they do, and what their policies held back."""
    told = Told(speaks=here(), state=State("training", "r-1", "train", 2, rounds=9), known=True)
    told.lines = [{"at": 1e9, "text": LOG}]
    size = {"name": "taille", "kind": "numeric", "unit": "cm", "minimum": 30.0, "maximum": 90.0, "categories": []}
    sexe = {"name": "sexe", "kind": "categorical", "categories": ["1", "2"], "codes": {"1": "femme"}}
    ward: Mapping[str, Any] = {
        "target": "malade",
        "rows": 1200,
        "columns": [size, sexe],
        "other_columns": ["note"],
        "policy": ["ranges of columns were widened to round numbers (releases.ranges in the site's policy)"],
        "left_out": 2,
    }
    told.datasets = {"salle": dict(ward), "vieux": {"withheld": "it has fewer than 50 rows"}}
    told.keep(hub.folder, "nord")
    for site, state in {"sud": State("idle"), "est": State("paused")}.items():
        Told(state=state, known=site == "est").keep(hub.folder, site)
    Presence().keep(hub.folder, {"nord", "sud"})


def outside(app: FastAPI) -> Iterator[tuple[str, str]]:
    stranger = French(app)
    yield "sign-in", stranger.get("/sign-in").text
    yield "welcome", stranger.get("/welcome?token=rien").text
    for number in range(9):
        yield f"sign-in {number}", stranger.sign_in("ada", "faux").text


def launched(app: FastAPI, name: str) -> str:
    answer = entered(app, name).post("/studies", page="/new", text=STUDY)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"].split("/")[2])


def decide(hub: HubPlace, executions: list[str]) -> None:
    """Have sites decide on the studies: one waits, one has approved, one has refused."""
    now, digest = time.time(), "a" * 64
    first = {"nord": {digest: Answer("waiting", "rounds asked for: 2; accepted: 1 at most", now)}}
    Asked(now, {**first, "sud": {digest: Answer("approved", "", now)}}, 1).keep(hub.folder, executions[0])
    Asked(now, {"nord": {digest: Answer("refused", "non", now)}}, 1).keep(hub.folder, executions[1])
    Told(decisions={digest: Decision("refused", "vote perdu", now + 1)}).keep(hub.folder, "est")


def visited(app: FastAPI, name: str, executions: list[str]) -> Iterator[tuple[str, str]]:
    browser = entered(app, name)
    first = executions[0]
    for path in (*PATHS, *(f"/studies/{one}/{page}" for one in executions for page in OF_A_STUDY)):
        yield f"{name}: {path}", browser.get(path).text
    forms: dict[str, dict[str, str | list[str]]] = {
        "/drafts": {"text": STUDY},
        "/studies": {"text": STUDY.replace("sud", "lune")},
        f"/studies/{first}/put-off": {"not_before": "tard"},
        f"/studies/{first}/share": {"names": "personne"},
        "/sites/sud/revoke": {"name": "x"},
        "/sites/luc/approve": {"digits": "1"},
        "/sites/invite": {"title": ""},
        "/account/tokens": {"label": "essai", "days": "30", "scope": ["see-home"]},
        "/account/password": {"old": "x", "new": "court", "again": "courte"},
        "/account/second": {"code": "1"},
        "/people": {"name": f"neuf-{name}", "title": "Neuf", "roles": ["researcher", "data owner"], "spoken": ["nord"]},
        "/people/ada/disable": {},
    }
    for path, sent in forms.items():
        yield f"{name}: POST {path}", browser.post(path, page="/account", **sent).text
    yield f"{name}: invited", browser.post("/sites/invite", page="/account", title=f"Lac de {name}").text
    yield f"{name}: no label", browser.post("/account/tokens", page="/account", label="", days="30").text
    yield f"{name}: no name", browser.post("/people", page="/account", name="", title="Neuf").text
    yield f"{name}: no number", browser.post("/account/tokens", page="/account", label="a", days="x").text


def entered(app: FastAPI, name: str) -> French:
    browser = French(app)
    answer = browser.sign_in(name)
    assert answer.status_code == 303, answer.text
    return browser
