"""Which torch modules can be trained privately: those in which a row's scores are its own."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from medfl.errors import Complaint, MissingExtraError, PlanError, listed
from medfl.learn.models.batch_norm import batch_norms
from medfl.learn.models.torch import TorchModel, reproducible

if TYPE_CHECKING:
    from torch import Tensor, nn

ROWS = 8
"""Rows of noise that are put through a module to see whether one meets another."""


def require_rowwise(model: TorchModel, module: nn.Module) -> None:
    """Refuse a module whose rows meet in training, or whose gradients cannot be told apart.

    The rows it is tried with are noise: no patient's.

    Parameters
    ----------
    model
        Its description.
    module
        As it will be trained: in training mode, frozen layers marked.

    Raises
    ------
    MissingExtraError
        If Opacus is not installed.
    PlanError
        With each of the reasons.
    """
    if find_spec("opacus") is None:
        raise MissingExtraError(
            "differential privacy with a torch module needs Opacus, which is not installed",
            where="[privacy.dp]",
            received='[model] kind = "torch"',
            remedy="pip install 'medfl[torch]'",
        )
    if complaints := list(_complaints(model, module)):
        raise PlanError.of(complaints)


def _complaints(model: TorchModel, module: nn.Module) -> Iterator[Complaint]:
    name = f'the torch model "{model.spec.name}"'
    if mixing := [layer for layer, part in batch_norms(module) if part.training]:
        yield Complaint(
            f"{name} has batch normalisation, in which each row's gradient depends on the other rows of its batch",
            "[model] batch_norm",
            listed(mixing),
            'write batch_norm = "group" to have group normalisation in its place, or use nn.LayerNorm in the module',
        )
    elif _rows_meet(model, module):
        yield Complaint(
            f"in {name} a row's scores depend on the other rows of its batch, so that no row's gradient is its own",
            "[model] name",
            "scores that change when the other rows do, in training mode",
            "leave out what is computed over a batch (its mean, its largest value), or leave [privacy.dp] out",
        )
    elif refused := _unknown_to_opacus(module):
        yield Complaint(
            f"{name} has layers that Opacus cannot find the gradient of each row for",
            "[model] name",
            listed(refused),
            "use their twins of opacus.layers (DPLSTM, DPMultiheadAttention, …), or leave [privacy.dp] out",
        )
    names = [name for name, _ in module.named_parameters(remove_duplicate=False)]
    if shared := set(names) - {name for name, _ in module.named_parameters()}:
        yield Complaint(
            f"{name} has parameters under two names",
            "[model] name",
            listed(sorted(shared)),
            "give each layer parameters of its own, or leave [privacy.dp] out",
        )


def _rows_meet(model: TorchModel, module: nn.Module) -> bool:
    """Say whether the first row's scores change when the others do; dropout leaves out the same both times.

    Weights are shaken first: a layer that starts at zero would hide what is before it.
    """
    from torch import no_grad, tensor

    draw = np.random.default_rng(0)
    module = deepcopy(module)
    with no_grad():
        for parameter in module.parameters():
            parameter.add_(tensor(0.1 * draw.standard_normal(parameter.shape)).to(parameter.dtype))
    first, others = draw.standard_normal((2, ROWS, model.features)).astype(np.float32)
    others[0] = first[0]
    return not np.allclose(_first_scores(model, module, first), _first_scores(model, module, others), 1e-4, 1e-6)


def _first_scores(model: TorchModel, module: nn.Module, features: np.ndarray) -> Tensor:
    from torch import from_numpy, no_grad

    with reproducible(np.random.default_rng(0)), no_grad():
        return model.logits(module, from_numpy(features))[0]


def _unknown_to_opacus(module: nn.Module) -> list[str]:
    from opacus.validators import ModuleValidator

    return [str(error) for error in ModuleValidator.validate(module, strict=False)]
