"""The front door from a notebook: a progress bar while it runs, a table when it is done."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

CELL = """
import os, sys
os.environ["MEDFL_HOME"] = {home!r}
import pandas as pd
from medfl import Study, simulate
wards = {{name: pd.DataFrame({{"age": range(40), "sick": [row % 3 == 0 for row in range(40)]}}) for name in ("a", "b")}}
study = Study.model_validate({{"study": {{"name": "ward"}}, "data": {{"target": "sick"}}}})
simulate(study, wards)
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_notebook_shows_a_bar_and_then_the_table(tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell(CELL.format(home=str(tmp_path)))  # type: ignore[no-untyped-call]
    book = nbformat.v4.new_notebook(cells=[cell])  # type: ignore[no-untyped-call]
    NotebookClient(book, timeout=120, kernel_name="python3").execute()
    shown = [output["data"] for output in book.cells[0].outputs if "data" in output]
    assert any("application/vnd.jupyter.widget-view+json" in data for data in shown), "the progress bar's widget"
    assert "AUC" in shown[-1]["text/html"]
    assert "All sites together" in shown[-1]["text/html"]
