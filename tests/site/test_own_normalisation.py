"""Whole runs of a torch module with batch normalisation: shared by all sites, or kept by each (FedBN)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from medfl import simulate
from medfl.errors import SpecError, UserError
from medfl.events import Evaluated, Event, FineTuned, RoundFinished
from medfl.inspection import inspect
from medfl.learn.models.torch import Registered, torch_model
from medfl.learn.normalised import OWN, with_own
from medfl.messages import Reply
from medfl.publish.export import export
from medfl.run.checkpoint import Checkpoint
from medfl.spec.checks import check
from medfl.spec.study import Study
from medfl.testing.federation import NAMES, Kept, in_process, overheard, rehearse, sites, study, tables

pytest.importorskip("torch")
from torch import nn

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Registered, "factories", {})

    @torch_model("normalised")
    def normalised(features: int, outcomes: int) -> nn.Module:
        return nn.Sequential(nn.Linear(features, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, outcomes))


def asked(batch_norm: str | None = None, **parts: Any) -> Study:
    model = {"kind": "torch", "name": "normalised"} | ({"batch_norm": batch_norm} if batch_norm else {})
    return study(model=model, training={"batch_size": 24}, **parts)


def models(events: list[Event], kept: Kept) -> list[dict[str, Any]]:
    return [load(kept[event.model]) for event in events if isinstance(event, RoundFinished)]


def test_the_hubs_normalisation_stands_still_where_each_site_keeps_its_own(tmp_path: Path) -> None:
    kept = Kept()
    events, error = rehearse(asked("local"), in_process(sites(tmp_path)), kept=kept)
    assert error is None
    first, last = models(events, kept)
    for name in first:
        assert np.array_equal(first[name], last[name]) == (name.startswith("1.") or name == "0.bias"), name
    own = {name: load((tmp_path / name / "rehearsal" / "2.safetensors").read_bytes())[OWN] for name in NAMES}
    assert len({array.tobytes() for array in own.values()}) == len(NAMES)


def test_a_site_judges_with_its_own_normalisation(tmp_path: Path) -> None:
    """The reply to the last question is what the shared weights and the site's own give together."""
    spec, hospitals = asked("local"), sites(tmp_path)
    for request, answer in overheard(spec, hospitals):
        if request.task == "evaluate":
            assert isinstance(answer, Reply)
            prepared = hospitals[request.site].desk.prepared(spec, request)
            memory = load((tmp_path / request.site / request.run / "2.safetensors").read_bytes())
            whole = with_own(request.arrays["weights"], prepared.model.layout, memory)
            right = (prepared.model.scores(whole, prepared.test.features) > 0) == prepared.test.outcome
            assert answer.content["metrics"]["accuracy"] == pytest.approx(right.mean())
            assert not np.array_equal(whole, request.arrays["weights"])


def test_tuning_goes_on_from_what_is_the_sites_own(tmp_path: Path) -> None:
    """Two hospitals with the same head frozen share it, and differ in what was theirs before."""
    spec = asked("local", evaluation={"fine_tune": {"local_steps": 1, "freeze": "all-but-head"}})
    hospitals = sites(tmp_path)
    for request, answer in overheard(spec, hospitals):
        if request.task == "fine-tune":
            assert isinstance(answer, Reply)
            layout = hospitals[request.site].desk.prepared(spec, request).model.layout
            memory = load((tmp_path / request.site / request.run / "2.safetensors").read_bytes())
            (file,) = (tmp_path / request.site / f"{request.run}.fine-tuned").glob("*.safetensors")
            before = layout.split(with_own(request.arrays["weights"], layout, memory))
            after = layout.split(load(file.read_bytes())["weights"])
            for name in before:
                assert np.array_equal(before[name], after[name]) != name.startswith("3."), name


@pytest.mark.parametrize("batch_norm", ["shared", "local"])
@pytest.mark.parametrize("rule", ["fedavg", "fedadam", "scaffold", "fedmedian"])
def test_a_run_that_is_taken_up_again_ends_the_same(tmp_path: Path, batch_norm: str, rule: str) -> None:
    spec = asked(batch_norm, algorithm={"kind": rule}, evaluation={"fine_tune": {"local_steps": 2}})
    kept, hospitals = Kept(), sites(tmp_path)
    events, _ = rehearse(spec, in_process(hospitals), kept=kept)
    first, last = (event for event in events if isinstance(event, RoundFinished))
    again, error = rehearse(
        spec, in_process(hospitals), kept=kept, start=Checkpoint(1, kept[first.model], kept[first.state], NAMES)
    )
    assert error is None
    assert [event.model for event in again if isinstance(event, RoundFinished)] == [last.model]
    for kind in (Evaluated, FineTuned):
        assert [each for each in again if isinstance(each, kind)][-1] == [
            each for each in events if isinstance(each, kind)
        ][-1]


def test_left_out_is_shared(tmp_path: Path) -> None:
    kept, same = Kept(), Kept()
    one, _ = rehearse(asked(), in_process(sites(tmp_path / "a")), kept=kept)
    other, _ = rehearse(asked("shared"), in_process(sites(tmp_path / "b")), kept=same)
    assert [event.model for event in one if isinstance(event, RoundFinished)] == [
        event.model for event in other if isinstance(event, RoundFinished)
    ]
    assert asked().canonical != asked("shared").canonical
    assert "batch_norm" not in json.loads(asked().canonical)["model"]


def test_all_rows_in_one_place_have_one_normalisation_to_judge_with(tmp_path: Path) -> None:
    """The centralised baseline is the same whatever the sites of the federation keep to themselves."""
    baselines = {"baselines": ["centralised", "local-only"], "bootstrap": 20}
    runs = {
        how: simulate(asked(how, evaluation=baselines), tables(), home=tmp_path / how, progress=False)
        for how in ("shared", "local")
    }
    shared, local = (runs[how].summary["baselines"] for how in ("shared", "local"))
    assert shared == local
    assert runs["shared"].summary["runs"][0]["metrics"] != runs["local"].summary["runs"][0]["metrics"]


def test_a_model_that_is_whole_at_the_sites_only_is_not_exported(tmp_path: Path) -> None:
    found = simulate(asked("local"), tables(), home=tmp_path / "home", progress=False)
    (run,) = found.view.runs
    with pytest.raises(UserError, match="whole at the sites only") as refused:
        export(run, found.home.artefacts, tmp_path / "out")
    assert 'batch_norm = "shared"' in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_check_and_report_say_where_the_normalisation_is(tmp_path: Path) -> None:
    for how, trained, leaves in (
        ("shared", "running statistics are pooled over the sites", "With it: the running statistics"),
        ("local", "stays at each site and is never sent (FedBN)", "Kept at each site and never sent: its batch"),
    ):
        told = {section.title: " ".join(section.sentences) for section in inspect(asked(how), tables()).sections}
        assert trained in told["How it is trained"]
        assert leaves in told["What leaves a site"]
    found = simulate(asked("local"), tables(), home=tmp_path / "home", progress=False)
    page = found.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "FedBN, Li et al. 2021" in page
    assert "its batch normalisation stays" in page


def test_a_site_that_is_left_out_has_nothing_to_judge_with() -> None:
    with pytest.raises(SpecError, match="no batch normalisation of its own"):
        check(asked("local", evaluation={"contributions": "leave-one-out"}))
    check(asked("shared", evaluation={"contributions": "leave-one-out"}))
