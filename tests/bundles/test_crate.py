"""The description holds to what RO-Crate 1.1 demands of every crate, and says of each file what it is."""

from __future__ import annotations

import json
import re
from datetime import date

from tests.bundles.conftest import Done, graph, unpacked

from medfl.bundles.signing import signer_of
from medfl.store.home import Home
from medfl.store.shelf import whole_execution


def test_the_document_is_flat_json_ld_with_the_crates_context(done: Done) -> None:
    words = json.loads(unpacked(done.bundle)["ro-crate-metadata.json"])
    assert words["@context"] == "https://w3id.org/ro/crate/1.1/context"
    assert set(words) == {"@context", "@graph"}
    ids = [one["@id"] for one in words["@graph"]]
    assert len(ids) == len(set(ids))
    for one in words["@graph"]:
        assert one["@type"]
        for value in one.values():
            for inner in value if isinstance(value, list) else [value]:
                assert not isinstance(inner, dict) or set(inner) == {"@id"}, "an entity within another one"


def test_the_root_and_its_descriptor_are_as_they_must(done: Done) -> None:
    entities = graph(done.bundle)
    descriptor = entities["ro-crate-metadata.json"]
    assert descriptor["@type"] == "CreativeWork"
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert descriptor["about"] == {"@id": "./"}
    root = entities["./"]
    assert root["@type"] == "Dataset"
    assert root["name"]
    assert root["description"] == "Does the toy disease show in two numbers?"
    assert date.fromisoformat(str(root["datePublished"]))
    assert entities[root["license"]["@id"]]["description"]


def test_every_file_is_a_part_and_every_reference_leads_somewhere(done: Done) -> None:
    entities, bodies = graph(done.bundle), unpacked(done.bundle)
    parts = {part["@id"] for part in entities["./"]["hasPart"]}
    assert parts == set(bodies) - {"ro-crate-metadata.json"}
    for name in parts:
        assert entities[name]["@type"] == "File"
        assert not re.search(r"^/|\.\.|\s", name), "a relative path that is an address as it stands"
    for one in entities.values():
        for value in one.values():
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, dict):
                    assert inner["@id"] in entities or inner["@id"].startswith(("https://", "http://schema.org/"))


def test_files_are_told_with_size_type_and_digest(done: Done) -> None:
    entities, bodies = graph(done.bundle), unpacked(done.bundle)
    listed = json.loads(bodies["manifest.json"])["files"]
    for name, told in listed.items():
        if name != "ro-crate-metadata.json":
            assert entities[name]["sha256"] == told["sha256"]
            assert entities[name]["contentSize"] == str(len(bodies[name]))
            assert entities[name]["encodingFormat"]
    assert entities["report.html"]["encodingFormat"] == "text/html"


def test_runs_are_actions_with_what_came_out(done: Done) -> None:
    entities = graph(done.bundle)
    with Home(done.home) as home:
        view = whole_execution(home, done.execution)
    for run in view.every:
        action = entities[f"#run-{run.run}"]
        assert action["@type"] == "CreateAction"
        assert action["endTime"] == run.ended
        assert entities[action["instrument"]["@id"]]["softwareVersion"] == run.versions["medfl"]
        models = [one["@id"] for one in action["result"] if one["@id"].endswith("safetensors")]
        assert models == ([] if run.role == "local-only" else [f"models/{run.run}/model.safetensors"])
    assert signer_of(done.home).fingerprint not in json.dumps(entities)
