"""Splitting a flat vector into named parameters and joining them again loses nothing."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from medfl.learn.model import Layout

shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)
layouts = st.dictionaries(st.text(min_size=1, max_size=8), shapes, min_size=1, max_size=6).map(
    lambda named: Layout(tuple(named.items()))
)


@given(layouts)
def test_join_undoes_split(layout: Layout) -> None:
    flat = np.arange(layout.size, dtype=np.float32)
    parameters = layout.split(flat)
    assert [(name, value.shape) for name, value in parameters.items()] == list(layout.shapes)
    assert layout.join(parameters).tobytes() == flat.tobytes()


@given(layouts)
def test_split_gives_views(layout: Layout) -> None:
    flat = np.zeros(layout.size, np.float32)
    for value in layout.split(flat).values():
        value[...] = 1
    assert (flat == 1).all()
