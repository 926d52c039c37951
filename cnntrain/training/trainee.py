"""What `fit` trains: a Keras model that can take a batch in pieces, train layers at rates of their
own and keep an average of its weights.
"""

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from cnntrain.training import losses
from cnntrain.training.losses import LossFunction


class Average:
    """The exponential moving average of a network's weights, batch norm's statistics too.

    Step s (from 1) keeps min(decay, (1 + s) / (10 + s)) of the average: in a short run it would
    else be one of the initial weights (as in TensorFlow 1's ExponentialMovingAverage).
    """

    def __init__(self, network: keras.Model, decay: float):
        self.decay = decay
        self.weights = [v for v in network.variables if v.dtype.startswith("float")]
        self.variables = [
            keras.Variable(weight.numpy(), trainable=False, dtype=weight.dtype, name=weight.name)
            for weight in self.weights
        ]
        self.step = keras.Variable(0, trainable=False, dtype="int32", name="step")

    def update(self) -> None:
        """Take in the weights after a step."""
        self.step.assign_add(1)
        done = ops.cast(self.step, "float32")
        rest = 1 - ops.minimum(self.decay, (1 + done) / (10 + done))
        for mean, weight in zip(self.variables, self.weights, strict=True):
            mean.assign(mean + ops.cast(rest, mean.dtype) * (weight - mean))

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the network have the average for as long as the block takes."""
        own = [weight.numpy() for weight in self.weights]
        for mean, weight in zip(self.variables, self.weights, strict=True):
            weight.assign(
                ops.copy(mean)
            )  # on JAX they would share their memory, which `fit` reuses
        try:
            yield
        finally:
            for value, weight in zip(own, self.weights, strict=True):
                weight.assign(value)


class Trainee(keras.Model):
    """The layers of a network as `fit` trains them.

    Outputs beyond the first are those of auxiliary heads, whose losses are added with the weights
    of `auxiliary` (Szegedy et al. 2014, section 5). `pieces` is into how many a batch is cut to
    save memory: the gradient is their mean, so a step is the same but for batch norm, which sees
    the pieces. `rates` are factors of the learning rate by the variables' paths. `below` makes
    features of images first: frozen layers, in inference.
    """

    def __init__(
        self,
        network: keras.Model,
        auxiliary: Sequence[float],
        pieces: int,
        rates: Mapping[str, float],
        average: Average | None,
        below: keras.Model | None,
    ):
        super().__init__(inputs=network.inputs, outputs=network.outputs)
        self.auxiliary = tuple(auxiliary)
        # in a function Keras does not take it for a layer of this model
        self.features = functools.partial(below, training=False) if below else lambda images: images
        self.pieces, self.average = pieces, average
        self.replicas = 1  # how many devices share a batch
        self.slowed = [
            (v, rates[v.path]) for v in self.trainable_variables if rates.get(v.path, 1.0) != 1.0
        ]

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One step: the gradient, the update, the average; returns the running means."""
        inputs, labels = self.features(data[0]), data[1]
        with self.followed_up():
            if self.pieces == 1:
                return super().train_step((inputs, labels))
            return self.step_in_pieces(inputs, labels)

    def update(self, gradients: Sequence[tf.Tensor]) -> None:
        """The part of a step that follows upon the gradients of the trainable weights."""
        with self.followed_up():
            self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))

    @contextlib.contextmanager
    def followed_up(self) -> Iterator[None]:
        """After an update, layers with rates of their own go that far; then the average follows."""
        before = [ops.copy(variable) for variable, _ in self.slowed]
        yield
        for (variable, rate), old in zip(self.slowed, before, strict=True):
            variable.assign(old + rate * (variable - old))
        if self.average is not None:
            self.average.update()

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> keras.KerasTensor:
        """The loss of the logits, penalties included, and those of auxiliary heads."""
        logits, *others = as_list(y_pred)
        loss = super().compute_loss(x, y, logits, sample_weight, training)
        for weight, other in zip(self.auxiliary, others, strict=False):
            loss = loss + weight * ops.mean(self.loss(y, other)) / self.replicas
        return loss

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The metrics of the logits."""
        return super().compute_metrics(x, y, as_list(y_pred)[0], sample_weight)

    def step_in_pieces(self, images: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        """A step whose gradient is the mean of those of the pieces, computed one after another."""
        weights = self.trainable_weights
        tracker = next(metric for metric in self.metrics if metric.name == "loss")
        images, labels = (
            tf.reshape(part, (self.pieces, part.shape[0] // self.pieces, *part.shape[1:]))
            for part in (images, labels)
        )

        def add(number: tf.Tensor, *sums: tf.Tensor) -> tuple[tf.Tensor, ...]:
            with tf.GradientTape() as tape:
                logits = self(images[number], training=True)
                loss = self.compute_loss(y=labels[number], y_pred=logits, training=True)
                scaled = self.optimizer.scale_loss(loss)
            found = tape.gradient(scaled, weights, unconnected_gradients="zero")
            tracker.update_state(loss)
            self.compute_metrics(images[number], labels[number], logits)
            return number + 1, *(total + one for total, one in zip(sums, found, strict=True))

        zeros = [tf.zeros(weight.shape, weight.dtype) for weight in weights]
        _, *sums = tf.while_loop(
            lambda number, *_: number < self.pieces,
            add,
            (tf.constant(0), *zeros),
            parallel_iterations=1,  # else all pieces would be in memory at once
        )
        self.optimizer.apply_gradients(
            (total / self.pieces, weight) for total, weight in zip(sums, weights, strict=True)
        )
        return self.get_metrics_result()


def as_list(outputs: Any) -> list[Any]:
    """The logits, and those of auxiliary heads."""
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def compiled(trainee: Trainee, optimizer: keras.optimizers.Optimizer, loss: LossFunction) -> Any:
    """Return the trainee, ready for `fit`.

    Its metrics and, for float16, the optimizer's loss scale are built by a first use: a state
    cannot be restored into what is not there yet.
    """
    trainee.compile(optimizer, loss, metrics=losses.build_metrics())
    if not trainee.optimizer.built:
        trainee.optimizer.build(trainee.trainable_variables)
    labels = np.zeros(1, "int32")
    logits = [np.zeros((1, *output.shape[1:]), "float32") for output in trainee.outputs]
    trainee.compute_loss(y=labels, y_pred=logits)
    trainee.compute_metrics(None, labels, logits)
    trainee.reset_metrics()
    return trainee
