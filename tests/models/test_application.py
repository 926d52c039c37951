"""Networks of Keras as ours: their layers, preprocessing, pools and heads."""

import json
import sys
import zipfile

import keras
import numpy as np
import pytest

from cnntrain.models.application import VARIANTS, preprocess_pixels

QUICK = ("mobilenet", "mobilenet_v2", "vgg16")  # the others take a second or more to build
EVERY = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in VARIANTS
    if not name.startswith(("efficientnet_b", "convnext")) or name.endswith(("b0", "tiny"))
]

# Totals of Keras, with an average pool and one dense layer of 1000 classes. (VGG's own top has
# three, and VGG-16 138,357,544 parameters with it.)
COUNTS = {
    ("xception", (71, 71, 3), 1000, ()): (22_910_480, None),
    ("mobilenet", (32, 32, 3), 1000, ()): (4_253_864, None),
    ("mobilenet_v2", (32, 32, 3), 1000, ()): (3_538_984, None),
    ("nasnet_mobile", (32, 32, 3), 1000, ()): (5_326_716, None),
    ("nasnet_large", (32, 32, 3), 1000, ()): (88_949_818, None),
    ("efficientnet_b0", (32, 32, 3), 1000, ()): (5_330_571, None),
    ("convnext_tiny", (32, 32, 3), 1000, ()): (28_589_128, None),
    ("vgg16_imagenet", (32, 32, 3), 1000, ("model.weights=null",)): (15_227_688, None),
    ("vgg19_imagenet", (32, 32, 3), 1000, ("model.weights=null",)): (20_537_384, None),
    ("resnet50_imagenet", (32, 32, 3), 1000, ("model.weights=null",)): (25_636_712, None),
    ("resnet101_imagenet", (32, 32, 3), 1000, ("model.weights=null",)): (44_707_176, None),
    ("resnet152_imagenet", (32, 32, 3), 1000, ("model.weights=null",)): (60_419_944, None),
    ("resnet50v2_imagenet", (32, 32, 3), 1000, ("model.weights=null",)): (25_613_800, None),
    ("resnet101v2_imagenet", (32, 32, 3), 1000, ("model.weights=null",)): (44_675_560, None),
    ("resnet152v2_imagenet", (32, 32, 3), 1000, ("model.weights=null",)): (60_380_648, None),
    ("inception_v3_imagenet", (75, 75, 3), 1000, ("model.weights=null",)): (23_851_784, None),
    ("inception_resnet_v2_imagenet", (75, 75, 3), 1000, ("model.weights=null",)): (
        55_873_736,
        None,
    ),
    ("densenet121_imagenet", (32, 32, 3), 1000, ("model.weights=null",)): (8_062_504, None),
    ("densenet169_imagenet", (32, 32, 3), 1000, ("model.weights=null",)): (14_307_880, None),
    ("densenet201_imagenet", (32, 32, 3), 1000, ("model.weights=null",)): (20_242_984, None),
}
SMALLEST = {"xception": 71, "inception_v3_imagenet": 75, "inception_resnet_v2_imagenet": 75}
HEAVY = {
    "xception": "a second or more",
    "nasnet_mobile": "a second or more",
    "nasnet_large": "a second or more",
    "efficientnet_b0": "a second or more",
    "convnext_tiny": "a second or more",
    "vgg19_imagenet": "a second or more",
    "resnet50_imagenet": "a second or more",
    "resnet101_imagenet": "a second or more",
    "resnet152_imagenet": "a second or more",
    "resnet50v2_imagenet": "a second or more",
    "resnet101v2_imagenet": "a second or more",
    "resnet152v2_imagenet": "a second or more",
    "inception_v3_imagenet": "a second or more",
    "inception_resnet_v2_imagenet": "a second or more",
    "densenet121_imagenet": "a second or more",
    "densenet169_imagenet": "a second or more",
    "densenet201_imagenet": "a second or more",
}

SMALL = ("model=mobilenet", "model.alpha=0.25")


def theirs(architecture: str, size: int, **arguments) -> keras.Model:
    """Return the network as Keras itself builds it."""
    function = getattr(keras.applications, VARIANTS[architecture].function)
    return function(weights=None, include_top=False, input_shape=(size, size, 3), **arguments)


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def features(network: keras.Model) -> keras.Model:
    """Return the part of the network from the image to the input of the head."""
    return keras.Model(network.inputs, network.get_layer("features").output)


@pytest.mark.parametrize("architecture", VARIANTS)
def test_preprocessing_is_the_one_of_keras(architecture):
    module = sys.modules[getattr(keras.applications, VARIANTS[architecture].function).__module__]
    images = pixels(2, 8, 8, 3).astype("float32")
    inputs = keras.Input((8, 8, 3))
    ours = keras.Model(inputs, preprocess_pixels(inputs, VARIANTS[architecture].preprocessing))
    assert ours.get_layer("preprocessing")
    expected = module.preprocess_input(images.copy())
    np.testing.assert_allclose(ours(images), expected, atol=2e-5)


@pytest.mark.parametrize("architecture", EVERY)
def test_layers_are_those_of_keras_by_name_and_in_order(spec, architecture):
    size = VARIANTS[architecture].smallest
    overrides = ("model.weights=null", f"model.architecture={architecture}")
    keras.utils.clear_session()  # automatic names begin from the same numbers, as in the trainer
    ours = spec("model=mobilenet", *overrides).model((size, size, 3), 10)
    keras.utils.clear_session()
    peer = theirs(architecture, size, pooling="avg")
    expected = [[w.path for w in layer.weights] for layer in peer.layers if layer.weights]
    got = [[w.path for w in layer.weights] for layer in ours.layers if layer.weights]
    assert got[:-1] == expected, "what the formats of weights go by"
    assert ours.name == architecture
    assert ours.pretrained == ()


def test_grey_images_count_as_colour(spec):
    grey, colour = (spec(*SMALL).model((32, 32, channels), 3) for channels in (1, 3))
    colour.set_weights(grey.get_weights())
    images = pixels(2, 32, 32, 1).astype("float32")
    np.testing.assert_allclose(grey(images), colour(images.repeat(3, axis=-1)), atol=1e-6)


@pytest.mark.parametrize("architecture", EVERY)
def test_networks_for_colour_are_recognised_when_images_are_grey(spec, architecture):
    from cnntrain.training.networks.build import repeats_grey_channel

    size = VARIANTS[architecture].smallest
    words = ("model=mobilenet", "model.weights=null", f"model.architecture={architecture}")
    with keras.StatelessScope(initialize_variables=False):  # shapes without values: quick
        assert repeats_grey_channel(spec(*words).model((size, size, 1), 10))
        assert not repeats_grey_channel(spec(*words).model((size, size, 3), 10))


def test_networks_for_any_or_grey_images_are_not_called_for_colour(spec):
    from cnntrain.training.networks.build import repeats_grey_channel

    for option in ("lenet5", "lenet5_1998"):
        assert not repeats_grey_channel(spec(f"model={option}").model((32, 32, 1), 10))


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_upsampling_enlarges_by_the_interpolation_asked_for(spec, interpolation):
    settings = ("model.upsample=2", f"model.interpolation={interpolation}")
    small = spec(*SMALL, *settings).model((32, 32, 3), 3)
    large = spec(*SMALL).model((64, 64, 3), 3)
    large.set_weights(small.get_weights())
    images = pixels(2, 32, 32, 3).astype("float32")
    enlarged = keras.ops.image.resize(images, (64, 64), interpolation=interpolation)
    np.testing.assert_allclose(small(images), large(enlarged), atol=1e-5)


@pytest.mark.parametrize(("pool", "units"), [("average", 256), ("max", 256), ("flatten", 1024)])
def test_pool_and_head_are_built_in_order(spec, pool, units):
    head = "model.head=[batch_norm,128,0.5,64]"
    model = spec(*SMALL, f"model.pool={pool}", head).model((64, 64, 3), 3)
    batch_norm, wide, dropout, narrow, logits = model.layers[-5:]
    assert batch_norm.input.shape == (None, units)
    assert isinstance(batch_norm, keras.layers.BatchNormalization)
    assert (wide.units, wide.activation.__name__) == (128, "relu")
    assert dropout.rate == 0.5
    assert (narrow.units, logits.units, logits.activation.__name__) == (64, 3, "linear")


@pytest.mark.parametrize(("num_classes", "units"), [(2, 1), (3, 3)])
def test_one_logit_is_for_two_classes(spec, num_classes, units):
    model = spec(*SMALL, "model.one_logit=true").model((32, 32, 3), num_classes)
    assert model.output_shape == (None, units)


@pytest.mark.parametrize(
    "options",
    [
        (*SMALL, "model.head=[batch_norm,8,0.5]", "model.upsample=2"),
        ("model=vgg16_imagenet", "model.weights=null"),
        pytest.param(("model=densenet121_imagenet", "model.weights=null"), marks=pytest.mark.slow),
        pytest.param(("model=efficientnet_b0",), marks=pytest.mark.slow),
        pytest.param(("model=convnext_tiny",), marks=pytest.mark.slow),
    ],
)
def test_saved_network_needs_none_of_our_code(spec, tmp_path, options):
    model = spec(*options).model((32, 32, 1), 3)
    path = tmp_path / "model.keras"
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        assert "cnntrain" not in json.dumps(json.loads(archive.read("config.json")))
    loaded = keras.models.load_model(path)
    images = pixels(2, 32, 32, 1).astype("float32")
    np.testing.assert_allclose(loaded(images), model(images), atol=1e-6)


def test_initializer_sets_every_kernel_of_a_fresh_network(spec):
    checked = spec(*SMALL, "initializer=zeros")
    model = checked.model((32, 32, 3), 3)
    checked.initializer(model, 0)
    assert not any(w.numpy().any() for w in model.trainable_weights if "kernel" in w.name)
