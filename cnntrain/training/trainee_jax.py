"""The training step on JAX: a function of a state and a batch, that returns the next state."""

from typing import Any

import jax
import keras

from cnntrain.training.trainee import Trainee

Values = list[jax.Array]


class JaxTrainee(Trainee):
    """A trainee whose step changes no variable; `fit` carries the state from step to step.

    What a step changes must be in that state: so the average's variables are its own here.
    """

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        if self.average is not None:
            self.averaged = [*self.average.variables, self.average.step]

    def train_step(  # type: ignore[override]  # as Keras has it on JAX
        self, state: tuple[Values, ...], data: tuple[Any, Any]
    ) -> Any:
        """Return the running means, and the state after a step."""
        weights, others, slots, metrics = state
        images, labels = self.features(data[0]), data[1]
        gradients, others, loss, logits = self.in_pieces(images, labels, *state)
        moved, slots = self.optimizer.stateless_apply(slots, gradients, weights)
        weights, others = self.after(weights, others, moved)
        logs, metrics = self.shown(metrics, loss, images, labels, logits)
        return logs, (weights, others, slots, metrics)

    def in_pieces(
        self, images: Any, labels: Any, weights: Values, others: Values, slots: Values, _: Values
    ) -> Any:
        """The mean gradients of the pieces, one after another; the loss and logits of them all."""
        differentiate = jax.value_and_grad(self.compute_loss_and_updates, has_aux=True)

        def piece(others: Values, images: Any, labels: Any) -> Any:
            (_, (loss, logits, others, _)), gradients = differentiate(
                weights, others, [], images, labels, None, training=True, optimizer_variables=slots
            )
            return gradients, others, loss, logits

        if self.pieces == 1:
            return piece(others, images, labels)

        def add(before: Any, part: Any) -> Any:
            sums, others = before
            gradients, others, loss, logits = piece(others, *part)
            return (jax.tree.map(jax.numpy.add, sums, gradients), others), (loss, logits)

        parts = [x.reshape(self.pieces, -1, *x.shape[1:]) for x in (images, labels)]
        zeros = jax.tree.map(jax.numpy.zeros_like, weights)
        (sums, others), (losses, logits) = jax.lax.scan(add, (zeros, others), parts)
        gradients = jax.tree.map(lambda total: total / self.pieces, sums)
        logits = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), logits)
        return gradients, others, losses.mean(), logits

    def after(self, weights: Values, others: Values, moved: Values) -> tuple[Values, Values]:
        """The weights and other variables once rates of layers and the average have had theirs."""
        trainable, rest = self.trainable_variables, self.non_trainable_variables
        before = [*zip(trainable, weights, strict=True), *zip(rest, others, strict=True)]
        with keras.StatelessScope(before) as scope:
            with self.followed_up():
                for variable, value in zip(trainable, moved, strict=True):
                    variable.assign(value)
            after = [[scope.get_current_value(v) for v in kind] for kind in (trainable, rest)]
        return after[0], after[1]

    def shown(self, metrics: Values, loss: Any, images: Any, labels: Any, logits: Any) -> Any:
        """The running means, and the variables that hold them."""
        known = list(zip(self.metrics_variables, metrics, strict=True))
        with keras.StatelessScope(known) as scope:
            self.metrics[0].update_state(loss, sample_weight=labels.shape[0])
            logs = self.compute_metrics(images, labels, logits)
            metrics = [scope.get_current_value(v) for v in self.metrics_variables]
        return logs, metrics
