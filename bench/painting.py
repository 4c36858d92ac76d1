"""How soon somebody sees something: the first paint of each page, and events of a run after the journal, in Chromium.

``python bench/painting.py`` serves the pages of a store with a run of 50 sites, opens them in Debian's Chromium, and
asks the browser when it painted first (the limit is 1 s); then it watches the run while rounds are written, and
compares the moment at which each is in the journal with the moment at which the browser shows it (the limit is 500 ms
for the slowest twentieth). Exit code 1 if one is missed; nothing is measured without Chromium.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from threading import Event
from time import time

from playwright.sync_api import Page, sync_playwright
from watching import BEFORE, ROUNDS, SITES

from medfl import simulate
from medfl.spec.reading import parse
from medfl.store.home import Home
from medfl.testing.pages import STUDY
from medfl.testing.wall import EXECUTION, RUN, beginning, one_round

PAINT, LATE = 1.0, 0.5
"""Seconds until something is seen, and until an event is."""
BEAT = 0.3
"""Seconds between two rounds."""
TIMES = 5
SWITCHES = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
PAINTED = """() => new Promise(done => {
  const found = () => performance.getEntriesByName("first-contentful-paint")[0];
  const look = () => found() ? done(found().startTime) : requestAnimationFrame(look);
  look();
})"""
NOTING = """() => {
  window.noted = {};
  const look = () => {
    for (const [, number] of document.body.innerText.matchAll(/Round (\\d+) is stored/g)) {
      window.noted[number] ??= Date.now();
    }
  };
  new MutationObserver(look).observe(document.body, {childList: true, subtree: true, characterData: true});
  look();
}"""


def main() -> int:
    """Fill, serve, look, print."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("There is no Chromium here (apt-get install chromium): nothing was measured.")
        return 0
    with tempfile.TemporaryDirectory() as folder, Home(Path(folder)) as home:
        done = simulate(parse(STUDY, source="study.toml"), home=home.folder, progress=False).execution
        home.journal.append(beginning(SITES, BEFORE + ROUNDS))
        home.journal.append(
            [event for number in range(1, BEFORE + 1) for some in one_round(number, SITES) for event in some]
        )
        command = [sys.executable, str(Path(__file__).with_name("watching.py")), "serve", folder]
        with (
            home.lock(EXECUTION),
            home.lock(RUN),
            subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as server,
            sync_playwright() as playwright,
        ):
            try:
                assert server.stdout is not None
                link = server.stdout.readline().strip()
                browser = playwright.chromium.launch(executable_path=chromium, args=list(SWITCHES))
                page = browser.new_page(base_url=link.partition("/enter")[0], locale="en-GB")
                page.goto(link)
                slow = painted(page, done) + live(page, home)
                browser.close()
                return int(slow > 0)
            finally:
                server.communicate("")


def painted(page: Page, done: str) -> int:
    """Print when each page is painted first; return how many are too late."""
    slow = 0
    paths = ["/", "/new", *(f"/studies/{done}/{name}" for name in ("watch", "events", "results", "code"))]
    for path in [*paths, f"/studies/{EXECUTION}/watch"]:
        took = []
        for _ in range(TIMES):
            page.goto(path)
            took.append(float(page.evaluate(PAINTED)) / 1e3)
        print(f"{path:36} first paint: median {median(took) * 1e3:4.0f} ms, slowest {max(took) * 1e3:4.0f} ms")
        slow += median(took) > PAINT
    return slow


def live(page: Page, home: Home) -> int:
    """Print how long after the journal a browser shows rounds; return 1 if it is too long."""
    page.goto(f"/studies/{EXECUTION}/watch")
    page.get_by_text(f"Round {BEFORE} is stored").first.wait_for()
    page.evaluate(NOTING)
    written: dict[int, float] = {}
    pause = Event()
    for number in range(BEFORE + 1, BEFORE + ROUNDS + 1):
        for some in one_round(number, SITES):
            home.journal.append(some)
        written[number] = time()
        # The browser's own thread goes on meanwhile; rounds of a study are further apart.
        pause.wait(BEAT)
    page.get_by_text(f"Round {BEFORE + ROUNDS} is stored").first.wait_for()
    seen = {int(number): at / 1e3 for number, at in page.evaluate("() => window.noted").items()}
    late = sorted(seen[number] - at for number, at in written.items() if number in seen)
    p95 = late[int(0.95 * len(late))]
    print(f"from the journal to the browser: {len(late)} of {ROUNDS} rounds were shown")
    print(f"median {median(late) * 1e3:.0f} ms, 95 % {p95 * 1e3:.0f} ms, slowest {late[-1] * 1e3:.0f} ms")
    return int(p95 > LATE)


if __name__ == "__main__":
    sys.exit(main())
