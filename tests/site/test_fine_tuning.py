"""After the federation each site tunes a copy of the last model: it stays there, and is judged on the same rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from medfl import simulate
from medfl.errors import DivergedError, MedflError, PlanError, SpecError
from medfl.events import Evaluated, Event, FineTuned, RoundFinished
from medfl.inspection import inspect
from medfl.learn.algorithm import Local, Stage
from medfl.learn.metrics import judge
from medfl.learn.model import Floats
from medfl.messages import Reply, Request
from medfl.publish.terminal import plain, results
from medfl.run.checkpoint import Checkpoint
from medfl.site.answer import Site
from medfl.spec.checks import check
from medfl.spec.study import Study
from medfl.testing.federation import NAMES, Kept, in_process, overheard, rehearse, sites, study, tables

MLP = {"kind": "mlp", "hidden": [4]}


def asked(**fine_tune: Any) -> Study:
    return study(model=MLP, evaluation={"fine_tune": fine_tune, "bootstrap": 20})


def tuning(asked: Study, folder: Path) -> tuple[dict[str, Site], dict[str, tuple[Request, Reply]]]:
    """Return the hospitals after a run, and what each was asked and answered when it tuned."""
    hospitals = sites(folder)
    heard = overheard(asked, hospitals)
    found = {request.site: (request, answer) for request, answer in heard if request.task == "fine-tune"}
    return hospitals, {
        name: (request, answer) for name, (request, answer) in found.items() if isinstance(answer, Reply)
    }


def kept(folder: Path, site: str) -> Floats:
    """Return the weights that a site has kept for itself."""
    (file,) = (folder / site).glob("*fine-tune/*.safetensors")
    assert file.stat().st_mode & 0o077 == 0, "for its owner only"
    return load(file.read_bytes())["weights"]


def tuned(events: list[Event]) -> FineTuned:
    (event,) = [event for event in events if isinstance(event, FineTuned)]
    return event


def test_the_copy_is_what_training_further_gives_and_only_its_metrics_leave(tmp_path: Path) -> None:
    """Three epochs at the asked rate from the global weights, in the order of the round after the last."""
    spec = asked(local_epochs=3, learning_rate=0.3)
    hospitals, found = tuning(spec, tmp_path)
    assert set(found) == set(NAMES)
    for name, (request, reply) in found.items():
        prepared = hospitals[name].desk.prepared(spec, request)
        how = spec.training.model_copy(update={"local_epochs": 3, "learning_rate": 0.3})
        further = Local(prepared.model, prepared.train, how, None, name, spec.algorithm.rounds + 1)
        trained = further.train(request.arrays["weights"], seed=request.seed)
        np.testing.assert_array_equal(kept(tmp_path, name), trained.weights)
        assert reply.arrays == {}
        assert set(reply.content) == {"metrics", "intervals"}
        scores = prepared.model.scores(trained.weights, prepared.test.features)
        direct = judge.metrics(
            prepared.agreement.outcome,
            judge.measure(prepared.agreement.outcome, scores, prepared.test.outcome, threshold=0.5),
            threshold=0.5,
        )
        assert reply.content["metrics"] == direct
        low, high = reply.content["intervals"]["accuracy"]
        assert low <= direct["accuracy"] <= high


def test_what_is_left_out_is_as_in_the_rounds(tmp_path: Path) -> None:
    spec = asked()
    hospitals, found = tuning(spec, tmp_path)
    request, _ = found["east"]
    prepared = hospitals["east"].desk.prepared(spec, request)
    further = Local(prepared.model, prepared.train, spec.training, None, "east", spec.algorithm.rounds + 1)
    np.testing.assert_array_equal(
        kept(tmp_path, "east"), further.train(request.arrays["weights"], seed=request.seed).weights
    )


@pytest.mark.parametrize(
    ("freeze", "still"),
    [("all-but-head", ("layer1",)), (["layer1"], ("layer1",)), (["layer2"], ("layer2",)), ([], ())],
    ids=str,
)
def test_frozen_layers_stay_as_the_federation_left_them(
    tmp_path: Path, freeze: str | list[str], still: tuple[str, ...]
) -> None:
    hospitals, found = tuning(asked(local_steps=2, freeze=freeze), tmp_path)
    request, _ = found["north"]
    layout = hospitals["north"].desk.prepared(asked(local_steps=2, freeze=freeze), request).model.layout
    before, after = layout.split(request.arrays["weights"]), layout.split(kept(tmp_path, "north"))
    for name in before:
        assert np.array_equal(before[name], after[name]) == name.startswith(still or "-"), name


@pytest.mark.parametrize(
    "change",
    [
        {"local_epochs": 2},
        {"local_steps": 2},
        {"learning_rate": 0.4},
        {"freeze": "all-but-head"},
        {"freeze": ["layer2"]},
    ],
    ids=str,
)
def test_every_setting_counts(tmp_path: Path, change: dict[str, Any]) -> None:
    tuning(asked(), tmp_path / "plain")
    tuning(asked(**change), tmp_path / "changed")
    for name in NAMES:
        assert not np.array_equal(kept(tmp_path / "plain", name), kept(tmp_path / "changed", name))


def test_the_federation_is_the_same_with_and_without(tmp_path: Path) -> None:
    """Tuning comes after: the judgement of the last model and its weights do not change by a bit."""
    without, _ = rehearse(study(model=MLP), in_process(sites(tmp_path / "a")), kept=(one := Kept()))
    with_it, _ = rehearse(asked(local_epochs=1), in_process(sites(tmp_path / "b")), kept=(other := Kept()))
    assert one == other
    finals = [[each for each in events if isinstance(each, Evaluated)] for events in (without, with_it)]
    assert finals[0] == finals[1]
    assert not any(isinstance(event, FineTuned) for event in without)
    told = tuned(with_it)
    assert set(told.sites) == set(told.site_intervals) == set(NAMES)
    assert told.sites != dict(finals[1][-1].sites)


def test_a_run_that_is_taken_up_again_tunes_the_same(tmp_path: Path) -> None:
    spec, store = asked(local_epochs=2), Kept()
    hospitals = sites(tmp_path)
    events, _ = rehearse(spec, in_process(hospitals), kept=store)
    (*_, last) = (event for event in events if isinstance(event, RoundFinished))
    start = Checkpoint(2, store[last.model], store[last.state], NAMES)
    again, _ = rehearse(spec, in_process(hospitals), kept=store, start=start)
    assert tuned(again) == tuned(events)


def test_each_engine_tells_the_same_beside_the_metrics(tmp_path: Path) -> None:
    runs = [
        simulate(asked(local_steps=3), tables(), home=tmp_path / "a", progress=False).summary["runs"],
        simulate(
            study(
                model=MLP,
                data={"sites": {name: str(tmp_path / f"{name}.csv") for name in _written(tmp_path)}},
                evaluation={"fine_tune": {"local_steps": 3}},
            ),
            engine="processes",
            home=tmp_path / "b",
            progress=False,
        ).summary["runs"],
    ]
    (one,), (other,) = ([run["sites"] for run in each] for each in runs)
    assert one == other
    for site in one.values():
        assert set(site["fine_tuned"]) == set(site["metrics"])
        assert site["fine_tuned"] != site["metrics"]


def test_without_it_there_is_nothing_of_it(tmp_path: Path) -> None:
    found = simulate(study(), tables(), home=tmp_path, progress=False)
    assert not [site for site in found.summary["runs"][0]["sites"].values() if "fine_tuned" in site]
    assert "tuned" not in plain(results(found.view))


def test_it_stands_between_the_federation_and_the_baselines(tmp_path: Path) -> None:
    spec = study(
        model=MLP,
        evaluation={"fine_tune": {"local_epochs": 4}, "baselines": ["local-only", "centralised"], "bootstrap": 20},
    )
    found = simulate(spec, tables(), home=tmp_path, progress=False)
    table = plain(results(found.view))
    east = table[table.index("east ") :].splitlines()[1:5]
    assert [line.split()[0] for line in east] == ["alone", "federated", "fine-tuned", "centralised"]
    assert all("(" in line for line in east), "each with its interval"
    together = table[table.index("All sites together") : table.index("Mean of the sites")]
    assert "fine-tuned" not in together, "its scores never leave a site, so nothing is pooled"
    page = found.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Fine-tuning at the sites" in page
    assert "□" in page or "○" in page
    assert "the metrics of the model that the site tuned for itself" in page


def test_check_says_what_it_will_do() -> None:
    sections = {
        section.title: " ".join(section.sentences)
        for section in inspect(asked(local_epochs=3, learning_rate=0.02, freeze="all-but-head"), tables()).sections
    }
    assert (
        "After the federation, each site trains a copy of the last model for itself (3 epochs, learning rate 0.02, all "
        "layers but the last frozen), which stays there."
    ) in sections["How it is judged"]
    assert "its own metrics, nothing else" in sections["What leaves a site"]


@pytest.mark.parametrize(
    ("fine_tune", "model", "what"),
    [
        ({"freeze": ["layer9"]}, MLP, r"no such layer \(found: layer9\)\n.*layers are layer1 and layer2"),
        ({"freeze": ["layer1", "layer2"]}, MLP, "no layer is left to fine-tune"),
        ({"freeze": "all-but-head"}, {"kind": "logistic"}, "one layer, its head"),
    ],
    ids=["unknown", "all", "one layer"],
)
def test_what_the_model_cannot_follow_is_refused_before_the_first_round(
    tmp_path: Path, fine_tune: dict[str, Any], model: dict[str, Any], what: str
) -> None:
    spec = study(model=model, evaluation={"fine_tune": fine_tune})
    events, error = rehearse(spec, in_process(sites(tmp_path)))
    assert isinstance(error, PlanError)
    with pytest.raises(MedflError, match=what):
        raise error
    assert "[evaluation.fine_tune] freeze" in str(error)
    assert not [event for event in events if isinstance(event, Evaluated)]
    with pytest.raises(PlanError):
        inspect(spec, tables())


def test_epochs_and_steps_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="local_epochs and local_steps exclude each other"):
        asked(local_epochs=1, local_steps=1)


def test_a_rate_that_throws_a_site_out_of_the_numbers_is_named(tmp_path: Path) -> None:
    """What was federated is stored before."""
    spec = study(
        model={"kind": "mlp", "hidden": [4], "activation": "relu"}, evaluation={"fine_tune": {"learning_rate": 1e38}}
    )
    events, error = rehearse(spec, in_process(sites(tmp_path)))
    assert isinstance(error, DivergedError)
    assert "lower learning_rate in [evaluation.fine_tune]" in str(error)
    assert any(isinstance(event, Evaluated) and event.final for event in events)


def test_a_layer_held_back_by_a_stage_moves_nowhere(tmp_path: Path) -> None:
    """The mechanism itself: a rate of nought is no step at all, whatever the optimiser's memory."""
    spec = asked()
    hospitals, found = tuning(spec, tmp_path)
    request, _ = found["west"]
    prepared = hospitals["west"].desk.prepared(spec, request)
    nothing = Stage(spec.training, np.zeros(prepared.model.layout.size, np.float32))
    still = Local(prepared.model, prepared.train, spec.training, None, "west", 1)
    trained = replace(still, stages=(nothing,)).train(request.arrays["weights"], seed=1)
    np.testing.assert_array_equal(trained.weights, request.arrays["weights"])


def test_contributions_and_normalisation_that_stays_at_sites_do_not_go_together() -> None:
    spec = study(
        model={"kind": "torch", "name": "any", "batch_norm": "local"}, evaluation={"contributions": "leave-one-out"}
    )
    with pytest.raises(SpecError, match="no batch normalisation of its own"):
        check(spec)


def _written(folder: Path) -> list[str]:
    for name, frame in tables().items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    return list(NAMES)
