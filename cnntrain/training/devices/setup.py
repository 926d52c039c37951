"""Set up what computes: the backend, the devices that share a batch, and where that is made."""

import math
import os

import keras
import tensorflow as tf

from cnntrain.data.pipeline import explain_host_only
from cnntrain.data.source import Examples
from cnntrain.errors import SpecError
from cnntrain.spec.contradictions import check_replica_batches
from cnntrain.spec.spec import Spec
from cnntrain.terminal.units import format_size
from cnntrain.training.devices.cluster import find_cluster
from cnntrain.training.devices.compilation_cache import keep_compiled_code
from cnntrain.training.devices.device import decide_for_device
from cnntrain.training.devices.one_device import Devices
from cnntrain.training.devices.parallel import Parallel

MAX_RESIDENT_BYTES = 2**31  # of images that live on a GPU unless `pipeline` says otherwise


def configure_backend(spec: Spec) -> None:
    """Set what TensorFlow and JAX read once per process: determinism, threads, compiled code.

    XLA's flags must be set before TensorFlow or JAX look for devices.
    """
    tf.get_logger().setLevel("ERROR")  # it warns of every split whose last batch is smaller
    backend = keras.backend.backend()
    if spec.deterministic:
        add_xla_flag("--xla_gpu_deterministic_ops=true")
    if backend == "jax":
        keep_compiled_code()
        tf.config.set_visible_devices([], "GPU")  # they are JAX's
    if spec.deterministic and (
        backend == "jax" or decide_for_device(spec).determinism == "tensorflow"
    ):
        tf.config.experimental.enable_op_determinism()
    if spec.threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(spec.threads)


def add_xla_flag(flag: str) -> None:
    """Add a flag to XLA's; one that the user has set already stays as it is."""
    present = os.environ.get("XLA_FLAGS", "")
    if flag.partition("=")[0] not in present:
        os.environ["XLA_FLAGS"] = f"{present} {flag}".strip()


def set_up_devices(spec: Spec) -> Devices:
    """Return the devices that train together, once all workers have started.

    On JAX they are one, among whose parts Keras shares each batch. Raises SpecError if devices are
    missing or cannot share a batch in equal parts, and WorkerLost if a worker does not come.
    """
    strategy = spec.distribution()
    if strategy is None:
        devices = set_up_one_device(spec)
        check_replica_batches(spec, devices.replicas)
        return devices
    parallel = Parallel(strategy, find_cluster(spec.distribution))
    check_replica_batches(spec, parallel.replicas)
    return parallel


def set_up_one_device(spec: Spec) -> Devices:
    """Return the device of this process, with what is decided for it."""
    decisions, replicas = decide_for_device(spec), 1
    if keras.backend.backend() == "jax":
        from cnntrain.training.devices.jax_arrays import count_jax_replicas

        replicas = count_jax_replicas()
    return Devices(replicas, decisions.kind == "GPU", decisions.xla)


def choose_pipeline(spec: Spec, train: Examples, devices: Devices) -> tuple[str, str]:
    """Return where batches are made, `host` or `device`, and why.

    Raises SpecError if `pipeline` wants the device and it is impossible.
    """
    obstacle = explain_host_only(train, spec.augmentation)
    if devices.replicas > 1 or spec.distribution.name != "single":
        obstacle = "several devices share each batch"
    if spec.pipeline == "device" and obstacle is not None:
        raise SpecError(f"pipeline is device and {obstacle}", ("auto", "host"), "pipeline=auto")
    if spec.pipeline != "auto":
        return spec.pipeline, "as asked for"
    if obstacle is not None:
        return "host", obstacle
    if not devices.is_gpu:
        return "host", "on a CPU that is faster"
    if math.prod(train.store.shape) > MAX_RESIDENT_BYTES:
        return "host", f"the images take more than {format_size(MAX_RESIDENT_BYTES)}"
    return "device", "the images fit on the GPU"
