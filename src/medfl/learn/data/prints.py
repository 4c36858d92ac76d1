"""A number for each row of a table, by which the row is known again.

Numbers are mixed as in SplitMix64 (Steele, Lea & Flood 2014, figure 17), texts by BLAKE2: what is kept on a disk must
mean the same years later, so that it depends on no library's own hash.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medfl.learn.data.cells import MISSING, is_number, spelled

if TYPE_CHECKING:
    import pandas as pd

Prints = NDArray[np.uint64]
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def prints_of(frame: pd.DataFrame) -> Prints:
    """Return a number for each row that is the same wherever the same cells stand in a row; shape (rows,).

    The order of rows and of columns does not count, nor whether a number is written 61, 61.0 or "61". Rows that are
    alike to the last cell are numbered through, in the order of the table.
    """
    prints = np.zeros(len(frame), np.uint64)
    for name in sorted(frame.columns):
        # Sum and product wrap around, as they are meant to; unlike single numbers, arrays do so silently.
        prints = prints * _FACTOR + (_of_texts([str(name)]) ^ _of_column(frame[name]))
    return _numbered_through(prints)


def _of_column(series: pd.Series[Any]) -> Prints:
    if series.dtype.kind in "iuf":
        return _of_numbers(series.to_numpy(dtype=np.float64, na_value=np.nan))
    try:
        codes, distinct = series.factorize()
    except TypeError:
        codes, distinct = series.astype(str).factorize()
    texts = [spelled(value) for value in distinct]
    numbers = np.array([float(text) if is_number(text) else np.nan for text in texts])
    words = np.array([text not in MISSING and not is_number(text) for text in texts], np.bool_)
    each = np.where(words, _of_texts(texts), _of_numbers(numbers))
    every: Prints = np.concatenate([each, _of_numbers(np.array([np.nan]))])[codes]
    return every


def _of_numbers(values: NDArray[np.float64]) -> Prints:
    # Negative zero is zero, and one NaN is as good as another.
    bits: Prints = np.where(np.isnan(values), np.nan, values + 0.0).view(np.uint64) + _FACTOR
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return bits ^ (bits >> np.uint64(31))


def _of_texts(texts: list[str]) -> Prints:
    digests = (blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def _numbered_through(prints: Prints) -> Prints:
    """Tell equal numbers apart by how many of them came before."""
    order = np.argsort(prints, kind="stable")
    first = np.flatnonzero(np.diff(prints[order], prepend=~prints[order[:1]]))
    before = np.empty(len(prints), np.uint64)
    before[order] = np.arange(len(prints)) - np.repeat(first, np.diff(first, append=len(prints)))
    return prints + before * _FACTOR
