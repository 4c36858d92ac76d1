"""Keeps the arithmetic of a site on one thread: sums in another order would be other sums."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


def single_threaded() -> AbstractContextManager[object]:
    """Limit the linear algebra libraries of this process to one thread while the context lasts."""
    limit: AbstractContextManager[object] = _libraries().limit(limits=1)
    return limit


@cache
def _libraries() -> ThreadpoolController:
    """Find the loaded libraries once: it takes milliseconds."""
    return ThreadpoolController()
