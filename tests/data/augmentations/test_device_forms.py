"""What runs on a device gives the same bytes as on the host, compiled by XLA or not."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from cnntrain.data.augmentations import find_device_form
from cnntrain.data.augmentations.ops.batch_generator import BatchGenerator
from cnntrain.spec import option_files
from cnntrain.spec.signatures import build_component

CLASSES, COUNT, STEPS = 7, 19, 3
SHAPES = [(11, 8, 3), (6, 9, 1)]
ON_DEVICE = {
    "none", "flip_crop", "alternating_flip_crop", "shift_flip", "cutout", "mixup", "cutmix",
    "compose",
}  # fmt: skip
OPTIONS = sorted(file.stem for file in (option_files.CONF / "augmentation").glob("*.yaml"))
CROP = {"name": "flip_crop", "alternate": False, "border": "black"}
ALTERNATING = {"name": "flip_crop", "flip": 0.5, "alternate": True}
ERASING = {"probability": 0.7, "area": [0.1, 0.6], "aspect": [0.3, 3.0], "value": 77}
SETTINGS = [
    {"name": "none"},
    CROP | {"pad": 4, "flip": 0.5},
    CROP | {"pad": 0, "flip": 1},
    CROP | {"pad": 13, "flip": 0},
    CROP | {"pad": 3, "flip": 0.5, "border": "edge"},
    ALTERNATING | {"pad": 2, "border": "reflect"},
    ALTERNATING | {"pad": 25, "border": "reflect"},
    {"name": "shift_flip", "shift": 0.3, "flip": 0.5},
    {"name": "shift_flip", "shift": 1, "flip": 0.5},
    {"name": "shift_flip", "shift": 0, "flip": 0},
    {"name": "cutout", "size": 5, "fill": 128},
    {"name": "cutout", "size": 1, "fill": 255},
    {"name": "random_erasing", "fill": "constant", **ERASING},
    {"name": "mixup", "alpha": 1.0},
    {"name": "mixup", "alpha": 0.2},
    {"name": "cutmix", "alpha": 1.0, "probability": 0.5},
    {
        "name": "compose",
        "ops": [
            CROP | {"pad": 4, "flip": 0.5},
            {"name": "compose", "ops": [ALTERNATING | {"pad": 1, "border": "reflect"}]},
            {"name": "cutout", "size": 3, "fill": 128},
            {"name": "mixup", "alpha": 0.2},
            {"name": "cutmix", "alpha": 1.0, "probability": 0.5},
        ],
    },
]


def build(config):
    return build_component("augmentation", config)


def load(option):
    return build(option_files.load_option(option_files.CONF / "augmentation" / f"{option}.yaml"))


def name(config):
    return " ".join(str(value) for value in config.values()) if "ops" not in config else "compose"


def compile_by(how, function):
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=how == "xla")


def images_of(shape, step):
    return np.random.default_rng(step).integers(0, 256, (COUNT, *shape), np.uint8)


def labels_of(step):
    return np.random.default_rng(step).integers(0, CLASSES, COUNT).astype(np.int32)


@pytest.mark.parametrize("how", ["plain", "xla"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("config", SETTINGS, ids=name)
def test_bytes_and_labels_are_those_of_the_host(config, shape, how):
    augmentation = build(config)
    form = find_device_form(augmentation)
    apply, kinds = compile_by(how, form.apply), set()
    for step in range(STEPS):
        images, labels = images_of(shape, step), labels_of(step)
        half = np.arange(COUNT) % 3 == 0
        hosts, device = (BatchGenerator(np.random.Philox(step), half) for _ in range(2))
        expected, expected_labels = augmentation(images, labels, CLASSES, hosts)
        drawn, mixed = form.draw(images.shape, labels, CLASSES, device)
        tensors = {name: keras.ops.convert_to_tensor(array) for name, array in drawn.items()}
        result = np.asarray(apply(keras.ops.convert_to_tensor(images), tensors))
        assert result.dtype == np.uint8
        assert np.array_equal(result, expected)
        assert mixed.dtype == expected_labels.dtype
        assert np.array_equal(mixed, expected_labels)
        assert hosts.random() == device.random()
        kinds.add(tuple((name, a.shape, a.dtype) for name, a in drawn.items()))
    assert len(kinds) == 1  # so that steps can be stacked
    assert {kind.name for _, _, kind in next(iter(kinds))} <= {"int32", "float32", "uint8", "bool"}


@pytest.mark.parametrize("how", ["plain", "xla"])
@pytest.mark.parametrize("share", [0.0, 1.0, 0.5, 1 / 3, 0.123456789, 1e-9, 0.998])
def test_every_pair_of_levels_is_blended_as_on_the_host(share, how):
    """A compiler that fused the product with the sum would round some of them otherwise."""
    from cnntrain.data.augmentations.mixup import blend_images
    from cnntrain.data.augmentations.ops import device

    levels = np.arange(256, dtype=np.uint8)
    images = np.stack([np.repeat(levels, 256), np.tile(levels, 256)]).reshape(2, 256, 256, 1)
    partners = np.array([1, 0])
    tables = levels * np.float32(1 - share), levels * np.float32(share)
    blended = compile_by(how, device.blend_images)(images, images[partners], *tables)
    assert np.array_equal(np.asarray(blended), blend_images(images, partners, share))


@pytest.mark.parametrize("option", OPTIONS)
def test_option_has_a_form_or_none(option):
    assert (find_device_form(load(option)) is not None) == (option in ON_DEVICE)


def test_one_operation_without_a_form_keeps_the_whole_list_on_the_host():
    ops = [{"name": "none"}, {"name": "noise", "std": 1}]
    assert find_device_form(build({"name": "compose", "ops": ops})) is None


@pytest.mark.slow
def test_bytes_are_the_same_on_jax():
    pytest.importorskip("jax")
    line = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-k", "xla", __file__]
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout
