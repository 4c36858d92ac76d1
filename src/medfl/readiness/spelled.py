"""Codes of one column that differ in capitals or spaces only: ja, Ja and JA."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from medfl.readiness.tables import Seen


def alike(known: Mapping[str, Seen]) -> Iterator[tuple[str, tuple[str, ...], dict[str, str]]]:
    """Yield each site that writes one code in several ways: these ways, and what each of the others stands for.

    The way that stays is the one that most sites write and, of as many, most rows.

    Parameters
    ----------
    known
        A column, by site.
    """
    stays = {_plain(code): code for code in sorted(_every(known), key=lambda code: _weight(code, known))}
    for site, one in known.items():
        ways: dict[str, list[str]] = {}
        for code in one.categories:
            ways.setdefault(_plain(code), []).append(code)
        several = [code for group in ways.values() if len(group) > 1 for code in group]
        codes = {code: stays[_plain(code)] for code in several if stays[_plain(code)] != code}
        if codes:
            yield site, tuple(several), codes


def _every(known: Mapping[str, Seen]) -> set[str]:
    return {code for one in known.values() for code in one.categories}


def _weight(code: str, known: Mapping[str, Seen]) -> tuple[int, int, str]:
    having = [one for one in known.values() if code in one.categories]
    return len(having), sum(one.counts.get(code, 0) for one in having), code


def _plain(code: str) -> str:
    return " ".join(code.split()).casefold()
