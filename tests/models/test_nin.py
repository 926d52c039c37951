"""NiN layer by layer, as its authors published it for CIFAR-10."""

import pytest

from cnntrain.errors import SpecError
from cnntrain.training.networks.warm_start import SourceWeights, warm_start_model
from helpers.layers import describe_layers, read_table

# By hand: 75 * 192 + 192 = 14,592; 192 * 160 + 160 = 30,880; 160 * 96 + 96 = 15,456;
# 2,400 * 192 + 192 = 460,992; 192 * 192 + 192 = 37,056, three times; 1,728 * 192 + 192 = 331,968;
# 192 * 10 + 10 = 1,930. Of 100 classes the last is 19,300.
COUNTS = {
    ("nin", (32, 32, 3), 10, ()): (966_986, 966_986),
    ("nin", (32, 32, 3), 100, ()): (984_356, 984_356),
}
# The layers of the authors' Caffe model: its pools round up, and each convolution has a ReLU.
TABLE = """
    conv 5x5 32x32x192
    relu 32x32x192
    conv 1x1 32x32x160
    relu 32x32x160
    conv 1x1 32x32x96
    relu 32x32x96
    max pool 3x3/2 16x16x96
    dropout 0.5 16x16x96
    conv 5x5 16x16x192
    relu 16x16x192
    conv 1x1 16x16x192
    relu 16x16x192
    conv 1x1 16x16x192
    relu 16x16x192
    average pool 3x3/2 8x8x192
    dropout 0.5 8x8x192
    conv 3x3 8x8x192
    relu 8x8x192
    conv 1x1 8x8x192
    relu 8x8x192
    conv 1x1 8x8x10
    relu 8x8x10
    global average pool 10
"""


@pytest.mark.parametrize("last_relu", ["true", "false"])
def test_layers_are_those_of_the_authors(spec, last_relu):
    model = spec("model=nin", f"model.last_relu={last_relu}").model((32, 32, 3), 10)
    table = read_table(TABLE)
    assert describe_layers(model) == (table if last_relu == "true" else table[:-2] + table[-1:])


def test_head_is_the_convolution_that_has_a_map_for_each_class(spec):
    model = spec("model=nin").model((32, 32, 3), 10)
    (phase,) = spec("finetune=head").finetune(model)
    with_weights = {layer.name for layer in model.layers if layer.weights}
    assert phase.layers & with_weights == {"mlpconv3_conv3"}
    spec("initializer.head=zeros").initializer(model, 0)
    zeros = {v.path.partition("/")[0] for v in model.weights if not v.numpy().any()}
    assert {name for name in zeros if model.get_layer(name).kernel.numpy().max() == 0} == {
        "mlpconv3_conv3"
    }


@pytest.mark.parametrize("classes", ["abc", "abd"])
def test_warm_start_leaves_the_head_new_if_the_classes_differ(spec, tmp_path, classes):
    (tmp_path / "model.keras").touch()
    model = spec("model=nin").model((8, 8, 3), 3)
    arrays = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    source = SourceWeights(tmp_path / "model.keras", "a run", arrays, "nin", tuple("abc"), None)
    report = warm_start_model(model, source, tuple(classes))
    assert report["new"] == ([] if classes == "abc" else ["mlpconv3_conv3"])


def test_too_small_images_are_refused(spec):
    spec("model=nin").model((4, 5, 3), 10)
    with pytest.raises(SpecError, match="3x9") as refused:
        spec("model=nin").model((3, 9, 3), 10)
    assert refused.value.hint == "dataset.image_size=[4,4]"
