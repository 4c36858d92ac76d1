"""A run of a consortium told once more in one process: by the same sites, asked the same, with the same noise."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from medfl.errors import Complaint
from medfl.events import DataPrepared, Event, PrivacySpent, RoundFinished, RunPlanned
from medfl.learn.data.tables import read_table
from medfl.messages import Refusal, Reply, Request
from medfl.privacy.ledger import Ledger
from medfl.privacy.secure.identity import Identity
from medfl.run.engine import unanswered
from medfl.run.in_process import InProcess
from medfl.run.loop import Federation, carry_out
from medfl.run.plan import compile
from medfl.site.answer import Site
from medfl.site.enrolled import SiteHome
from medfl.site.memory import FolderVault
from medfl.site.purse import Purse, secret_in
from medfl.site.sources import introduce
from medfl.spec.study import Study
from medfl.testing.federation import Kept


def retold(events: Sequence[Event], homes: dict[str, SiteHome], folder: Path) -> dict[int, str]:
    """Return the digest of each round's model that one process makes, where the same sites take part in it.

    Parameters
    ----------
    events
        What happened in the run.
    homes
        The hospitals' folders: their tables lie beside them.
    folder
        An empty one.
    """
    planned = next(event for event in events if isinstance(event, RunPlanned))
    plan = compile(Study.model_validate_json(planned.spec))[0]
    sites = {name: _site(name, home, folder) for name, home in homes.items()}
    introduce(sites, Identity(bytes(32)))
    took_part = {event.round: event.sites for event in events if isinstance(event, RoundFinished)}
    engine = _Absent(InProcess({name: site.answer for name, site in sites.items()}), took_part)
    told = carry_out(planned.run, plan, Federation(engine, Kept().write))
    return {event.round: event.model for event in told if isinstance(event, RoundFinished)}


def undercounted(events: Sequence[Event], homes: dict[str, SiteHome]) -> list[str]:
    """Return, in sentences, where less privacy is written down as spent than was: in a ledger, or in the journal."""
    run = events[0].run
    found = []
    for name, home in homes.items():
        took_part = [event.round for event in events if isinstance(event, RoundFinished) and name in event.sites]
        written = [line["place"] for line in ledger_lines(home, run) if line["task"] == "train"]
        if missing := set(took_part) - set(written):
            found.append(f"{name}: rounds {sorted(missing)} are not in its ledger")
        if len(written) != len(set(written)):
            found.append(f"{name}: a round is in its ledger twice: {sorted(written)}")
        spent = (event for event in events if isinstance(event, PrivacySpent) and event.stage == "train")
        told = {event.round for event in spent if name in event.sites}
        if missing := set(took_part) - told:
            found.append(f"{name}: rounds {sorted(missing)} are not in the journal")
        prepared = any(isinstance(event, DataPrepared) and name in event.sites for event in events)
        if prepared and not any(line["task"] == "prepare" for line in ledger_lines(home, run)):
            found.append(f"{name}: what preprocessing has cost is not in its ledger")
    return found


def ledger_lines(home: SiteHome, run: str) -> list[dict[str, Any]]:
    """Return the answers that a hospital has written down as spent in a run."""
    path = home.folder / "ledger" / "ledger.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    keys = {line["key"] for line in lines if line["is"] == "run" and line["run"] == run}
    return [line for line in lines if line["is"] == "answer" and line["key"] in keys]


@dataclass(frozen=True, slots=True)
class _Absent:
    """The engine over all sites, of which some do not train in some rounds."""

    engine: InProcess
    took_part: dict[int, tuple[str, ...]]

    def sites(self) -> Sequence[str]:
        return self.engine.sites()

    def exchange(self, requests: Iterable[Request], *, timeout: float | None = None) -> Iterator[Reply | Refusal]:
        for request in requests:
            if request.task == "train" and request.site not in self.took_part[request.round]:
                yield unanswered(request, Complaint("it took no part"))
            else:
                yield from self.engine.exchange([request], timeout=timeout)


def _site(name: str, home: SiteHome, folder: Path) -> Site:
    """Return a hospital as its agent opens it, with nothing kept from before but the secret of its noise."""
    table = home.folder.parent / f"{name}.csv"
    purse = Purse(
        table.name,
        Ledger(folder / "ledgers" / name, folder / "anchors" / name),
        secret=secret_in(home.folder / "keys" / "noise"),
    )
    return Site(name, partial(read_table, table), vault=FolderVault(folder / name), base=folder, purse=purse)
