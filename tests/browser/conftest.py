"""A real browser (Debian's Chromium, driven by Playwright) before the real application."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
SWITCHES = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # No longer than for a module: while it is open, its thread runs an event loop that other tests would find.
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(SWITCHES))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``medfl app`` with a store of its own; the link that it prints."""
    folder = tmp_path_factory.mktemp("app")
    command = [sys.executable, "-m", "medfl", "app", "--home", str(folder / "home"), "--no-browser"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with ExitStack() as stack, (folder / "errors").open("w+") as errors:
        process = stack.enter_context(
            subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
        )
        assert process.stdout is not None
        link = process.stdout.readline().strip()
        assert urlsplit(link).hostname == "127.0.0.1", (folder / "errors").read_text()
        yield link
        process.terminate()
        assert process.wait(60) == 0
        assert "Traceback" not in (folder / "errors").read_text()


@pytest.fixture(scope="module")
def context(browser: Browser, application: str) -> Iterator[BrowserContext]:
    """A browser that came by the link; the link is good once, its session goes on."""
    address = application.partition("/enter")[0]
    context = browser.new_context(
        base_url=address, viewport={"width": 1280, "height": 860}, locale="en-GB", timezone_id="UTC"
    )
    first = context.new_page()
    first.goto(application)
    assert first.url == f"{address}/"
    first.close()
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A window in which nothing may go wrong unseen: a message of the console fails the test."""
    page, wrong = context.new_page(), list[str]()
    page.on("console", lambda told: wrong.append(told.text) if told.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    page.close()
    assert not wrong


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where pictures of the pages are left."""
    folder = Path(__file__).parents[2] / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
