"""The speed network layer by layer, and its first layer, which whitens training images."""

import numpy as np
import pytest

from cnntrain.data.source import Examples
from cnntrain.errors import SpecError
from helpers.layers import describe_layers, read_table

# By hand: the whitening 12 * 24 = 288, which is not trained; 9 * 24 * 64 + 9 * 64 * 64 = 50,688;
# 9 * 64 * 256 + 9 * 256 * 256 = 737,280; 2 * 9 * 256 * 256 = 1,179,648; the offsets of norms
# 2 * 64 + 4 * 256 = 1,152, and twice as many statistics; the head 256 * 10 = 2,560.
COUNTS = {
    ("speed_net", (32, 32, 3), 10, ()): (1_973_920, 1_971_328),
    ("speed_net", (32, 32, 3), 10, ("model.whitening=false",)): (1_973_920, 1_971_616),
}
# The layers of airbench94 (Jordan 2024), in whose notation a group pools before its first norm.
TABLE = """
    conv 2x2 31x31x24
    gelu 31x31x24
    conv 3x3 31x31x64
    max pool 2x2/2 15x15x64
    batch norm 15x15x64
    gelu 15x15x64
    conv 3x3 15x15x64
    batch norm 15x15x64
    gelu 15x15x64
    conv 3x3 15x15x256
    max pool 2x2/2 7x7x256
    batch norm 7x7x256
    gelu 7x7x256
    conv 3x3 7x7x256
    batch norm 7x7x256
    gelu 7x7x256
    conv 3x3 7x7x256
    max pool 2x2/2 3x3x256
    batch norm 3x3x256
    gelu 3x3x256
    conv 3x3 3x3x256
    batch norm 3x3x256
    gelu 3x3x256
    global max pool 256
    dense 10
    rescaling 10
"""


def test_layers_are_those_of_airbench(spec):
    model = spec("model=speed_net").model((32, 32, 3), 10)
    assert describe_layers(model) == read_table(TABLE)


def test_images_that_leave_nothing_for_the_last_group_are_refused(spec):
    model = spec("model=speed_net").model
    model((9, 9, 3), 10)
    with pytest.raises(SpecError) as refused:
        model((9, 8, 3), 10)
    assert refused.value.hint.startswith("dataset.image_size=[9,9]")


@pytest.mark.parametrize("patch", [1, 2, 3])
def test_first_layer_whitens_what_the_training_images_show(spec, patch):
    import keras

    from cnntrain.training.networks.whitening import whiten_first_layer

    random = np.random.default_rng(0)
    smooth = np.cumsum(random.normal(size=(300, 10, 12, 3)), axis=2)  # neighbours are alike
    images = np.clip(128 + 40 * smooth, 0, 255).astype(np.uint8)
    normalisation = keras.layers.Rescaling(1 / 64, -2.0, dtype="float32")
    layer = spec("model=speed_net", f"model.patch={patch}").model((10, 12, 3), 5).layers[1]
    whiten_first_layer(layer, normalisation, Examples(images, np.zeros(300, np.int32)))
    outputs = np.asarray(layer(normalisation(images)))
    half = outputs.shape[-1] // 2
    assert half == 3 * patch**2
    np.testing.assert_array_equal(outputs[..., :half], -outputs[..., half:])
    rows = outputs[..., :half].reshape(-1, half).astype(np.float64)
    moments = rows.T @ rows / len(rows)
    np.testing.assert_allclose(moments, np.eye(half), atol=0.02)


def test_whitening_is_not_trained_and_a_resumed_run_has_the_same(train):
    from cnntrain.runs.checkpoint import load_checkpoint

    words = ("model=speed_net", "model.filters=[8,8]", "optimizer=muon", "dataset.limit=64",
             "batch_size=32", "max_steps=4", "epochs=2")  # fmt: skip
    (first, _), (whole, _) = train(*words[:-2], "max_steps=1", "epochs=2", name="a"), train(*words)
    kernels = [
        next(v for k, v in load_checkpoint(run.state).arrays.items() if "patches/kernel" in k)
        for run in (first, whole)
    ]
    np.testing.assert_array_equal(*kernels)
    assert np.abs(kernels[0]).max() > 1  # no initializer has set it
