"""Small federations that many tests share; everything in them is made here, from a seed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

# What was started in the background of a shell ignores Ctrl-C, and so would every command that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A proxy of this machine's has nothing to do with what tests send to themselves.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "localhost,127.0.0.1"

SHARED = Path(__file__).resolve().parents[2] / "shared"

STUDY = """
[study]
name = "tiny"
question = "Does the toy disease show in two numbers and a colour?"
seed = 7

[data]
target = "sick"

[data.sites]
east = "east.csv"
north = "north.csv"
west = "west.csv"

[model]
kind = "mlp"
hidden = [8]

[training]
batch_size = 16

[algorithm]
kind = "fedavg"
rounds = 4
"""


def table(rows: int, seed: int) -> pd.DataFrame:
    """Return a table whose outcome depends on its columns."""
    draw = np.random.default_rng(seed)
    age, dose = draw.normal(60, 10, rows).round(1), draw.normal(size=rows).round(3)
    colour = draw.choice(["amber", "blue", "clear"], rows)
    risk = (age - 60) / 10 + dose + (colour == "blue") + draw.normal(0, 0.7, rows)
    return pd.DataFrame({"age": age, "dose": dose, "colour": colour, "sick": (risk > 0.4).astype(int)})


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Return the path of a small study with three hospitals' files beside it."""
    for number, name in enumerate(("east", "north", "west")):
        table(60 + 30 * number, number).to_csv(tmp_path / f"{name}.csv", index=False)
    path = tmp_path / "study.toml"
    path.write_text(STUDY, encoding="utf-8")
    return path


@pytest.fixture
def edited(tiny: Path) -> Callable[..., Path]:
    """Return a function that replaces text in the small study, appends to it, and returns its path."""

    def edit(*changes: tuple[str, str], more: str = "") -> Path:
        text = tiny.read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        tiny.write_text(text + more, encoding="utf-8")
        return tiny

    return edit


@pytest.fixture
def typeset() -> None:
    """Skip where there is nothing to set a document with: WeasyPrint, or Pango beneath it."""
    try:
        import weasyprint  # noqa: F401
    except (ImportError, OSError) as error:
        pytest.skip(f"needs WeasyPrint and Pango (apt-get install libpango-1.0-0 libpangoft2-1.0-0): {error}")


@pytest.fixture
def shared() -> Path:
    """Return the folder of real data and studies beside the project, or skip."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared folder with real data beside the project")
    return SHARED
