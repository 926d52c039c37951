"""VGG against Table 1 of the paper and against `keras.applications`."""

import keras
import pytest

COUNTS = {
    ("vgg11", (224, 224, 3), 1000, ("model.hidden=4096", "model.batch_norm=false")): (
        132_863_336,
        None,
    ),
    ("vgg11", (224, 224, 3), 17, ("model.hidden=4096", "model.batch_norm=false")): (
        128_835_985,
        None,
    ),
    ("vgg13", (224, 224, 3), 1000, ("model.hidden=4096", "model.batch_norm=false")): (
        133_047_848,
        None,
    ),
    ("vgg16_1x1", (224, 224, 3), 1000, ("model.hidden=4096", "model.batch_norm=false")): (
        133_638_952,
        None,
    ),
    ("vgg16", (224, 224, 3), 1000, ("model.hidden=4096", "model.batch_norm=false")): (
        138_357_544,
        None,
    ),
    ("vgg16", (224, 224, 3), 17, ("model.hidden=4096", "model.batch_norm=false")): (
        134_330_193,
        None,
    ),
    ("vgg19", (224, 224, 3), 1000, ("model.hidden=4096", "model.batch_norm=false")): (
        143_667_240,
        None,
    ),
}


@pytest.mark.parametrize(
    ("option", "peer"), [("vgg16", "VGG16"), pytest.param("vgg19", "VGG19", marks=pytest.mark.slow)]
)
def test_vgg_has_the_layers_of_keras_applications(spec, option, peer):
    paper = ("model.hidden=4096", "model.batch_norm=false")
    ours = spec(f"model={option}", *paper).model((224, 224, 3), 1000)
    theirs = getattr(keras.applications, peer)(weights=None)
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]
