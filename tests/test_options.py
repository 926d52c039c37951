"""Every option in conf/ composes, is valid and counts: a new file cannot be forgotten."""

import pytest

from cnntrain import catalogue
from cnntrain.components import GROUPS, knobs_of, names, shared_knobs

OPTIONS = sorted(f"{file.parent.name}={file.stem}" for file in catalogue.CONF.glob("*/*.yaml"))
MODELS = sorted(file.stem for file in (catalogue.CONF / "model").glob("*.yaml"))
ELSEWHERE = {"dataset=image_folder": ["dataset.folder=."]}  # options that must be told something

# Input, classes -> (total, trainable) parameters, with each option's own knobs.
COUNTS = {
    ("mlp_300_100", (28, 28, 1), 10): (266_610, 266_610),
    ("mlp_300_100", (28, 28, 1), 2): (265_802, 265_802),
    ("mlp_256_128", (28, 28, 1), 10): (235_146, 235_146),
    ("mlp_512_512", (28, 28, 1), 10): (669_706, 669_706),
    ("mlp_bn", (28, 28, 1), 10): (271_346, 268_978),
    ("cnn_mnist", (28, 28, 1), 10): (220_234, 220_234),
    ("cnn_mnist_valid", (28, 28, 1), 10): (93_322, 93_322),
    ("cnn_cifar", (32, 32, 3), 10): (541_094, 541_094),
    ("cnn_cats_dogs", (150, 150, 3), 2): (3_453_121, 3_453_121),
    ("lenet5", (28, 28, 1), 10): (44_426, 44_426),
    ("lenet5", (32, 32, 1), 10): (61_706, 61_706),
}
# Taken from Keras: total parameters with an average pool and one dense layer of 1000 classes.
APPLICATIONS = {
    "xception": 22_910_480,
    "mobilenet": 4_253_864,
    "mobilenet_v2": 3_538_984,
    "nasnet_mobile": 5_326_716,
    "nasnet_large": 88_949_818,
    "efficientnet_b0": 5_330_571,
    "convnext_tiny": 28_589_128,
    "vgg16_imagenet": 15_227_688,  # 138,357,544 with the three dense layers of its own top
    "vgg19_imagenet": 20_537_384,
    "resnet50_imagenet": 25_636_712,
    "resnet101_imagenet": 44_707_176,
    "resnet152_imagenet": 60_419_944,
    "resnet50v2_imagenet": 25_613_800,
    "inception_v3_imagenet": 23_851_784,
    "inception_resnet_v2_imagenet": 55_873_736,
    "densenet121_imagenet": 8_062_504,
    "densenet169_imagenet": 14_307_880,
    "densenet201_imagenet": 20_242_984,
}
# A second or more to build, each.
GIANTS = set(APPLICATIONS) - {"mobilenet", "mobilenet_v2", "vgg16_imagenet"}
# Images that are not too small, where 32x32 are.
SIZES = {
    "cnn_cats_dogs": 46,
    "xception": 71,
    "inception_v3_imagenet": 75,
    "inception_resnet_v2_imagenet": 75,
}
PAPER_VGG = ("model.hidden=4096", "model.batch_norm=false")
VGG_COUNTS = {
    ("vgg11", 1000): 132_863_336,
    ("vgg11", 17): 128_835_985,
    ("vgg13", 1000): 133_047_848,
    ("vgg16_1x1", 1000): 133_638_952,
    ("vgg16", 1000): 138_357_544,
    ("vgg16", 17): 134_330_193,
    ("vgg19", 1000): 143_667_240,
}
RESNET_COUNTS = {
    (20, "A"): 269_722,
    (20, "B"): 272_474,
    (32, "A"): 464_154,
    (32, "B"): 466_906,
    (44, "A"): 658_586,
    (44, "B"): 661_338,
    (56, "A"): 853_018,
    (56, "B"): 855_770,
    (110, "A"): 1_727_962,
    (110, "B"): 1_730_714,
}


def built(names):
    """Options of models to parametrise with; the giants only where there is time."""
    return [pytest.param(n, marks=pytest.mark.slow) if n in GIANTS else n for n in sorted(names)]


def fresh(spec, option):
    """A spec with random weights, also of an option that asks for learnt ones."""
    overrides = ["model.weights=null"] if option in APPLICATIONS else []
    return spec(f"model={option}", *overrides)


@pytest.mark.parametrize("option", OPTIONS)
def test_option_composes_and_is_valid(spec, option):
    spec(option, *ELSEWHERE.get(option, []))


@pytest.mark.parametrize("option", OPTIONS)
def test_option_says_what_it_is(option):
    group, name = option.split("=")
    assert len(catalogue.catalogue()[group][name]) > 10


@pytest.mark.parametrize("group", GROUPS)
def test_every_component_has_an_option(group, spec):
    used = {
        spec(option, *ELSEWHERE.get(option, [])).__dict__[group].name
        for option in OPTIONS
        if option.startswith(f"{group}=")
    }
    assert used == set(names(group))


@pytest.mark.parametrize("group", GROUPS)
def test_no_knob_of_a_component_hides_one_that_its_group_has(group):
    for name in names(group):
        assert not set(knobs_of(group, name)) & set(shared_knobs(group))


def test_every_model_is_counted():
    counted = {name for name, *_ in COUNTS} | {name for name, _ in VGG_COUNTS} | set(APPLICATIONS)
    assert counted | {f"resnet{depth}_v1" for depth, _ in RESNET_COUNTS} == set(MODELS)


def counts(model):
    from cnntrain.network import parameters

    return parameters(model)["total"], parameters(model)["trainable"]


@pytest.mark.parametrize(("option", "image_shape", "num_classes"), COUNTS)
def test_parameters_are_exact(spec, option, image_shape, num_classes):
    model = spec(f"model={option}").model(image_shape, num_classes)
    assert counts(model) == COUNTS[option, image_shape, num_classes]


@pytest.mark.parametrize(("option", "num_classes"), VGG_COUNTS)
def test_vgg_has_the_parameters_of_the_paper(spec, option, num_classes):
    model = spec(f"model={option}", *PAPER_VGG).model((224, 224, 3), num_classes)
    total = VGG_COUNTS[option, num_classes]
    assert counts(model) == (total, total)


@pytest.mark.parametrize(("depth", "shortcut"), RESNET_COUNTS)
def test_cifar_resnet_has_the_parameters_of_the_paper(spec, depth, shortcut):
    model = spec(f"model=resnet{depth}_v1", f"model.shortcut={shortcut}").model((32, 32, 3), 10)
    assert counts(model)[1] == RESNET_COUNTS[depth, shortcut]


@pytest.mark.parametrize("option", built(APPLICATIONS))
def test_network_of_keras_has_the_parameters_of_keras(spec, option):
    size = SIZES.get(option, 32)
    model = fresh(spec, option).model((size, size, 3), 1000)
    assert counts(model)[0] == APPLICATIONS[option]


@pytest.mark.parametrize(("option", "peer"), [("vgg16", "VGG16"), ("vgg19", "VGG19")])
def test_vgg_has_the_layers_of_keras_applications(spec, option, peer):
    import keras

    ours = spec(f"model={option}", *PAPER_VGG).model((224, 224, 3), 1000)
    theirs = getattr(keras.applications, peer)(weights=None)
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]


@pytest.mark.parametrize("option", built(MODELS))
def test_model_maps_images_to_float32_logits(spec, option):
    import numpy as np

    size = SIZES.get(option, 32)
    model = fresh(spec, option).model((size, size, 3), 7)
    logits = model(np.zeros((2, size, size, 3), "float32"))
    assert logits.shape == (2, 7)
    assert logits.dtype == "float32"


@pytest.mark.parametrize("option", built(MODELS))
def test_default_data_set_fits_every_model(spec, option):
    size = SIZES.get(option, 32)
    fresh(spec, option).model((size, size, 1), 10)


def test_learnt_weights_are_what_an_option_says_that_it_has():
    files = {option: catalogue.CONF / "model" / f"{option}.yaml" for option in MODELS}
    asking = {option for option, file in files.items() if catalogue.load(file).get("weights")}
    assert asking == {option for option in MODELS if option.endswith("_imagenet")}
