# ruff: noqa: D102 - a test's name says what it holds
"""What every model must hold to, as tests: three pure functions over one flat vector of weights.

Subclass :class:`ModelContract` in your own tests, say how to make your model and what it predicts, and let pytest
collect the class::

    class TestMyModel(ModelContract):
        outcome = BINARY

        def model(self) -> Model:
            return MyModel(features=FEATURES, outcome=self.outcome)
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from medfl import seeds
from medfl.learn.model import Examples, Floats, Model, Outcome, Pull, Trained
from medfl.spec.training import SGD, Adam, AdamW, LocalTraining
from medfl.testing.federation import examples


class ModelContract:
    """Tests of one model; it is given rows of ``FEATURES`` features."""

    outcome: Outcome
    """What the model predicts."""

    @abstractmethod
    def model(self) -> Model:
        """Return the model under test."""

    def test_fresh_weights_are_finite_and_named_by_the_generator(self) -> None:
        model = self.model()
        first, again, other = (model.init(seeds.generator(seed, purpose="init")) for seed in (1, 1, 2))
        assert (str(first.dtype), first.shape) == ("float32", (model.layout.size,))
        assert np.isfinite(first).all()
        assert first.tobytes() == again.tobytes()
        assert first.tobytes() != other.tobytes()

    def test_the_layout_names_every_weight_once(self) -> None:
        layout = self.model().layout
        names = [name for name, _ in layout.shapes]
        assert len(set(names)) == len(names)
        flat = np.arange(layout.size, dtype=np.float32)
        parts = layout.split(flat)
        assert {name: part.shape for name, part in parts.items()} == dict(layout.shapes)
        assert layout.join(parts).tobytes() == flat.tobytes()

    def test_two_models_of_one_description_are_one(self) -> None:
        first, second = self.model(), self.model()
        assert first.layout == second.layout
        weights = first.init(seeds.generator(1, purpose="init"))
        assert trained(first, weights, self.rows()).weights.tobytes() == (
            trained(second, weights, self.rows()).weights.tobytes()
        )

    def test_training_changes_nothing_it_was_given(self) -> None:
        model, rows = self.model(), self.rows()
        weights = self.fresh(model)
        for array in (weights, rows.features, rows.outcome):
            array.setflags(write=False)  # as what came over a wire
        before = [array.tobytes() for array in (weights, rows.features, rows.outcome)]
        after = trained(model, weights, rows, pull=Pull(0.1, weights, weights)).weights
        assert [array.tobytes() for array in (weights, rows.features, rows.outcome)] == before
        assert after.tobytes() != weights.tobytes(), "training changed nothing"
        after += 1  # the caller's own

    def test_training_gives_flat_finite_weights_for_every_optimiser(self) -> None:
        model = self.model()
        for how in (SGD(momentum=0.9, nesterov=True), Adam(clip_norm=0.5), AdamW(local_steps=7)):
            weights = self.fresh(model)
            result = trained(model, weights, self.rows(), how=how)
            assert (str(result.weights.dtype), result.weights.shape) == ("float32", weights.shape)
            assert np.isfinite(result.weights).all()
            assert np.isfinite(result.loss)
            assert result.weights.tobytes() == trained(model, weights, self.rows(), how=how).weights.tobytes()

    def test_the_generator_draws_the_order_of_the_rows(self) -> None:
        model = self.model()
        weights = self.fresh(model)
        first, other = (trained(model, weights, self.rows(), seed=seed).weights for seed in (1, 2))
        assert first.tobytes() != other.tobytes()

    def test_steps_are_counted(self) -> None:
        model, rows = self.model(), self.rows(42)
        weights = self.fresh(model)
        for how, steps in (
            (SGD(batch_size=16, local_epochs=2), 6),
            (SGD(batch_size=100), 1),
            (SGD(batch_size=16, local_steps=4), 4),
        ):
            assert trained(model, weights, rows, how=how).steps == steps

    def test_training_lowers_the_loss(self) -> None:
        model, rows = self.model(), self.rows(200)
        how = AdamW(learning_rate=0.02, weight_decay=0.0, local_epochs=1)
        first = trained(model, self.fresh(model), rows, how=how)
        last = first
        for seed in range(15):
            last = trained(model, last.weights, rows, how=how, seed=seed)
        assert last.loss < first.loss

    def test_a_pull_is_added_to_the_gradient_of_what_is_trained(self) -> None:
        model, rows = self.model(), self.rows()
        weights = self.fresh(model)
        how = SGD(batch_size=len(rows), learning_rate=0.5)
        push = np.linspace(-1, 1, len(weights), dtype=np.float32)
        free = trained(model, weights, rows, how=how).weights
        pulled = trained(model, weights, rows, how=how, pull=Pull(0.2, weights - 1, push)).weights
        moved = pulled - free
        expected = -0.5 * (0.2 * 1 + push)
        held = moved == 0  # frozen parameters, and buffers such as a running mean
        assert not held.all()
        np.testing.assert_allclose(moved[~held], expected[~held], rtol=1e-3, atol=1e-5)

    def test_scores_have_their_shape_and_change_nothing(self) -> None:
        model, rows = self.model(), self.rows(37)
        weights = self.fresh(model)
        for array in (weights, rows.features):
            array.setflags(write=False)
        for count in (37, 2, 1, 0):
            scores = model.scores(weights, rows.features[:count])
            wide = (count, len(self.outcome.classes)) if self.outcome.kind == "multiclass" else (count,)
            assert (str(scores.dtype), scores.shape) == ("float32", wide)
            assert np.isfinite(scores).all()
            assert scores.tobytes() == model.scores(weights, rows.features[:count]).tobytes()

    def test_a_row_is_scored_by_itself(self) -> None:
        model, rows = self.model(), self.rows(37)
        weights = trained(model, self.fresh(model), rows).weights
        together = model.scores(weights, rows.features)
        apart = np.concatenate([model.scores(weights, rows.features[[row]]) for row in range(len(rows))])
        np.testing.assert_allclose(apart, together, rtol=1e-5, atol=1e-6)

    def rows(self, count: int = 50) -> Examples:
        """Return rows to learn from."""
        return examples(self.outcome, rows=count)

    def fresh(self, model: Model) -> Floats:
        """Return fresh weights."""
        return model.init(seeds.generator(1, purpose="init"))


def trained(
    model: Model,
    weights: Floats,
    rows: Examples,
    *,
    how: LocalTraining | None = None,
    pull: Pull | None = None,
    seed: int = 1,
) -> Trained:
    """Train for one round."""
    generator = seeds.generator(seed, purpose="train")
    return model.train(weights, rows, how or SGD(batch_size=16), generator=generator, pull=pull)
