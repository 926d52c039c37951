"""The training step on JAX: a function of a state and a batch, that returns the next state."""

from collections.abc import Mapping
from typing import Any

import jax
import keras
import numpy as np

from cnntrain.training.devices.jax_arrays import find_batch_sharding
from cnntrain.training.devices.one_device import Batch
from cnntrain.training.train_step import StepParts, list_targets

Values = list[jax.Array]


class JaxTrainStep:
    """Steps on JAX, on one device or on several, among which Keras shares each batch.

    A step changes no variable: blocks hand on a state, which `settle` puts into the variables
    before anything reads them. `capacity` is the number of steps of the longest block.
    """

    def __init__(self, parts: StepParts, capacity: int):
        self.parts, self.capacity = parts, capacity
        network = parts.network
        self.kinds = [
            network.trainable_variables,
            network.non_trainable_variables,
            parts.optimizer.variables,
            parts.average.variables if parts.average else [],
        ]
        self.state: list[Values] | None = None  # None: the variables are up to date
        self.sharding = find_batch_sharding(1)  # here: `place` is called by other threads
        self.resident = jax.device_put(dict(parts.resident))
        self.run_steps = jax.jit(self.make_steps, donate_argnums=0)

    def place(self, arrays: Mapping[str, np.ndarray]) -> tuple[Batch, int]:
        """Return the arrays (K, B, …) of a block on the devices, and K.

        They are padded to the longest block, because each shape would be compiled anew.
        """
        count = len(next(iter(arrays.values()), []))
        missing = self.capacity - count
        padded = {
            name: np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1)) if missing else array
            for name, array in arrays.items()
        }
        return {name: jax.device_put(array, self.sharding) for name, array in padded.items()}, count

    def run_block(self, block: tuple[Batch, int]) -> tuple[Any, Any, Any]:
        """Make the K steps of a placed block, and return what may come later than the call.

        It is their losses (K, 3), the updates of the phase so far, and the last one's rate.
        """
        if self.state is None:
            self.state = [[variable.value for variable in kind] for kind in self.kinds]
        arrays, count = block
        self.state, found = self.run_steps(self.state, arrays, self.resident, count)
        losses, updates, rate = found
        return losses[:count], updates, rate

    def settle(self) -> None:
        """Bring the variables up to date."""
        if self.state is not None:
            for kind, values in zip(self.kinds, self.state, strict=True):
                for variable, value in zip(kind, values, strict=True):
                    variable.assign(value)
            self.state = None

    def make_steps(self, state: list[Values], arrays: Batch, resident: Batch, count: Any) -> Any:
        """Return the state after `count` steps, and what `run_block` returns."""

        def body(number: Any, carried: Any) -> Any:
            state, rows = carried
            batch = {name: array[number] for name, array in arrays.items()}
            state, losses = self.make_step(state, {**batch, **resident})
            return state, rows.at[number].set(losses)

        rows = jax.numpy.zeros((self.capacity, 3))
        state, losses = jax.lax.fori_loop(0, count, body, (state, rows))
        with keras.StatelessScope(list(zip(self.kinds[2], state[2], strict=True))):
            updates = self.parts.optimizer.iterations.value
            return state, (losses, updates, self.parts.rate(jax.numpy.maximum(updates - 1, 0)))

    def make_step(self, state: list[Values], batch: Batch) -> Any:
        """Return the state after a step, and its three losses."""
        weights, others, slots, averages = state
        examples = [self.parts.make_inputs(batch), *list_targets(batch)]
        gradients, others, losses = self.compute_gradients(state, examples)
        moved, slots = self.parts.optimizer.stateless_apply(slots, gradients, weights)
        trainable, _, _, averaged = self.kinds
        known = [*zip(trainable, weights, strict=True), *zip(averaged, averages, strict=True)]
        known += zip(self.kinds[1], others, strict=True)
        with keras.StatelessScope(known) as scope:
            with self.parts.scale_and_average():
                for variable, value in zip(trainable, moved, strict=True):
                    variable.assign(value)
            weights = [scope.get_current_value(v) for v in trainable]
            averages = [scope.get_current_value(v) for v in averaged]
        return [weights, others, slots, averages], losses

    def compute_gradients(self, state: list[Values], examples: list[Any]) -> Any:
        """Return the mean gradients of the micro-batches, the other variables, the mean losses.

        `examples` are their inputs and targets.
        """
        weights, others, slots, _ = state
        count = self.parts.micro_batches
        differentiate = jax.grad(self.compute_objective, has_aux=True)
        if count == 1:
            gradients, (others, losses) = differentiate(weights, others, slots, *examples)
            return gradients, others, losses

        def add(before: Any, part: Any) -> Any:
            sums, others = before
            gradients, (others, losses) = differentiate(weights, others, slots, *part)
            return (jax.tree.map(jax.numpy.add, sums, gradients), others), losses

        parts = [x.reshape(count, -1, *x.shape[1:]) for x in examples]
        zeros = jax.tree.map(jax.numpy.zeros_like, weights)
        (sums, others), losses = jax.lax.scan(add, (zeros, others), parts)
        return [total / count for total in sums], others, losses.mean(axis=0)

    def compute_objective(
        self, weights: Values, others: Values, slots: Values, inputs: Any, *targets: Any
    ) -> Any:
        """Return the objective to differentiate, the other variables after it, and the losses."""
        known = [pair for kind, values in zip(self.kinds, (weights, others, slots), strict=False)
                 for pair in zip(kind, values, strict=True)]  # fmt: skip
        state = keras.StatelessScope(known, collect_losses=True)
        with state as scope, self.parts.replace_calls():
            outputs = self.parts.network(inputs, training=True)
            labels, *shares = targets
            objective, losses = self.parts.compute_losses(labels, outputs, *shares)
            scaled = self.parts.optimizer.scale_loss(objective)
            changed = [scope.get_current_value(v) for v in self.kinds[1]]
        return scaled, (changed, losses)
