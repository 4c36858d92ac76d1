"""Every page has two forms of one content, breaks on nothing that is typed, and changes nothing without a token."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from medfl.hub.pages.starters import starters
from medfl.loopback import COOKIE
from medfl.spec.reading import parse
from medfl.spec.study import Study
from medfl.testing.pages import STUDY, Visitor

PAGES = ("watch", "results", "code")


def test_home_lists_what_is_done_and_offers_a_beginning(visitor: Visitor) -> None:
    page = visitor.client.get("/").text
    assert "tumours" in page
    assert "Is it &lt;malignant&gt; &amp; so on?" in page
    told = visitor.client.get("/api/home").json()
    assert [line["execution"] for line in told["finished"]] == [visitor.execution]
    assert not told["running"]
    assert [one["name"] for one in told["starters"]] == [one.name for one in starters()]


@pytest.mark.parametrize("page", PAGES)
def test_each_page_of_a_study_has_a_twin(page: str, visitor: Visitor) -> None:
    html = visitor.client.get(f"/studies/{visitor.execution}/{page}")
    assert html.status_code == 200
    assert html.headers["content-type"].startswith("text/html")
    told = visitor.client.get(f"/api/studies/{visitor.execution}/{page}").json()
    assert told["study"] == "tumours"
    assert told["question"] == "Is it <malignant> & so on?"
    assert "<malignant>" not in html.text.replace("\\u003cmalignant>", "")


def test_a_finished_study_opens_with_its_results(visitor: Visitor) -> None:
    answer = visitor.client.get(f"/studies/{visitor.execution}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/studies/{visitor.execution}/results")


def test_the_threshold_moves_along_the_rows_that_were_tested(visitor: Visitor) -> None:
    told = visitor.client.get(f"/api/studies/{visitor.execution}/results").json()
    (federated,) = [one for one in told["moving"] if one["mark"]["role"] == "arm"]
    rows = sum(row["test_rows"] for row in told["forest"]["rows"])
    assert federated["positives"] + federated["negatives"] == rows == told["forest"]["pooled"]["test_rows"]
    assert federated["thresholds"] == sorted(federated["thresholds"], reverse=True)
    assert federated["sensitivity"] == sorted(federated["sensitivity"])
    assert federated["specificity"] == sorted(federated["specificity"], reverse=True)


@pytest.mark.parametrize("name", ["study.py", "study.ipynb", "study.toml"])
def test_code_is_taken_along_and_means_the_same_study(name: str, visitor: Visitor) -> None:
    answer = visitor.client.get(f"/studies/{visitor.execution}/files/{name}")
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    digest = parse(STUDY, source="study.toml").digest
    if name.endswith("toml"):
        assert Study.model_validate(tomllib.loads(answer.text)).digest == digest
    else:
        assert digest in answer.text


def test_the_report_is_shown_under_a_policy_of_its_own(visitor: Visitor) -> None:
    answer = visitor.client.get(f"/studies/{visitor.execution}/report.html")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "<h2>Results</h2>" in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nowhere", 404), ("/studies/none/watch", 404), ("/start/none", 404), ("/studies/%2e%2e/watch", 404)],
)
def test_what_is_not_there_is_said_on_a_page_and_as_json(path: str, status: int, visitor: Visitor) -> None:
    page = visitor.client.get(path)
    assert page.status_code == status
    assert "That did not work" in page.text
    twin = visitor.client.get(f"/api{path}")
    assert twin.status_code == status
    assert twin.json()["error"][0]["what"]


def test_a_study_is_launched(visitor: Visitor) -> None:
    answer = visitor.client.post("/studies", data={"csrf": visitor.token, "text": STUDY}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/studies/12345678/watch")
    assert visitor.carries.asked == ["launch tumours"]


def test_a_broken_study_opens_with_all_that_is_wrong(visitor: Visitor) -> None:
    text = STUDY.replace('kind = "fedavg"', 'kind = "fedavgg"').replace("rounds = 2", "rounds = -1")
    page = visitor.client.post("/studies", data={"csrf": visitor.token, "text": text}).text
    assert "fedavgg" in page
    assert "cannot run yet" in page
    assert "Start the study" not in page
    page = visitor.client.post("/drafts", data={"csrf": visitor.token, "text": text}).text
    assert "fedavgg" in page
    assert "Two things to mend" in page
    assert not visitor.carries.asked


@pytest.mark.parametrize(
    "path", ["/drafts", "/studies", "/studies/1/stop", "/studies/1/go-on", "/drafts/0123456789ab/remove"]
)
@pytest.mark.parametrize("token", [None, "", "0" * 64])
def test_nothing_changes_without_the_sessions_token(path: str, token: str | None, visitor: Visitor) -> None:
    sent = {"text": STUDY} | ({} if token is None else {"csrf": token})
    answer = visitor.client.post(path, data=sent)
    assert answer.status_code == 403
    assert "did not come from a page of this session" in answer.text
    assert not visitor.carries.asked


def test_every_address_is_behind_the_guard(visitor: Visitor) -> None:
    paths = [*visitor.client.get("/api/openapi.json").json()["paths"], "/", "/new", "/studies/x", "/api/openapi.json"]
    assert len(paths) > 8
    visitor.client.cookies.clear()
    for path in paths:
        filled = re.sub(r"\{.*?\}", "x", path)
        assert visitor.client.get(filled).status_code == 403
        assert visitor.client.post(filled).status_code == 403


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    before=st.sampled_from(["[study]\n", STUDY, ""]),
)
def test_nothing_that_is_typed_breaks_the_page(text: str, before: str, visitor: Visitor) -> None:
    answer = visitor.client.post("/drafts", data={"csrf": visitor.token, "text": before + text})
    assert answer.status_code == 200
    shown = answer.text.partition('<textarea id="text"')[2].partition(">")[2].partition("</textarea>")[0]
    assert "<" not in shown


def test_the_watch_page_is_told_of_what_there_is(visitor: Visitor) -> None:
    cookie = f"{COOKIE}={visitor.client.cookies[COOKIE]}"
    address = f"ws://127.0.0.1:{visitor.client.base_url.port}/live/{visitor.execution}"
    with connect(address, additional_headers={"Cookie": cookie}, proxy=None) as socket:
        first = str(socket.recv(30))
    assert 'id="standing" hx-swap-oob="true" class="standing finished"' in first
    numbers = first.partition('data-for="panel-">')[2].partition("</script>")[0]
    assert json.loads(numbers)[0]["title"]


def test_a_page_of_another_origin_is_told_nothing(visitor: Visitor) -> None:
    cookie = f"{COOKIE}={visitor.client.cookies[COOKIE]}"
    address = f"ws://127.0.0.1:{visitor.client.base_url.port}/live/{visitor.execution}"
    headers = {"Cookie": cookie, "Origin": "https://elsewhere.example"}
    with pytest.raises(InvalidStatus), connect(address, additional_headers=headers, proxy=None):
        pass
