"""A process that would change the numbers of a run is refused."""

import signal
import sys

import pytest

from cnntrain.api import this_process
from cnntrain.api.this_process import check_process, hold_process, train_claimed_run
from cnntrain.errors import SpecError
from cnntrain.runs.directory import Run
from cnntrain.signals import Terminated


def test_plain_process_is_no_different(spec):
    check_process(spec())


@pytest.mark.parametrize(
    ("name", "value", "usual"),
    [("floatx", "float64", "float32"), ("epsilon", 1e-3, 1e-7),
     ("image_data_format", "channels_first", "channels_last")],
)  # fmt: skip
def test_settings_of_keras_are_refused(spec, name, value, usual):
    import keras

    put = getattr(keras.config, f"set_{name}")
    try:
        put(value)
        with pytest.raises(SpecError, match=f"{name} of Keras is {value} here"):
            check_process(spec())
    finally:
        put(usual)


def test_eager_functions_are_refused(spec):
    import tensorflow as tf

    try:
        tf.config.run_functions_eagerly(True)
        with pytest.raises(SpecError, match="run_functions_eagerly"):
            check_process(spec())
    finally:
        tf.config.run_functions_eagerly(False)


def test_strategy_of_the_program_is_refused(spec):
    import tensorflow as tf

    with (
        tf.distribute.OneDeviceStrategy("/cpu:0").scope(),
        pytest.raises(SpecError, match="a distribution strategy is set"),
    ):
        check_process(spec())


def test_threads_are_refused_once_tensorflow_is_at_work(spec):
    import tensorflow as tf

    tf.constant(1.0)
    with pytest.raises(SpecError, match="threads is 1, and TensorFlow has begun with null"):
        check_process(spec("threads=1"))


def test_threads_that_the_program_has_set_are_refused(spec, monkeypatch):
    from tensorflow.python.eager.context import context

    context().ensure_initialized()
    monkeypatch.setattr(context(), "_intra_op_parallelism_threads", 1)
    check_process(spec("threads=1"))
    with pytest.raises(SpecError, match="threads is null, and TensorFlow has begun with 1"):
        check_process(spec())


def test_several_devices_are_refused(spec):
    with pytest.raises(SpecError, match="distribution is mirrored"):
        check_process(spec("distribution=mirrored"))


def test_gpu_whose_flags_may_be_too_late_is_refused(spec, monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"])
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["GPU:0"])
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    with pytest.raises(SpecError, match="XLA may have started without"):
        check_process(spec())
    check_process(spec("deterministic=false"))
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops=true")
    check_process(spec())
    monkeypatch.setattr(tf.config.experimental, "tensor_float_32_execution_enabled", bool)
    with pytest.raises(SpecError, match=r"enable_tensor_float_32_execution\(False\) is set"):
        check_process(spec())


def test_other_backend_is_refused(monkeypatch):
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(SpecError, match="Keras is loaded with KERAS_BACKEND=torch"), hold_process():
        pass


def test_one_run_at_a_time():
    with hold_process(), pytest.raises(SpecError, match="another thread trains"), hold_process():
        pass
    assert not this_process.LOCK.locked()


def test_sigterm_is_handed_on_once_the_run_is_recorded(left_behind, monkeypatch):
    def leave(*arguments):
        raise Terminated

    monkeypatch.setattr(this_process, "train_and_show", leave)
    run = Run(left_behind("a", status="running"))
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    try:
        with pytest.raises(SystemExit, match="7"):
            train_claimed_run(None, run, None, 0.0)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert run.read_run_json()["status"] == "interrupted"
