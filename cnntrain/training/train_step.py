"""The training step: what it is made of, and how TensorFlow makes it; blocks of such steps.

A step gets a batch and changes variables. A block is K steps in one call, so that Python looks at a
run once a block; how steps are cut into blocks decides no number.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from cnntrain.training.devices.one_device import Batch, Devices
from cnntrain.training.labels.kind import ONE_LABEL, LabelKind
from cnntrain.training.losses import LossFunction
from cnntrain.training.networks.fused_norm import choose_norm_call
from cnntrain.training.networks.pool_gradient import choose_pool_call
from cnntrain.training.networks.replaced_calls import Call, replace_calls
from cnntrain.training.schedules import Rate
from cnntrain.training.weight_average import WeightAverage

SEEDS_APART = 7919  # between the seeds of dropout of two devices


@dataclass(frozen=True, kw_only=True)
class StepParts:
    """What a step is made of.

    `network` makes logits, and those of auxiliary heads, of what `make_inputs` makes of a batch:
    images, or features of frozen layers. A batch has the arrays of its step and those that are
    `resident` on the device. Losses of auxiliary heads are added with the weights `auxiliary`
    (Szegedy et al. 2014, section 5). A batch is computed in `micro_batches` to save memory: the
    gradient is their mean, so that a step is the same but for batch norm, which sees the
    micro-batches. `own_rates` are variables with their factors of the learning rate.
    `fused_norm` lets TensorFlow compute each batch norm as one operation; with `masked_pools` the
    gradients of max pools need no scatter. `labels` is the kind of labels that a batch has.
    """

    network: keras.Model
    optimizer: keras.optimizers.Optimizer
    rate: Rate
    loss: LossFunction
    make_inputs: Callable[[Batch], Any]
    resident: Mapping[str, np.ndarray] = field(default_factory=dict)
    auxiliary: Sequence[float] = ()
    micro_batches: int = 1
    own_rates: Sequence[tuple[keras.Variable, float]] = ()
    average: WeightAverage | None = None
    fused_norm: bool = False
    masked_pools: bool = False
    labels: LabelKind = ONE_LABEL

    def compute_losses(self, labels: Any, outputs: Any, weights: Any = None) -> tuple[Any, Any]:
        """Return the objective, and (3,) it, the cross-entropy and the hits of the logits.

        The objective is the mean loss, with the penalties and the losses of auxiliary heads.
        `weights` (B,) multiply the losses of the examples before the mean is taken, as Keras'
        `sample_weight` does; cross-entropy and hits are those of all examples alike.
        """

        def compute_mean_loss(logits: Any) -> Any:
            values = self.loss(labels, logits)
            return ops.mean(values if weights is None else values * weights)

        logits, *others = outputs if isinstance(outputs, list | tuple) else [outputs]
        objective = sum(self.network.losses, compute_mean_loss(logits))
        for weight, other in zip(self.auxiliary, others, strict=False):
            objective += weight * compute_mean_loss(other)
        measures = (self.labels.compute_cross_entropy, self.labels.compute_hits)
        measured = [compute(labels, logits) for compute in measures]
        return objective, ops.stack([objective, *map(ops.mean, measured)])

    def replace_calls(self) -> contextlib.AbstractContextManager[None]:
        """Let layers compute within the block by the means that suit the device."""
        choices = [choose_norm_call] if self.fused_norm else []
        choices += [choose_pool_call] if self.masked_pools else []

        def choose_call(layer: keras.layers.Layer) -> Call | None:
            return next(filter(None, (choose(layer) for choose in choices)), None)

        return replace_calls(self.network, choose_call)

    @contextlib.contextmanager
    def scale_and_average(self) -> Iterator[None]:
        """After the update within, scale the changes of `own_rates`, then update the EMA."""
        before = [ops.copy(variable) for variable, _ in self.own_rates]
        yield
        for (variable, rate), old in zip(self.own_rates, before, strict=True):
            variable.assign(old + rate * (variable - old))
        if self.average is not None:
            self.average.update()


class TrainStep:
    """Steps on TensorFlow, on one device or on several that share each batch.

    With several, each device computes its part of a batch as its own; what they find is added up
    and then changes the variables once. Batch norm sees the parts, and its moving statistics are
    the mean of theirs. Dropout draws for each part on its own.
    """

    def __init__(self, parts: StepParts, devices: Devices):
        self.parts, self.devices, self.place = parts, devices, devices.place
        self.weights = parts.network.trainable_variables
        changed = find_changing_variables(parts.network)
        self.statistics = [v for v in changed if v.dtype.startswith("float")]
        self.seeds = [v for v in changed if not v.dtype.startswith("float")]
        self.step = tf.function(self.make_step, autograph=False, jit_compile=devices.xla or None)
        self.run_steps = devices.compile_block(self.step, devices.place(parts.resident))
        self.read_progress = tf.function(self.find_progress, autograph=False)

    def run_block(self, block: Any) -> tuple[Any, Any, Any]:
        """Make the K steps of a placed block, and return what may come later than the call.

        It is their losses (K, 3), the updates of the phase so far, and the last one's rate. Steps
        whose gradients float16 made overflow are no updates.
        """
        return self.run_steps(block), *self.read_progress()

    def find_progress(self) -> tuple[tf.Tensor, tf.Tensor]:
        updates = tf.convert_to_tensor(self.parts.optimizer.iterations.value)
        return updates, self.parts.rate(tf.maximum(updates - 1, 0))

    def settle(self) -> None:
        """Bring the variables up to date, which on TensorFlow they always are."""

    def make_step(self, batch: Batch) -> tf.Tensor:
        """Change the variables by one step, and return its three losses."""
        found, seeds = self.devices.run(self.compute_part, batch)
        gradients, statistics, losses = split_list(
            self.devices.add_up(found), len(self.weights), len(self.statistics)
        )
        for variable, value in zip(
            [*self.statistics, *self.seeds], [*statistics, *seeds], strict=True
        ):
            variable.assign(value)
        with self.parts.scale_and_average():
            self.parts.optimizer.apply(gradients, self.weights)
        return losses[0]

    def compute_part(self, batch: Batch, device: Any) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Return a device's share of gradients, statistics and losses, and the next seeds."""
        apart = [
            tf.stack([tf.cast(device * SEEDS_APART, v.dtype), 0])
            if tuple(v.shape) == (2,)  # the state of a generator; a layer may count, too
            else tf.zeros(v.shape, v.dtype)
            for v in self.seeds
        ]
        seeds = [v.value + own for v, own in zip(self.seeds, apart, strict=True)]
        values = [v.value for v in self.statistics] + seeds
        examples = [self.parts.make_inputs(batch), *list_targets(batch)]
        gradients, values, losses = self.compute_gradients(examples, values)
        statistics, seeds, _ = split_list(values, len(self.statistics), len(seeds))
        seeds = [value - own for value, own in zip(seeds, apart, strict=True)]
        count = self.devices.replicas
        found = [*gradients, *statistics, losses]
        return [value / count if count > 1 else value for value in found], seeds

    def compute_gradients(self, examples: list[Any], values: list[Any]) -> Any:
        """Return the mean gradients of the micro-batches, the new `values`, and the mean losses.

        `examples` are their inputs and targets. The micro-batches are computed one after another;
        `values` are what each changes.
        """
        count = self.parts.micro_batches
        if count == 1:
            return self.differentiate(examples, values)
        examples = [tf.reshape(x, (count, x.shape[0] // count, *x.shape[1:])) for x in examples]

        def add(number: tf.Tensor, totals: list[Any], values: list[Any]) -> Any:
            gradients, values, losses = self.differentiate([x[number] for x in examples], values)
            found = [*gradients, losses]
            return number + 1, [a + b for a, b in zip(totals, found, strict=True)], values

        zeros = [tf.zeros(w.shape, w.dtype) for w in self.weights] + [tf.zeros(3)]
        _, totals, values = tf.while_loop(
            lambda number, *_: number < count,
            add,
            (tf.constant(0), zeros, values),
            parallel_iterations=1,  # else all micro-batches would be in memory at once
        )
        *gradients, losses = [total / count for total in totals]
        return gradients, values, losses

    def differentiate(self, examples: list[Any], values: list[Any]) -> Any:
        """Return the gradients of the weights, the new `values`, and the losses."""
        inputs, labels, *weights = examples
        changed, optimizer = self.statistics + self.seeds, self.parts.optimizer
        with tf.GradientTape() as tape, self.parts.replace_calls():
            # weights too: within the scope, Keras' penalties know no others
            known = [(weight, weight.value) for weight in self.weights]
            state = [*known, *zip(changed, values, strict=True)]
            with keras.StatelessScope(state, collect_losses=True) as scope:
                outputs = self.parts.network(inputs, training=True)
                objective, losses = self.parts.compute_losses(labels, outputs, *weights)
            scaled = optimizer.scale_loss(objective)
        gradients = tape.gradient(scaled, self.weights, unconnected_gradients="zero")
        return gradients, [scope.get_current_value(v) for v in changed], losses


def list_targets(batch: Batch) -> list[Any]:
    """Return the labels of a batch and, if its examples have any, their weights."""
    return [batch[name] for name in ("labels", "weights") if name in batch]


def find_changing_variables(network: keras.Model) -> list[keras.Variable]:
    """Return what a pass in training changes beside the weights: statistics of norms, seeds."""
    found: list[keras.Variable] = []

    def trace(inputs: tf.Tensor) -> None:
        with keras.StatelessScope() as scope:
            network(inputs, training=True)
        own = network.non_trainable_variables
        found.extend(v for v in own if scope.get_current_value(v) is not None)

    inputs = network.inputs[0]
    tf.function(trace, autograph=False).get_concrete_function(
        tf.TensorSpec((1, *inputs.shape[1:]), inputs.dtype)
    )
    return found


def split_list(
    values: list[Any], first: int, second: int
) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the `first` values, the `second` ones after them, and the rest."""
    return values[:first], values[first : first + second], values[first + second :]
