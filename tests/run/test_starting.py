"""A study that starts from weights learned elsewhere: by each way of naming them, on each engine, after a crash."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load, load_file, save_file

from medfl.events import RoundFinished, WeightsTaken
from medfl.learn.algorithm import Local
from medfl.learn.model import Pull, Trained
from medfl.learn.models.torch import Registered, torch_model
from medfl.learn.statistic import Array
from medfl.learn.transfer.source import Source
from medfl.run.loop import Federation, carry_out
from medfl.run.plan import compile
from medfl.site.answer import Site
from medfl.spec.algorithm import AlgorithmPart
from medfl.spec.discover import algorithms, kind_of
from medfl.store.home import Home
from medfl.store.shelf import whole_execution, whole_run
from medfl.store.views import ExecutionView, RunView
from medfl.testing.command import typed
from medfl.testing.federation import Kept, in_process, rehearse, sites, study, table, told

Tensors = Mapping[str, NDArray[np.float32]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def learned(tiny: Path, home: Path) -> tuple[Path, RunView]:
    """Run the small study with its baselines; export the centralised one, and return the study and its run."""
    with_baselines = tiny.with_name("source.toml")
    text = tiny.read_text(encoding="utf-8")
    with_baselines.write_text(f'{text}\n[evaluation]\nbaselines = ["centralised"]\nbootstrap = 10\n', encoding="utf-8")
    run = executed(with_baselines, home).baseline("centralised")[0]
    assert typed("export", run.run, "--home", home, "-o", tiny.with_name("source")).code == 0
    return tiny, run


def executed(path: Path, home: Path, *options: str) -> ExecutionView:
    said = typed("run", path, "--home", home, "--json", *options)
    assert said.code == 0, said.err
    return whole_execution(Home(home), whole_run(Home(home), str(said.json["runs"][0]["run"])).execution)


def starting(
    path: Path, start: str, *, name: str = "started", more: str = "", changes: tuple[str, str] = ("", "")
) -> Path:
    """Write a copy of a study that starts from something."""
    text = path.read_text(encoding="utf-8").replace(*changes)
    copy = path.with_name(f"{name}.toml")
    copy.write_text(f"{text}\n[model.start]\n{start}\n{more}", encoding="utf-8")
    return copy


def weights_of(run: RunView, home: Path) -> Tensors:
    assert run.model is not None
    loaded: Tensors = load_file(Home(home).artefacts.path(run.model))
    return loaded


def test_each_way_of_naming_the_same_weights_comes_to_the_same_model(learned: tuple[Path, RunView], home: Path) -> None:
    tiny, source = learned
    shutil.copy(tiny.with_name("source") / "model.safetensors", tiny.with_name("w.safetensors"))
    ways = {"model": "source", "run": source.run, "weights": "w.safetensors"}
    runs = {key: executed(starting(tiny, f'{key} = "{value}"'), home).runs[0] for key, value in ways.items()}
    fresh = executed(tiny, home).runs[0]
    assert fresh.start is None and len({run.model for run in runs.values()}) == 1
    assert runs["model"].model != fresh.model
    for run in runs.values():
        assert run.start is not None and run.start.digest == source.model
    assert runs["run"].start is not None and runs["run"].start.matched == ("age", "dose", "colour")
    assert runs["weights"].start is not None and runs["weights"].start.matched == ()
    assert any("in this order" in notice.text for notice in runs["weights"].notices)


def test_worker_processes_and_a_resumed_run_come_to_the_same_digest(
    learned: tuple[Path, RunView], home: Path, tmp_path: Path
) -> None:
    tiny, _ = learned
    asked = starting(tiny, 'model = "source"\nunfreeze_every = 2\nrates = { layer1 = 0.5 }')
    whole, apart = executed(asked, home).runs[0], executed(asked, tmp_path / "other", "--engine", "processes").runs[0]
    assert whole.model == apart.model

    stopped = _stopped_after(2, asked, tmp_path / "third")
    shutil.rmtree(tiny.with_name("source"))
    assert typed("resume", stopped, "--home", tmp_path / "third").code == 0
    assert whole_run(Home(tmp_path / "third"), stopped).model == whole.model


def test_what_is_started_from_may_not_change_before_the_first_round_is_done(
    learned: tuple[Path, RunView], home: Path, tmp_path: Path
) -> None:
    tiny, source = learned
    file = tiny.with_name("w.safetensors")
    save_file(dict(weights_of(source, home)), file)
    stopped = _stopped_after(0, starting(tiny, 'weights = "w.safetensors"'), tmp_path / "other")
    save_file({name: array * 2 for name, array in weights_of(source, home).items()}, file)
    said = typed("resume", stopped, "--home", tmp_path / "other")
    assert said.code == 2 and "changed since the run began" in said.err and "w.safetensors" in said.err


def _stopped_after(rounds: int, asked: Path, home: Path) -> str:
    """Run a study, and take what came after some rounds out of its journal, as if the power had failed."""
    run = executed(asked, home).runs[0].run
    place = Home(home)
    kept = []
    for recorded in place.journal.read(run=run):
        if isinstance(recorded.event, RoundFinished) and recorded.event.round > rounds:
            break
        kept.append(recorded.event)
    place.close()
    (home / "journal.db").unlink()
    with Home(home) as again:
        again.journal.append(kept)
    return run


def test_the_digest_is_told_wherever_results_are(learned: tuple[Path, RunView], home: Path, tmp_path: Path) -> None:
    tiny, source = learned
    run = executed(starting(tiny, 'model = "source"\nfreeze = ["layer1"]'), home).runs[0]
    digest = str(source.model)
    assert digest in typed("show", run.run, "--home", home).out.replace("\n", "").replace(" ", "")
    assert typed("report", run.run, "--home", home, "-o", tmp_path / "report.html").code == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert digest in page and "Layer layer1 was frozen" in page
    assert typed("export", run.run, "--home", home, "-o", tmp_path / "further").code == 0
    card = (tmp_path / "further" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert digest in card and "started from the exported model source" in card and "by name and unit" in card
    told = typed("check", starting(tiny, f'run = "{run.run}"\nprobe_rounds = 2'), "--home", home).out
    assert f"from what run {run.run} has learned" in told and "learns alone in the first 2 rounds" in told
    assert "matched with the source's" in told


def test_baselines_start_from_the_same_weights_and_keep_what_is_frozen(
    learned: tuple[Path, RunView], home: Path
) -> None:
    tiny, source = learned
    more = '[evaluation]\nbaselines = ["centralised", "local-only"]\nbootstrap = 10\n'
    frozen = executed(starting(tiny, 'model = "source"\nfreeze = "all-but-head"', more=more), home)
    free = executed(starting(tiny, 'model = "source"', more=more), home)
    assert all(run.start is not None and run.start.digest == source.model for run in (*frozen.runs, *frozen.baselines))
    before = weights_of(source, home)
    for run in (frozen.runs[0], frozen.baseline("centralised")[0]):
        after = weights_of(run, home)
        same = {name for name in before if before[name].tobytes() == after[name].tobytes()}
        assert same == {"layer1.weight", "layer1.bias"}
    assert (
        frozen.baseline("local-only")[0].sites["east"].metrics != free.baseline("local-only")[0].sites["east"].metrics
    )


def test_a_baseline_follows_the_schedule_within_its_one_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site alone: three rounds of the head, then three of everything, in one request."""
    asked = study(
        model={"kind": "mlp", "hidden": [4], "start": {"weights": "w", "probe_rounds": 3}},
        algorithm={"kind": "fedavg", "rounds": 6},
        evaluation={"baselines": ["local-only"], "bootstrap": 0},
    )
    seen: list[list[tuple[int | None, bool]]] = []
    train = Local.train

    def noted(local: Local, weights: Array, *, seed: int, pull: Pull | None = None) -> Trained:
        seen.append([(stage.how.local_epochs, stage.rates is None) for stage in local.stages])
        return train(local, weights, seed=seed, pull=pull)

    elsewhere = learned_elsewhere(tmp_path / "elsewhere")
    monkeypatch.setattr(Local, "train", noted)
    federation = Federation(in_process(hospitals(tmp_path)), Kept().write, None, lambda _: elsewhere)
    _, error = told(carry_out("alone", compile(asked)[1], federation))
    assert error is None and seen == [[(3, False), (3, True)]] * 9


@pytest.mark.parametrize("rule", algorithms(), ids=kind_of)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_frozen_layer_stays_bit_for_bit_under_every_rule(
    rule: type[AlgorithmPart], optimizer: str, tmp_path: Path
) -> None:
    training = {"optimizer": optimizer, "weight_decay": 0.01, "batch_size": 16}
    model = {"kind": "mlp", "hidden": [4], "start": {"weights": "w", "freeze": ["layer1"]}}
    asked = study(model=model, algorithm={"kind": kind_of(rule), "rounds": 3}, training=training)
    kept, elsewhere = Kept(), learned_elsewhere(tmp_path / "elsewhere")
    federation = Federation(in_process(hospitals(tmp_path)), kept.write, None, lambda _: elsewhere)
    events, error = told(carry_out("frozen", compile(asked)[0], federation))
    assert error is None
    assert [event.digest for event in events if isinstance(event, WeightsTaken)] == [elsewhere.digest]
    last = [event for event in events if isinstance(event, RoundFinished)][-1]
    after = load(kept[last.model])
    for name, before in elsewhere.tensors.items():
        assert (after[name].tobytes() == before.tobytes()) == name.startswith("layer1")


def hospitals(folder: Path) -> dict[str, Site]:
    """Return nine hospitals, enough for every rule."""
    return sites(folder, {f"more-{number}": partial(table, 30 + number, number) for number in range(6)})


def learned_elsewhere(folder: Path) -> Source:
    """Return what another federation of such hospitals learned."""
    kept = Kept()
    events, error = rehearse(study(model={"kind": "mlp", "hidden": [4]}), in_process(sites(folder)), kept=kept)
    assert error is None
    digest = [event.model for event in events if isinstance(event, RoundFinished)][-1]
    return Source("a test's own weights", digest, load(kept[digest]))


KEYS = {
    "freeze": 'freeze = ["layer1"]',
    "all-but-head": 'freeze = "all-but-head"',
    "rates": "rates = { layer1 = 0.1 }",
    "unfreeze_every": "unfreeze_every = 3",
    "probe_rounds": "probe_rounds = 1",
    "new_head": "new_head = true",
}


def test_every_key_changes_the_model(learned: tuple[Path, RunView], home: Path) -> None:
    tiny, _ = learned
    models = {
        key: executed(starting(tiny, f'model = "source"\n{line}'), home).runs[0].model
        for key, line in {"": "", **KEYS}.items()
    }
    models["twice as slow"] = (
        executed(starting(tiny, 'model = "source"\nrates = { layer1 = 0.05 }'), home).runs[0].model
    )
    # With two layers and four rounds, to freeze the first one is to freeze all but the head.
    assert models.pop("all-but-head") == models["freeze"]
    assert len(set(models.values())) == len(models)


@pytest.mark.torch
def test_a_torch_factory_brings_its_weights_along(tiny: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(Registered, "factories", {})

    @torch_model("pretrained")
    def pretrained(features: int, outcomes: int) -> Any:
        module = torch.nn.Sequential(torch.nn.Linear(features, 3), torch.nn.Tanh(), torch.nn.Linear(3, outcomes))
        with torch.no_grad():
            for place, parameter in enumerate(module.parameters(), start=1):
                parameter.fill_(0.1 * place)
        return module

    asked = starting(
        tiny,
        'weights = "bundled"\nfreeze = ["0"]',
        changes=('kind = "mlp"\nhidden = [8]', 'kind = "torch"\nname = "pretrained"'),
    )
    run = executed(asked, home).runs[0]
    assert run.start is not None and "pretrained" in run.start.source and len(run.start.digest) == 64
    weights = weights_of(run, home)
    assert (weights["0.weight"] == np.float32(0.1)).all() and (weights["2.weight"] != np.float32(0.3)).any()
    further = starting(
        tiny,
        f'run = "{run.run}"\nfreeze = "all-but-head"\nnew_head = true',
        name="further",
        changes=('kind = "mlp"\nhidden = [8]', 'kind = "torch"\nname = "pretrained"'),
    )
    again = weights_of(executed(further, home).runs[0], home)
    assert again["0.weight"].tobytes() == weights["0.weight"].tobytes()
    fewer = starting(
        tiny,
        f'run = "{run.run}"',
        changes=('kind = "mlp"\nhidden = [8]', 'kind = "torch"\nname = "pretrained"'),
    )
    fewer.write_text(fewer.read_text(encoding="utf-8").replace("[data]\n", '[data]\nfeatures = ["age", "dose"]\n'))
    said = typed("run", fewer, "--home", home)
    assert said.code == 2 and "the same columns only" in said.err
