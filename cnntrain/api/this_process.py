"""Train in the process of the program, where that gives the same numbers as one of its own.

A program may have changed what Keras and TensorFlow do: then the run is refused. The run itself
changes the random generators and Keras' precision, and both are as before when it has ended.
"""

import contextlib
import random
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cnntrain.api.network_files import check_loaded_backend
from cnntrain.api.process import explain_interrupt
from cnntrain.errors import SpecError
from cnntrain.planning.auto_settings import resolve_auto_settings
from cnntrain.running.progress import RunView
from cnntrain.running.resume import read_resumed_run
from cnntrain.running.run import (
    check_machine,
    claim_run,
    record_end,
    restore_refused_run,
    train_and_show,
)
from cnntrain.runs.directory import Run as RunDirectory
from cnntrain.signals import Terminated
from cnntrain.spec.build import build_provisional_spec
from cnntrain.spec.compose import compose_config
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import silence_stderr

LOCK = threading.Lock()  # held by the thread that trains
DETERMINISTIC_FLAG = "xla_gpu_deterministic_ops"


def train_in_this_process(overrides: Sequence[str], config_dir: str | None, view: RunView) -> Path:
    """Train a run in this process, and return its directory.

    Raises SpecError for a mistake, and where this process would change the numbers of the run.
    """
    began = time.time()
    with hold_process():
        composed = compose_config(overrides, config_dir)
        provisional = build_provisional_spec(composed.config)
        check_machine(provisional)
        check_process(provisional)
        config, spec, notes = resolve_auto_settings(composed.config, provisional, config_dir)
        with claim_run(composed, config, overrides, notes, view.show_line) as run:
            train_claimed_run(spec, run, view, began)
    return run.folder.absolute()


def resume_in_this_process(folder: Path, overrides: Sequence[str], view: RunView) -> None:
    """Go on with a run in this process; raise SpecError as `train_in_this_process` does."""
    began = time.time()
    with hold_process():
        resumed = read_resumed_run(str(folder), overrides)
        check_process(resumed.spec)
        with restore_refused_run(resumed, view.show_line) as run:
            if run is not None:
                train_claimed_run(resumed.spec, run, view, began)


def train_claimed_run(spec: Spec, run: RunDirectory, view: RunView, began: float) -> None:
    """Train a run whose directory is locked; raise Interrupted after Ctrl-C.

    SIGTERM is handed on to the program once the run has left.
    """
    try:
        with record_end(run):
            train_and_show(spec, run, view, began)
    except KeyboardInterrupt:
        raise explain_interrupt(run.folder.absolute()) from None
    except Terminated:
        signal.raise_signal(signal.SIGTERM)
        raise


@contextlib.contextmanager
def hold_process() -> Iterator[None]:
    """Let one run train in the block; then random generators and precision are as before."""
    if not LOCK.acquire(blocking=False):
        raise SpecError(
            "another thread trains a run in this process",
            "one run at a time, because Keras has one state a process",
            "in_process=False",
        )
    numbers, arrays = random.getstate(), np.random.get_state()
    try:
        check_loaded_backend()
        with silence_stderr():
            import keras
        precision = keras.config.dtype_policy()
        try:
            yield
        finally:
            keras.config.set_dtype_policy(precision)
    finally:
        random.setstate(numbers)
        np.random.set_state(arrays)
        LOCK.release()


def check_process(spec: Spec) -> None:
    """Raise SpecError if this process would train a spec to other numbers than one of its own."""
    reason = next(list_differences(spec), None)
    if reason is not None:
        raise SpecError(
            f"in_process is True, and {reason}",
            "a process in which nothing changes the numbers of a run",
            "in_process=False",
        )


def list_differences(spec: Spec) -> Iterator[str]:
    """Yield what of this process would change a run, as the end of a sentence."""
    import os

    import keras
    import tensorflow as tf

    if spec.distribution.name != "single":
        yield f"distribution is {spec.distribution.name}"
    own = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}
    for name, value in own.items():
        found = getattr(keras.config, name)()
        if found != value:
            yield f"{name} of Keras is {found} here, and not {value}"
    if keras.distribution.distribution() is not None or tf.distribute.has_strategy():
        yield "a distribution strategy is set here"
    if tf.config.functions_run_eagerly():
        yield "tf.config.run_functions_eagerly(True) is set here"
    if tf.config.optimizer.get_jit():
        yield "tf.config.optimizer.set_jit is set here"
    gpus = tf.config.list_physical_devices("GPU")
    if tf.config.get_visible_devices("GPU") != gpus and keras.backend.backend() == "tensorflow":
        yield "some GPUs are hidden here by tf.config.set_visible_devices"
    if gpus and not tf.config.experimental.tensor_float_32_execution_enabled():
        yield "tf.config.experimental.enable_tensor_float_32_execution(False) is set here"
    if gpus and spec.deterministic and DETERMINISTIC_FLAG not in os.environ.get("XLA_FLAGS", ""):
        yield f"XLA may have started without --{DETERMINISTIC_FLAG}=true in XLA_FLAGS"
    here, wanted = tf.config.threading.get_intra_op_parallelism_threads(), spec.threads or 0
    if here != wanted:  # 0: all cores
        try:
            tf.config.threading.set_intra_op_parallelism_threads(wanted)
        except RuntimeError:  # TensorFlow takes another number only before it is used
            yield f"threads is {wanted or 'null'}, and TensorFlow has begun with {here or 'null'}"
