"""A run of many sites as a journal has it, with invented numbers: for pages that show it while it goes on."""

from __future__ import annotations

from collections.abc import Iterator

from medfl.events import (
    DataDescribed,
    DataPrepared,
    Evaluated,
    Event,
    RoundFinished,
    RoundStarted,
    RunPlanned,
    RunStarted,
    SiteAnswered,
    SiteFailed,
)
from medfl.spec.reading import parse
from medfl.testing.pages import STUDY

EXECUTION = "f00dfeed"
RUN = f"{EXECUTION}-1"


def names(sites: int) -> tuple[str, ...]:
    """Return the names of so many hospitals."""
    return tuple(f"hospital-{number:02d}" for number in range(1, sites + 1))


def beginning(sites: int, rounds: int) -> list[Event]:
    """Return what happens before the first round."""
    study = parse(STUDY.replace("rounds = 2", f"rounds = {rounds}"), source="study.toml")
    who = names(sites)
    planned = RunPlanned(
        run=RUN,
        execution=EXECUTION,
        study=study.study.name,
        digest=study.digest,
        spec=study.canonical,
        base="",
        engine="flower",
        role="arm",
        arm="base",
        seed=0,
    )
    rows = {site: {"train_rows": 400, "test_rows": 100, "left_out": 0} for site in who}
    return [
        planned,
        RunStarted(run=RUN, versions={"python": "3.11"}, platform="Linux", sites=who, secure=True),
        DataDescribed(run=RUN, sites={site: {"rows": 500} for site in who}, agreement={"features": []}, seconds=2.4),
        DataPrepared(run=RUN, sites=rows, recipe={}, explained=(), seconds=1.1),
    ]


def one_round(number: int, sites: int, *, failing: tuple[str, ...] = ()) -> Iterator[list[Event]]:
    """Yield a round's events as they are written down, some at a time."""
    who = names(sites)
    yield [RoundStarted(run=RUN, round=number, sites=who)]
    step = max(1, sites // 5)
    for first in range(0, sites, step):
        yield [_answer(number, place, site, failing) for place, site in enumerate(who[first : first + step], first)]
    loss, auc = 0.25 + 0.4 / number, 0.95 - 0.3 / (number + 1)
    yield [
        Evaluated(
            run=RUN,
            round=number - 1,
            pooled={"auc": auc, "accuracy": auc - 0.05},
            sites={site: {"auc": auc - 0.002 * (place % 17), "accuracy": 0.8} for place, site in enumerate(who)},
        ),
        RoundFinished(
            run=RUN,
            round=number,
            model=f"{number:064x}",
            state=f"{number:064x}",
            sites=tuple(site for site in who if site not in failing),
            loss=loss,
            seconds={"train": 2.0 + 0.3 * (number % 4), "sum": 0.4 + 0.05 * (number % 3)},
        ),
    ]


def _answer(number: int, place: int, site: str, failing: tuple[str, ...]) -> Event:
    if site in failing:
        reason = "the site did not answer in time"
        return SiteFailed(run=RUN, round=number, site=site, stage="train", code="engine", reason=reason)
    seconds, loss = 0.4 + (place * 7 % 13) / 8, 0.25 + 0.4 / number + 0.01 * (place % 5)
    return SiteAnswered(
        run=RUN, round=number, site=site, seconds=seconds, received=28_000, sent=67_000 + 400 * place, loss=loss
    )
