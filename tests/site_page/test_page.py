"""The page of a hospital shows and does what the commands do, for one person on this machine and for nobody else."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from html import unescape

import httpx
import pytest
from tests.site_page.conftest import BEFORE, NOW, Ward

from medfl.errors import EngineError
from medfl.loopback import COOKIE
from medfl.site.approvals import Approvals
from medfl.site_page.serving import Page
from medfl.testing.command import MEDFL, typed
from medfl.testing.federation import study

PAGES = ("/", f"/studies/{NOW.digest}", "/data", "/data/ward", "/budget", "/log", "/connection")
CHANGES = (
    f"/studies/{NOW.digest}/approve",
    f"/studies/{NOW.digest}/refuse",
    "/pause",
    "/continue",
    "/connection/ask",
    "/leave",
)


@pytest.fixture
def browser(page: Page) -> Iterator[httpx.Client]:
    """Somebody who came by the link."""
    with httpx.Client(base_url=f"http://127.0.0.1:{page.port}", follow_redirects=True, trust_env=False) as client:
        assert client.get(page.link()).status_code == 200
        yield client


def text(answer: httpx.Response) -> str:
    """Return what a person reads, without tags."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", answer.text)))


def do(browser: httpx.Client, path: str, **fields: str) -> httpx.Response:
    """Send the form of a page, as its button would."""
    token = re.search(r'name="csrf" value="(\w+)"', browser.get("/").text)
    assert token is not None
    return browser.post(path, data={"csrf": token[1], **fields})


def verdict(ward: Ward) -> str:
    asked = Approvals(ward.east).find(NOW.digest)
    assert asked is not None
    return asked.verdict


def test_it_says_what_the_command_says(browser: httpx.Client, ward: Ward) -> None:
    said = typed("site", "show", NOW.digest[:12], "--home", ward.east.folder, "--json").json[0]
    read = text(browser.get(f"/studies/{NOW.digest}"))
    for title, sentences in said["wants"].items():
        assert title in read
        assert all(sentence in read for sentence in sentences)
    first = next(title for title in said["wants"] if title.startswith("What is different"))
    assert read.index(first) < read.index("What is asked"), "what is new comes first"


def test_approving_lets_a_run_go_on(browser: httpx.Client, ward: Ward) -> None:
    answer = do(browser, f"/studies/{NOW.digest}/approve", dataset="ward", back=f"/studies/{NOW.digest}")
    assert f"Approved: tiny ({NOW.digest[:12]}), with the data set ward" in text(answer)
    assert "Approved: tiny" not in text(browser.get("/")), "it is said once"
    assert ward.run() == (3, "")


def test_refusing_stops_one_with_its_reason(browser: httpx.Client, ward: Ward) -> None:
    do(browser, f"/studies/{NOW.digest}/approve", dataset="ward")
    assert "Refused: tiny" in text(do(browser, f"/studies/{NOW.digest}/refuse", reason="no ethics vote yet"))
    rounds, why = ward.run()
    assert rounds == 0
    assert "no ethics vote yet" in why


def test_pausing_and_going_on(browser: httpx.Client, ward: Ward) -> None:
    assert "The site is paused" in text(do(browser, "/pause"))
    assert ward.east.pause.exists()
    assert "paused by its own people" in ward.run(BEFORE)[1]
    assert "The site answers again" in text(do(browser, "/continue"))
    assert ward.run(BEFORE) == (2, "")


def test_every_page_is_there(browser: httpx.Client, ward: Ward) -> None:
    for path in PAGES:
        answer = browser.get(path)
        assert answer.status_code == 200, path
        assert answer.text.count('aria-current="page"') == 1
    assert "waits for approval by the site's people" in text(browser.get("/log"))
    assert "The log is whole: 1 line, none changed" in text(browser.get("/log"))
    assert "not running" in text(browser.get("/connection"))
    data = text(browser.get("/data/ward"))
    assert "60 rows" in data
    assert "amber, blue and clear" in data
    own = data.partition("What the hub may see of it")[0]
    assert not re.search(r"\d to \d", own), "the smallest and largest value are those of single patients"


def test_a_log_that_was_changed_is_said(browser: httpx.Client, ward: Ward) -> None:
    path = ward.east.log / "audit.jsonl"
    path.write_text(path.read_text().replace("refused", "granted"))
    assert "The log is not as it was written" in text(browser.get("/log"))


def test_a_hub_that_does_not_answer_is_said(browser: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refresh(*words: object) -> None:
        raise EngineError("the hub cannot be reached", remedy="try: medfl doctor")

    monkeypatch.setattr("medfl.site_page.desk.refresh", refresh)
    answer = do(browser, "/connection/ask")
    assert answer.status_code == 503
    assert "That did not work the hub cannot be reached. try: medfl doctor" in text(answer)
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("path", [*PAGES, *CHANGES, "/none"])
def test_nobody_gets_in_without_the_link(page: Page, ward: Ward, path: str) -> None:
    method = "POST" if path in CHANGES else "GET"
    answer = httpx.request(method, f"http://127.0.0.1:{page.port}{path}", trust_env=False, cookies={COOKIE: "x"})
    assert answer.status_code == 403
    assert "tiny" not in answer.text
    assert (verdict(ward), ward.east.pause.exists()) == ("waiting", False)


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize("token", [None, "", "0" * 64])
def test_no_change_without_the_sessions_token(browser: httpx.Client, ward: Ward, path: str, token: str | None) -> None:
    answer = browser.post(path, data={} if token is None else {"csrf": token})
    assert answer.status_code == 403
    assert (verdict(ward), ward.east.pause.exists()) == ("waiting", False)
    assert browser.get("/").status_code == 200, "the session goes on"


def test_another_name_of_this_machine_is_refused(browser: httpx.Client, page: Page) -> None:
    for host in ("attacker.example", f"attacker.example:{page.port}", "127.0.0.1"):
        assert browser.get("/", headers={"host": host}).status_code == 421


def test_a_change_that_another_page_asks_for_is_refused(browser: httpx.Client, ward: Ward) -> None:
    browser.headers["origin"] = "http://attacker.example"
    assert do(browser, "/pause").status_code == 403
    assert not ward.east.pause.exists()


@pytest.mark.parametrize("digest", [NOW.digest[:12], "x" * 64, "study.toml", "..%2f..%2fstudy.toml"])
def test_only_a_whole_digest_names_a_study(browser: httpx.Client, ward: Ward, digest: str) -> None:
    assert browser.get(f"/studies/{digest}").status_code == 404
    assert do(browser, f"/studies/{digest}/approve", dataset="ward").status_code == 404
    assert verdict(ward) == "waiting"


def test_what_a_hub_writes_is_text_and_nothing_else(browser: httpx.Client, ward: Ward) -> None:
    asked = study(study={"question": '<script>alert("x")</script>\u202e'})
    assert ward.run(asked)[0] == 0
    answer = browser.get(f"/studies/{asked.digest}")
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert" in answer.text
    assert "\u202e" not in answer.text


@pytest.mark.parametrize("back", ["//attacker.example", "http://attacker.example", "/\\attacker.example", ""])
def test_nobody_is_led_elsewhere(browser: httpx.Client, back: str) -> None:
    browser.follow_redirects = False
    assert do(browser, "/pause", back=back).headers["location"] == "/"


def test_signing_out_ends_the_session(browser: httpx.Client, page: Page) -> None:
    assert "Signed out" in text(do(browser, "/leave"))
    assert browser.get("/").status_code == 403


def test_a_damaged_folder_is_told_without_a_trace(browser: httpx.Client, ward: Ward) -> None:
    (ward.east.studies / f"{NOW.digest}.json").write_text("{")
    answer = browser.get("/")
    assert "That did not work" in text(answer)
    assert "Traceback" not in answer.text


def test_it_listens_on_this_machine_only_and_ends_with_ctrl_c(ward: Ward) -> None:
    command = [*MEDFL, "site", "page", "--home", str(ward.east.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            link = process.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/enter\?token=[\w-]{43}", link)
            with httpx.Client(follow_redirects=True, trust_env=False) as client:
                assert "Studies" in client.get(link).text
                assert "not signed in" in httpx.get(link.partition("/enter")[0], trust_env=False).text
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "Traceback" not in err
