"""Batch normalisation in torch modules: what of it is no weight, what stays at a site, and when it stands still."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from medfl.errors import PlanError
from medfl.learn.apart import MEAN
from medfl.learn.model import Layout
from medfl.spec.model import Torch

if TYPE_CHECKING:
    from torch import nn


def layout_of(module: nn.Module, spec: Torch) -> Layout:
    """Return names and shapes of a module's parameters and buffers, and which of them no rule may touch.

    Raises
    ------
    PlanError
        If its batch normalisation is to stay at the sites and it has none.
    """
    state = module.state_dict()
    weights = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    own = tuple(_of_batch_norms(module)) if spec.batch_norm == "local" else ()
    if spec.batch_norm is not None and not any(True for _ in _batch_norms(module)):
        raise PlanError(
            f'the torch model "{spec.name}" has no batch normalisation',
            where="[model] batch_norm",
            received=f'"{spec.batch_norm}"',
            remedy="leave batch_norm out",
        )
    return Layout(
        tuple((name, tuple(value.shape)) for name, value in state.items()),
        running=tuple(name for name in state if name not in weights),
        own=tuple(name for name in state if name in own),
    )


def settle(module: nn.Module) -> None:
    """Let a frozen batch normalisation stand still: it uses its running statistics and does not move them.

    One without parameters of its own stands still with the layer before it, whose numbers it sees.
    """
    frozen = False
    for part in module.modules():
        if own := list(part.parameters(recurse=False)):
            frozen = not any(parameter.requires_grad for parameter in own)
        if frozen and _is_batch_norm(part):
            part.eval()


def _of_batch_norms(module: nn.Module) -> Iterator[str]:
    for name, part in _batch_norms(module):
        yield from (f"{name}.{key}" if name else key for key in part.state_dict())


def _batch_norms(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return ((name, part) for name, part in module.named_modules(remove_duplicate=False) if _is_batch_norm(part))


def _is_batch_norm(part: nn.Module) -> bool:
    """Say whether a module normalises by batches: one of PyTorch's, or one of the user's own that keeps statistics."""
    from torch import nn

    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
    return isinstance(part, kinds) or MEAN in dict(part.named_buffers(recurse=False))
