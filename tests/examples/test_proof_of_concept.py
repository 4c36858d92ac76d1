"""The proof of concept's one command, on few people: every study runs and every place of the page is filled."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/diabetes"
PAGE = ROOT / "docs/explanation/proof-of-concept.md"
SLOT = re.compile(r"<!-- ([a-z-]+) -->\n(.*?)<!-- end -->", re.DOTALL)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_command_makes_every_table_and_figure(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    page = tmp_path / "page.md"
    shutil.copy(PAGE, page)
    table = shared / "data/diabetes100k.csv"
    command = [sys.executable, str(EXAMPLE / "proof_of_concept.py"), str(table), "--quick"]
    for time in ("first", "again"):
        said = subprocess.run(
            [*command, "--home", str(tmp_path / "home"), "--page", str(page)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.returncode == 0, said.stderr
        assert said.stdout.endswith("is written.\n")
        assert ("finished in" in said.stderr) == (time == "first"), "what is in the journal is not run again"
    filled = dict(SLOT.findall(page.read_text(encoding="utf-8")))
    assert filled.keys() == dict(SLOT.findall(PAGE.read_text(encoding="utf-8"))).keys()
    for name, body in filled.items():
        assert re.search(r"\d\.\d", body) or body.startswith("!["), name
        for figure in re.findall(r"\((figures/[^)]+\.svg)\)", body):
            assert (tmp_path / figure).read_text(encoding="utf-8").startswith("<?xml")


def test_a_quick_try_does_not_overwrite_the_page(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLE / "proof_of_concept.py"), str(tmp_path / "none.csv"), "--quick"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (said.returncode, "--page" in said.stderr) == (2, True)


def test_the_page_shows_what_its_studies_gave() -> None:
    """The published page has every place filled, with figures that exist."""
    filled = dict(SLOT.findall(PAGE.read_text(encoding="utf-8")))
    assert len(filled) >= 10
    for name, body in filled.items():
        assert body.strip(), name
        for figure in re.findall(r"\((figures/[^)]+\.svg)\)", body):
            assert (PAGE.parent / figure).exists(), figure
