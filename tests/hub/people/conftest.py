"""A consortium of one hub, in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medfl.store.home import Home
from medfl.testing.people import Consortium, consortium


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    folder: Path = tmp_path_factory.mktemp("consortium")
    with Home(folder / "store") as home:
        yield consortium(folder / "hub", home)


@pytest.fixture
def hub(pages: Consortium) -> Consortium:
    return pages.emptied()
