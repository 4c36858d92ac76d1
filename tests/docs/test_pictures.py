"""Every picture of the documentation is made by the tool, small, shown, and told in words for who cannot see it."""

from __future__ import annotations

import re
import runpy
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools" / "pictures.py"))


def test_the_pictures_are_those_that_the_tool_makes(tool: dict[str, Any]) -> None:
    assert {path.stem for path in IMAGES.iterdir()} == set(tool["SHOWN"])


def test_each_is_small(tool: dict[str, Any]) -> None:
    assert {path.name: path.stat().st_size for path in IMAGES.iterdir() if path.stat().st_size > tool["MOST"]} == {}


def test_each_is_shown_and_told_in_words() -> None:
    shown: dict[str, list[str]] = {path.name: [] for path in IMAGES.iterdir()}
    for page in PAGES:
        for told, target in PICTURE.findall(page.read_text(encoding="utf-8")):
            if "images/" in target:
                shown[Path(target).name].append(told)
    assert [name for name, words in shown.items() if not words or any(len(one) < 20 for one in words)] == []


def test_a_picture_is_cut_and_made_small(tool: dict[str, Any]) -> None:
    whole = Image.effect_noise((1600, 900), 80).convert("RGB")
    made = tool["small"](whole.crop((0, 0, 1600, 60)), tool["Cut"]("any", 40, top=10))
    with Image.open(BytesIO(made)) as picture:
        assert picture.size == (1200, 30)
    assert len(made) <= tool["MOST"]
