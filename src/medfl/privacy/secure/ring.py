"""Numbers as integers modulo 2⁶⁴, so that masks cancel exactly and sums lose nothing.

Three forms. Whole numbers travel as they are (*exact*). Short arrays of real numbers travel as nine integers each, of
32 bits and a sign, that together span 2⁻¹⁶⁰ to 2¹²⁸ (*wide*): their sums are exact far below what float32 can hold, and
there is no range to choose. Long ones travel as one integer each (*narrow*), in steps of 2⁻ᵉ where e is solved from the
number of sites n and a bound on the entries, abs(x) ≤ 2ᵇ: e = 62 − b − ⌈log₂ n⌉, so that no sum can leave the ring.
The error of a sum is at most n/2 steps. An entry above the bound is noticed at the site before anything is sent; steps
that are too coarse for the sum are noticed at the hub. Either way the round is asked again with other bits.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medfl.errors import DataError, DivergedError, SecureError
from medfl.learn.statistic import Array
from medfl.privacy.secure.stream import Ring

SHORT = 512
"""Entries up to which real numbers travel wide."""
PRECISION = 1e-6
"""Error that a sum may have, relative to its largest entry."""
FINEST, WIDEST = -149, 127
"""Bits of the smallest number of float32, and of the largest that is summed: bounds are looked for between them."""
OTHERS = "*"
"""The name under which the bits of arrays are that have none of their own."""
_LIMBS, _LOWEST = 9, -160


@dataclass(frozen=True, slots=True)
class Piece:
    """One array of what a site sends: name, type (``int64`` or ``float64``) and shape, known to all."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @property
    def narrow(self) -> bool:
        """Whether each entry is one integer, in steps."""
        return self.dtype == "float64" and self.size > SHORT

    @property
    def wide(self) -> bool:
        """Whether each entry is nine integers."""
        return self.dtype == "float64" and self.size <= SHORT

    @property
    def words(self) -> int:
        """Number of integers."""
        return self.size * (_LIMBS if self.wide else 1)


def layout_of(arrays: Mapping[str, Array]) -> tuple[Piece, ...]:
    """Return what these arrays look like, sorted by name.

    Raises
    ------
    SecureError
        If one is neither int64 nor float64.
    """
    for name, array in arrays.items():
        if str(array.dtype) not in {"int64", "float64"}:
            raise SecureError(
                "an array cannot be summed securely",
                where=name,
                received=str(array.dtype),
                remedy="send float64 or int64; an algorithm of your own must do so",
            )
    return tuple(Piece(name, str(arrays[name].dtype), arrays[name].shape) for name in sorted(arrays))


def layout_to_json(layout: Sequence[Piece]) -> list[list[Any]]:
    """Return a layout as JSON."""
    return [[piece.name, piece.dtype, list(piece.shape)] for piece in layout]


def layout_from_json(said: object) -> tuple[Piece, ...]:
    """Read a layout; whoever sent it may have written anything.

    Raises
    ------
    ValueError, TypeError
        If it is none.
    """
    if not isinstance(said, list):
        raise TypeError("no list")
    pieces = []
    for name, dtype, shape in said:
        sizes = [type(size) is int and 0 <= size < 2**40 for size in shape]
        if not (isinstance(name, str) and dtype in ("int64", "float64") and len(shape) < 32 and all(sizes)):
            raise ValueError("no array")
        pieces.append(Piece(name, dtype, tuple(shape)))
    names = [piece.name for piece in pieces]
    if names != sorted(set(names)):
        raise ValueError("not one array a name, sorted")
    return tuple(pieces)


def needed_bits(arrays: Mapping[str, Array], *, bits: Mapping[str, int]) -> dict[str, int]:
    """Return, for each narrow array with an entry above its bound, the bits that would do: an exponent, nothing else.

    Parameters
    ----------
    arrays
        What the site would send.
    bits
        For a name, or ``*`` for all others, the b of abs(x) ≤ 2ᵇ.

    Raises
    ------
    DivergedError
        If an entry of any array is not finite, or above 2¹²⁷, near the end of float32.
    """
    needed = {}
    for piece in layout_of(arrays):
        if piece.dtype == "int64" or not piece.size:
            continue
        exponent = _exponent(piece.name, arrays[piece.name])
        if piece.narrow and exponent > bits_of(piece.name, bits):
            needed[piece.name] = exponent
    return needed


def encoded(arrays: Mapping[str, Array], *, sites: int, bits: Mapping[str, int]) -> Ring:
    """Return all arrays as one vector of the ring, sorted by name.

    Parameters
    ----------
    arrays
        What the site sends; :func:`needed_bits` found nothing.
    sites
        How many vectors are added up at most.
    bits
        As there.

    Raises
    ------
    DataError
        If a count is so large that the sum could leave the ring.
    """
    layout = layout_of(arrays)
    vector = np.empty(sum(piece.words for piece in layout), "<u8")
    end = 0
    for piece in layout:
        start, end = end, end + piece.words
        values = arrays[piece.name].reshape(-1)
        if piece.narrow:
            scaled = values * 2.0 ** exponent_of(piece.name, sites=sites, bits=bits)
            vector[start:end] = np.rint(scaled, out=scaled).astype("<i8").view("<u8")
        elif piece.wide:
            vector[start:end] = _limbs(values).reshape(-1).view("<u8")
        else:
            _require_small(piece.name, values, sites)
            vector[start:end] = values.astype("<i8").view("<u8")
    return vector


def decoded(total: Ring, layout: Sequence[Piece], *, sites: int, bits: Mapping[str, int]) -> dict[str, Array]:
    """Return the sums that a sum of vectors stands for, by name."""
    sums: dict[str, Array] = {}
    end = 0
    for piece in layout:
        start, end = end, end + piece.words
        words = total[start:end].view("<i8").astype(np.int64)
        if piece.narrow:
            values: Array = words * 2.0 ** -exponent_of(piece.name, sites=sites, bits=bits)
        elif piece.wide:
            values = _joined(words.reshape(_LIMBS, -1))
        else:
            values = words
        sums[piece.name] = values.reshape(piece.shape)
    return sums


def finer_bits(
    sums: Mapping[str, Array],
    layout: Sequence[Piece],
    *,
    sites: int,
    bits: Mapping[str, int],
    tight: Collection[str] = (),
) -> dict[str, int]:
    """Return, for each narrow sum that is not precise enough, the bits that would do.

    A sum stands if its error is at most 10⁻⁶ of its largest entry. It also stands if its bits could not be fewer
    (*tight*: a site has an entry that needs them): then the sites' entries have cancelled, and the error is at most
    n² · 2⁻⁶³ of the largest entry of any site, far less than the 2⁻²⁴ by which the entries of float32 are wrong
    themselves. And it stands if it is zero in steps below the smallest number of float32.

    Parameters
    ----------
    sums, layout
        What :func:`decoded` gave.
    sites, bits
        As there.
    tight
        Names whose bits a site said it needs.
    """
    finer = {}
    for piece in layout:
        now = bits_of(piece.name, bits)
        if not piece.narrow or piece.name in tight or now <= FINEST:
            continue
        error = error_bound(piece.name, sites=sites, bits=bits)
        largest = float(np.abs(sums[piece.name]).max())
        if error > PRECISION * (largest - error):
            finer[piece.name] = _solved(now, error, largest)
    return finer


def error_bound(name: str, *, sites: int, bits: Mapping[str, int]) -> float:
    """Return how wrong an entry of a narrow sum can be: half a step for each site."""
    return sites / 2 * 2.0 ** -exponent_of(name, sites=sites, bits=bits)


def exponent_of(name: str, *, sites: int, bits: Mapping[str, int]) -> int:
    """Return the e of steps of 2⁻ᵉ: n entries of at most 2ᵇ add up to at most 2⁶² steps."""
    return 62 - bits_of(name, bits) - (sites - 1).bit_length()


def bits_of(name: str, bits: Mapping[str, int]) -> int:
    """Return the bits of an array."""
    return bits[name] if name in bits else bits[OTHERS]


def _solved(now: int, error: float, largest: float) -> int:
    """Return the most bits with which the sum would stand, its largest entry being at least `largest` − `error`."""
    if largest <= 2 * error:
        return FINEST
    fewer = math.ceil(math.log2(error / (PRECISION * (largest - error) / 2)))
    return max(FINEST, now - max(1, fewer))


def _exponent(name: str, values: Array) -> int:
    """Return the smallest b with abs(x) ≤ 2ᵇ for all entries x."""
    largest = float(max(values.max(), -values.min()))
    if not math.isfinite(largest):
        raise DivergedError(
            "a sum would not be finite",
            where=name,
            received="NaN or infinite numbers",
            remedy="lower the learning rate, or set clip_norm = 1.0 in [training]",
        )
    mantissa, exponent = math.frexp(largest)
    exponent -= mantissa == 0.5
    if largest and exponent > WIDEST:
        raise DivergedError(
            "a number is too large to be summed",
            where=name,
            received=f"an entry above 2^{WIDEST}",
            remedy="lower the learning rate, or set clip_norm = 1.0 in [training]",
        )
    return exponent if largest else FINEST


def _require_small(name: str, values: Array, sites: int) -> None:
    most = 2**62 // sites
    if values.size and not (-most <= values.min() and values.max() <= most):
        raise DataError(
            "a count is too large to be summed over the sites",
            where=name,
            received=f"more than 2^62 / {sites}",
            remedy="check the column's unit, or send it as real numbers",
        )


def _limbs(values: Array) -> Array:
    """Return entries as nine integers each, lowest first, of the entry's sign: shape (9, entries)."""
    fraction, exponent = np.frexp(np.abs(values))
    shift = exponent.astype(np.int64) - 53 - _LOWEST
    # Below the lowest limb an entry is rounded.
    whole = np.rint(np.ldexp(fraction, 53 + np.minimum(shift, 0))).astype(np.uint64)
    limb, within = np.divmod(np.maximum(shift, 0), 32)
    mask, half, within = np.uint64(2**32 - 1), np.uint64(32), within.astype(np.uint64)
    low, high = (whole & mask) << within, (whole >> half) << within
    spread = np.zeros((_LIMBS + 2, values.size), "<i8")
    entry = np.arange(values.size)
    for place, part in enumerate((low & mask, (low >> half) + (high & mask), high >> half)):
        spread[limb + place, entry] = part.astype(np.int64)
    return spread[:_LIMBS] * np.where(np.signbit(values), -1, 1)


def _joined(limbs: Array) -> Array:
    """Return the numbers that sums of limbs stand for, shape (entries,)."""
    limbs = limbs.copy()
    for place in range(_LIMBS - 1):
        limbs[place + 1] += limbs[place] >> 32
        limbs[place] &= 2**32 - 1
    # From the top: whatever cancels there does so exactly, as all limbs but the highest are positive now.
    values = np.zeros(limbs.shape[1])
    for place in reversed(range(_LIMBS)):
        values += np.ldexp(limbs[place].astype(np.float64), 32 * place + _LOWEST)
    return values


def words_of(layout: Sequence[Piece]) -> int:
    """Return how many integers a layout takes."""
    return sum(piece.words for piece in layout)


def require_alike(first: tuple[str, Sequence[Piece]], second: tuple[str, Sequence[Piece]]) -> None:
    """Refuse to add up what two sites send, unless it looks alike.

    Parameters
    ----------
    first, second
        A site and its layout.

    Raises
    ------
    SecureError
        If names, types or shapes differ.
    """
    mine = {piece.name: piece for piece in first[1]}
    other = {piece.name: piece for piece in second[1]}
    for name in sorted(mine.keys() | other.keys()):
        if mine.get(name) != other.get(name):
            both = [_told(site, pieces.get(name)) for site, pieces in ((first[0], mine), (second[0], other))]
            raise SecureError(
                f"two sites' contributions to {name!r} do not add up",
                received=" and ".join(both),
                remedy="run the same version of MEDfl at every site",
            )


def _told(site: str, piece: Piece | None) -> str:
    return f"{site}: {piece.dtype}{list(piece.shape)}" if piece else f"{site}: nothing"
