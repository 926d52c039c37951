"""What each small network demonstrates: weights saved, pixels seen, activations compared."""

import json
import zipfile

import keras
import numpy as np
import pytest

from cnntrain.errors import SpecError
from helpers.layers import build_paper_network, describe_layers

# By hand, 32x32x3 and 10 classes. Weights and biases of the three convolutions, of 3, 16 and 32
# maps each: 27 * 16 + 16 = 448, 144 * 32 + 32 = 4,640 and 288 * 64 + 64 = 18,496; of the dense
# layer behind three halvings of 32: 4 * 4 * 64 * 10 + 10 = 10,250.
COUNTS = {
    # 448 + 4,640 + 18,496 + 10,250
    ("cnn_relu", (32, 32, 3), 10, ()): (33_834, 33_834),
    ("cnn_tanh", (32, 32, 3), 10, ()): (33_834, 33_834),
    ("cnn_no_pool", (32, 32, 3), 10, ()): (33_834, 33_834),
    # twice the maps, of which half go on: 27 * 32 + 32 = 896, 144 * 64 + 64 = 9,280 and
    # 288 * 128 + 128 = 36,992; and 10,250
    ("cnn_maxout", (32, 32, 3), 10, ()): (57_418, 57_418),
    # three pieces: 1,344 + 144 * 96 + 96 = 13,920 + 288 * 192 + 192 = 55,488 + 10,250
    ("cnn_maxout", (32, 32, 3), 10, ("model.pieces=3",)): (81_002, 81_002),
    # 448; 16 * 9 + 16 * 32 + 32 = 688; 32 * 9 + 32 * 64 + 64 = 2,400; and 10,250
    ("cnn_separable", (32, 32, 3), 10, ()): (13_786, 13_786),
    # the dense layer has a weight for each of 64 averages: 64 * 10 + 10 = 650
    ("cnn_dilated", (32, 32, 3), 10, ()): (24_234, 24_234),
    # a mean, a variance, a scale and an offset for each of 112 maps instead of a bias
    ("cnn_relu", (32, 32, 3), 10, ("model.batch_norm=true",)): (34_170, 33_946),
}
OPTIONS = sorted({option for option, *_ in COUNTS})


@pytest.mark.parametrize(
    ("position", "kinds"),
    [
        ("before", ["conv 3x3", "batch norm", "tanh", "max pool 2x2/2"]),
        ("after", ["conv 3x3", "tanh", "max pool 2x2/2", "batch norm"]),
    ],
)
def test_batch_norm_stands_before_the_activation_or_after_it_and_the_pool(position, kinds):
    knobs = ["model.batch_norm=true", f"model.norm_position={position}"]
    rows = describe_layers(build_paper_network("cnn_tanh", knobs))
    assert [row.rpartition(" ")[0] for row in rows] == [*kinds * 3, "flatten", "dense"]


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def weights(layer: keras.layers.Layer) -> int:
    """Return the number of weights of a layer without its biases."""
    return sum(int(np.prod(w.shape)) for w in layer.weights if w.name != "bias")


def test_separable_convolution_costs_656_weights_instead_of_4608(spec):
    full, separable = (
        spec(f"model={option}").model((32, 32, 3), 10) for option in ("cnn_relu", "cnn_separable")
    )
    of_16_maps = [
        next(layer for layer in model.layers if layer.weights and layer.input.shape[-1] == 16)
        for model in (full, separable)
    ]
    assert [layer.output.shape[-1] for layer in of_16_maps] == [32, 32]
    assert [weights(layer) for layer in of_16_maps] == [4608, 656]


def test_maxout_is_the_largest_of_neighbouring_maps(spec):
    model = spec("model=cnn_maxout", "model.pieces=3").model((16, 16, 3), 10)
    convolution = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    pool = next(layer for layer in model.layers if isinstance(layer, keras.layers.MaxPooling2D))
    batch = images(2, 16, 16, 3)
    before, after = keras.Model(model.input, [convolution.output, pool.input])(batch)
    maps = np.stack([np.asarray(before)[..., piece::3] for piece in range(3)])
    np.testing.assert_array_equal(after, maps.max(axis=0))


def test_relu_tanh_and_stride_networks_have_otherwise_equal_units(spec):
    models = [
        spec(f"model={option}").model((32, 32, 3), 10)
        for option in ("cnn_relu", "cnn_tanh", "cnn_no_pool")
    ]
    shapes = [[weight.shape for weight in model.weights] for model in models]
    assert shapes[0] == shapes[1] == shapes[2]
    assert not any(isinstance(layer, keras.layers.MaxPooling2D) for layer in models[2].layers)
    assert models[2].get_layer(index=-2).output.shape == (None, 4 * 4 * 64)


@pytest.mark.parametrize(("stages", "width"), [(1, 3), (2, 7), (3, 15), (4, 31)])
def test_dilation_doubles_what_a_pixel_sees_and_keeps_the_resolution(spec, stages, width):
    """After layer i, counted from 0, it is 2^(i+2) - 1 pixels a side: section 2 of the paper."""
    model = spec("model=cnn_dilated", f"model.filters={[4] * stages}").model((41, 41, 1), 10)
    maps = model.get_layer(index=-3).output
    assert maps.shape == (None, 41, 41, 4)
    for layer in model.layers:  # positive throughout, so that no ReLU hides a pixel
        layer.set_weights([np.full(weight.shape, 0.1) for weight in layer.get_weights()])
    dots = np.zeros((41 * 41, 41, 41, 1), "float32")  # an image for each pixel, lit alone
    dots.reshape(41 * 41, -1)[np.diag_indices(41 * 41)] = 1
    centre = np.asarray(keras.Model(model.inputs, maps[:, 20, 20, 0]).predict(dots, verbose=0))
    rows, columns = np.nonzero(centre.reshape(41, 41) > centre.min() + 1e-6)
    for seen in (rows, columns):
        assert (seen.min(), seen.max()) == (20 - width // 2, 20 + width // 2)
    assert len(rows) == width**2, "no gaps"


@pytest.mark.parametrize("option", OPTIONS)
def test_saved_network_needs_none_of_our_code(spec, tmp_path, option):
    model = spec(f"model={option}").model((17, 24, 3), 5)
    path = tmp_path / "model.keras"
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        assert "cnntrain" not in json.dumps(json.loads(archive.read("config.json")))
    batch = images(2, 17, 24, 3)
    np.testing.assert_allclose(keras.models.load_model(path)(batch), model(batch), atol=1e-6)


def test_images_too_small_for_pools_are_refused_and_strides_take_any(spec):
    with pytest.raises(SpecError, match="4x9") as refused:
        spec("model=cnn_relu").model((4, 9, 3), 10)
    assert refused.value.hint.startswith("dataset.image_size=[8,8]")
    for option in ("cnn_no_pool", "cnn_dilated"):
        spec(f"model={option}").model((1, 1, 3), 10)
