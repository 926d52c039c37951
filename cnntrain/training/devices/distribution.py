"""Which devices train together: each computes its part of a batch, and the parts make one step.

A component returns TensorFlow's strategy for its devices, or None for one device.
"""

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence

import keras
import tensorflow as tf

from cnntrain.errors import SpecError
from cnntrain.spec.knobs import Count, Natural, Positive, Workers
from cnntrain.training.devices.cluster import build_cluster


def single() -> None:
    """Return no strategy: one device trains."""


def mirrored(
    *, devices: list[Natural] | None, logical_cpus: Workers | None
) -> tf.distribute.Strategy | None:
    """Return a strategy for the GPUs of this machine, or for the CPU as `logical_cpus` devices.

    On JAX it is None, because Keras itself splits the batches. Raises SpecError for GPUs that are
    not there.
    """
    if keras.backend.backend() == "jax":
        _share_batches_on_jax(devices, logical_cpus)
        return None
    if logical_cpus is not None:
        cpu = tf.config.list_physical_devices("CPU")[0]
        if len(tf.config.get_logical_device_configuration(cpu) or [cpu]) != logical_cpus:
            device = tf.config.LogicalDeviceConfiguration()
            tf.config.set_logical_device_configuration(cpu, [device] * logical_cpus)
        return tf.distribute.MirroredStrategy([f"CPU:{n}" for n in range(logical_cpus)])
    gpus = _select_gpus(devices, len(tf.config.list_physical_devices("GPU")))
    return tf.distribute.MirroredStrategy([f"GPU:{n}" for n in gpus])


def multi_worker(
    *, workers: list[str] | None, index: Natural | None, port: Count, timeout: Positive
) -> tf.distribute.Strategy:
    """Return a strategy for the devices of all workers, once all of them have started.

    Raises WorkerLost if one has not started after `timeout` seconds, and SpecError if the workers
    are not known or the port is taken.
    """
    cluster = build_cluster(workers, index, port, os.environ)
    cluster.wait_for_workers(timeout)
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.workers)}),
        task_type="worker",
        task_id=cluster.index,
        rpc_layer="grpc",
    )
    with _use_default_signal_handlers():
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)


def _select_gpus(devices: Sequence[int] | None, count: int) -> Sequence[int]:
    """Return the numbers of the GPUs to use, of `count` GPUs; `devices` None stands for all."""
    numbers = range(count) if devices is None else devices
    if not count:
        raise SpecError(
            "distribution is mirrored and no GPU is seen", "GPUs", "distribution=single"
        )
    if not set(numbers) <= set(range(count)):
        raise SpecError(
            f"distribution.devices is {list(numbers)} and there are {count} GPUs",
            f"numbers from 0 to {count - 1}",
        )
    return numbers


def _share_batches_on_jax(devices: Sequence[int] | None, logical_cpus: int | None) -> None:
    """Let Keras put a replica of all variables, and a part of each batch, on every device."""
    import jax

    if logical_cpus is not None:
        jax.config.update("jax_num_cpu_devices", logical_cpus)
        chosen = jax.devices("cpu")
    else:
        gpus = jax.devices("gpu") if jax.default_backend() == "gpu" else []
        chosen = [gpus[n] for n in _select_gpus(devices, len(gpus))]
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=chosen))


@contextlib.contextmanager
def _use_default_signal_handlers() -> Iterator[None]:
    """Let signals end the process within the block.

    There TensorFlow waits for the other workers, and Python's own handlers would not be called.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
