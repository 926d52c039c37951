"""Set up what computes: the backend, and the devices that share a batch."""

import keras
import tensorflow as tf

from cnntrain.spec.contradictions import check_replica_batches
from cnntrain.spec.spec import Spec
from cnntrain.training.devices.cluster import find_cluster
from cnntrain.training.devices.compilation_cache import add_flags, use_compilation_cache
from cnntrain.training.devices.decisions import decide_for_device
from cnntrain.training.devices.parallel import Parallel


def configure_backend(spec: Spec) -> None:
    """Set what TensorFlow and JAX read once per process: determinism, threads, compiled code.

    XLA's flags must be set before TensorFlow or JAX look for devices.
    """
    tf.get_logger().setLevel("ERROR")  # it warns of every split whose last batch is smaller
    backend = keras.backend.backend()
    if spec.deterministic:
        add_flags("XLA_FLAGS", "--xla_gpu_deterministic_ops=true")
    use_compilation_cache(backend)
    if backend == "jax":
        tf.config.set_visible_devices([], "GPU")  # they are JAX's
    if spec.deterministic and (
        backend == "jax" or decide_for_device(spec).determinism == "tensorflow"
    ):
        tf.config.experimental.enable_op_determinism()
    if spec.threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(spec.threads)


def set_up_devices(spec: Spec) -> Parallel | None:
    """Return what runs several TensorFlow devices together; wait for all workers.

    It is None for one device, and on JAX, where Keras itself shares the batch.

    Raises SpecError if devices are missing or cannot share a batch in equal parts, and WorkerLost
    if a worker does not come.
    """
    strategy = spec.distribution()
    if strategy is None:
        return None
    parallel = Parallel(strategy, find_cluster(spec.distribution))
    check_replica_batches(spec, parallel.replicas)
    return parallel


def count_replicas(parallel: Parallel | None) -> int:
    """Return how many devices share a batch: those of TensorFlow or, on JAX, of Keras."""
    distribution = keras.distribution.distribution()
    on_jax = distribution.num_model_replicas if distribution is not None else 1
    return parallel.replicas if parallel is not None else on_jax
