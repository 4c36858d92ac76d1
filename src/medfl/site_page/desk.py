"""What the page shows and does: the same as the commands, by the same functions; each page as words of its template."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from medfl.errors import BusyError, MedflError, NotFoundError, RefusedError, SystemFault
from medfl.hospital import Hospital, Known, moment
from medfl.hospital_tables import COLUMNS, LOG, column_rows, log_rows, told_balance, told_rows
from medfl.private import held
from medfl.site.catalogue import catalogue
from medfl.site.enrolled import SiteHome
from medfl.site.enrolling import refresh
from medfl.site.machine import told_hardware

SHORT = 12
LAST = 200
"""Lines of the log that are shown."""
DELTA = 1e-5
"""The δ that ε is told at, as that of the command is by default."""
Words = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One study in the list."""

    name: str
    digest: str
    short: str
    asked: str
    dataset: str
    verdict: str
    kind: str


class Desk:
    """What one hospital's page is made of.

    Parameters
    ----------
    home
        The site's folder.
    """

    def __init__(self, home: SiteHome) -> None:
        self._home = home
        self._hospital = Hospital(home)

    def head(self) -> Words:
        """Return what stands at the top of each page."""
        enrolment = self._home.enrolment()
        waiting = sum(row.kind == "waiting" for row in map(_row, self._hospital.studies()))
        site = "This site" if enrolment is None else enrolment.title or enrolment.site
        hub = "" if enrolment is None else enrolment.hub or enrolment.host
        return {"site": site, "hub": hub, "paused": self._home.pause.exists(), "waiting": waiting}

    def studies(self) -> Words:
        """Return the studies that were asked for, those that wait first, then the newest."""
        rows = [_row(known) for known in self._hospital.studies()]
        rows.sort(key=lambda row: row.asked, reverse=True)
        return {"studies": sorted(rows, key=lambda row: row.kind != "waiting")}

    def study(self, digest: str) -> Words:
        """Return what one study wants, what differs from the last one that was approved, and what can be decided."""
        whole, known = self._hospital.meant(digest)
        sections = [
            {
                "title": section.title,
                "sentences": section.sentences,
                "differs": section.title.startswith("What is different"),
            }
            for section in self._hospital.wanted(whole, known)
        ]
        sections.sort(key=lambda section: not section["differs"])
        return {
            "study": _row(known[0]),
            "question": whole.study.question,
            "sections": sections,
            "datasets": self._hospital.fitting(whole),
        }

    def approve(self, digest: str, dataset: str) -> str:
        """Let a study use a data set; return a sentence about it."""
        (known,) = self._hospital.meant(digest)[1]
        name = self._hospital.approve(known, dataset or None)
        return f"Approved: {known.name} ({digest[:SHORT]}), with the data set {name}. It holds for this digest only."

    def refuse(self, digest: str, reason: str) -> str:
        """Let a study use nothing; return a sentence about it."""
        (known,) = self._hospital.meant(digest)[1]
        self._hospital.refuse(known, reason)
        return f"Refused: {known.name} ({digest[:SHORT]})."

    def pause(self) -> str:
        """Answer nobody."""
        return "The site is paused: it answers nobody." if self._hospital.pause() else "The site was paused already."

    def go_on(self) -> str:
        """Answer again."""
        return "The site answers again." if self._hospital.go_on() else "The site was not paused."

    def datasets(self) -> Words:
        """Return the data sets."""
        return {"datasets": self._hospital.datasets.all()}

    def dataset(self, name: str) -> Words:
        """Return what a table is like, for its owner and as the hub may see it."""
        dataset = self._hospital.datasets.named(name)
        schema, unusable = dataset.described()
        entry = catalogue(self._home).get(name, {"withheld": "it is not in the catalogue"})
        return {
            "name": name,
            "dataset": dataset,
            "rows": schema.rows,
            "heads": [head.capitalize() for head in COLUMNS],
            "columns": [_without_span(row) for row in column_rows(schema, dataset.meanings())],
            "unusable": {column: complaint.what for column, complaint in unusable.items()},
            "entry": entry,
            "told_columns": [] if "withheld" in entry else list(told_rows(entry)),
            "told_balance": told_balance(entry),
        }

    def budget(self) -> Words:
        """Return what was spent of each data set."""
        return {"spent": self._hospital.spent(DELTA), "delta": DELTA}

    def log(self) -> Words:
        """Return the newest lines of the audit log, newest first, and whether the whole of it is as it was written."""
        lines = list(deque(self._hospital.log.read(), maxlen=LAST))
        found = self._hospital.log.verify()
        heads = [head.capitalize() if head != LOG[1] else "Time (UTC)" for head in LOG]
        return {"heads": heads, "lines": log_rows(lines)[::-1], "verified": found, "most": LAST}

    def connection(self) -> Words:
        """Return how the enrolment stands, who the peers are, and whether the site's agent runs."""
        known = self._home.enrolment()
        peers = {} if known is None else {name: one for name, one in known.peers.items() if name != known.site}
        last = deque((line for line in self._hospital.log.read() if line.get("is") == "request"), maxlen=1)
        asked = moment(str(last[0]["at"])) if last else ""
        machine = told_hardware(self._home)
        return {"enrolment": known, "peers": peers, "running": self._runs(), "last": asked, "machine": machine}

    def ask(self) -> str:
        """Ask the hub how the site stands; return its answer as a sentence."""
        known = self._home.enrolment()
        if known is None:
            raise RefusedError("the site is not enrolled", remedy="type: medfl site enrol INVITATION")
        now, clock = refresh(self._home, known)
        at = f"{datetime.now(UTC):%H:%M:%S} UTC"
        return f"The hub answered at {at}: this site is {now.status}. {clock}".strip()

    def _runs(self) -> bool:
        """Say whether an agent answers for the site now."""
        try:
            with held(self._home.folder / "agent.lock", what="an agent of this site"):
                return False
        except BusyError:
            return True


def sentences(error: MedflError) -> list[str]:
    """Return what is wrong, and what to do, without a trace."""
    return [f"{one.what}. {one.remedy}".strip() for one in error.complaints]


def status_of(error: MedflError) -> int:
    """Return the code of an answer that tells an error."""
    if isinstance(error, NotFoundError):
        return 404
    if isinstance(error, SystemFault):
        return 503
    return 403 if isinstance(error, RefusedError) else 400


def _without_span(row: tuple[str, ...]) -> tuple[str, ...]:
    """Return a column without its smallest and largest value: they are values of single patients."""
    name, kind, unit, values, *rest = row
    return (name, kind, unit, "" if " to " in values else values, *rest)


def _row(known: Known) -> Row:
    asked, first = known.asked, known.verdict.partition(" ")[0].rstrip(":")
    kind = {"waiting": "waiting", "approved": "yes"}.get(first, "no")
    return Row(
        known.name,
        known.study.digest,
        known.study.digest[:SHORT],
        "" if asked is None else moment(asked.asked),
        "" if asked is None else asked.dataset,
        known.verdict,
        kind,
    )
