"""What a run has spent of its patients' privacy, and the same added up again by the accountant.

The journal says of each answer which mechanisms it released, and at the end which ε the site's accountant made of them.
Both are in the bundle, so that anybody can add up again; the ledgers themselves stay with the sites.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfl.errors import BundleError, StoreError
from medfl.events import PrivacySpent
from medfl.privacy.accountant import INTERVAL, Accountant, Mechanism, epsilon, gathered
from medfl.store.journal import Recorded
from medfl.store.views import RunView

Released = Mapping[str, tuple[Mechanism, ...]]
"""What was released, by the side of a table that it is about."""
FROM_A_LEDGER = ("is", "side", "task", "place", "released")
"""What a bundle takes over from the lines of a ledger."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What one site has spent in one run.

    Parameters
    ----------
    run, site
        Whose it is; an empty site where the hub adds the noise for all.
    delta
        The δ that ε is told at.
    told
        The ε that the journal says was spent.
    released
        All mechanisms that the journal says were released.
    """

    run: str
    site: str
    delta: float
    told: float
    released: Released

    def again(self, accountant: Accountant) -> float:
        """Return ε, added up again: the dearer of the two sides, since each unit is on one of them.

        Raises
        ------
        MissingExtraError
            If dp-accounting is not installed.
        """
        return max((epsilon(each, self.delta, accountant=accountant) for each in self.released.values()), default=0.0)


def promises(run: str, events: Iterable[Recorded]) -> Iterator[Promise]:
    """Yield what each site has spent in a run, where it has said so.

    Raises
    ------
    BundleError
        If what the journal says cannot be added up.
    """
    heard = [one.event for one in events if one.event.run == run and isinstance(one.event, PrivacySpent)]
    by_site: dict[str, list[tuple[PrivacySpent, Mapping[str, Any]]]] = defaultdict(list)
    for event in heard:
        for site, words in event.sites.items():
            by_site[site].append((event, words))
    try:
        for site, told in by_site.items():
            last = told[-1][1]
            if last.get("epsilon") is not None:
                released = _released(told)
                yield Promise(run, site, float(last["delta"]), float(last["epsilon"]), released)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BundleError(
            "what was spent of privacy cannot be added up", where=run, received=type(error).__name__
        ) from error


def from_ledger(lines: Iterable[Mapping[str, Any]], run: str) -> Released:
    """Return what the lines of a ledger say was released in a run.

    Raises
    ------
    BundleError
        If they cannot be read.
    """
    found: dict[str, list[Mechanism]] = defaultdict(list)
    try:
        for line in lines:
            if line["run"] == run and line["is"] == "answer":
                found[str(line["side"])] += [Mechanism.from_json(dict(one)) for one in line["released"]]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BundleError("the extract of a ledger cannot be read", where="privacy.json", received=run) from error
    return {side: gathered(each) for side, each in found.items() if each}


def close(one: float, other: float) -> bool:
    """Say whether two ε are the same, as far as the accountant's grid tells them apart."""
    return one == other or abs(one - other) <= max(2 * INTERVAL, 1e-6 * max(one, other))


def extract(runs: Iterable[RunView], events: Iterable[Recorded], *, ledgers: Path) -> dict[str, Any]:
    """Return what a bundle tells of privacy: by run and site, and the lines of simulated sites' ledgers.

    Parameters
    ----------
    runs, events
        Of the execution.
    ledgers
        Folder of simulated sites' ledgers; hospitals keep theirs, and tell only how far they have come.
    """
    known, told = list(runs), list(events)
    found = {
        run.run: {
            "unit": run.privacy.unit,
            "promised_epsilon": run.privacy.planned,
            "accountant": accountant_of(run),
            "sites": {
                one.site: {
                    "epsilon": one.told,
                    "delta": one.delta,
                    "released": {side: [each.to_json() for each in all_] for side, all_ in one.released.items()},
                    "ledger": dict(run.privacy.ledgers.get(one.site, {})),
                }
                for one in promises(run.run, told)
            },
        }
        for run in known
        if run.privacy is not None
    }
    return {"runs": found, "ledgers": dict(_from_ledgers(ledgers, {run.run for run in known}))}


def accountant_of(run: RunView) -> Accountant:
    """Return which accountant a run's study asks for."""
    asked = (run.asked("privacy").get("dp") or {}).get("accountant", "pld")
    return "rdp" if asked == "rdp" else "pld"


def _released(told: Iterable[tuple[PrivacySpent, Mapping[str, Any]]]) -> Released:
    """Return what was released by side; what was asked for twice, after a crash, was answered once."""
    answers = {(event.stage, event.round): words for event, words in told}
    found: dict[str, list[Mechanism]] = defaultdict(list)
    for words in answers.values():
        found[str(words["side"])] += [Mechanism.from_json(dict(one)) for one in words["released"]]
    return {side: gathered(each) for side, each in found.items() if each}


def _from_ledgers(folder: Path, runs: set[str]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the lines about these runs, without the digests: whoever knows the seed could try rows against them."""
    for path in sorted(folder.glob("*/ledger.jsonl")):
        lines = _whole_lines(path)
        ours = {line["key"]: line["run"] for line in lines if line.get("is") == "run" and line.get("run") in runs}
        kept = [
            {key: line[key] for key in FROM_A_LEDGER if key in line} | {"run": ours[line["key"]]}
            for line in lines
            if line.get("key") in ours
        ]
        if kept:
            yield path.parent.name, kept


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    try:
        body = path.read_bytes()
        # A line that a crash cut off was never answered.
        return [json.loads(raw) for raw in body[: body.rfind(b"\n") + 1].splitlines()]
    except (OSError, ValueError) as error:
        raise StoreError(
            "a privacy ledger cannot be read",
            where=str(path),
            received=type(error).__name__,
            remedy="put a sound copy back",
        ) from error
