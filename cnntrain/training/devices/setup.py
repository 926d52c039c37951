"""Set up what computes: the backend, and the devices that share a batch."""

import os
from typing import Any

import keras
import tensorflow as tf

from cnntrain.spec.contradictions import check_replica_batches
from cnntrain.spec.spec import Spec
from cnntrain.training.devices.cluster import find_cluster
from cnntrain.training.devices.one_device import Devices
from cnntrain.training.devices.parallel import Parallel


def configure_backend(spec: Spec) -> None:
    """Set determinism and threads, which TensorFlow and JAX read once per process."""
    tf.get_logger().setLevel("ERROR")  # it warns of every split whose last batch is smaller
    if keras.backend.backend() == "jax":
        configure_jax(spec)
    if spec.deterministic:
        tf.config.experimental.enable_op_determinism()
    if spec.threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(spec.threads)


def set_up_devices(spec: Spec) -> Devices:
    """Return the devices that train together, once all workers have started.

    On JAX it is always one: there Keras itself shares the batch.

    Raises SpecError if devices are missing or cannot share a batch in equal parts, and WorkerLost
    if a worker does not come.
    """
    strategy = spec.distribution()
    if strategy is None:
        return Devices()
    parallel = Parallel(strategy, find_cluster(spec.distribution))
    check_replica_batches(spec, parallel.replicas)
    return parallel


def configure_jax(spec: Spec) -> None:
    """Leave the GPU to JAX, and make it deterministic there, as it always is on a CPU."""
    tf.config.set_visible_devices([], "GPU")
    if spec.deterministic:
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()


def count_replicas(devices: Devices) -> int:
    """Return how many devices share a batch: those of TensorFlow or, on JAX, of Keras."""
    if keras.backend.backend() != "jax":
        return devices.replicas
    from cnntrain.training.devices.jax_arrays import count_jax_replicas

    return count_jax_replicas()


def describe_device() -> dict[str, Any]:
    """Return the `kind` of device (CPU or GPU), the names of `gpus`, and the CPU's `threads`."""
    if keras.backend.backend() == "jax":
        import jax

        gpus = jax.devices() if jax.default_backend() == "gpu" else []
        kind, names = "GPU" if gpus else "CPU", [gpu.device_kind for gpu in gpus]
        return {"kind": kind, "gpus": names, "threads": count_cores()}
    physical = tf.config.list_physical_devices("GPU")
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in physical]
    return {
        "kind": "GPU" if gpus else "CPU",
        "gpus": [gpu.get("device_name") for gpu in gpus],
        "threads": tf.config.threading.get_intra_op_parallelism_threads() or count_cores(),
    }


def count_cores() -> int:
    """Return how many processors this process may use; by default TensorFlow uses them all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
