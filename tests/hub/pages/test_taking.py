"""What of a study is taken along whole: the document, the models with their cards, the bundle."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from medfl.bundles.checking import verify
from medfl.bundles.signing import signer_of
from medfl.store.home import Home
from medfl.store.written import written
from medfl.testing.pages import STUDY, Visitor


def test_the_bundle_is_sound_and_signed_by_the_store(visitor: Visitor, home: tuple[Home, str], tmp_path: Path) -> None:
    answer = visitor.client.get(f"/studies/{visitor.execution}/bundle.zip")
    assert answer.headers["content-type"] == "application/zip"
    assert 'filename="tumours-bundle.zip"' in answer.headers["content-disposition"]
    (tmp_path / "bundle.zip").write_bytes(answer.content)
    found = verify(tmp_path / "bundle.zip", signer=signer_of(home[0].folder).fingerprint)
    assert found.sound
    assert found.execution == visitor.execution


def test_a_study_that_runs_has_no_bundle_yet(visitor: Visitor, home: tuple[Home, str]) -> None:
    with home[0].lock(visitor.execution):
        answer = visitor.client.get(f"/studies/{visitor.execution}/bundle.zip")
    assert answer.status_code == 409
    assert "still runs" in answer.text


def test_every_model_comes_with_its_card(visitor: Visitor) -> None:
    page = visitor.client.get(f"/api/studies/{visitor.execution}/results").json()
    assert [one["mark"]["label"] for one in page["kept"]] == ["federated", "centralised"]
    shown = visitor.client.get(f"/studies/{visitor.execution}/results").text
    for one in page["kept"]:
        place = f"/studies/{visitor.execution}/models/{one['run']}"
        assert f'href="{place}/model.safetensors"' in shown
        weights = visitor.client.get(f"{place}/model.safetensors")
        assert hashlib.sha256(weights.content).hexdigest() == one["digest"] == page["models"][one["run"]]
        label = one["mark"]["label"]
        assert f'"tumours-{label}-seed-{one["seed"]}.safetensors"' in weights.headers["content-disposition"]
        card = visitor.client.get(f"{place}/model-card.md")
        assert f'"tumours-{label}-seed-{one["seed"]}-model-card.md"' in card.headers["content-disposition"]
        assert card.text.startswith("# Model card: tumours")
        assert card.headers["content-type"] == "text/markdown; charset=utf-8"


@pytest.mark.parametrize("name", ["nothing", "12345678-9", "..%2Fother", "%00"])
@pytest.mark.parametrize("file", ["model.safetensors", "model-card.md"])
def test_no_model_but_the_studys_own(name: str, file: str, visitor: Visitor) -> None:
    assert visitor.client.get(f"/studies/{visitor.execution}/models/{name}/{file}").status_code == 404


@pytest.mark.parametrize("file", ["bundle.zip", "report.pdf"])
def test_no_study_but_those_there_are(file: str, visitor: Visitor) -> None:
    assert visitor.client.get(f"/studies/00000000/{file}").status_code == 404


@pytest.mark.usefixtures("typeset")
def test_the_report_is_a_document(visitor: Visitor) -> None:
    answer = visitor.client.get(f"/studies/{visitor.execution}/report.pdf")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF-")


def test_what_is_not_installed_is_said_on_the_page(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    from medfl.errors import MissingExtraError

    def missing(_: object, **_ways: object) -> bytes:
        raise MissingExtraError("a report as PDF needs more", remedy="pip install 'medfl[pdf]'")

    monkeypatch.setattr("medfl.hub.pages.taking.report_pdf", missing)
    answer = visitor.client.get(f"/studies/{visitor.execution}/report.pdf")
    assert answer.status_code == 400
    assert "medfl[pdf]" in answer.text


def test_a_study_is_kept_as_it_was_written(visitor: Visitor, home: tuple[Home, str]) -> None:
    text = f"# A remark of somebody.\n{STUDY}"
    visitor.client.post("/studies", data={"csrf": visitor.token, "text": text})
    assert visitor.carries.asked
    assert "# A remark of somebody." in (written(home[0], "12345678") or "")
