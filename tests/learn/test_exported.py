"""An exported model predicts what the trained one does, says what it needs, and notices when it was touched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from medfl.errors import DataError, ModelFileError, UserError
from medfl.learn.exported import Exported, load
from medfl.simulate import simulate
from medfl.testing.federation import NAMES

Matrix = NDArray[np.float64]

LISTED = """
[evaluation]
bootstrap = 20
id_column = "id"

[evaluation.test_ids]
east = "east.txt"
north = "north.txt"
west = "west.txt"
"""


@pytest.fixture
def listed(tiny: Path) -> Path:
    """Return the small study with test rows by ID, so that everybody can know which they are."""
    for name in NAMES:
        path = tiny.with_name(f"{name}.csv")
        frame = pd.read_csv(path)
        frame.insert(0, "id", [f"{name}-{row}" for row in range(len(frame))])
        frame.to_csv(path, index=False)
        path.with_suffix(".txt").write_text("\n".join(frame["id"][::4]), encoding="utf-8")
    tiny.write_text(tiny.read_text(encoding="utf-8") + LISTED, encoding="utf-8")
    return tiny


def changed(study: Path, *changes: tuple[str, str]) -> Path:
    text = study.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    study.write_text(text, encoding="utf-8")
    return study


def exported(study: Path) -> tuple[Path, dict[str, Any]]:
    """Run a study and export its first run; return the folder and the run's summary."""
    from medfl.publish.export import export
    from medfl.store.shelf import whole_run

    results = simulate(study, home=study.parent / "home", progress=False)
    run = results.summary["runs"][0]
    export(whole_run(results.home, run["run"]), results.home.artefacts, study.parent / "model")
    return study.parent / "model", run


def parts(study: Path) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Return each site's training and test rows."""
    frames = {name: pd.read_csv(study.with_name(f"{name}.csv")) for name in NAMES}
    return {name: (frame[frame.index % 4 != 0], frame[frame.index % 4 == 0]) for name, frame in frames.items()}


def numbers(frame: pd.DataFrame) -> Matrix:
    """Return the columns a model sees, before scaling: two numbers, and a column for each colour."""
    colours = [(frame["colour"] == colour).astype(float) for colour in ("amber", "blue", "clear")]
    return np.column_stack([frame["age"], frame["dose"], *colours])


def outputs(folder: Path, matrix: Matrix) -> Matrix:
    """Return the network's scores, computed here from the weights alone."""
    weights = {name: array.astype(np.float64) for name, array in load_file(folder / "model.safetensors").items()}
    layers = len(weights) // 2
    for number in range(1, layers + 1):
        matrix = matrix @ weights[f"layer{number}.weight"] + weights[f"layer{number}.bias"]
        matrix = np.maximum(matrix, 0) if number < layers else matrix
    return matrix


def predicted(folder: Path, frame: pd.DataFrame) -> pd.DataFrame:
    table, notes = load(folder).predict(frame)
    assert notes == []
    assert table["row"].tolist() == list(range(1, len(frame) + 1))
    return table


def test_probabilities_are_those_of_the_weights_on_the_pooled_scale(listed: Path) -> None:
    folder, run = exported(listed)
    pooled = np.concatenate([numbers(train) for train, _ in parts(listed).values()])
    correct = 0
    for _, test in parts(listed).values():
        scaled = (numbers(test) - pooled.mean(axis=0)) / pooled.std(axis=0, ddof=1)
        expected = 1 / (1 + np.exp(-outputs(folder, scaled)[:, 0]))
        table = predicted(folder, test.drop(columns="sick"))
        np.testing.assert_allclose(table["probability"], expected, atol=1e-6)
        assert table["predicted"].tolist() == np.where(expected >= 0.5, "1", "0").tolist()
        correct += int((table["predicted"].astype(int) == test["sick"].to_numpy()).sum())
    rows = sum(len(test) for _, test in parts(listed).values())
    assert correct / rows == pytest.approx(run["metrics"]["accuracy"]), "the run was judged by these predictions"


def test_the_outcome_of_a_row_changes_nothing(listed: Path) -> None:
    folder, _ = exported(listed)
    test = parts(listed)["east"][1]
    with_outcome = predicted(folder, test.assign(sick=7))
    pd.testing.assert_frame_equal(with_outcome, predicted(folder, test.drop(columns=["sick", "id"])))


def test_scaling_per_site_uses_the_rows_that_are_given(listed: Path) -> None:
    study = changed(listed, ("[model]", '[preprocess]\nscale = "standard-per-site"\n\n[model]'))
    folder, _ = exported(study)
    given = parts(study)["west"][1]
    table, (note,) = load(folder).predict(given)
    scaled = (numbers(given) - numbers(given).mean(axis=0)) / numbers(given).std(axis=0, ddof=1)
    np.testing.assert_allclose(table["probability"], 1 / (1 + np.exp(-outputs(folder, scaled)[:, 0])), atol=1e-6)
    assert note == f"the model expects values scaled per site: they were scaled by these {len(given)} rows themselves"


def test_several_classes(listed: Path) -> None:
    study = changed(listed, ('target = "sick"', 'target = "colour"'), ("hidden = [8]", "hidden = [5]"))
    folder, run = exported(study)
    columns = ["age", "dose", "sick"]
    pooled = np.concatenate([train[columns] for train, _ in parts(study).values()])
    correct = 0
    for _, test in parts(study).values():
        scores = outputs(folder, (test[columns].to_numpy() - pooled.mean(axis=0)) / pooled.std(axis=0, ddof=1))
        shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        table = predicted(folder, test)
        classes = ["amber", "blue", "clear"]
        np.testing.assert_allclose(table[[f"probability of {name}" for name in classes]], shares, atol=1e-6)
        assert table["predicted"].tolist() == [classes[place] for place in scores.argmax(axis=1)]
        correct += int((table["predicted"].to_numpy() == test["colour"].to_numpy()).sum())
    assert correct / sum(len(test) for _, test in parts(study).values()) == pytest.approx(run["metrics"]["accuracy"])


def test_a_number(listed: Path) -> None:
    study = changed(listed, ('target = "sick"', 'target = "dose"\noutcome = "regression"\nfeatures = ["age", "sick"]'))
    folder, run = exported(study)
    train = pd.concat([train for train, _ in parts(study).values()])
    errors = []
    for _, test in parts(study).values():
        scaled = (test[["age", "sick"]] - train[["age", "sick"]].mean()) / train[["age", "sick"]].std()
        expected = outputs(folder, scaled.to_numpy())[:, 0] * train["dose"].std() + train["dose"].mean()
        table = predicted(folder, test)
        np.testing.assert_allclose(table["predicted"], expected, atol=1e-5)
        errors.append(table["predicted"].to_numpy() - test["dose"].to_numpy())
    assert np.sqrt(np.mean(np.concatenate(errors) ** 2)) == pytest.approx(run["metrics"]["rmse"], rel=1e-4)


@pytest.fixture
def model(tiny: Path) -> Path:
    return exported(tiny)[0]


@pytest.fixture
def rows(tiny: Path) -> pd.DataFrame:
    return pd.read_csv(tiny.with_name("east.csv"))


def test_it_is_found_by_its_folder_or_a_file_in_it(model: Path) -> None:
    for path in (model, model / "model.json", model / "model.safetensors"):
        assert isinstance(load(path), Exported)


def test_a_column_that_lacks(model: Path, rows: pd.DataFrame) -> None:
    with pytest.raises(DataError) as caught:
        load(model).predict(rows.rename(columns={"dose": "does"}).drop(columns="age"))
    assert "no age, dose" in str(caught.value)
    assert "did you mean 'does'?" in str(caught.value)


def test_a_category_that_no_site_had(model: Path, rows: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="category that training never met") as caught:
        load(model).predict(rows.assign(colour="Zebediah"))
    assert "Zebediah" not in str(caught.value)


def test_rows_with_missing_values_are_left_out_where_training_did(tiny: Path, rows: pd.DataFrame) -> None:
    folder, _ = exported(changed(tiny, ("[model]", '[preprocess]\nimpute = "drop"\n\n[model]')))
    rows.loc[[0, 3], "dose"] = np.nan
    table, notes = load(folder).predict(rows)
    assert table["row"].tolist() == [2, 3, *range(5, len(rows) + 1)]
    assert notes == ["2 rows have a missing value and are left out, as in training"]


def test_a_file_without_a_header_where_the_study_names_the_columns(tiny: Path) -> None:
    for name in NAMES:
        path = tiny.with_name(f"{name}.csv")
        path.write_text(path.read_text(encoding="utf-8").partition("\n")[2], encoding="utf-8")
    columns = 'columns = ["age", "dose", "colour", "sick"]'
    folder, _ = exported(changed(tiny, ('target = "sick"', f'target = "sick"\n{columns}')))
    bare, headed = tiny.with_name("east.csv"), tiny.with_name("headed.csv")
    headed.write_text(f"colour,age,dose\n{_without_outcome(bare)}", encoding="utf-8")
    one = load(folder)
    pd.testing.assert_frame_equal(one.predict(one.read(bare))[0], one.predict(one.read(headed))[0])


def _without_outcome(bare: Path) -> str:
    frame = pd.read_csv(bare, header=None)
    return str(frame[[2, 0, 1]].to_csv(index=False, header=False))


def weights_changed(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["layer1.bias"] = tensors["layer1.bias"] + 1
    save_file(tensors, folder / "model.safetensors")


def edited(folder: Path, change: Callable[[dict[str, Any]], object], *, sealed: bool = False) -> None:
    path = folder / "model.json"
    words = json.loads(path.read_text(encoding="utf-8"))
    change(words)
    if sealed:
        rest = {name: value for name, value in words.items() if name != "seal"}
        words["seal"] = hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(words), encoding="utf-8")


FAULTS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "weights changed": (weights_changed, "the weights are not those", "export the model again"),
    "weights cut off": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"\x08"), "the weights are not those", "export"
    ),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors cannot be read", "give"),
    "no words": (lambda folder: (folder / "model.json").unlink(), "model.json cannot be read", "folder"),
    "a mean edited": (
        lambda folder: edited(folder, lambda words: words["recipe"]["offset"].__setitem__(0, 0.0)),
        "changed after it was exported", "export the model again",
    ),
    "a threshold edited": (
        lambda folder: edited(folder, lambda words: words.update(threshold=0.1)), "changed after", "export"
    ),
    "no seal": (lambda folder: edited(folder, lambda words: words.pop("seal")), "changed after", "export"),
    "a newer format": (
        lambda folder: edited(folder, lambda words: words.update(version=2)), "newer MEDfl", "pip install --upgrade"
    ),
    "another program's": (
        lambda folder: edited(folder, lambda words: words.update(format="onnx")), "not an exported model", "make one"
    ),
    "no object": (lambda folder: (folder / "model.json").write_text("[1]"), "not an exported model", "medfl export"),
    "no JSON": (lambda folder: (folder / "model.json").write_text("{"), "not JSON", "export the model again"),
    "sealed nonsense": (
        lambda folder: edited(folder, lambda words: words.update(recipe=5), sealed=True),
        "cannot be put together", "export the model again",
    ),
    "another network": (
        lambda folder: edited(folder, lambda words: words["model"].update(hidden=[9]), sealed=True),
        "do not fit the model", "export the model again",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_what_was_touched_is_refused(name: str, model: Path) -> None:
    spoil, what, remedy = FAULTS[name]
    spoil(model)
    with pytest.raises(ModelFileError) as caught:
        load(model)
    (complaint,) = caught.value.complaints
    assert what in complaint.what
    assert remedy in complaint.remedy
    assert complaint.where
    assert caught.value.exit_code == 2


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="there is no such model"):
        load(tmp_path / "nowhere")


def test_nothing_is_written_over(model: Path, tiny: Path) -> None:
    before = (model / "model.json").read_bytes()
    with pytest.raises(UserError, match="the folder exists already"):
        exported(tiny)
    assert (model / "model.json").read_bytes() == before
