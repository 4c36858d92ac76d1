"""What the tests of the spec share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from medfl.errors import Complaint, SpecError
from medfl.spec.reading import parse


@pytest.fixture
def complaints() -> Callable[[str], tuple[Complaint, ...]]:
    """Return what a wrong text is told."""

    def told(text: str) -> tuple[Complaint, ...]:
        with pytest.raises(SpecError) as caught:
            parse(text, source="study.toml")
        return caught.value.complaints

    return told
