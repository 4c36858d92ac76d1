"""All that OpenAPI describes of a hub keeps to its description, pages for programs and forms, whatever it is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from schemathesis import Case

from medfl import simulate
from medfl.hub.people.entrance import COOKIE
from medfl.hub.people.permits import Role
from medfl.loopback import HEADER
from medfl.spec.reading import parse
from medfl.store.home import Home
from medfl.testing.described import CHECKS, Operation, about, described, fuzzed
from medfl.testing.hub import invited, made
from medfl.testing.pages import STUDY
from medfl.testing.people import HOST, Browser, Consortium, consortium

EXAMPLES = 4
TAKING = ("/disable", "/reset", "/roles", "/remove")
"""What takes away that others are about: it is sent to other names only."""


class Everybody:
    """Somebody with every role at a hub, in a session that begins anew when it was ended."""

    def __init__(self, hub: Consortium, execution: str) -> None:
        self.hub, self.execution = hub.has("ada", *Role), execution
        self.browser: Browser = hub.browser("ada")
        self.csrf = self.browser.token("/account")
        answer = self.browser.post("/drafts", page="/new", text=STUDY)
        self.draft = answer.headers["location"].rpartition("/")[2]

    def signed_in(self) -> None:
        """Begin a session if there is none, as after a sign-out."""
        # Whoever waits for having failed too often has waited.
        self.hub.clock.now += 600
        if self.browser.get("/api/account").status_code == 401:
            self.browser = self.hub.browser("ada")
            self.csrf = self.browser.token("/account")

    def sends(self, case: Case[Any]) -> None:
        """Send a case, and compare the answer with its description."""
        headers = {"host": HOST, "Accept": "application/json", HEADER: self.csrf}
        cookies = {COOKIE: self.browser.cookies[COOKIE]}
        answer = case.call(base_url=f"https://{HOST}", headers=headers, cookies=cookies, allow_redirects=False)
        case.validate_response(answer, checks=list(CHECKS))

    def known(self, operation: Operation) -> dict[str, str]:
        """Return names of what is there, for an address that is about something."""
        names = {"drafts": self.draft, "start": "breast-cancer", "tables": "metrics", "studies": self.execution}
        names |= {"sites": "mayo", "people": "ada", "queue": self.execution, "{execution}": "up"}
        return about(operation, names)

    def fitting(self, body: Any) -> Any:
        """Return a form as a page sends it that has seen the draft as it is."""
        if not isinstance(body, Mapping) or "revision" not in body:
            return body
        found = self.browser.get(f"/api/drafts/{self.draft}").json()
        return {**body, "revision": found["draft"]["revision"] if "draft" in found else 1}


@pytest.fixture(scope="module")
def somebody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everybody]:
    folder: Path = tmp_path_factory.mktemp("api")
    place = made(folder / "hub")
    invited(place, "mayo")
    execution = simulate(parse(STUDY, source="study.toml"), home=place.folder, progress=False).execution
    with Home(place.folder) as home:
        yield Everybody(consortium(place.folder, home, place), execution)


def test_every_change_and_every_page_for_programs_is_described(somebody: Everybody) -> None:
    found = {f"{one.method.upper()} {one.path}" for one in described(somebody.hub.app.openapi())}
    assert {"GET /api/people", "GET /api/audit", "GET /api/sites/{site}", "GET /api/queue"} <= found
    assert {"POST /sites/invite", "POST /people", "POST /queue/{execution}/{way}", "POST /drafts/{name}/set"} <= found


def test_whatever_is_sent_is_answered_as_described(somebody: Everybody) -> None:
    wrong = []
    for operation in described(somebody.hub.app.openapi(), somebody.hub.app):
        somebody.signed_in()
        there = somebody.known(operation)

        def of_what_is_there(case: Case[Any], there: Mapping[str, str] = there) -> None:
            case.path_parameters, case.body = dict(there), somebody.fitting(case.body)
            somebody.sends(case)

        sends = [somebody.sends] if not there or operation.path.endswith(TAKING) else [somebody.sends, of_what_is_there]
        for send in sends:
            try:
                fuzzed(operation, send, examples=EXAMPLES)
            except Exception as error:  # noqa: BLE001 - all that is wrong is told at once
                wrong.append(error)
    if wrong:
        raise ExceptionGroup("what is answered is not what is described", wrong)


def test_what_is_refused_is_json_to_who_asks_for_it(somebody: Everybody) -> None:
    somebody.signed_in()
    ask = {"accept": "application/json"}
    token = somebody.csrf
    browser = somebody.browser
    answer = browser.ask("POST", "/studies", headers=ask, data={"csrf": token, "text": "= 3"})
    assert answer.status_code == 400
    assert "TOML" in answer.json()["error"][0]["what"]
    answer = browser.ask("POST", "/sites/mayo/approve", headers=ask, data={"csrf": token, "digits": "1"})
    assert answer.status_code == 400
    assert answer.json()["error"][0]["what"]
    plan = browser.ask("POST", f"/drafts/{somebody.draft}/look", headers=ask, data={"csrf": token}).json()
    assert plan["text"]
    both = {"accept": "text/html, application/json"}
    assert "<html" in browser.ask("POST", "/studies", headers=both, data={"csrf": token, "text": "= 3"}).text
