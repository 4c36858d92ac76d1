"""Whole runs under differential privacy: what is promised, what is spent, and that it is the same everywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medfl.console import budget
from medfl.errors import RefusedError
from medfl.events import Evaluated, Event, PrivacySpent, RoundFinished, RunFinished, RunStarted, SiteAnswered
from medfl.execution import carry_on, lay_down
from medfl.inspection import spendings
from medfl.messages import Refusal, Reply, Request
from medfl.privacy.accountant import Mechanism, epsilon
from medfl.privacy.division import patients
from medfl.privacy.ledger import Limit
from medfl.run.checkpoint import Checkpoint
from medfl.run.loop import Federation, carry_out
from medfl.run.plan import compile
from medfl.simulate import simulate
from medfl.site.answer import Site
from medfl.site.memory import FolderVault
from medfl.site.purse import purse_in, purses_in
from medfl.site.sources import Sources
from medfl.spec.merging import Override, merge
from medfl.spec.study import Study
from medfl.store.home import Home
from medfl.store.shelf import ledgers, whole_execution
from medfl.testing.federation import DECLARED, Kept, in_process, study, table, tables, told

DP: dict[str, Any] = {"unit": "record", "epsilon": 4.0, **DECLARED}
SITE = {**DP, "unit": "site", "noise": "central"}
PREPARED = {"record": {"impute": "drop"}, "site": {"impute": "drop", "scale": "min-max"}}


def asked(dp: dict[str, Any] = DP, **changes: Override) -> Study:
    base: dict[str, Override] = {
        "preprocess": PREPARED["site" if dp["unit"] == "site" else "record"],
        "privacy": {"dp": dp},
    }
    spec = study().model_dump(mode="json", exclude_none=True)
    return Study.model_validate(merge(merge(spec, {"evaluation": {"baselines": []}, **base}), changes))


def sites(folder: Path, *, limit: Limit | None = None, secret: bytes | None = None) -> dict[str, Site]:
    return {
        name: Site(
            name,
            lambda frame=frame: pd.DataFrame(frame),  # type: ignore[misc]
            vault=FolderVault(folder / name),
            purse=replace(purse_in(folder, name), limit=limit, secret=secret),
        )
        for name, frame in tables().items()
    }


def carried(asked: Study, hospitals: dict[str, Site], run: str = "one") -> tuple[list[Event], Exception | None]:
    return told(carry_out(run, compile(asked)[0], Federation(in_process(hospitals), Kept().write)))


def spent(events: list[Event]) -> dict[str, list[Mechanism]]:
    """Return what each site said that it released of its training rows."""
    found: dict[str, list[Mechanism]] = {}
    for event in events:
        if isinstance(event, PrivacySpent):
            for site, words in event.sites.items():
                if words["side"] == "train":
                    found.setdefault(site, []).extend(map(Mechanism.from_json, words["released"]))
    return found


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    events, error = carried(asked(), sites(tmp_path_factory.mktemp("record")))
    assert error is None
    return events


def test_what_is_spent_is_what_the_accountant_says_of_the_recorded_steps(record: list[Event]) -> None:
    last = [event for event in record if isinstance(event, PrivacySpent)][-1]
    for site, released in spent(record).items():
        assert len(released) == 1 + asked().algorithm.rounds
        words = last.sites[site]
        own = epsilon(released, words["delta"])
        judged = epsilon(map(Mechanism.from_json, words["released"]), words["delta"])
        assert words["epsilon"] == max(own, judged)
        assert 0.98 * DP["epsilon"] < words["epsilon"] <= DP["epsilon"]


def test_each_site_solves_its_own_noise(record: list[Event]) -> None:
    planned = next(event for event in record if isinstance(event, PrivacySpent)).sites
    rates = {site: words["planned"]["sample_rate"] for site, words in planned.items()}
    assert rates["east"] > rates["north"] > rates["west"]
    assert len({words["planned"]["noise_multiplier"] for words in planned.values()}) == 3


def test_nothing_of_single_rows_goes_into_the_journal(record: list[Event]) -> None:
    """No loss, no count by outcome, no range but the declared; a model is judged at its end alone."""
    assert all(event.loss is None for event in record if isinstance(event, SiteAnswered))
    assert [event.final for event in record if isinstance(event, Evaluated)] == [True]
    text = json.dumps([str(event) for event in record])
    for name, frame in tables().items():
        assert str(frame["dose"].min()) not in text, name


@pytest.mark.parametrize("dp", [DP, SITE, {**SITE, "clip_quantile": 0.5}], ids=["record", "site", "following"])
def test_engines_agree_bit_for_bit_and_tell_what_was_in_force(dp: dict[str, Any], tmp_path: Path) -> None:
    for name, frame in tables().items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    files = {"sites": {name: str(tmp_path / f"{name}.csv") for name in tables()}}
    one = asked(dp, data=files)
    found = [
        simulate(one, home=tmp_path / engine, engine=engine, progress=False).summary["runs"][0]
        for engine in ("in-process", "processes")
    ]
    assert found[0]["model"] == found[1]["model"]
    assert found[0]["metrics"] == found[1]["metrics"]
    told = found[0]["privacy"]
    assert told["unit"] == dp["unit"]
    assert 0.98 * dp["epsilon"] < told["epsilon"] <= dp["epsilon"]
    assert told["delta"] == 1e-5
    assert found[1]["privacy"] == told


def test_what_the_hub_adds_for_whole_sites_is_what_the_accountant_says(tmp_path: Path) -> None:
    events, error = carried(asked(SITE), sites(tmp_path))
    assert error is None
    (words,) = (event.sites[""] for event in events if isinstance(event, PrivacySpent))
    (mechanism,) = map(Mechanism.from_json, words["released"])
    assert mechanism.count == asked().algorithm.rounds
    assert words["epsilon"] == epsilon([mechanism], words["delta"]) <= SITE["epsilon"]


def test_a_run_that_is_resumed_meets_the_same_noise_and_spends_nothing_twice(tmp_path: Path) -> None:
    """Everything is asked once more, as after a crash: the same answers, and the ledger does not grow."""
    hospitals = sites(tmp_path)
    first, _ = carried(asked(), hospitals)
    lines = hospitals["east"]._purse.ledger.pin()  # type: ignore[union-attr]
    again, error = carried(asked(), sites(tmp_path))
    assert error is None
    models = [[event.model for event in run if isinstance(event, RunFinished)] for run in (first, again)]
    assert models[0] == models[1]
    assert sites(tmp_path)["east"]._purse.ledger.pin() == lines  # type: ignore[union-attr]


@pytest.mark.parametrize("dp", [DP, {**SITE, "clip_quantile": 0.5}], ids=["record", "site"])
def test_a_run_goes_on_after_its_first_round_as_if_nothing_had_been(dp: dict[str, Any], tmp_path: Path) -> None:
    plan, kept = compile(asked(dp, algorithm={"rounds": 3}))[0], Kept()
    whole, _ = told(carry_out("one", plan, Federation(in_process(sites(tmp_path / "whole")), kept.write)))
    first = next(event for event in whole if isinstance(event, RoundFinished))
    start = Checkpoint(1, kept[first.model], kept[first.state])
    hospitals = sites(tmp_path / "parts")
    told(carry_out("one", plan, Federation(in_process(hospitals), Kept().write)))
    rest, error = told(carry_out("one", plan, Federation(in_process(hospitals), Kept().write), start=start))
    assert error is None
    models = [[event.model for event in run if isinstance(event, RunFinished)] for run in (whole, rest)]
    assert models[0] == models[1]


def test_a_site_that_lost_its_ledger_is_found_out_by_the_hub(tmp_path: Path) -> None:
    events, _ = carried(asked(), sites(tmp_path / "before"))
    last = [event for event in events if isinstance(event, PrivacySpent)][-1]
    pins = {site: {key: words[key] for key in ("lines", "head")} for site, words in last.sites.items()}
    lost = Federation(in_process(sites(tmp_path / "after")), Kept().write, ledgers=pins)
    _, error = told(carry_out("two", compile(asked())[0], lost))
    assert isinstance(error, RefusedError)
    assert "according to the hub's journal" in str(error)


def test_an_arm_with_a_promise_resumes_beside_one_without(tmp_path: Path) -> None:
    """What their tables look like differs, as one declares it and the other looks: that is no other data."""
    spec = asked().model_dump(mode="json", exclude_none=True)
    arms = [{"name": "open"}, {"name": "private", "privacy": spec.pop("privacy")}]
    home, sources = Home(tmp_path / "home"), Sources(tmp_path, tmp_path / "home" / "sites", tables())
    both = Study.model_validate({**spec, "arm": arms})
    execution = lay_down(both, home, sources=sources, engine="in-process", arm=None)
    with pytest.raises(KeyboardInterrupt):
        carry_on(home, execution, sources=sources, display=Stop())
    carry_on(home, execution, sources=sources)
    assert [run.status for run in whole_execution(home, execution).runs] == ["finished", "finished"]


class Stop:
    """Interrupts before the second run has looked at its tables."""

    def on(self, event: Event) -> None:
        if isinstance(event, RunStarted) and event.run.endswith("-2"):
            raise KeyboardInterrupt


def test_the_store_remembers_how_far_each_ledger_has_come(tmp_path: Path) -> None:
    result = simulate(asked(), tables(), home=tmp_path, progress=False)
    found = ledgers(result.home, result.execution)
    for purse in purses_in(tmp_path / "sites"):
        pin = purse.ledger.pin()
        assert found[purse.dataset] == {"lines": pin.lines, "head": pin.head}
    assert ledgers(result.home, "another") == {}


def test_a_second_study_that_would_overdraw_is_refused_at_the_site(tmp_path: Path) -> None:
    limit = Limit(DP["epsilon"] * 1.2, 1e-5)
    events, error = carried(asked(), sites(tmp_path, limit=limit), "one")
    assert error is None
    events, error = carried(asked(study={"seed": 8}), sites(tmp_path, limit=limit), "two")
    assert isinstance(error, RefusedError)
    assert "does not suffice" in str(error)
    assert "left" in str(error)
    assert "would bring it to" in str(error)
    assert not spent(events)


def test_a_study_without_a_promise_is_refused_where_there_is_a_budget(tmp_path: Path) -> None:
    plain = study()
    _, error = carried(plain, sites(tmp_path, limit=Limit(9.0, 1e-5)))
    assert isinstance(error, RefusedError)
    assert "has a privacy budget" in str(error)


def test_a_patient_with_many_rows_counts_once(tmp_path: Path) -> None:
    """Patients are parted whole, and sampled whole: the rate is that of patients, not of rows."""
    dp = {**DP, "unit": "patient", "patient_id": "who"}
    frames = {
        name: table(80, number).assign(who=[f"p{row // 4}" for row in range(80)]) for number, name in enumerate("ab")
    }
    one = asked(dp, training={"batch_size": 4})
    result = simulate(one, frames, home=tmp_path, progress=False)
    kept = result.view.runs[0].privacy
    assert kept is not None
    assert kept.unit == "patient"
    for name, site in kept.sites.items():
        trained = result.view.runs[0].sites[name].train_rows or 0
        assert trained % 4 == 0
        assert site["planned"]["sample_rate"] == pytest.approx(4 / (trained / 4))


def test_a_hub_that_changes_the_weights_under_one_round_is_refused(tmp_path: Path) -> None:
    hospitals = sites(tmp_path)
    heard: list[Request] = []
    site = hospitals["east"]
    answer = site.answer

    def listened(request: Request) -> Reply | Refusal:
        heard.append(request)
        return answer(request)

    site.answer = listened  # type: ignore[method-assign]
    carried(asked(), hospitals)
    train = next(request for request in heard if request.task == "train")
    again = answer(train)
    assert isinstance(again, Reply)
    forged = answer(replace(train, arrays={"weights": train.arrays["weights"] + 1.0}))
    assert isinstance(forged, Refusal)
    assert "other content" in forged.reason
    beyond = answer(replace(train, round=99))
    assert isinstance(beyond, Refusal)
    assert "says something of the round that its study does not" in beyond.reason


def test_a_table_that_changed_under_a_run_is_not_met_by_the_same_noise(tmp_path: Path) -> None:
    """Asking a round again after a patient more came in would otherwise give that patient away."""
    heard: list[Request] = []
    hospitals = sites(tmp_path, secret=bytes(32))
    site = hospitals["east"]
    answer = site.answer

    def listened(request: Request) -> Reply | Refusal:
        heard.append(request)
        return answer(request)

    site.answer = listened  # type: ignore[method-assign]
    carried(asked(), hospitals)
    frame = tables()["east"]
    frame["age"] = frame["age"].to_numpy() + np.eye(1, len(frame))[0]
    later = Site(
        "east",
        lambda: frame,
        vault=FolderVault(tmp_path / "east"),
        purse=replace(purse_in(tmp_path, "east"), secret=bytes(32)),
    )
    for request in heard:
        again = later.answer(request)
        assert isinstance(again, Refusal) or request.task == "describe"
        if isinstance(again, Refusal):
            assert "from other rows" in again.reason


def test_noise_of_a_site_with_a_secret_is_not_that_of_the_seed(tmp_path: Path) -> None:
    known, _ = carried(asked(), sites(tmp_path / "known"))
    hidden, _ = carried(asked(), sites(tmp_path / "hidden", secret=bytes(32)))
    models = [[event.model for event in run if isinstance(event, RunFinished)] for run in (known, hidden)]
    assert models[0] != models[1]


def test_the_budget_of_all_runs_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two runs with two splits: what they cost together is less than twice one, and more than one."""
    simulate(asked(), tables(), home=tmp_path, progress=False)
    (first, *_) = spendings(tmp_path, delta=1e-5)
    simulate(asked(study={"seed": 8}), tables(), home=tmp_path, progress=False)
    both = spendings(tmp_path, delta=1e-5)
    assert [one.dataset for one in both] == sorted(tables())
    assert first.epsilon < both[0].epsilon < 2 * first.epsilon
    assert both[0].runs == 2
    budget(tmp_path, 1e-5, as_json=False)
    assert f"east: ε = {both[0].epsilon:.3g} at δ = 1e-05, over 2 runs" in capsys.readouterr().out


@pytest.mark.parametrize(("above", "divisions"), [(0, 1), (1, 2)], ids=["the same table", "a row more"])
def test_a_row_more_above_the_others_is_another_division_of_the_table(
    above: int, divisions: int, tmp_path: Path
) -> None:
    """Rows are drawn by their places: one that was tested on may be trained on then, and has to pay for both."""
    for rows in (0, above):
        grown = {name: pd.concat([frame.tail(rows), frame], ignore_index=True) for name, frame in tables().items()}
        simulate(asked(), grown, home=tmp_path, progress=False)
    for ledger in tmp_path.glob("sites/.ledgers/*/ledger.jsonl"):
        lines = [json.loads(line) for line in ledger.read_text().splitlines()]
        assert len({line["split"] for line in lines if line["is"] == "run"}) == divisions
        assert [line["is"] for line in lines].count("run") == 2


def test_a_data_set_whose_columns_changed_is_told_once(tmp_path: Path) -> None:
    simulate(asked(), tables(), home=tmp_path, progress=False)
    wider = {name: frame.assign(who=range(len(frame))) for name, frame in tables().items()}
    simulate(asked(data={"features": ["age", "dose", "colour"]}), wider, home=tmp_path, progress=False)
    found = spendings(tmp_path, delta=1e-5)
    assert [(one.dataset, one.runs) for one in found] == [(name, 2) for name in sorted(tables())]


@pytest.mark.parametrize("dtype", [pd.StringDtype(), pd.CategoricalDtype(), np.dtype("O")], ids=str)
def test_rows_without_an_id_are_one_patient_however_that_is_written(dtype: Any) -> None:
    ids = pd.Series(["p1", None, "p2", None, " p1"]).astype(dtype).to_numpy()
    numbers, names = patients(ids)
    assert names == ["", "p1", "p2"]
    assert numbers.tolist() == [1, 0, 2, 0, 1]
