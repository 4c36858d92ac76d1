"""A bundled study that is run again gives the same, or it is said what does not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tests.bundles.conftest import STUDY, Done, Remade, table
from tests.bundles.test_checking import rewritten

import medfl
from medfl.bundles.writing import write
from medfl.errors import BundleError, DataError, MedflError, NotFoundError, PlanError
from medfl.reproducing import reproduce
from medfl.spec.reading import parse
from medfl.store.home import Home
from medfl.store.shelf import outlines
from medfl.testing.command import typed


def tables(folder: Path, *, change: float = 0.0) -> Path:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(("east", "north", "west")):
        frame = table(60 + 30 * number, number)
        frame["age"] = frame["age"].where(frame.index > 0, frame["age"] + change)
        frame.to_csv(folder / f"{name}.csv", index=False)
    return folder


def test_the_same_tables_give_the_same_models_and_metrics(done: Done, tmp_path: Path) -> None:
    found = reproduce(done.bundle, data=tables(tmp_path / "data"))
    assert found.same
    assert (found.home, found.versions) == (None, ())
    assert [(run.name, run.role, bool(run.then)) for run in found.runs] == [
        ("federated", "arm", True),
        ("centralised", "centralised", True),
        ("alone", "local-only", False),
    ]
    assert all(run.then == run.now for run in found.runs)


def test_the_same_under_differential_privacy(private: Done, tmp_path: Path) -> None:
    assert reproduce(private.bundle, data=tables(tmp_path / "data"), home=tmp_path / "home").same
    with Home(tmp_path / "home") as home:
        assert len(outlines(home)) == 1, "kept where that is asked for"


def test_one_value_that_differs_is_found(done: Done, tmp_path: Path) -> None:
    found = reproduce(done.bundle, data=tables(tmp_path / "data", change=1.0))
    assert not found.same
    assert [run.same for run in found.runs] == [False, False, False]
    assert found.runs[0].then != found.runs[0].now


def test_other_metrics_are_named(done: Done, tmp_path: Path, remade: Remade) -> None:
    from medfl.bundles.signing import signer_of
    from medfl.bundles.writing import MANIFEST

    def better(bodies: dict[str, bytes]) -> None:
        words = json.loads(bodies["metrics.json"])
        auc = words["runs"][0]["metrics"]["auc"]
        rewritten(bodies, f'"auc":{auc!r}'.encode(), b'"auc":0.99')
        for one in [*words["runs"], *words["baselines"]]:
            one["metrics"] = {name: 0.99 if value == auc else value for name, value in one["metrics"].items()}
            one["metrics"] |= {"auc": 0.99} if one["metrics"]["auc"] == auc else {}
        bodies["metrics.json"] = json.dumps(words).encode()
        assert MANIFEST in bodies

    path = remade(done.bundle, better, home=done.home)
    assert signer_of(done.home)
    found = reproduce(path, data=tables(tmp_path / "data"))
    assert not found.same
    assert found.runs[0].then == found.runs[0].now
    assert "auc" in found.runs[0].metrics


def test_another_version_of_then_is_told(done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medfl.run import provenance

    now = provenance.versions("logistic")
    monkeypatch.setattr("medfl.reproducing.versions", lambda kind: {**now, "numpy": "9.9"} | {"new": "1"})
    found = reproduce(done.bundle, data=tables(tmp_path / "data"))
    assert found.same
    assert found.versions == (("new", "none", "1"), ("numpy", now["numpy"], "9.9"))


def test_frames_are_given_again(tmp_path: Path) -> None:
    frames = {name: table(60, number) for number, name in enumerate(("east", "north", "west"))}
    study = parse(STUDY.partition("[data.sites]")[0] + "[algorithm]\nrounds = 1\n", source="")
    results = medfl.simulate(study, frames, home=tmp_path / "home", progress=False)
    with Home(tmp_path / "home") as home:
        write(home, results.execution, tmp_path / "frames.zip")
    with pytest.raises(PlanError, match="data frames in Python"):
        reproduce(tmp_path / "frames.zip")
    assert medfl.reproduce(tmp_path / "frames.zip", tables=frames).same


def test_one_arm_of_several_is_run_again_by_itself(tmp_path: Path) -> None:
    text = STUDY + '\n[[arm]]\nname = "plain"\n\n[[arm]]\nname = "other"\nalgorithm = "fedyogi"\n'
    (tables(tmp_path / "data") / "study.toml").write_text(text)
    results = medfl.simulate(tmp_path / "data" / "study.toml", home=tmp_path / "home", arm="other", progress=False)
    with Home(tmp_path / "home") as home:
        write(home, results.execution, tmp_path / "arm.zip")
    found = reproduce(tmp_path / "arm.zip", data=tmp_path / "data")
    assert found.same
    assert [run.name for run in found.runs] == ["other"]


def carried_by(bodies: dict[str, bytes], engine: str) -> None:
    """Tell in the journal and in the plan that another engine carried the messages."""
    rewritten(bodies, b'"engine":"in-process"', f'"engine":"{engine}"'.encode())
    bodies["plan.json"] = bodies["plan.json"].replace(b'"in-process"', f'"{engine}"'.encode())


@pytest.mark.parametrize("engine", ["hub", "flower-app"])
def test_what_ran_in_hospitals_is_not_run_here(engine: str, done: Done, remade: Remade) -> None:
    path = remade(
        done.bundle,
        lambda bodies: carried_by(bodies, engine),
        home=done.home,
    )
    with pytest.raises(PlanError, match="its rows never left them") as caught:
        reproduce(path)
    assert "medfl submit" in str(caught.value)
    assert "east, north and west" in str(caught.value)


def test_a_table_that_was_dealt_out_is_dealt_out_again_whatever_carried_the_messages(
    tmp_path: Path, remade: Remade
) -> None:
    table(120, 1).to_csv(tmp_path / "all.csv", index=False)
    text = (
        STUDY.partition("[data.sites]")[0]
        + '[data.simulate]\ntable = "all.csv"\nsites = 3\n\n[algorithm]\nrounds = 1\n'
    )
    (tmp_path / "study.toml").write_text(text)
    results = medfl.simulate(tmp_path / "study.toml", home=tmp_path / "home", progress=False)
    medfl.bundle(results, tmp_path / "dealt.zip")
    path = remade(
        tmp_path / "dealt.zip",
        lambda bodies: carried_by(bodies, "flower-app"),
        home=tmp_path / "home",
    )
    assert reproduce(path, data=tmp_path).same


def test_a_bundle_that_is_not_sound_is_not_run(done: Done, remade: Remade) -> None:
    path = remade(done.bundle, lambda bodies: bodies.update({"methods.md": b""}), home=None)
    with pytest.raises(BundleError, match=r"methods\.md"):
        reproduce(path)
    with pytest.raises(NotFoundError):
        reproduce(path.with_name("none.zip"))


def test_tables_that_are_not_there_are_said(done: Done, tmp_path: Path) -> None:
    with pytest.raises(MedflError) as caught:
        reproduce(done.bundle, data=tmp_path)
    assert isinstance(caught.value, DataError | NotFoundError)


def test_a_run_that_failed_then_may_fail_again(tmp_path: Path) -> None:
    text = STUDY.replace("batch_size = 16", "batch_size = 16\nlearning_rate = 1e200").replace(
        "rounds = 2", "rounds = 4"
    )
    (tables(tmp_path / "data") / "study.toml").write_text(text.partition("baselines")[0])
    with pytest.raises(MedflError):
        medfl.simulate(tmp_path / "data" / "study.toml", home=tmp_path / "home", progress=False)
    with Home(tmp_path / "home") as home:
        write(home, outlines(home)[0].execution, tmp_path / "failed.zip")
    found = reproduce(tmp_path / "failed.zip", data=tmp_path / "data")
    assert [run.finished for run in found.runs] == [False]


def test_the_journal_of_this_machine_stays_as_it_is(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDFL_JOURNAL", f"sqlite:///{tmp_path}/mine.db")
    assert reproduce(done.bundle, data=tables(tmp_path / "data")).same
    assert not (tmp_path / "mine.db").exists()


# -- as it is typed ----------------------------------------------------------------------------------------------------


def test_typed_from_beginning_to_end(done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tables(tmp_path / "data"))
    said = typed("bundle", "tiny", "--home", done.home)
    assert said.code == 0
    name = f"tiny-{done.execution}.zip"
    assert said.out.startswith(f"Bundle: {name}  (")
    signer = said.out.split("Signed by: ")[1].strip()
    assert signer in said.err
    said = typed("verify", name, "--signer", signer)
    assert (said.code, said.err) == (0, "")
    assert "It is the key that was asked for." in said.out
    assert said.out.endswith("The bundle is what it says it is.\n")
    said = typed("reproduce", name)
    assert said.code == 0
    assert said.out.splitlines()[0].startswith("same  federated, seed 7: model ")
    assert said.out.endswith("The study gives the same again: 3 runs, to the last bit.\n")
    told: Any = typed("reproduce", name, "--json").json
    assert (told["same"], told["home"], len(told["runs"])) == (True, None, 3)
    assert typed("bundle", "tiny", "--home", done.home, "--json").json["error"]["complaints"]


def test_typed_where_something_is_wrong(done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tables(tmp_path / "data", change=2.0))
    (tmp_path / "cut.zip").write_bytes(done.bundle.read_bytes()[:-9])
    said = typed("verify", tmp_path / "cut.zip")
    assert said.code == 1
    assert "wrong  archive" in said.out
    assert "the bundle is not what it says it is" in said.err
    said = typed("verify", tmp_path / "cut.zip", "--json")
    assert (said.code, said.json["sound"]) == (1, False)
    assert typed("verify", tmp_path / "none.zip").code == 2
    assert typed("verify", done.bundle, "--signer", "abc").code == 2
    said = typed("reproduce", done.bundle)
    assert said.code == 1
    assert "other federated, seed 7: model " in said.out
    assert "the study gives something else here" in said.err
    assert typed("reproduce", tmp_path / "cut.zip").code == 1


def test_a_bundle_as_json(done: Done, tmp_path: Path) -> None:
    told = typed("bundle", f"{done.execution}-1", "--home", done.home, "-o", tmp_path / "a.zip", "--json").json
    assert told["execution"] == done.execution
    assert hashlib.sha256((tmp_path / "a.zip").read_bytes()).digest()
    assert (tmp_path / "a.zip").read_bytes() == done.bundle.read_bytes()
