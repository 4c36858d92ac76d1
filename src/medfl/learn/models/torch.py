"""A PyTorch module of the user's own, trained as the built-in models are: slower, and with no limit to its layers.

A factory is found under its name in two places. An installed package names it in its ``pyproject.toml``, which is
what a site needs that answers requests on its own::

    [project.entry-points."medfl.models"]
    my-network = "my_package:my_network"

A notebook or a script registers it where it is written::

    @medfl.torch_model("my-network")
    def my_network(features: int, outcomes: int, width: int = 32) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(features, width), torch.nn.ReLU(), torch.nn.Linear(width, outcomes))

PyTorch is imported where it is used, so that whoever does not use it need not have it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from difflib import get_close_matches
from functools import partial
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from medfl.errors import DataError, MissingExtraError, PlanError
from medfl.learn.model import Examples, Floats, Layout, Outcome, Pull, Trained
from medfl.learn.models.batch_norm import grouped, layout_of, settle
from medfl.learn.models.passes import passes
from medfl.spec.model import Torch
from medfl.spec.training import SGD, Adam, AdamW, LocalTraining

if TYPE_CHECKING:
    from torch import Tensor, nn, optim

Factory = Callable[..., "nn.Module"]

SCORED_AT_ONCE = 4096
"""Rows that go through the module together in scoring."""


def torch_model(name: str) -> Callable[[Factory], Factory]:
    """Register a factory of torch modules under a name, for ``[model] kind = "torch"``.

    The factory is called with the number of features, the number of outcomes (scores to give for each row), and the
    spec's options as keywords; its module returns logits, or the predicted number, of shape (rows,) or (rows,
    outcomes). Registering a name again replaces it, as running a notebook's cell again must.
    """

    def register(factory: Factory) -> Factory:
        Registered.factories[name] = factory
        return factory

    return register


class Registered:
    """The factories this process knows by name.

    A decorator has nowhere to put what it is given but in the process, as ``import`` does with modules; this table is
    all of that state, it is written by :func:`torch_model` alone and read when a model is built.
    """

    factories: ClassVar[dict[str, Factory]] = {}

    @classmethod
    def find(cls, name: str) -> Factory:
        """Return the factory of this name: registered here, or else by an installed package."""
        if name in cls.factories:
            return cls.factories[name]
        installed = {entry.name: entry for entry in entry_points(group="medfl.models") if ":" in entry.value}
        if name in installed:
            factory: Factory = installed[name].load()
            return factory
        known = sorted({*cls.factories, *installed})
        close = get_close_matches(name, known, n=1)
        raise PlanError(
            "no torch model is registered under this name",
            where="model.name",
            received=f'"{name}"',
            remedy=f'did you mean "{close[0]}"?' if close else _how_to_register(known),
        )


class TorchModel:
    """A registered torch module: a :class:`~medfl.learn.model.Model`.

    The flat vector holds the module's ``state_dict`` in its order: trainable and frozen parameters, and buffers such
    as a batch normalisation's running mean. Whole numbers among them (batches seen) travel as float32 and are rounded
    when they are put back. Pull, clipping and optimiser touch trainable parameters only, and no aggregation rule sees
    a buffer: see :mod:`medfl.learn.normalised`.

    Parameters
    ----------
    spec
        The registered name and its options.
    features
        Columns of the input.
    outcome
        What is predicted; it decides the loss and the number of scores.

    Raises
    ------
    MissingExtraError
        If PyTorch is not installed.
    PlanError
        If the name is not registered or its factory does not take these options.
    """

    def __init__(self, spec: Torch, *, features: int, outcome: Outcome) -> None:
        require_torch()
        self.spec = spec
        self.outcome = outcome
        factory = Registered.find(spec.name)
        self._make = partial(factory, features, outcome.scores, **spec.options)
        _check_options(factory, self._make)
        self.features = features
        with reproducible(np.random.default_rng(0)):
            self._module = self._built()
        self._layout = layout_of(self._module, spec)

    @property
    def layout(self) -> Layout:
        """Names and shapes of parameters and buffers, as in the module's ``state_dict``."""
        return self._layout

    def init(self, generator: np.random.Generator) -> Floats:
        """Return fresh weights: those the factory gives, its random numbers drawn from `generator`."""
        with reproducible(generator):
            return self._flat(self._built())

    def train(
        self,
        weights: Floats,
        examples: Examples,
        how: LocalTraining,
        *,
        generator: np.random.Generator,
        class_weights: Floats | None = None,
        pull: Pull | None = None,
    ) -> Trained:
        """Return the weights after one round of local training; `weights` is not changed.

        The order of rows is the one the built-in models would see.
        """
        from torch import as_tensor

        with reproducible(generator):
            module = self.loaded(weights).train()
            step = Step(self, module, how=how, pull=pull)
            scale = None if class_weights is None else as_tensor(np.array(class_weights, np.float32))
            total, divisor = 0.0, 0.0
            for part in passes(len(examples), how, generator):
                for start in range(0, len(part.order), how.batch_size):
                    rows = part.order[start : start + how.batch_size]
                    sums = step.take(Examples(examples.features[rows], examples.outcome[rows]), scale)
                    if part.counts:
                        total, divisor = total + sums[0], divisor + sums[1]
            return Trained(self._flat(module), total / divisor, step.taken)

    def scores(self, weights: Floats, features: Floats) -> Floats:
        """Return raw scores, shape (rows,) or (rows, classes): logits, or the predicted number."""
        from torch import inference_mode, tensor

        shape = (len(features),) if self.outcome.scores == 1 else (len(features), self.outcome.scores)
        scores = np.empty(shape, np.float32)
        with reproducible(np.random.default_rng(0)), inference_mode():
            module = self.loaded(weights).eval()
            for start in range(0, len(features), SCORED_AT_ONCE):
                part = tensor(features[start : start + SCORED_AT_ONCE])
                scores[start : start + SCORED_AT_ONCE] = self.logits(module, part).numpy()
        return scores

    def logits(self, module: nn.Module, features: Tensor) -> Tensor:
        """Return what the module says, shape (rows,) for one number a row, else (rows, outcomes).

        Raises
        ------
        PlanError
            If the module gives another shape.
        """
        scores: Tensor = module(features)
        rows, outcomes = len(features), self.outcome.scores
        if outcomes == 1 and scores.shape == (rows, 1):
            return scores[:, 0]
        if scores.shape == ((rows,) if outcomes == 1 else (rows, outcomes)):
            return scores
        raise PlanError(
            f'the torch model "{self.spec.name}" returns scores of the wrong shape',
            where="model.name",
            received=f"{list(scores.shape)} for {rows} rows",
            remedy=f"let its module return shape (rows, {outcomes})",
        )

    def loaded(self, weights: Floats) -> nn.Module:
        """Return a module of its own for each call, with these weights."""
        module = deepcopy(self._module)
        self.load(module, weights)
        return module

    def load(self, module: nn.Module, weights: Floats) -> None:
        """Give a module these weights."""
        from torch import no_grad, tensor

        values = self.layout.split(np.ascontiguousarray(weights, np.float32))
        with no_grad():
            for name, mine in module.state_dict().items():
                mine.copy_(tensor(values[name] if mine.is_floating_point() else np.rint(values[name])))

    def _built(self) -> nn.Module:
        """Return what the factory makes, with group normalisation in place of batch normalisation where asked for."""
        module = self._make()
        return grouped(module, self.spec.name) if self.spec.batch_norm == "group" else module

    def _flat(self, module: nn.Module) -> Floats:
        return self.layout.join({name: value.numpy() for name, value in module.state_dict().items()})


class Step:
    """One optimiser step on a batch: loss, gradient, pull, clip, step.

    Parameters
    ----------
    model
        What is trained.
    module
        Its module, changed in place.
    how
        Optimiser and clipping norm.
    pull
        What the algorithm adds to the gradient.
    """

    def __init__(self, model: TorchModel, module: nn.Module, *, how: LocalTraining, pull: Pull | None) -> None:
        self.taken = 0
        self._model = model
        self._module = module
        self._clip = how.clip_norm
        rates = freeze(module, model.layout, None if pull is None else pull.rates)
        self._parameters = {name: value for name, value in module.named_parameters() if value.requires_grad}
        self._optimiser = _optimiser(how, self._parameters, rates)
        self._mu = 0.0 if pull is None or pull.anchor is None else pull.mu
        self._anchor = self._tensors(pull.anchor if pull is not None and self._mu else None)
        self._correction = self._tensors(None if pull is None else pull.correction)

    def take(self, examples: Examples, class_weights: Tensor | None) -> tuple[float, float]:
        """Take one step; return the rows' summed loss before it, and what to divide it by for their mean."""
        from torch import autograd, from_numpy, nn

        truth = from_numpy(examples.outcome)
        try:
            scores = self._model.logits(self._module, from_numpy(examples.features))
        except ValueError as error:
            if len(examples) > 1:
                raise
            raise DataError(
                "the torch model cannot learn from a batch of one row",
                where="training.batch_size",
                remedy="choose a size that leaves no single row over, or layer instead of batch normalisation",
            ) from error
        loss, divisor = _loss(self._model.outcome, scores, truth=truth, class_weights=class_weights)
        self._optimiser.zero_grad()
        autograd.backward(loss)
        self._pull()
        if self._clip is not None:
            nn.utils.clip_grad_norm_(list(self._parameters.values()), self._clip)
        self._optimiser.step()
        self.taken += 1
        return loss.detach().item() * divisor, divisor

    def _pull(self) -> None:
        """Add the pull to the gradient; what this step did not reach stays without one."""
        for name, parameter in self._parameters.items():
            if parameter.grad is None:
                continue
            if name in self._anchor:
                parameter.grad += self._mu * (parameter.detach() - self._anchor[name])
            if name in self._correction:
                parameter.grad += self._correction[name]

    def _tensors(self, flat: Floats | None) -> dict[str, Tensor]:
        from torch import tensor

        return {} if flat is None else {name: tensor(value) for name, value in self._model.layout.split(flat).items()}


def _loss(outcome: Outcome, scores: Tensor, *, truth: Tensor, class_weights: Tensor | None) -> tuple[Tensor, float]:
    """Return the mean loss of a batch, and what its sum was divided by; see :mod:`medfl.learn.models.losses`."""
    from torch.nn import functional

    rows = float(len(truth))
    if outcome.kind == "regression":
        return functional.mse_loss(scores, truth), rows
    weights = None if class_weights is None else class_weights[truth.long()]
    if outcome.kind == "binary":
        return functional.binary_cross_entropy_with_logits(scores, truth, weight=weights), rows
    divisor = rows if weights is None else float(weights.sum())
    return functional.cross_entropy(scores, truth.long(), weight=class_weights), divisor


def freeze(module: nn.Module, layout: Layout, rates: Floats | None) -> dict[str, float]:
    """Mark what does not learn; return the factor of the learning rate by parameter, where one is not 1.

    All weights of a parameter have the same.
    """
    by_name = {} if rates is None else {name: float(p.flat[0]) for name, p in layout.split(rates).items() if p.size}
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and by_name.get(name, 1.0) > 0.0)
    settle(module)
    return by_name


def _optimiser(
    how: LocalTraining, parameters: Mapping[str, nn.Parameter], rates: Mapping[str, float]
) -> optim.Optimizer:
    from torch import optim

    by_rate: dict[float, list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        by_rate.setdefault(rates.get(name, 1.0), []).append(parameter)
    groups = [{"params": alike, "lr": how.learning_rate * rate} for rate, alike in by_rate.items()]
    match how:
        case SGD():
            return optim.SGD(groups, momentum=how.momentum, nesterov=how.nesterov, weight_decay=how.weight_decay)
        case Adam() | AdamW():
            kind = optim.AdamW if isinstance(how, AdamW) else optim.Adam
            return kind(groups, betas=(how.beta1, how.beta2), eps=how.eps, weight_decay=how.weight_decay)
    raise TypeError(f"no optimiser for {type(how).__name__}")


@contextmanager
def reproducible(generator: np.random.Generator) -> Iterator[None]:
    """Seed PyTorch from `generator` and compute on one thread; leave its own random state and threads as they were.

    The seed comes from a child of the generator, so that what is drawn next is what the built-in models would draw.
    """
    import torch

    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator.spawn(1)[0].integers(2**63)))
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def require_torch() -> None:
    """Raise a :class:`~medfl.errors.MissingExtraError` where PyTorch is not installed."""
    if find_spec("torch") is None:
        raise MissingExtraError(
            "this model needs PyTorch, which is not installed",
            where="model.kind",
            received='"torch"',
            remedy="pip install 'medfl[torch]'",
        )


def _check_options(factory: Factory, call: partial[nn.Module]) -> None:
    signature = inspect.signature(factory)
    try:
        signature.bind(*call.args, **call.keywords)
    except TypeError as error:
        raise PlanError(
            "the torch model's factory does not take these options",
            where="model.options",
            received=str(error),
            remedy=f"its options are: {', '.join(list(signature.parameters)[2:]) or 'none'}",
        ) from error


def _how_to_register(known: list[str]) -> str:
    names = f"known names: {', '.join(known)}; " if known else ""
    return (
        f"{names}load the file that registers it with --plugin FILE.py "
        '(@medfl.torch_model("name")), or install a package that announces it in the group medfl.models'
    )
