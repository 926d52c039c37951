"""The exponential moving average (EMA) of a network's weights."""

import contextlib
from collections.abc import Iterator

import keras
from keras import ops


class WeightAverage:
    """The EMA of all float variables of a network, batch norm's statistics too.

    Step s (from 1) keeps min(decay, (1 + s) / (10 + s)) of the average: in a short run it would
    else be one of the initial weights (as in TensorFlow 1's ExponentialMovingAverage).
    """

    def __init__(self, network: keras.Model, decay: float):
        self.decay = decay
        self.weights = [v for v in network.variables if v.dtype.startswith("float")]
        self.means = [
            keras.Variable(weight.numpy(), trainable=False, dtype=weight.dtype, name=weight.name)
            for weight in self.weights
        ]
        self.step = keras.Variable(0, trainable=False, dtype="int32", name="step")

    @property
    def variables(self) -> list[keras.Variable]:
        return [*self.means, self.step]

    def update(self) -> None:
        """Take in the weights after a step."""
        self.step.assign_add(1)
        done = ops.cast(self.step, "float32")
        rest = 1 - ops.minimum(self.decay, (1 + done) / (10 + done))
        for mean, weight in zip(self.means, self.weights, strict=True):
            mean.assign(mean + ops.cast(rest, mean.dtype) * (weight - mean))

    @contextlib.contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Let the network have the average for as long as the block takes."""
        own = [weight.numpy() for weight in self.weights]
        for mean, weight in zip(self.means, self.weights, strict=True):
            weight.assign(ops.copy(mean))  # on JAX they would share memory, which a step reuses
        try:
            yield
        finally:
            for value, weight in zip(own, self.weights, strict=True):
                weight.assign(value)
