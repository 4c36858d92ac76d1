"""A hospital with a page: a data set, a policy, a study that was approved before, and one that waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import pytest

from medfl.events import RoundFinished
from medfl.run.in_process import InProcess
from medfl.site.approvals import Approvals
from medfl.site.datasets import DataSet, Datasets
from medfl.site.enrolled import Enrolment, SiteHome
from medfl.site.reception import Reception
from medfl.site.rules_template import template
from medfl.site_page.serving import Page
from medfl.spec.study import Study
from medfl.testing.federation import NAMES, rehearse, study, tables

POLICY = (
    template()
    .replace("secure_aggregation = true", "secure_aggregation = false")
    .replace('ranges = "rounded"', 'ranges = "exact"')
    .replace("minimum_rows = 50", "minimum_rows = 40")
    .replace("minimum = 5", "minimum = 1")
    .replace("minimum_test_rows = 20", "minimum_test_rows = 1")
    .replace("minimum_difference = 5", "minimum_difference = 1")
)
BEFORE, NOW = study(), study(algorithm={"rounds": 3}, training={"local_epochs": 2})
"""A study as it was approved at every site, and as it is asked for now; only east has not read that yet."""


@dataclass
class Ward:
    """Three hospitals, one of which has its page open."""

    homes: dict[str, SiteHome]

    @property
    def east(self) -> SiteHome:
        return self.homes["east"]

    def run(self, asked: Study = NOW) -> tuple[int, str]:
        """Carry a study out over the receptions; return how many rounds it made, and what stopped it."""
        engine = InProcess({name: Reception(home, name).answer for name, home in self.homes.items()})
        events, error = rehearse(asked, engine)
        return sum(isinstance(event, RoundFinished) for event in events), "" if error is None else str(error)

    def approve(self, asked: Study, *names: str) -> None:
        for name in names:
            home = self.homes[name]
            Approvals(home).approve(asked, "ward", Datasets(home).named("ward"), by="person")


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    homes = {name: SiteHome(tmp_path / name) for name in NAMES}
    for name, home in homes.items():
        table = tmp_path / f"{name}.csv"
        tables()[name].to_csv(table, index=False)
        Datasets(home).add("ward", DataSet(source=str(table), target="sick", added="2026-01-02 03:04"))
        home.policy.write_text(POLICY)
        home.keep(Enrolment("approved", name, "hub.example.org", 443, hub="Lakes consortium", title=f"{name} clinic"))
        home.file.chmod(0o600)
    found = Ward(homes)
    found.approve(BEFORE, *NAMES)
    found.approve(NOW, "north", "west")
    rounds, why = found.run()
    assert rounds == 0
    assert "waits for approval by the site's people" in why
    return found


@pytest.fixture
def page(ward: Ward) -> Iterator[Page]:
    """Serve the page of east."""
    served, ready = Page(ward.east), Event()
    thread = Thread(target=served.run, args=(ready.set,))
    thread.start()
    try:
        assert ready.wait(30)
        yield served
    finally:
        served.end()
        thread.join()
