"""Arrays on JAX's devices, among which Keras shares each batch."""

import weakref
from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np


def count_jax_replicas() -> int:
    """Return how many devices share a batch."""
    distribution = keras.distribution.distribution()
    return distribution.num_model_replicas if distribution is not None else 1


def find_batch_sharding(axis: int) -> jax.sharding.NamedSharding | None:
    """Return how arrays are shared along `axis`, the batch; None for one device.

    Keras knows its distribution in the main thread alone.
    """
    distribution = keras.distribution.distribution()
    if distribution is None:
        return None
    names = jax.sharding.PartitionSpec(*[None] * axis, distribution.batch_dim_name)
    return jax.sharding.NamedSharding(distribution.device_mesh.backend_mesh, names)


def compile_for_jax(
    network: "weakref.ref[keras.Model]", call: Callable[[Any], Any]
) -> Callable[[np.ndarray], jax.Array]:
    """Return `call` compiled, for the values that the network's variables have at each call."""

    def list_variables() -> list[keras.Variable]:
        model = network()
        assert model is not None
        return model.variables

    def run(values: list[jax.Array], images: jax.Array) -> Any:
        with keras.StatelessScope(list(zip(list_variables(), values, strict=True))):
            return call(images)

    compiled = jax.jit(run)

    def predict(images: np.ndarray) -> jax.Array:
        missing = -len(images) % count_jax_replicas()  # the caller drops what comes of these
        padded = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
        return compiled(
            [v.value for v in list_variables()], jax.device_put(padded, find_batch_sharding(0))
        )

    return predict
