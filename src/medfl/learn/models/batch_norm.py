"""Batch normalisation in torch modules: what of it is no weight, what stays at a site, and when it stands still."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd
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
    if spec.batch_norm in ("shared", "local"):
        _require_batch_norm(module, spec.name, spec.batch_norm)
    return Layout(
        tuple((name, tuple(value.shape)) for name, value in state.items()),
        running=tuple(name for name in state if name not in weights),
        own=tuple(name for name in state if name in own),
    )


def grouped(module: nn.Module, name: str) -> nn.Module:
    """Return the module with each batch normalisation replaced by a group normalisation of the same channels.

    Wu & He 2018, "Group Normalization": each row by itself, over groups of channels, with 32 groups at most. Where a
    channel is a single number (``BatchNorm1d``) all channels are one group, since a number alone has no variance.

    Raises
    ------
    PlanError
        If there is none, or one that is no layer of PyTorch's.
    """
    from torch import nn

    _require_batch_norm(module, name, "group")
    for place, part in list(batch_norms(module)):
        if not isinstance(part, nn.modules.batchnorm._BatchNorm):
            raise PlanError(
                f'the torch model "{name}" has batch normalisation of its own making',
                where="[model] batch_norm",
                received=f'"group", and {place} is a {type(part).__name__}',
                remedy="replace it by nn.GroupNorm in the module, and leave batch_norm out",
            )
        groups = 1 if isinstance(part, nn.BatchNorm1d) else gcd(32, part.num_features)
        norm = nn.GroupNorm(groups, part.num_features, eps=part.eps, affine=part.affine)
        if not place:
            return norm
        owner, _, key = place.rpartition(".")
        setattr(module.get_submodule(owner), key, norm)
    return module


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


def _require_batch_norm(module: nn.Module, name: str, asked: str) -> None:
    if any(True for _ in batch_norms(module)):
        return
    raise PlanError(
        f'the torch model "{name}" has no batch normalisation',
        where="[model] batch_norm",
        received=f'"{asked}"',
        remedy="leave batch_norm out",
    )


def _of_batch_norms(module: nn.Module) -> Iterator[str]:
    for name, part in batch_norms(module):
        yield from (f"{name}.{key}" if name else key for key in part.state_dict())


def batch_norms(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield each batch normalisation and its name."""
    return ((name, part) for name, part in module.named_modules(remove_duplicate=False) if _is_batch_norm(part))


def _is_batch_norm(part: nn.Module) -> bool:
    """Say whether a module normalises by batches: one of PyTorch's, or one of the user's own that keeps statistics."""
    from torch import nn

    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
    return isinstance(part, kinds) or MEAN in dict(part.named_buffers(recurse=False))
