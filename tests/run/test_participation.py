"""Rounds that ask some sites only: drawn from seed and round, the same after a crash, each site's memory whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfl.errors import MedflError, PlanError, WireError
from medfl.events import Evaluated, Event, RoundFinished, RoundStarted, SiteAnswered
from medfl.learn.algorithms.fedavg import FedAvg
from medfl.messages import Refusal, Reply
from medfl.run.checkpoint import Checkpoint
from medfl.run.sampling import drawn
from medfl.site.answer import Site
from medfl.site.policy import AllButRows, Facts, Verdict
from medfl.spec.study import Study
from medfl.testing.federation import Kept, Through, in_process, rehearse, sites, study, table

SIX = ("ash", "birch", "cedar", "elm", "fir", "oak")


def hospitals(folder: Path, **policies: AllButRows) -> dict[str, Site]:
    opens = {name: partial(table, 40 + 10 * number, number) for number, name in enumerate(SIX)}
    everybody = sites(folder, {name: partial(pd.DataFrame, make()) for name, make in opens.items()}, policies=policies)
    return {name: everybody[name] for name in SIX}


def asked(**algorithm: object) -> Study:
    rule = {"kind": "scaffold", "rounds": 6, "fraction": 0.5} | algorithm
    return study(algorithm=rule, model={"kind": "mlp", "hidden": [4]})


def of(events: list[Event]) -> list[tuple[int, str, str]]:
    return [(event.round, event.model, event.state) for event in events if isinstance(event, RoundFinished)]


@given(st.integers(1, 40), st.floats(0.01, 1.0), st.none() | st.integers(1, 50), st.none() | st.integers(1, 50))
def test_how_many_are_asked(sites: int, fraction: float, least: int | None, needed: int | None) -> None:
    count = FedAvg(fraction=fraction, min_asked=least, min_sites=needed).asked(sites)
    assert 1 <= count <= sites
    assert count >= min(sites, max(least or 1, needed or 1))
    if least is None and needed is None and count > 1:
        assert abs(count - fraction * sites) <= 0.5
    assert FedAvg().asked(sites) == sites


def test_the_draw_depends_on_the_seed_and_the_round_alone() -> None:
    rule = FedAvg(fraction=0.5)
    draws = [drawn(SIX, rule, seed=3, round=round) for round in range(1, 401)]
    assert draws == [drawn(SIX, rule, seed=3, round=round) for round in range(1, 401)]
    assert all(len(set(draw)) == 3 and list(draw) == sorted(draw) for draw in draws)
    assert draws[:20] != [drawn(SIX, rule, seed=4, round=round) for round in range(1, 21)]
    counts = Counter(site for draw in draws for site in draw)
    assert all(170 <= counts[site] <= 230 for site in SIX), "each site in about half of 400 rounds"


def test_a_site_left_out_leaves_the_draw_of_the_others_as_it_is() -> None:
    """Else a coalition would differ from the whole by chance, and two of them could come out alike."""
    rule = FedAvg(fraction=0.5)
    for round in range(1, 101):
        whole = set(drawn(SIX, rule, seed=3, round=round))
        for left in SIX:
            others = set(drawn([site for site in SIX if site != left], rule, seed=3, round=round))
            assert whole - {left} <= others


def test_who_was_asked_is_told_and_the_end_is_judged_everywhere(tmp_path: Path) -> None:
    events, error = rehearse(asked(), in_process(hospitals(tmp_path)))
    assert error is None
    told = [event.sites for event in events if isinstance(event, RoundStarted)]
    assert told == [drawn(SIX, FedAvg(fraction=0.5), seed=7, round=round) for round in range(1, 7)]
    assert len(set(told)) > 1
    answered = [(event.round, event.site) for event in events if isinstance(event, SiteAnswered)]
    assert answered == [(round, site) for round, names in enumerate(told, start=1) for site in names]
    judged = [(event.round, tuple(event.sites), event.final) for event in events if isinstance(event, Evaluated)]
    assert judged == [*((round, told[round], False) for round in range(1, 6)), (6, SIX, True)]


@pytest.mark.parametrize("kind", ["scaffold", "fedavg", "fedmedian"])
def test_a_run_goes_on_after_any_round_as_if_nothing_had_happened(tmp_path: Path, kind: str) -> None:
    """Also where some sites had already answered the round that the crash cut short, and kept what came of it."""
    kept, whole_study = Kept(), asked(kind=kind)
    whole, error = rehearse(whole_study, in_process(hospitals(tmp_path / "whole")), kept=kept)
    assert error is None
    for stop in range(1, 6):
        crew = hospitals(tmp_path / f"stopped after {stop}")
        before, _ = rehearse(whole_study, Through(in_process(crew), partial(lost_after, stop)), kept=kept)
        assert of(before) == of(whole)[:stop]
        last = [event for event in before if isinstance(event, RoundFinished)][-1]
        start = Checkpoint(last.round, kept[last.model], kept[last.state])
        anew = in_process(hospitals(tmp_path / f"stopped after {stop}"))
        rest, error = rehearse(whole_study, anew, kept=kept, start=start)
        assert error is None
        assert of(rest) == of(whole)[stop:]


def lost_after(round: int, answers: list[Reply | Refusal]) -> Iterator[Reply | Refusal]:
    """Lose the answers of the round after, which the sites gave and remember."""
    yield from (one for one in answers if f"/{round + 1}/train/" not in one.request)


class Gone(AllButRows):
    """Is not there for training."""

    def admits(self, request: object, study: object, *, facts: Facts) -> Verdict:
        gone = getattr(request, "task", "") == "train"
        return Verdict(not gone, "gone" if gone else "open", "nobody is in today")


def test_too_few_left_for_the_rule_is_a_sentence(tmp_path: Path) -> None:
    """Six sites are enough for Krum with one liar, and min_sites allows two to stay away; four are not."""
    study = asked(kind="krum", fraction=None, min_sites=4)
    error: MedflError | None
    _, error = rehearse(study, in_process(hospitals(tmp_path / "five", elm=Gone())))
    assert error is None
    _, error = rehearse(study, in_process(hospitals(tmp_path / "four", elm=Gone(), fir=Gone())))
    assert isinstance(error, PlanError)
    assert error.exit_code == 2
    assert "too few sites are left in this round: krum with byzantine = 1 needs 5 contributions" in str(error)
    assert "found: 4 contributions that can be used" in str(error)


def test_min_sites_is_about_those_who_are_asked(tmp_path: Path) -> None:
    """Half of six are asked and two must answer: a round may lose one site, not two."""
    crew = hospitals(tmp_path, birch=Gone())
    events, error = rehearse(asked(kind="fedavg", min_sites=2), in_process(crew))
    assert error is None
    sizes = {len(event.sites) for event in events if isinstance(event, RoundFinished)}
    assert sizes == {2, 3}


def test_contributions_are_stacked_in_the_order_of_the_names(tmp_path: Path) -> None:
    """Whoever answers first: the same models, bit for bit."""
    study = asked(kind="trimmed-mean", trim=0.2, fraction=None)
    straight, _ = rehearse(study, in_process(hospitals(tmp_path / "a")))
    backwards, error = rehearse(study, Through(in_process(hospitals(tmp_path / "b")), reversed))
    assert error is None
    assert of(straight) == of(backwards)
    losses = [event.loss for event in straight if isinstance(event, RoundFinished)]
    assert all(loss is not None and np.isfinite(loss) for loss in losses)


def test_a_contribution_of_another_shape_names_its_site(tmp_path: Path) -> None:
    def cut(answers: list[Reply | Refusal]) -> Iterator[Reply | Refusal]:
        for one in answers:
            if isinstance(one, Reply) and one.site == "elm" and "update/delta" in one.arrays:
                yield replace(one, arrays={**one.arrays, "update/delta": one.arrays["update/delta"][:-1]})
            else:
                yield one

    _, error = rehearse(asked(kind="fedmedian", fraction=None), Through(in_process(hospitals(tmp_path)), cut))
    assert isinstance(error, WireError)
    assert str(error).startswith("site elm, round 1: two contributions to 'delta' do not add up")
