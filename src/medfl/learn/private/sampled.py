"""Clipped sums of PyTorch modules, from each row's gradient as Opacus finds it.

Opacus (Yousefpour et al. 2021) is asked for one thing only: gradients by row. Who takes part, clipping, noise and the
optimiser are the same as for the built-in networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from medfl.learn.model import Floats, Outcome
from medfl.learn.models.torch import TorchModel, freeze, reproducible
from medfl.learn.private.rowwise import require_rowwise
from medfl.learn.private.units import LEAST, SLACK, Drawn, Task

if TYPE_CHECKING:
    from torch import Tensor, nn

AT_ONCE = 1 << 24
"""Numbers of gradients that are kept together (64 MB); more units are worked on in turn."""


class SampledClipping:
    """The sum of a torch module's clipped gradients.

    Parameters
    ----------
    model
        What is trained.
    task
        Rows, class weights and the norm to clip to.
    generator
        Draws what dropout leaves out.

    Raises
    ------
    MissingExtraError
        If Opacus is not installed.
    PlanError
        If rows of a batch meet in the module, so that no row's gradient is its own.
    """

    def __init__(self, model: TorchModel, task: Task, generator: np.random.Generator) -> None:
        self._model, self._task, self._generator = model, task, generator
        self._module = model.loaded(model.init(np.random.default_rng(0))).train()
        freeze(self._module, model.layout, task.rates)
        require_rowwise(model, self._module)
        from opacus import GradSampleModule  # which is there now

        self._parameters = {name: value for name, value in self._module.named_parameters() if value.requires_grad}
        live = {name: np.full(shape, name in self._parameters, np.float32) for name, shape in model.layout.shapes}
        self.learning: Floats | None = model.layout.join(live)
        self._total = np.zeros(model.layout.size, np.float32)
        self._sums = model.layout.split(self._total)
        self._sampled: nn.Module = GradSampleModule(self._module, loss_reduction="sum", strict=False)
        self._begun = False

    def summed(self, weights: Floats, drawn: Drawn) -> Floats:
        """Return the sum over the units drawn, at these weights: flat, and good until the next call."""
        self._load(weights)
        self._total[:] = 0.0
        at_once = max(1, AT_ONCE // max(1, self._model.layout.size))
        with reproducible(self._generator):
            for first in range(0, drawn.count, at_once):
                self._add(drawn.between(first, min(first + at_once, drawn.count)), at_once)
        return self._total

    def _add(self, drawn: Drawn, at_once: int) -> None:
        """Add the clipped gradients of these units to the sum."""
        import torch

        by_unit = {name: torch.zeros((drawn.count, *value.shape)) for name, value in self._parameters.items()}
        owners = torch.from_numpy(drawn.owners)
        for name, rows, gradients in self._gradients(drawn, at_once):
            by_unit[name].index_add_(0, owners[rows], gradients)
        squares = [value.double().square().flatten(1).sum(1) for value in by_unit.values()]
        norms = torch.stack(squares).sum(0).sqrt() * (1.0 + SLACK)
        shares = (self._task.clip_norm / norms.clamp(min=1e-30)).clamp(max=1.0)
        sound = shares >= LEAST  # of what is not finite no multiple is bounded, of a smaller share none is exact
        for name, value in by_unit.items():
            clipped = shares[sound].float() @ value[sound].flatten(1)
            self._sums[name] += clipped.reshape(value.shape[1:]).numpy()

    def _gradients(self, drawn: Drawn, at_once: int) -> Iterator[tuple[str, slice, Tensor]]:
        """Yield gradients by row, shape (rows, …), of each parameter and of some rows at a time."""
        import torch

        examples, importance = self._task.examples, self._task.importance(drawn)
        for start in range(0, len(drawn.rows), at_once):
            part = slice(start, start + at_once)
            rows = drawn.rows[part]
            features = torch.tensor(examples.features[rows], requires_grad=True).clone()  # else Opacus's hooks warn
            scores = self._model.logits(self._sampled, features)
            each = _losses(self._model.outcome, scores, truth=torch.tensor(examples.outcome[rows]))
            torch.autograd.backward((each * torch.from_numpy(importance[part])).sum())
            for name, parameter in self._parameters.items():
                if (gradients := getattr(parameter, "grad_sample", None)) is not None:
                    yield name, part, gradients.detach()
            self._sampled.zero_grad()

    def _load(self, weights: Floats) -> None:
        """Copy the weights; buffers keep what they began with, as no gradient moves them."""
        from torch import from_numpy, no_grad

        if not self._begun:
            self._model.load(self._module, weights)
            self._begun = True
            return
        values = self._model.layout.split(weights)
        with no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(from_numpy(values[name]))


def _losses(outcome: Outcome, scores: Tensor, *, truth: Tensor) -> Tensor:
    """Return each row's loss, shape (rows,)."""
    from torch.nn import functional

    match outcome.kind:
        case "regression":
            return functional.mse_loss(scores, truth, reduction="none")
        case "binary":
            return functional.binary_cross_entropy_with_logits(scores, truth, reduction="none")
        case "multiclass":
            return functional.cross_entropy(scores, truth.long(), reduction="none")
