"""The pages that only a consortium's hub has, over a hub without a network."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.types import ASGIApp

from medfl.channel import Decision, Hardware, State
from medfl.consortium import bench_of, require_no_files
from medfl.errors import PlanError
from medfl.hub.asked import Answer, Asked
from medfl.hub.pages.application import application
from medfl.hub.pages.bounded import Bounded
from medfl.hub.people.access import permits_of
from medfl.hub.people.permits import Action, Role
from medfl.hub.place import HubPlace
from medfl.hub.presence import Presence
from medfl.hub.standing import Standing
from medfl.hub.told import Told
from medfl.store.home import Home
from medfl.testing.federation import study
from medfl.testing.hub import application as applying
from medfl.testing.hub import invited, made
from medfl.testing.visits import OPEN_DOOR, Visit, asked, posted
from medfl.versions import here

STUDY = """
[study]
name = "tiny"
question = "Who falls <ill>?"

[data]
target = "sick"
sites = { east = "ward", west = "ward" }

[algorithm]
kind = "fedavg"
rounds = 2
"""
EXPECTED = {
    "GET /sites": Action.SEE_SITES,
    "GET /presence": Action.SEE_SITES,
    "GET /sites/{site}": Action.SEE_SITES,
    "GET /queue": Action.SEE_QUEUE,
    "GET /studies/{execution}/launch": Action.SEE_STUDY,
    "GET /studies/{execution}/launch/parts": Action.SEE_STUDY,
    "GET /api/sites": Action.SEE_SITES,
    "GET /api/sites/{site}": Action.SEE_SITES,
    "GET /api/queue": Action.SEE_QUEUE,
    "GET /api/studies/{execution}/launch": Action.SEE_STUDY,
    "POST /sites/invite": Action.CHANGE_SITES,
    "POST /sites/{site}/approve": Action.CHANGE_SITES,
    "POST /sites/{site}/revoke": Action.CHANGE_SITES,
    "POST /queue/{execution}/{way}": Action.CHANGE_QUEUE,
    "POST /studies/{execution}/put-off": Action.STEER_STUDY,
}
"""What each address does: whoever adds one writes down here who may use it."""
MAY = {
    Action.SEE_SITES: set(Role),
    Action.CHANGE_SITES: {Role.ADMIN, Role.COORDINATOR},
    Action.SEE_QUEUE: {Role.COORDINATOR, Role.RESEARCHER, Role.AUDITOR},
    Action.CHANGE_QUEUE: {Role.COORDINATOR},
    Action.SEE_STUDY: {Role.COORDINATOR, Role.AUDITOR},
    Action.STEER_STUDY: {Role.COORDINATOR},
}
"""Who passes, for a study that is somebody else's."""


@dataclass
class Pages:
    """A hub with two enrolled sites and one that waits, and its pages."""

    hub: HubPlace
    app: ASGIApp
    visit: Visit
    home: Home
    digits: str
    standing: Standing

    def get(self, path: str) -> str:
        """Return a page that is there."""
        answer = asked(self.app, "GET", path)
        assert answer.status_code == 200, answer.text
        return re.sub(r"\s+", " ", answer.text)

    def launch(self, **words: str) -> str:
        """Launch the study, and return its execution's id."""
        answer = posted(self.app, "/studies", text=STUDY, **words)
        assert answer.status_code == 303, answer.text
        execution, page = answer.headers["location"].removeprefix("/studies/").split("/")
        assert page == "launch"
        return execution


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Pages]:
    hub = made(tmp_path / "hub", "Northern <Hearts>")
    for site in ("east", "west"):
        enrol(hub, site)
        hub.register.approve(site, hub.authority)
    waiting = enrol(hub, "St Mary's")
    visit, standing = Visit(), Standing()
    visit.come("ada", Role.COORDINATOR)
    with Home(hub.folder) as home:
        bench = bench_of(hub, home, standing)
        yield Pages(hub, Bounded(application(bench, visit.access, OPEN_DOOR)), visit, home, waiting, standing)


def enrol(hub: HubPlace, title: str) -> str:
    invitation = invited(hub, title)
    return hub.register.apply(applying(invitation), invitation.authority).fingerprint


def test_a_site_is_approved_by_the_digits_that_its_people_read_out_and_no_others(pages: Pages) -> None:
    shown = pages.get("/sites")
    assert "St Mary&#39;s" in shown
    assert pages.digits not in shown, "nobody compares the digits with the page itself"
    assert asked(pages.app, "GET", "/api/sites").json()["waiting"][0]["fingerprint"] == ""
    for wrong in ("", "12345", pages.digits[:-1], pages.digits[::-1]):
        answer = posted(pages.app, "/sites/st-mary-s/approve", digits=wrong)
        assert answer.status_code == 400
        assert "not the digits of the keys that came" in answer.text
        assert pages.digits not in answer.text
        assert pages.hub.register.named("st-mary-s").status == "waiting"
    answer = posted(pages.app, "/sites/st-mary-s/approve", digits=pages.digits.replace(" ", "-"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/sites/st-mary-s")
    assert pages.hub.register.named("st-mary-s").status == "approved"
    assert pages.digits in pages.get("/sites/st-mary-s")


def test_an_invitation_is_shown_once(pages: Pages) -> None:
    answer = posted(pages.app, "/sites/invite", title="Lake Clinic", days="1")
    assert answer.status_code == 200
    assert "max-age" in answer.headers["strict-transport-security"]
    (line,) = asked(pages.app, "GET", "/api/sites").json()["invited"]
    assert (line["name"], line["title"]) == ("lake-clinic", "Lake Clinic")
    record = pages.hub.register.named("lake-clinic")
    assert 86000 < record.expires - time.time() <= 86400
    found = re.search(r"readonly[^>]*>([^<]+)</textarea>", answer.text)
    assert found is not None
    assert found[1] not in pages.get("/sites")
    for title in ("", "  ", "east", "St Mary's"):
        refused = posted(pages.app, "/sites/invite", title=title)
        assert refused.status_code == 400, title
        assert 'role="alert"' in refused.text


def test_a_site_is_revoked_by_its_name_typed_and_its_consequences_are_said(pages: Pages) -> None:
    assert "Its keys are never accepted again" in pages.get("/sites/east")
    answer = posted(pages.app, "/sites/east/revoke", name="west")
    assert (answer.status_code, pages.hub.register.named("east").status) == (400, "approved")
    assert posted(pages.app, "/sites/east/revoke", name=" east ").status_code == 303
    assert pages.hub.register.named("east").status == "revoked"
    assert [line["name"] for line in asked(pages.app, "GET", "/api/sites").json()["revoked"]] == ["east"]
    assert posted(pages.app, "/sites/nowhere/revoke", name="nowhere").status_code == 400


def test_a_site_is_shown_as_it_tells_and_its_lines_to_whom_they_concern(pages: Pages) -> None:
    told = Told(speaks=here(), state=State("training", "r-1", "train", 2, rounds=9), known=True)
    told.lines = [{"at": 1e9, "text": "train of run r-1: <answered>"}]
    column = {"name": "age", "kind": "numeric", "unit": "years", "minimum": 30.0, "maximum": 90.0, "categories": []}
    sex = {"name": "sex", "kind": "categorical", "categories": ["1", "2"], "codes": {"1": "female"}}
    told.datasets = {
        "ward": {"target": "sick", "rows": 1200, "columns": [column, sex], "other_columns": ["note"], "policy": ["x"]},
        "old": {"withheld": "it has fewer than 50 rows"},
    }
    told.keep(pages.hub.folder, "east")
    assert 'class="lamp on"' not in pages.get("/presence")
    Presence().keep(pages.hub.folder, {"east"})
    part = pages.get("/presence")
    assert 'class="lamp on"' in part
    assert "<html" not in part
    assert "hx-" not in part, "what is replaced asks for nothing itself"
    page = asked(pages.app, "GET", "/api/sites/east").json()
    assert (page["site"]["connected"], page["site"]["doing"]) == (True, "training, round 2 of 9 of r-1")
    assert page["datasets"][1]["columns"][1]["values"] == "1 = female, 2"
    shown = pages.get("/sites/east")
    assert re.search("1.200 rows", shown)
    assert "30 – 90" in shown
    assert "Nothing of it is told: it has fewer than 50 rows." in shown
    assert "&lt;answered&gt;" in shown
    for name, roles, sites, reads in (
        ("rob", [Role.RESEARCHER], [], False),
        ("dora", [Role.DATA_OWNER], ["east"], True),
        ("dora", [Role.DATA_OWNER], ["west"], False),
        ("otto", [Role.AUDITOR], [], True),
    ):
        pages.visit.come(name, *roles, sites=sites)
        assert ("answered" in pages.get("/sites/east")) == reads


def test_the_balance_of_classes_and_the_machine_are_shown_where_they_are_told(pages: Pages) -> None:
    column = {"name": "sick", "kind": "categorical", "categories": ["no", "<yes>"]}
    ward = {"target": "sick", "rows": 900, "columns": [column], "other_columns": [], "policy": []}
    balance = {"parts": {"no": 10, "<yes>": 0}, "of": 10}
    Told(known=True, datasets={"ward": ward}).keep(pages.hub.folder, "west")
    machine = Hardware(1, 16, gpu=True)
    Told(known=True, datasets={"ward": ward | {"balance": balance}}, hardware=machine).keep(pages.hub.folder, "east")
    shown = pages.get("/sites/east")
    assert "one core, about 16 GB of memory, a GPU" in shown
    assert '&lt;yes&gt; <span class="muted">under 10 %</span>' in shown
    assert "one core" not in pages.get("/sites/west")
    assert 'class="balance"' not in pages.get("/sites/west")
    lines = {line["name"]: line["hardware"] for line in asked(pages.app, "GET", "/api/sites").json()["enrolled"]}
    assert lines == {"east": {"cores": 1, "memory": 16, "gpu": True}, "west": None}
    twin = asked(pages.app, "GET", "/api/sites/east").json()["datasets"][0]["balance"]
    assert [(one["label"], one["how"], one["figure"]) for one in twin] == [("no", "over", 0.9), ("<yes>", "under", 0.1)]
    draft = posted(pages.app, "/drafts", text="").headers["location"]
    offers = pages.get(draft)
    assert offers.count('class="balance"') == 1, "before it is taken into a study"
    assert offers.count("one core, about 16 GB of memory, a GPU") == 1
    draft = posted(pages.app, "/drafts", text='[data]\ntarget = "sick"\nsites = { east = "ward" }').headers["location"]
    tables = asked(pages.app, "GET", f"/api{draft}").json()["tables"]
    (east,) = tables["every"]
    assert (east["site"], east["hardware"]) == ("east", {"cores": 1, "memory": 16, "gpu": True})
    assert [one["label"] for one in east["balance"]] == ["no", "<yes>"]


def test_a_launch_is_queued_and_says_who_has_still_to_decide(pages: Pages) -> None:
    execution = pages.launch()
    (entry,) = pages.hub.queue.entries()
    assert (entry.execution, entry.by, pages.visit.owner["study", execution]) == (execution, "ada", "ada")
    first = asked(pages.app, "GET", f"/api/studies/{execution}/launch").json()
    assert [(one["site"], one["dataset"], one["stand"]) for one in first["sites"]] == [
        ("east", "ward", "away"),
        ("west", "ward", "away"),
    ]
    assert first["waits_for"] == "It waits for east and west to connect."
    Presence().keep(pages.hub.folder, {"east", "west"})
    digest = "a" * 64
    now = time.time()
    Asked(
        now, {"east": {digest: Answer("waiting", "why", now)}, "west": {digest: Answer("approved", "", now)}}, 1
    ).keep(pages.hub.folder, execution)
    shown = pages.get(f"/studies/{execution}/launch")
    assert "It waits for the people of east, who have to read and approve it." in shown
    assert "Who falls &lt;ill&gt;?" in shown
    Told(decisions={digest: Decision("refused", "no <vote>", now + 1)}).keep(pages.hub.folder, "east")
    part = pages.get(f"/studies/{execution}/launch/parts")
    assert "no &lt;vote&gt;" in part
    assert "<html" not in part
    assert "hx-" not in part, "what is replaced asks for nothing itself"


def test_a_study_is_put_off_by_the_moment_and_not_by_the_readers_clock(pages: Pages) -> None:
    later = time.time() + 7200
    execution = pages.launch(not_before=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(later)))
    (entry,) = pages.hub.queue.entries()
    assert entry.not_before == pytest.approx(later, abs=1.5)
    assert "Not before" in pages.get(f"/studies/{execution}/launch")
    assert posted(pages.app, f"/studies/{execution}/put-off", not_before="2001-01-01T00:00Z").status_code == 303
    assert pages.hub.queue.entries()[0].not_before == 0.0, "what is past is at once"
    for wrong in ("soon", "2999-01-01T00:00Z", "+262142-12-31"):
        assert posted(pages.app, f"/studies/{execution}/put-off", not_before=wrong).status_code == 400
    answer = posted(pages.app, "/studies", text=STUDY, not_before="soon")
    assert (answer.status_code, len(pages.hub.queue.waiting())) == (400, 1)
    assert "this is no time" in answer.text


def test_the_queue_is_moved_by_the_coordinator_and_taken_out_by_whose_it_is(pages: Pages) -> None:
    first, second = pages.launch(), pages.launch()
    pages.visit.come("rob", Role.RESEARCHER)
    third = pages.launch()
    lines = asked(pages.app, "GET", "/api/queue").json()["lines"]
    assert [line["execution"] for line in lines] == ["", "", third], "others' studies are there, and no more is told"
    assert "somebody else’s study" in pages.get("/queue")
    assert posted(pages.app, f"/queue/{third}/up").status_code == 403
    assert posted(pages.app, f"/studies/{first}/stop").status_code == 403
    assert posted(pages.app, f"/studies/{third}/stop").status_code == 303
    assert pages.hub.queue.waiting() == [first, second]
    page = asked(pages.app, "GET", f"/api/studies/{third}/launch").json()
    assert (page["queued"], page["state"]) == (False, "waiting")
    assert posted(pages.app, f"/studies/{third}/go-on").headers["location"].endswith("/launch")
    pages.visit.come("ada", Role.COORDINATOR)
    assert posted(pages.app, f"/queue/{third}/up").status_code == 303
    assert pages.hub.queue.waiting() == [first, third, second]
    assert posted(pages.app, f"/queue/{first}/down").status_code == 303
    assert pages.hub.queue.waiting() == [third, first, second]
    assert posted(pages.app, "/queue/0123/up").status_code == 404


def test_a_study_of_a_page_reads_no_file_of_the_hub_and_starts_from_no_run_unseen(pages: Pages) -> None:
    for start in ('model = "../authority"', 'weights = "/etc/hostname"'):
        text = f"{STUDY}\n[model]\nkind = 'torch'\nname = 'mlp'\n[model.start]\n{start}\n"
        answer = posted(pages.app, "/studies", text=text)
        assert answer.status_code == 400
        assert pages.hub.queue.waiting() == []
    bad = study(data={"sites": {"east": "ward"}}, model={"kind": "logistic", "start": {"weights": "x.safetensors"}})
    with pytest.raises(PlanError, match="names no files of the hub"):
        require_no_files(bad)
    execution = pages.launch()
    pages.visit.come("rob", Role.RESEARCHER)
    text = f'{STUDY}\n[model]\nkind = "logistic"\n[model.start]\nrun = "{execution}-1"\n'
    answer = posted(pages.app, "/studies", text=text)
    assert answer.status_code == 400
    assert "<code>see-study</code>" in answer.text


def test_the_plan_says_which_sites_are_asked_and_what_cannot_be(pages: Pages) -> None:
    draft = posted(pages.app, "/drafts", text=STUDY).headers["location"]
    looked = asked(pages.app, "POST", f"{draft}/look", data={"csrf": "token"}, follow_redirects=True).text
    assert "Which sites are asked" in looked
    assert "east for its data set ward; it is not connected now, and the study waits for it." in looked
    assert "Launch the study" in looked
    answer = posted(pages.app, "/studies", text=STUDY.replace("west", "north"))
    assert answer.status_code == 400
    assert "not all sites of the study are enrolled" in answer.text


def test_sites_are_chosen_from_what_they_told_and_what_differs_is_repaired_by_clicks(pages: Pages) -> None:
    sick = {"name": "sick", "kind": "categorical", "categories": ["no", "yes"]}
    for site, name, unit, by in (("east", "age", "years", 1), ("west", "AGE", "months", 12)):
        told = Told(known=True)
        column = {"name": name, "kind": "numeric", "unit": unit, "minimum": 30.0 * by, "maximum": 90.0 * by}
        told.datasets = {"ward": {"target": "sick", "rows": 90, "columns": [column, sick], "other_columns": []}}
        told.keep(pages.hub.folder, site)
    text = '[study]\nname = "tiny"\n[data]\ntarget = "sick"\nfeatures = ["age"]\n[data.units]\nage = "years"\n'
    draft = posted(pages.app, "/drafts", text=text).headers["location"]
    for number, site in enumerate(("east", "west"), start=1):
        assert f"Add ward of {site}" in pages.get(draft)
        answer = posted(pages.app, f"{draft}/site", site=site, dataset="ward", revision=str(number))
        assert answer.status_code == 200
    page = asked(pages.app, "GET", f"/api{draft}").json()
    assert page["tables"]["offers"] == []
    assert [(gap["site"], gap["column"], gap["kind"]) for gap in page["tables"]["gaps"]] == [("west", "age", "missing")]
    assert page["tables"]["sends"] is False
    posted(pages.app, f"{draft}/repair", site="west", column="age", revision="3")
    page = asked(pages.app, "GET", f"/api{draft}").json()
    assert (page["tables"]["gaps"], page["faults"]) == ([], 0)
    assert 'age = {called = "AGE", factor = 0.0833333, unit = "months"}' in page["draft"]["text"]
    refused = asked(
        pages.app,
        "POST",
        f"{draft}/upload",
        data={"revision": "4", "csrf": "token"},
        files={"table": ("a.csv", b"a\n1\n")},
    )
    assert refused.status_code == 403
    assert "tables stay at their sites" in refused.text


def test_what_is_wrong_with_the_hub_is_said_to_whom_it_concerns(pages: Pages) -> None:
    pages.standing.say("disk", "The disk is full: studies wait until there is room.")
    assert "The disk is full" in pages.get("/sites")
    pages.visit.come("dora", Role.DATA_OWNER)
    assert "The disk is full" not in pages.get("/sites")
    pages.visit.come("ada", Role.COORDINATOR)
    pages.standing.say("disk", "")
    assert "The disk is full" not in pages.get("/sites")


def test_the_pages_bear_the_name_of_the_consortium_and_say_who_reads(pages: Pages) -> None:
    shown = pages.get("/")
    assert "Design the first study" in shown
    assert "569 women" not in shown, "a hub has no tables to deal out"
    assert "<b>Northern &lt;Hearts&gt;</b>" in shown
    assert '<a href="/account">Ada</a>' in shown
    assert 'href="/sites"' in shown
    assert 'href="/queue"' in shown
    pages.visit.come("dora", Role.DATA_OWNER)
    assert 'href="/queue"' not in pages.get("/sites")
    assert "Only an admin or a coordinator of this hub revokes a site." in pages.get("/sites/east")


def test_every_role_is_held_to_the_table_at_every_address_of_a_hub(pages: Pages) -> None:
    app = application(bench_of(pages.hub, pages.home), pages.visit.access, OPEN_DOOR)
    assert isinstance(app, FastAPI)
    found: dict[str, Action] = {}
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute) and "consortium" in route.endpoint.__module__:
            (permit,) = permits_of(route.dependant)
            found |= {f"{method} {context.path}": permit.action for method in route.methods or ()}
    assert found == EXPECTED
    for name, action in EXPECTED.items():
        method, _, path = name.partition(" ")
        address = re.sub(r"\{.*?\}", "0123", path)
        for role in Role:
            pages.visit.come("rob", role)
            answer = posted(app, address) if method == "POST" else asked(app, method, address)
            assert (answer.status_code != 403) == (role in MAY[action]), (name, role)
            if method == "POST":
                assert asked(app, method, address, data={"csrf": "x"}).status_code == 403
