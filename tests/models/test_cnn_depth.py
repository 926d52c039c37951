"""cnn_depth has the depth asked for, can be saved and loaded, and its switches work."""

import keras
import numpy as np
import pytest

from cnntrain.errors import SpecError
from cnntrain.models.parts import deep
from cnntrain.training.networks.build import count_parameters, iterate_leaf_layers
from helpers.layers import describe_layers, read_table

# By hand, 32x32x3, 16 filters and 10 classes: 3 * 9 * 16 = 432 weights of the first convolution,
# 16 * 9 * 16 = 2,304 of each other; 16 biases each, or 4 * 16 numbers of batch normalisation, half
# of them trainable, before each but the first, and before the head; its 16 * 10 + 10 = 170.
COUNTS = {
    # 432 + 19 * 2,304 + 170 = 44,378; and 20 * 64, or 20 * 32
    ("cnn_depth", (32, 32, 3), 10, ()): (45_658, 45_018),
    ("cnn_depth", (32, 32, 3), 10, ("model.residual=false",)): (45_658, 45_018),
    # 44,378 and 20 * 16
    ("cnn_depth", (32, 32, 3), 10, ("model.batch_norm=false",)): (44_698, 44_698),
    # the convolutions with 25 weights a pair of maps: 1,200 + 19 * 6,400 = 122,800; 1,280 or 640;
    # and three dense layers: 16 * 16 + 16 = 272 twice, and 170
    (
        "cnn_depth",
        (32, 32, 3),
        10,
        ("model.kernel_size=5", "model.dense=[16,16]"),
    ): (124_794, 124_154),
    # 432 + 170 + 64
    ("cnn_depth", (32, 32, 3), 10, ("model.depth=1",)): (666, 634),
    # 432 + 101 * 2,304 + 170 = 233,306; and 102 * 64, or 102 * 32: two parts
    ("cnn_depth", (32, 32, 3), 10, ("model.depth=102",)): (239_834, 236_570),
}
SWITCHES = [(residual, norm) for residual in ("true", "false") for norm in ("true", "false")]


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def convolutions(model: keras.Model) -> list[keras.layers.Conv2D]:
    return [layer for layer in iterate_leaf_layers(model) if isinstance(layer, keras.layers.Conv2D)]


@pytest.mark.parametrize("depth", [1, 2, 4, 5, 8])
def test_depth_counts_the_convolutions_also_where_parts_meet(spec, depth, monkeypatch):
    monkeypatch.setattr(deep, "LONGEST", 3)
    model = spec("model=cnn_depth", f"model.depth={depth}").model((8, 8, 3), 10)
    assert len(convolutions(model)) == depth
    assert len({weight.path for weight in model.weights}) == len(model.weights)


def test_tail_of_dense_layers_and_the_kernel_size_are_those_asked_for(spec):
    plain = ("model.depth=2", "model.kernel_size=5", "model.residual=false")
    switches = (*plain, "model.batch_norm=false", "model.dense=[16,16]")
    model = spec("model=cnn_depth", *switches).model((32, 32, 3), 10)
    assert describe_layers(model) == read_table("""
        conv 5x5 32x32x16
        max pool 4x4/4 8x8x16
        relu 8x8x16
        conv 5x5 8x8x16
        relu 8x8x16
        global average pool 16
        dense 16
        relu 16
        dense 16
        relu 16
        dense 10
    """)


def test_network_cut_into_parts_computes_the_same(spec, monkeypatch):
    settings = ("model=cnn_depth", "model.depth=7")
    whole = spec(*settings).model((8, 8, 3), 10)
    monkeypatch.setattr(deep, "LONGEST", 2)
    parts = spec(*settings).model((8, 8, 3), 10)
    assert sum(isinstance(layer, keras.Model) for layer in parts.layers) == 3
    in_order = [w for layer in iterate_leaf_layers(parts) for w in layer.get_weights()]
    for layer in iterate_leaf_layers(whole):
        layer.set_weights([in_order.pop(0) for _ in layer.weights])
    np.testing.assert_allclose(parts(images(2, 8, 8, 3)), whole(images(2, 8, 8, 3)), atol=1e-6)


def test_shortcuts_bypass_convolutions_of_zeros(spec):
    for residual, moved in (("true", True), ("false", False)):
        switches = ("model.depth=4", f"model.residual={residual}")
        model = spec("model=cnn_depth", *switches).model((8, 8, 3), 10)
        for layer in convolutions(model)[1:]:
            layer.set_weights([np.zeros(weight.shape) for weight in layer.weights])
        first, second = np.asarray(model(images(2, 8, 8, 3)))
        assert bool(np.any(np.abs(first - second) > 1e-6)) is moved


@pytest.mark.parametrize(("residual", "batch_norm"), SWITCHES)
def test_saved_network_needs_none_of_our_code(spec, tmp_path, residual, batch_norm):
    switches = (f"model.residual={residual}", f"model.batch_norm={batch_norm}")
    model = spec("model=cnn_depth", "model.depth=5", *switches).model((9, 8, 3), 5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(images(2, 9, 8, 3)), model(images(2, 9, 8, 3)), atol=1e-6)


@pytest.mark.slow
def test_a_thousand_layers_are_built_saved_and_loaded(spec, tmp_path):
    """On two cores the three take 14, 6 and 35 seconds."""
    model = spec("model=cnn_depth", "model.depth=1000").model((32, 32, 3), 10)
    # 432 + 999 * 2,304 + 170 = 2,302,298; and 1,000 * 64, or 1,000 * 32
    assert count_parameters(model) == {"total": 2_366_298, "trainable": 2_334_298}
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for mine, its in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    # Use the statistics of the batch: with the initial ones a thousand sums would overflow.
    assert np.all(np.isfinite(loaded(images(2, 32, 32, 3), training=True)))


def test_images_smaller_than_the_pool_are_refused(spec):
    with pytest.raises(SpecError, match=r"model\.pool is 4"):
        spec("model=cnn_depth").model((3, 9, 3), 10)
