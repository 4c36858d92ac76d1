"""The networks by hand against plain PyTorch: same batches, same formulas, same weights after many steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import numpy as np
import pytest

from medfl.learn.model import Examples, Floats, Model, Outcome, Pull
from medfl.learn.models import build
from medfl.spec.model import MLP, Activation, Linear, Logistic
from medfl.spec.training import SGD, Adam, AdamW, Training

pytest.importorskip("torch")
import torch

pytestmark = pytest.mark.torch

FEATURES = 5
ROWS = 75
OUTCOMES = {
    "binary": Outcome("binary", ("no", "yes")),
    "multiclass": Outcome("multiclass", ("a", "b", "c")),
    "regression": Outcome("regression"),
}
CLASS_WEIGHTS = {"binary": [0.6, 2.0], "multiclass": [0.5, 1.0, 3.0], "regression": None}
OPTIMISERS: dict[str, Training] = {
    "sgd": SGD(learning_rate=0.05),
    "momentum": SGD(learning_rate=0.02, momentum=0.9),
    "nesterov": SGD(learning_rate=0.02, momentum=0.9, nesterov=True),
    "adam": Adam(learning_rate=0.003, eps=1e-6),
    "adamw": AdamW(learning_rate=0.003, eps=1e-6, weight_decay=0.1),
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny products are slower on many threads, by far where the machine is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("kind", OUTCOMES)
@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("everything", [False, True], ids=["plain", "everything"])
def test_an_mlp_learns_the_same(activation: Activation, kind: str, optimiser: str, everything: bool) -> None:
    spec = MLP(hidden=(8, 6), activation=activation, layer_norm=everything)
    model = build(spec, features=FEATURES, outcome=OUTCOMES[kind])
    options = {"weight_decay": 0.01, "clip_norm": 0.3} if everything else {}
    how = OPTIMISERS[optimiser].model_copy(update={"batch_size": 16, "local_epochs": 6, **options})
    _agree(model, spec, OUTCOMES[kind], how, everything=everything)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("everything", [False, True], ids=["plain", "everything"])
def test_layers_at_rates_of_their_own_learn_as_in_parameter_groups(optimiser: str, everything: bool) -> None:
    """A frozen layer, a slow one and a head: as PyTorch's groups, with the frozen one left out of clipping."""
    outcome, spec = OUTCOMES["multiclass"], MLP(hidden=(8, 6), activation="tanh")
    model = build(spec, features=FEATURES, outcome=outcome)
    options = {"weight_decay": 0.05, "clip_norm": 0.1} if everything else {}
    how = OPTIMISERS[optimiser].model_copy(update={"batch_size": 16, "local_epochs": 6, **options})
    start = model.init(np.random.default_rng(1))
    factors = {"layer1": 0.0, "layer2": 0.25, "layer3": 1.0}
    rates = np.ones_like(start)
    for name, part in model.layout.split(rates).items():
        part[...] = factors[name.split(".")[0]]
    anchor = start + np.random.default_rng(3).normal(0, 0.1, start.shape).astype(np.float32)
    pull = Pull(0.1, anchor, rates=rates)
    trained = model.train(start, _examples(outcome), how, generator=np.random.default_rng(7), pull=pull)

    module = _module(spec, outcome)
    _load(module, model, start)
    linear = [part for part in module if isinstance(part, torch.nn.Linear)]
    linear[0].requires_grad_(False)
    grouped = _optimiser(how, linear[2])
    grouped.add_param_group({"params": list(linear[1].parameters()), "lr": how.learning_rate * 0.25})
    centres = _like(module, model, anchor)
    for _, rows in _batches(how):
        grouped.zero_grad()
        examples = _examples(outcome)
        scores, truth = module(torch.tensor(examples.features[rows])), torch.tensor(examples.outcome[rows])
        loss, _ = _loss(outcome, scores, truth, None)
        for parameter, centre in zip(module.parameters(), centres, strict=True):
            loss = loss + pull.mu / 2 * ((parameter - centre) ** 2).sum()
        torch.autograd.backward(loss)
        if how.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(module.parameters(), how.clip_norm)
        grouped.step()
    np.testing.assert_allclose(trained.weights, _flat(module, model), rtol=1e-5, atol=2e-5)
    frozen = rates == 0
    assert trained.weights[frozen].tobytes() == start[frozen].tobytes()
    assert (trained.weights[~frozen] != start[~frozen]).all()


@pytest.mark.parametrize("kind", OUTCOMES)
@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("everything", [False, True], ids=["plain", "everything"])
def test_a_regression_learns_the_same(kind: str, optimiser: str, everything: bool) -> None:
    spec = Linear() if kind == "regression" else Logistic()
    model = build(spec, features=FEATURES, outcome=OUTCOMES[kind])
    options = {"weight_decay": 0.01, "clip_norm": 0.3} if everything else {}
    how = OPTIMISERS[optimiser].model_copy(update={"batch_size": 16, "local_steps": 28, **options})
    _agree(model, spec, OUTCOMES[kind], how, everything=everything)


def test_dropout_leaves_out_what_the_generator_says() -> None:
    """One step on one batch: with the same mask by hand, PyTorch comes to the same weights."""
    share, outcome, how = 0.4, OUTCOMES["binary"], SGD(learning_rate=0.5, batch_size=ROWS)
    model = build(MLP(hidden=(8, 6), dropout=share), features=FEATURES, outcome=outcome)
    weights, examples = model.init(np.random.default_rng(1)), _examples(outcome)
    trained = model.train(weights, examples, how, generator=np.random.default_rng(2))

    generator = np.random.default_rng(2)
    order = generator.permutation(ROWS)
    masks = [torch.tensor(generator.random((units, ROWS), np.float32) >= share).T / (1 - share) for units in (8, 6)]
    parameters = {name: torch.tensor(value, requires_grad=True) for name, value in model.layout.split(weights).items()}
    values = torch.tensor(examples.features[order])
    for number, mask in enumerate(masks, start=1):
        values = torch.relu(values @ parameters[f"layer{number}.weight"] + parameters[f"layer{number}.bias"]) * mask
    scores = (values @ parameters["layer3.weight"] + parameters["layer3.bias"])[:, 0]
    target = torch.tensor(examples.outcome[order])
    loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, target)
    slopes = torch.autograd.grad(loss, list(parameters.values()))

    stepped = zip(parameters.items(), slopes, strict=True)
    expected = {name: (value - 0.5 * slope).detach().numpy() for (name, value), slope in stepped}
    np.testing.assert_allclose(trained.weights, model.layout.join(expected), rtol=1e-5, atol=1e-6)


def _agree(model: Model, spec: MLP | Logistic | Linear, outcome: Outcome, how: Training, *, everything: bool) -> None:
    examples, start = _examples(outcome), model.init(np.random.default_rng(1))
    draw = np.random.default_rng(3)
    pull, class_weights = None, None
    if everything:
        anchor = start + draw.normal(0, 0.1, start.shape).astype(np.float32)
        pull = Pull(0.1, anchor, draw.normal(0, 0.02, start.shape).astype(np.float32))
        listed = CLASS_WEIGHTS[outcome.kind]
        class_weights = None if listed is None else np.array(listed, np.float32)
    trained = model.train(
        start, examples, how, generator=np.random.default_rng(7), class_weights=class_weights, pull=pull
    )

    module = _module(spec, outcome)
    _load(module, model, start)
    losses = _train(module, model, examples, how, pull=pull, class_weights=class_weights, outcome=outcome)
    assert trained.steps >= 28
    np.testing.assert_allclose(trained.weights, _flat(module, model), rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(trained.loss, losses, rtol=1e-5)
    with torch.no_grad():
        expected = module(torch.tensor(examples.features)).numpy()
    scores = model.scores(trained.weights, examples.features)
    np.testing.assert_allclose(scores.reshape(expected.shape), expected, rtol=1e-4, atol=1e-4)
    assert scores.shape == ((ROWS, 3) if outcome.kind == "multiclass" else (ROWS,))


def _examples(outcome: Outcome) -> Examples:
    draw = np.random.default_rng(0)
    features = draw.standard_normal((ROWS, FEATURES)).astype(np.float32)
    signal = features @ draw.standard_normal(FEATURES) + draw.standard_normal(ROWS)
    truth = {"binary": signal > 0, "multiclass": np.digitize(signal, [-1, 1]), "regression": signal}[outcome.kind]
    return Examples(features, np.asarray(truth, np.float32))


def _module(spec: MLP | Logistic | Linear, outcome: Outcome) -> torch.nn.Sequential:
    hidden = spec.hidden if isinstance(spec, MLP) else ()
    widths = (FEATURES, *hidden, outcome.scores)
    layers: list[torch.nn.Module] = []
    for number, units in enumerate(widths[1:]):
        layers.append(torch.nn.Linear(widths[number], units))
        if isinstance(spec, MLP) and number < len(hidden):
            layers += [torch.nn.LayerNorm(units)] if spec.layer_norm else []
            layers.append(_activation(spec.activation))
    return torch.nn.Sequential(*layers)


def _activation(name: Activation) -> torch.nn.Module:
    names = {"relu": "ReLU", "tanh": "Tanh", "sigmoid": "Sigmoid", "gelu": "GELU", "silu": "SiLU", "elu": "ELU"}
    module: torch.nn.Module = getattr(torch.nn, names.get(name, "LeakyReLU"))()
    return module


def _transposed(module: torch.nn.Module) -> Iterator[tuple[torch.Tensor, bool]]:
    """Yield the parameters in the layout's order, and whether the layout has them transposed."""
    for part in module.children():
        for parameter in part.parameters():
            yield parameter, parameter.ndim == 2


def _load(module: torch.nn.Module, model: Model, flat: Floats) -> None:
    with torch.no_grad():
        for (parameter, turn), value in zip(_transposed(module), model.layout.split(flat).values(), strict=True):
            parameter.copy_(torch.tensor(value.T if turn else value))


def _flat(module: torch.nn.Module, model: Model) -> Floats:
    arrays = (value.detach().numpy().T if turn else value.detach().numpy() for value, turn in _transposed(module))
    return model.layout.join(dict(zip((name for name, _ in model.layout.shapes), arrays, strict=True)))


def _train(
    module: torch.nn.Module,
    model: Model,
    examples: Examples,
    how: Training,
    *,
    pull: Pull | None,
    class_weights: Floats | None,
    outcome: Outcome,
) -> float:
    """Train as anybody would in PyTorch; return the mean loss of a row, over the last epoch or over all steps."""
    optimiser = _optimiser(how, module)
    losses: list[tuple[float, float]] = []
    anchor, correction = (_like(module, model, None if pull is None else flat) for flat in _pulls(pull))
    for epoch, rows in _batches(how):
        optimiser.zero_grad()
        scores, truth = module(torch.tensor(examples.features[rows])), torch.tensor(examples.outcome[rows])
        loss, weight = _loss(outcome, scores, truth, class_weights)
        if how.local_steps is not None or epoch == how.epochs:
            losses.append((loss.detach().item() * weight, weight))
        for parameter, centre, slope in zip(module.parameters(), anchor, correction, strict=True):
            if pull is not None:
                loss = loss + pull.mu / 2 * ((parameter - centre) ** 2).sum() + (slope * parameter).sum()
        torch.autograd.backward(loss)
        if how.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(module.parameters(), how.clip_norm)
        optimiser.step()
    total, weights = np.sum(losses, axis=0)
    return float(total / weights)


def _pulls(pull: Pull | None) -> tuple[Floats | None, Floats | None]:
    return (None, None) if pull is None else (pull.anchor, pull.correction)


def _like(module: torch.nn.Module, model: Model, flat: Floats | None) -> list[torch.Tensor]:
    if flat is None:
        return list(module.parameters())
    pairs = zip(_transposed(module), model.layout.split(flat).values(), strict=True)
    return [torch.tensor(value.T if turn else value) for (_, turn), value in pairs]


def _batches(how: Training) -> Iterator[tuple[int, np.ndarray]]:
    generator, steps, epoch = np.random.default_rng(7), 0, 0
    while True:
        epoch += 1
        order = generator.permutation(ROWS)
        for start in range(0, ROWS, how.batch_size):
            yield epoch, order[start : start + how.batch_size]
            steps += 1
            if steps == how.local_steps:
                return
        if how.local_steps is None and epoch == how.epochs:
            return


def _loss(
    outcome: Outcome, scores: torch.Tensor, truth: torch.Tensor, class_weights: Floats | None
) -> tuple[torch.Tensor, float]:
    weights = None if class_weights is None else torch.tensor(class_weights)
    if outcome.kind == "regression":
        return torch.nn.functional.mse_loss(scores[:, 0], truth), len(truth)
    each = None if weights is None else weights[truth.long()]
    if outcome.kind == "binary":
        return torch.nn.BCEWithLogitsLoss(weight=each)(scores[:, 0], truth), len(truth)
    return torch.nn.CrossEntropyLoss(weight=weights)(scores, truth.long()), len(truth) if each is None else float(
        each.sum()
    )


def _optimiser(how: Training, module: torch.nn.Module) -> torch.optim.Optimizer:
    rate, decay = how.learning_rate, how.weight_decay
    if isinstance(how, SGD):
        return torch.optim.SGD(
            module.parameters(), lr=rate, momentum=how.momentum, nesterov=how.nesterov, weight_decay=decay
        )
    kind = torch.optim.AdamW if isinstance(how, AdamW) else torch.optim.Adam
    return kind(module.parameters(), lr=rate, betas=(how.beta1, how.beta2), eps=how.eps, weight_decay=decay)
