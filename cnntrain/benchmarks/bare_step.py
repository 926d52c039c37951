"""The bare compiled step: what training costs if nothing but the step is done.

The network, the optimizer, the loss and the metrics are those of our run. Ready batches, which are
on the device, go in, one a call; there is no pipeline, no augmentation, no log.
"""

import itertools
from collections.abc import Callable
from typing import Any

import keras

from cnntrain.data.source import Splits
from cnntrain.spec.spec import Spec
from cnntrain.training.losses import build_metrics, compute_cross_entropy
from cnntrain.training.networks.build import build_network

READY_BATCHES = 8


def prepare_bare_steps(spec: Spec, splits: Splits, steps: int) -> Callable[[], float]:
    """Return a function that makes `steps` bare steps, and returns the loss of the last one."""
    network = build_network(spec, splits, steps).network
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(network.trainable_variables)
    metrics = [keras.metrics.Mean(name="loss"), *build_metrics()]
    make_step = compile_jax_step if keras.backend.backend() == "jax" else compile_tensorflow_step
    images, labels = splits.train.images, splits.train.labels
    count = min(READY_BATCHES, steps)
    parts = [slice(n * spec.batch_size, (n + 1) * spec.batch_size) for n in range(count)]
    batches = [
        (keras.ops.array(images[part], "uint8"), keras.ops.array(labels[part], "int32"))
        for part in parts
    ]
    make_one_step = make_step(network, optimizer, metrics, batches[0])

    def make_steps() -> float:
        for batch in itertools.islice(itertools.cycle(batches), steps):
            loss = make_one_step(*batch)
        return float(loss)  # waits for the device

    return make_steps


def compile_tensorflow_step(
    network: keras.Model, optimizer: Any, metrics: list[Any], batch: tuple[Any, Any]
) -> Callable[[Any, Any], Any]:
    """Return the step as one `tf.function`, compiled by XLA where there is a GPU."""
    import tensorflow as tf

    mean_loss, *others = metrics

    @tf.function(jit_compile=bool(tf.config.list_physical_devices("GPU")))
    def make_one_step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = network(images, training=True)
            loss = tf.reduce_mean(compute_cross_entropy(labels, logits))
        weights = network.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        mean_loss.update_state(loss)
        for metric in others:
            metric.update_state(labels, logits)
        return loss

    return make_one_step


def compile_jax_step(
    network: keras.Model, optimizer: Any, metrics: list[Any], batch: tuple[Any, Any]
) -> Callable[[Any, Any], Any]:
    """Return the step as one `jax.jit` with the values of all variables as its state."""
    import jax

    mean_loss, *others = metrics
    mean_loss.update_state(0.0)
    for metric in others:  # a first use builds their variables
        metric.update_state(batch[1], network(batch[0]))

    def compute_loss(trained: Any, fixed: Any, images: Any, labels: Any) -> Any:
        logits, fixed = network.stateless_call(trained, fixed, images, training=True)
        return keras.ops.mean(compute_cross_entropy(labels, logits)), (logits, fixed)

    def step(state: Any, images: Any, labels: Any) -> Any:
        trained, fixed, slots, (means, counts) = state
        differentiate = jax.value_and_grad(compute_loss, has_aux=True)
        (loss, (logits, fixed)), gradients = differentiate(trained, fixed, images, labels)
        trained, slots = optimizer.stateless_apply(slots, gradients, trained)
        means = mean_loss.stateless_update_state(means, loss)
        counts = [
            metric.stateless_update_state(values, labels, logits)
            for metric, values in zip(others, counts, strict=True)
        ]
        return loss, (trained, fixed, slots, (means, counts))

    def list_values(variables: Any) -> list[Any]:
        return [variable.value for variable in variables]

    state = (
        list_values(network.trainable_variables),
        list_values(network.non_trainable_variables),
        list_values(optimizer.variables),
        (list_values(mean_loss.variables), [list_values(metric.variables) for metric in others]),
    )
    compiled = jax.jit(step, donate_argnums=0)

    def make_one_step(images: Any, labels: Any) -> Any:
        nonlocal state
        loss, state = compiled(state, images, labels)
        return loss

    return make_one_step
