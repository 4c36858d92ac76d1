"""How an arm is laid over a study's plain data: the one rule, for whoever resolves an arm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from medfl.spec.algorithm import AlgorithmPart
from medfl.spec.part import Table

Override: TypeAlias = Table[Any] | str


def merge(base: Mapping[str, Any], overrides: Mapping[str, Override]) -> dict[str, Any]:
    """Lay overrides over a study's plain data.

    A table is merged key by key. Where a part changes its kind, only what all kinds share is kept from the base: the
    parameters of one algorithm mean nothing to another.
    """
    merged = {key: value for key, value in base.items() if key != "arm"}
    for part, override in overrides.items():
        tag = TAGS.get(part)
        change = {tag: override} if isinstance(override, str) and tag else override
        merged[part] = _laid_over(merged.get(part, {}), change, tag=tag, shared=SHARED.get(part, ()))
    return merged


TAGS: Mapping[str, str] = {"model": "kind", "training": "optimizer", "algorithm": "kind"}
SHARED: Mapping[str, tuple[str, ...]] = {
    "algorithm": tuple(name for name in AlgorithmPart.model_fields if name != "kind"),
    "training": ("batch_size", "local_epochs", "local_steps", "clip_norm", "class_weight"),
}
EXCLUSIVE = (
    ("local_epochs", "local_steps"),
    ("table", "bundled"),
    ("sites", "simulate"),
    ("model", "run", "weights"),
    ("unfreeze_every", "probe_rounds"),
)


def _laid_over(base: Any, change: Any, *, tag: str | None, shared: tuple[str, ...]) -> Any:
    if not isinstance(base, dict) or not isinstance(change, dict):
        return change
    kind = tag if tag else "kind"
    if kind in change and base.get(kind, change[kind]) != change[kind]:
        base = {key: value for key, value in base.items() if key in shared}
    kept = {key: value for key, value in base.items() if not _excluded(key, change)}
    return kept | {key: _laid_over(kept.get(key), value, tag=None, shared=()) for key, value in change.items()}


def _excluded(key: str, change: Mapping[str, Any]) -> bool:
    """Say whether a key of the base gives way because the change names its alternative."""
    return any(key in pair and any(other in change for other in pair if other != key) for pair in EXCLUSIVE)
