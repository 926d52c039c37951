"""Weights of Keras for networks of Keras: where they are looked for, and how they are loaded."""

import sys

import keras
import numpy as np
import pytest

from cnntrain.errors import SpecError
from cnntrain.models.application import VARIANTS
from cnntrain.models.parts import pretrained

QUICK = ("mobilenet", "mobilenet_v2", "vgg16")  # the others take a second or more to build
EVERY = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in VARIANTS
    if not name.startswith(("efficientnet_b", "convnext")) or name.endswith(("b0", "tiny"))
]
SMALL = ("model=mobilenet", "model.alpha=0.25")
# The name of the official file for SMALL.
OFFICIAL = "mobilenet_2_5_224_tf_no_top.h5"


def theirs(architecture: str, size: int, **arguments) -> keras.Model:
    """Return the network as Keras itself builds it."""
    function = getattr(keras.applications, VARIANTS[architecture].function)
    return function(weights=None, include_top=False, input_shape=(size, size, 3), **arguments)


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def features(network: keras.Model) -> keras.Model:
    """Return the part of the network from the image to the input of the head."""
    return keras.Model(network.inputs, network.get_layer("features").output)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Return a Keras 3 file of random weights for SMALL, and the network that they are of."""
    network = theirs("mobilenet", 32, alpha=0.25, pooling="avg")
    random = np.random.default_rng(1)
    network.set_weights([random.random(w.shape) for w in network.get_weights()])
    path = tmp_path_factory.mktemp("weights") / "own.weights.h5"
    network.save_weights(path)
    return path, network


@pytest.mark.parametrize(
    ("alpha", "settings"),
    [
        (0.25, "model.weights=imagenet weights_dir={}"),
        (0.75, "model.weights=imagenet weights_dir={}"),
        (0.75, "model.weights={}/mobilenet_7_5_224_tf_no_top.weights.h5"),
    ],
)
def test_features_are_those_of_keras_with_the_same_file(spec, weights_dir, alpha, settings):
    overrides = settings.format(weights_dir).split()
    ours = spec("model=mobilenet", f"model.alpha={alpha}", *overrides).model((64, 64, 3), 17)
    (file,) = weights_dir.glob(f"mobilenet_{alpha * 10:.1f}_*".replace(".", "_"))
    peer = keras.applications.MobileNet(
        alpha=alpha, include_top=False, weights=file, input_shape=(64, 64, 3), pooling="avg"
    )
    images = pixels(4, 64, 64, 3)
    expected = peer(keras.applications.mobilenet.preprocess_input(images.astype("float32")))
    assert np.ptp(expected) > 1, "no trivial features"
    np.testing.assert_allclose(features(ours)(images.astype("float32")), expected, atol=1e-4)


def test_weights_of_another_width_are_refused_in_a_line(spec, weights_dir):
    file = weights_dir / "mobilenet_7_5_224_tf_no_top.weights.h5"
    with pytest.raises(SpecError, match="conv1/kernel has the shape") as refused:
        spec(*SMALL, f"model.weights={file}").model((32, 32, 3), 10)
    assert len(refused.value.given) < 300


def test_weights_of_a_file_load_whatever_layers_stand_before(spec, file):
    path, peer = file
    ours = spec(*SMALL, f"model.weights={path}", "model.upsample=2").model((16, 16, 1), 3)
    for mine, its in zip(features(ours).get_weights(), peer.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["convnext_tiny", "inception_v3", "nasnet_mobile"])
def test_weights_of_networks_with_automatic_or_nested_names_load(spec, tmp_path, architecture):
    size = VARIANTS[architecture].smallest
    peer = theirs(architecture, size, pooling="avg")
    # Whole models can still be saved in the format of the published files, weights alone cannot.
    peer.save(tmp_path / "old.h5")
    peer.save_weights(tmp_path / "new.weights.h5")
    for file in ("old.h5", "new.weights.h5"):
        overrides = (f"model.architecture={architecture}", f"model.weights={tmp_path / file}")
        ours = features(spec("model=mobilenet", *overrides).model((size, size, 3), 3))
        for mine, its in zip(ours.get_weights(), peer.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, its)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["h5", "weights.h5"])
def test_efficientnet_scales_its_input_as_its_imagenet_weights_want_it(spec, tmp_path, suffix):
    """Keras corrects the published variances, which are of another formula, only for ImageNet."""
    peer = theirs("efficientnet_b0", 32, pooling="avg")
    norm = next(x for x in peer.layers if isinstance(x, keras.layers.Normalization))
    variance = np.array([0.05, 0.06, 0.07], "float32")
    deviations = np.array([0.229, 0.224, 0.225], "float32")
    norm.set_weights([np.array([0.4, 0.5, 0.6]), variance, np.array(0)])
    path = tmp_path / f"efficientnetb0_notop.{suffix}"
    peer.save(path) if suffix == "h5" else peer.save_weights(path)
    norm.set_weights([np.array([0.4, 0.5, 0.6]), variance * deviations, np.array(0)])
    norm.finalize_state()

    for weights in ("imagenet", path):
        ours = spec("model=efficientnet_b0", f"model.weights={weights}", f"weights_dir={tmp_path}")
        images = pixels(2, 32, 32, 3).astype("float32")
        got = features(ours.model((32, 32, 3), 3))(images)
        np.testing.assert_allclose(got, peer(images), atol=1e-5)


def test_initializer_keeps_pretrained_weights_and_sets_the_head(spec, file):
    path, _ = file
    checked = spec(*SMALL, f"model.weights={path}", "model.head=[8]")
    keras.utils.clear_session()
    model = checked.model((32, 32, 3), 3)
    learnt = features(model).layers[:-1]
    before = {w.path: w.numpy() for layer in model.layers for w in layer.weights}
    checked.initializer(model, 0)
    changed = {
        w.path
        for layer in model.layers
        for w in layer.weights
        if (before[w.path] != w.numpy()).any()
    }
    assert changed == {"dense/kernel", "dense_1/kernel"}
    assert model.pretrained == tuple(layer.name for layer in learnt if layer.weights)


def test_names_and_seeds_are_the_same_with_weights_and_without(spec, file):
    paths = []
    for weights in ("null", file[0]):
        keras.utils.clear_session()
        model = spec(*SMALL, f"model.weights={weights}", "model.head=[8,0.5]").model((32, 32, 3), 3)
        paths.append([w.path for w in model.weights])
    assert paths[0] == paths[1]


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Make empty folders as weights_dir and as Keras' cache, and return both."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "keras" / "models").mkdir(parents=True)
    (tmp_path / "dir").mkdir()
    return tmp_path / "dir", tmp_path / "keras" / "models"


def test_official_file_is_looked_for_in_weights_dir_then_in_the_cache(places):
    folder, cache = places
    modern = OFFICIAL.replace(".h5", ".weights.h5")
    assert pretrained.find_official_file(OFFICIAL, str(folder)) is None
    for file in (cache / modern, cache / OFFICIAL, folder / modern, folder / OFFICIAL):
        file.touch()
        assert pretrained.find_official_file(OFFICIAL, str(folder)) == file
    assert pretrained.find_official_file(OFFICIAL, None) == cache / OFFICIAL


def test_relative_paths_and_the_home_of_the_user_are_understood(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / OFFICIAL).touch()
    assert pretrained.resolve_weights_file(OFFICIAL).samefile(tmp_path / OFFICIAL)
    assert pretrained.resolve_weights_file(f"~/{OFFICIAL}") == tmp_path / OFFICIAL
    assert pretrained.find_official_file(OFFICIAL, "~") == tmp_path / OFFICIAL


def test_missing_file_is_fetched_into_the_cache(spec, places, file, monkeypatch):
    calls = []

    def get_file(fname, origin, cache_dir, cache_subdir):
        calls.append((fname, origin.rpartition("/")[2], cache_dir, cache_subdir))
        return str(file[0])

    monkeypatch.setattr(sys.modules[keras.utils.get_file.__module__], "get_file", get_file)
    monkeypatch.setattr(pretrained.requests, "head", lambda url, timeout: None)
    model = spec(*SMALL, "model.weights=imagenet").model((32, 32, 3), 3)
    assert calls == [(OFFICIAL, OFFICIAL, str(places[1].parent), "models")]
    assert len(model.pretrained) == 54


def test_failed_download_is_reported(spec, places, monkeypatch):
    def get_file(*_, **__):
        raise Exception("URL fetch failure on x: 404 -- Not Found")  # as bare as Keras raises it

    monkeypatch.setattr(sys.modules[keras.utils.get_file.__module__], "get_file", get_file)
    monkeypatch.setattr(pretrained.requests, "head", lambda url, timeout: None)
    with pytest.raises(SpecError, match="404 -- Not Found"):
        spec(*SMALL, "model.weights=imagenet").model((32, 32, 3), 3)


class Asked(Exception):
    """An exception that ends a build when it asks for its file."""


@pytest.mark.parametrize("architecture", EVERY)
def test_every_network_asks_for_its_file(spec, monkeypatch, architecture):
    asked = []

    def lying(name, weights_dir):
        asked.append(name)
        raise Asked

    monkeypatch.setattr(pretrained, "find_official_file", lying)
    size = VARIANTS[architecture].smallest
    options = ("model=vgg16_imagenet", f"model.architecture={architecture}")
    with pytest.raises(Asked):
        spec(*options).model((size, size, 3), 10)
    assert len(asked) == 1
    assert asked[0].endswith(("notop.h5", "no_top.h5"))
    key, name = (text.replace("_", "").replace("v1", "") for text in (architecture, asked[0]))
    assert name.startswith(key)


def test_keras_is_left_as_it_was(spec, file):
    module = sys.modules[keras.utils.get_file.__module__]
    before = module.get_file
    spec(*SMALL, f"model.weights={file[0]}").model((32, 32, 3), 3)
    assert module.get_file is before
