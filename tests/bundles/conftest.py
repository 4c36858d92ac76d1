"""A small study that was carried out once, and its bundle, to be taken apart."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest

import medfl
from medfl.bundles.archive import Piece, pack
from medfl.bundles.contents import listing
from medfl.bundles.signing import Signer, signer_of
from medfl.bundles.writing import MANIFEST, SIGNATURE, write
from medfl.store.home import Home

STUDY = """
# Written by hand: this remark is in no canonical form.
[study]
name = "tiny"
question = "Does the toy disease show in two numbers?"
seed = 7

[data]
target = "sick"
positive = "1"

[data.sites]
east = "east.csv"
north = "north.csv"
west = "west.csv"

[training]
batch_size = 16

[algorithm]
kind = "fedavg"
rounds = 2

[evaluation]
bootstrap = 10
baselines = ["centralised", "local-only"]
"""
PRIVATE = """
[privacy.dp]
unit = "record"
epsilon = 6.0
delta = 1e-3
ranges = { age = [20, 100], dose = [-5, 5] }

[preprocess]
impute = "mean"
"""


def table(rows: int, seed: int) -> pd.DataFrame:
    """Return a table whose values have so many digits that none occurs elsewhere by chance."""
    draw = np.random.default_rng(seed)
    age, dose = draw.normal(60, 10, rows), draw.normal(size=rows)
    return pd.DataFrame({"age": age, "dose": dose, "sick": ((age - 60) / 10 + dose > 0.2).astype(int)})


@dataclass(frozen=True)
class Done:
    """A study that was carried out, and its bundle."""

    home: Path
    execution: str
    bundle: Path
    study: Path


def carried_out(folder: Path, text: str) -> Done:
    for number, name in enumerate(("east", "north", "west")):
        table(60 + 30 * number, number).to_csv(folder / f"{name}.csv", index=False)
    study = folder / "study.toml"
    study.write_text(text, encoding="utf-8")
    results = medfl.simulate(study, home=folder / "home", progress=False)
    with Home(folder / "home") as home:
        write(home, results.execution, folder / "tiny.zip")
    return Done(folder / "home", results.execution, folder / "tiny.zip", study)


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return carried_out(tmp_path_factory.mktemp("done"), STUDY)


@pytest.fixture(scope="session")
def private(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Return the same under differential privacy."""
    text = STUDY.replace('baselines = ["centralised", "local-only"]', "").replace("bootstrap = 10", "bootstrap = 0")
    return carried_out(tmp_path_factory.mktemp("private"), text + PRIVATE)


Change = Callable[[dict[str, bytes]], None]
Remade = Callable[..., Path]


@pytest.fixture
def remade(tmp_path: Path) -> Iterator[Remade]:
    """Return a function that takes a bundle apart, changes its files, and puts it together again.

    The list of files is made anew and signed: by the bundle's own signer, or where ``home`` is None by nobody, so that
    list and signature stay as they were.
    """

    def remake(bundle: Path, change: Change, *, home: Path | None) -> Path:
        bodies = unpacked(bundle)
        change(bodies)
        if home is not None:
            resign(bodies, signer_of(home))
        target = tmp_path / "changed.zip"
        with target.open("wb") as out:
            pack([Piece.of(name, "", body) for name, body in bodies.items()], out)
        return target

    yield remake
    shutil.rmtree(tmp_path, ignore_errors=True)


def unpacked(bundle: Path) -> dict[str, bytes]:
    with ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def resign(bodies: dict[str, bytes], signer: Signer) -> None:
    """List all files anew, as whoever has the key could, and sign the list."""
    manifest = json.loads(bodies[MANIFEST])
    crate = json.loads(bodies["ro-crate-metadata.json"])
    others = {
        name: body for name, body in bodies.items() if name not in (MANIFEST, SIGNATURE, "ro-crate-metadata.json")
    }
    files = listing(Piece.of(name, "", body) for name, body in others.items())
    kept = [one for one in crate["@graph"] if one["@type"] != "File" or one["@id"] in (MANIFEST, SIGNATURE)]
    described = [{"@id": name, "@type": "File", "sha256": told["sha256"]} for name, told in files.items()]
    bodies["ro-crate-metadata.json"] = json.dumps(crate | {"@graph": [*kept, *described]}).encode()
    files |= listing([Piece.of("ro-crate-metadata.json", "", bodies["ro-crate-metadata.json"])])
    bodies[MANIFEST] = json.dumps(manifest | {"files": files}).encode()
    bodies[SIGNATURE] = signer.signature(bodies[MANIFEST])


def edited(name: str, change: Callable[[Any], Any]) -> Change:
    """Return a change of one file of JSON."""

    def edit(bodies: dict[str, bytes]) -> None:
        value = json.loads(bodies[name])
        bodies[name] = json.dumps(change(value) or value).encode()

    return edit


def graph(bundle: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return the entities of a bundle's description by their id."""
    return {one["@id"]: one for one in json.loads(unpacked(bundle)["ro-crate-metadata.json"])["@graph"]}
