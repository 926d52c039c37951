"""What is decided for a device: XLA, determinism, precision, and where compiled steps are kept."""

import json
import os
from dataclasses import replace

import pytest

from cnntrain.errors import SpecError
from cnntrain.training.devices import compilation_cache, setup
from cnntrain.training.devices import device as device_module
from cnntrain.training.devices.backend import check_backend_support
from cnntrain.training.devices.device import Device, decide_for_device
from cnntrain.training.warnings import warn_about_slow_precision

CPU = Device("tensorflow", (), None, 4, True, False)
H100 = replace(CPU, gpus=("NVIDIA H100",), capability=(9, 0))
TURING = replace(CPU, gpus=("Tesla T4",), capability=(7, 5))
MIRRORED = ("distribution=mirrored", "distribution.logical_cpus=2")


@pytest.mark.parametrize(
    ("device", "words", "xla", "determinism"),
    [
        (CPU, (), False, "tensorflow"),
        (CPU, ("xla=true",), True, "xla"),
        (H100, (), True, "xla"),
        (H100, ("xla=false",), False, "tensorflow"),
        (H100, ("deterministic=false",), True, "none"),
        (H100, ("distribution=mirrored",), False, "tensorflow"),
        (replace(CPU, backend="jax"), (), True, "xla"),
        (replace(CPU, backend="jax"), MIRRORED, True, "xla"),
    ],
)
def test_each_device_gets_xla_and_determinism_as_it_wants(spec, device, words, xla, determinism):
    decided = decide_for_device(spec(*words), device)
    assert (decided.xla, decided.determinism) == (xla, determinism)
    assert decided.kind == ("GPU" if device.gpus else "CPU")
    described = json.loads(json.dumps(decided.describe()))
    assert described["reasons"].keys() < described.keys()


@pytest.mark.parametrize(
    ("device", "words", "line"),
    [
        (CPU, (), "device: CPU, 4 threads; XLA off, deterministic"),
        (
            H100,
            (),
            "device: NVIDIA H100; XLA on, deterministic by XLA's own operations; TF32; "
            "bfloat16 would be faster: precision=mixed_bfloat16",
        ),
        (
            replace(H100, gpus=("NVIDIA H100",) * 2, tf32=False),
            ("precision=mixed_bfloat16", "deterministic=false", "distribution=mirrored"),
            "device: 2 x NVIDIA H100; XLA off, not deterministic",
        ),
        (TURING, (), "device: Tesla T4; XLA on, deterministic by XLA's own operations"),
    ],
)
def test_decisions_are_one_line(spec, device, words, line):
    assert decide_for_device(spec(*words), device).line == line


def test_tf32_is_recorded_for_float32_on_newer_gpus_unless_it_is_forbidden(spec, monkeypatch):
    cases = [(H100, (), True), (TURING, (), False), (CPU, (), False)]
    cases += [(replace(H100, tf32=False), (), False), (H100, ("precision=mixed_bfloat16",), False)]
    for device, words, expected in cases:
        assert decide_for_device(spec(*words), device).tf32 is expected
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert not device_module.inspect_device().tf32


def test_this_machine_is_asked_for_its_device(spec, monkeypatch):
    import tensorflow as tf

    details = {"device_name": "NVIDIA H100", "compute_capability": (9, 0)}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind] * 2)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)
    device = device_module.inspect_device()
    assert (device.gpus, device.capability) == (("NVIDIA H100",) * 2, (9, 0))
    details["compute_capability"] = None
    assert decide_for_device(spec()).bfloat16 is None


@pytest.mark.parametrize(
    ("facts", "has_instructions", "warns"),
    [
        ("model name : Zen 5\nflags\t\t: fpu avx512_bf16\n\nflags : none", True, False),
        ("flags : fpu amx_bf16", True, False),
        ("flags : fpu avx512f", False, True),
        ("Features : asimd bf16", None, False),
        (None, None, False),
    ],
)
def test_bfloat16_is_slow_on_cpus_without_instructions_for_it(
    tmp_path, monkeypatch, facts, has_instructions, warns
):
    file = tmp_path / "cpuinfo"
    if facts is not None:
        file.write_text(facts)
    monkeypatch.setattr(compilation_cache, "CPU_FACTS", file)
    assert device_module.has_bfloat16_instructions() is has_instructions
    assert bool(warn_about_slow_precision("mixed_bfloat16", on_gpu=False)) is warns
    assert warn_about_slow_precision("mixed_float16", on_gpu=False)
    assert not warn_about_slow_precision("mixed_float16", on_gpu=True)
    assert not warn_about_slow_precision("float32", on_gpu=False)


@pytest.mark.parametrize("obstacle", [None, "unwritable", "full"])
def test_compiled_code_has_a_folder_for_each_processor_if_it_can_be_written(
    tmp_path, monkeypatch, obstacle
):
    home = tmp_path / "home"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    if obstacle == "unwritable":
        home.touch()
    elif obstacle == "full":
        monkeypatch.setattr(compilation_cache, "MIN_FREE_DISK", float("inf"))
    folders = {compilation_cache.make_cache_folder() for _ in range(2)}
    facts = tmp_path / "cpuinfo"
    facts.write_text("model name : another")
    monkeypatch.setattr(compilation_cache, "CPU_FACTS", facts)
    folders.add(compilation_cache.make_cache_folder())
    assert folders == {None} if obstacle else len(folders) == 2
    assert obstacle or folders == set((home / "cnntrain/compiled").iterdir())


@pytest.mark.parametrize(
    ("device", "words", "is_enabled"),
    [(CPU, (), True), (H100, (), False), (H100, ("xla=false",), True), (CPU, ("xla=true",), False)],
)
def test_tensorflow_is_made_deterministic_only_where_xla_is_off(
    spec, monkeypatch, device, words, is_enabled
):
    enabled = []
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops=false")
    monkeypatch.setattr(device_module, "inspect_device", lambda: device)
    monkeypatch.setattr(
        setup.tf.config.experimental, "enable_op_determinism", lambda: enabled.append(True)
    )
    setup.configure_backend(spec(*words))
    assert bool(enabled) is is_enabled
    assert os.environ["XLA_FLAGS"] == "--xla_gpu_deterministic_ops=false"  # the user's own wins


@pytest.mark.parametrize(
    ("backend", "words", "said"),
    [
        ("jax", ("xla=false",), "compiles everything"),
        ("tensorflow", ("xla=true", *MIRRORED), "one device only"),
    ],
)
def test_what_a_backend_cannot_do_with_xla_is_refused(spec, monkeypatch, backend, words, said):
    if backend == "jax":
        pytest.importorskip("jax")
    monkeypatch.setenv("KERAS_BACKEND", backend)
    with pytest.raises(SpecError, match=said):
        check_backend_support(spec(*words))


def test_determinism_that_the_user_switches_off_is_not_claimed(spec, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops=false")
    assert decide_for_device(spec(), H100).determinism == "none"
    assert "not deterministic" in decide_for_device(spec(), H100).line
