"""Warm start: weights from every format of Keras, matched by name and shape, and reported."""

import contextlib
import shutil
import zipfile
from dataclasses import replace

import h5py
import keras
import numpy as np
import pytest

from cnntrain.errors import SpecError
from cnntrain.runs.directory import Run
from cnntrain.runs.strangers import find_trained_weights
from cnntrain.training.networks.warm_start import read_source_weights, warm_start_model
from helpers.run_files import SHORT, read_rows

DIGITS = tuple("0123456789")


def small(name="small", units=3, seed=0):
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Dropout(0.5, name="drop")(x)
    x = keras.layers.Flatten()(x)
    network = keras.Model(inputs, keras.layers.Dense(units, name="head")(x), name=name)
    for variable in network.get_layer("norm").variables:
        variable.assign(np.random.default_rng(seed).random(4))
    return network


def nested(network):
    inputs = keras.Input((8, 8, 1))
    return keras.Model(inputs, network(inputs))


def same(ours, theirs, layers):
    pairs = [
        (a, b)
        for name in layers
        for a, b in zip(
            ours.get_layer(name).get_weights(), theirs.get_layer(name).get_weights(), strict=True
        )
    ]
    return all(np.array_equal(a, b) for a, b in pairs if a.dtype.kind == "f")


@pytest.mark.parametrize("wrap", [lambda network: network, nested], ids=["flat", "nested"])
@pytest.mark.parametrize("file", ["x.keras", "x.h5", "x.weights.h5"])
def test_every_format_of_keras_is_read_by_the_names_of_layers(tmp_path, file, wrap):
    theirs = small(seed=1)
    whole, path = wrap(theirs), tmp_path / file
    (whole.save_weights if file.endswith("weights.h5") else whole.save)(path)
    ours = small()
    report = warm_start_model(ours, read_source_weights(str(path)), ("a", "b", "c"))
    assert report["loaded"] == ["conv", "norm", "head"]
    assert report["new"] == report["left"] == []
    assert same(ours, theirs, ["conv", "norm", "head"])


def test_legacy_file_of_weights_is_read(archives):
    path = archives.parent / "weights" / "mobilenet_2_5_224_tf_no_top.h5"
    if not path.exists():
        pytest.skip(f"no {path}")
    found = read_source_weights(str(path)).arrays
    assert found["conv1"][0].shape == (3, 3, 3, 8)
    assert len(found["conv1_bn"]) == 4


def test_layers_that_do_not_fit_stay_new_and_are_reported(tmp_path):
    small(units=5, seed=1).save(tmp_path / "x.keras")
    ours = small()
    before = ours.get_layer("head").get_weights()
    report = warm_start_model(ours, read_source_weights(str(tmp_path / "x.keras")), ("a", "b", "c"))
    assert (report["loaded"], report["new"], report["left"]) == (
        ["conv", "norm"],
        ["head"],
        ["head"],
    )
    assert np.array_equal(ours.get_layer("head").get_weights()[0], before[0])
    assert len(report["sha256"]) == 64


def test_source_without_a_layer_that_fits_is_refused(tmp_path):
    small().save(tmp_path / "x.keras")
    inputs = keras.Input((4,))
    other = keras.Model(inputs, keras.layers.Dense(2, name="other")(inputs), name="other")
    with pytest.raises(SpecError, match="no layer of other matches"):
        warm_start_model(other, read_source_weights(str(tmp_path / "x.keras")), ("a", "b"))


@pytest.mark.parametrize(
    ("given", "content"),
    [
        ("nowhere", None),
        ("nowhere.keras", None),
        ("x.txt", b"x"),
        ("x.keras", b"x"),
        ("x.h5", b"x"),
    ],
)
def test_source_without_weights_is_refused(tmp_path, given, content):
    path = tmp_path / given
    if content:
        path.write_bytes(content)
    with pytest.raises(SpecError):
        read_source_weights(str(path))


def test_folder_without_weights_is_no_run(tmp_path):
    with pytest.raises(SpecError, match="no run with weights"):
        find_trained_weights(str(tmp_path))


@pytest.fixture(scope="module")
def base(train_in, tmp_path_factory):
    """The run whose weights others begin with."""
    return train_in(tmp_path_factory.mktemp("base"))(*SHORT, "normalisation=rescale")[0]


def normalisation_scale(run):
    return keras.models.load_model(run.final).get_layer("normalisation").scale


def test_run_goes_on_where_another_ended_with_its_normalisation(train, base):
    run, report = train(*SHORT, f"init_from={base.folder}", "seed=1")
    assert report["init"]["new"] == []
    assert report["init"]["from"] == str(base.folder)
    assert read_rows(run)[0]["train.loss"] < read_rows(base)[0]["train.loss"]
    assert normalisation_scale(run) == normalisation_scale(base)


def test_head_of_other_classes_is_new_though_its_shape_fits(tmp_path, train, base):
    """So is a normalisation that is asked for."""
    renamed = Run(shutil.copytree(base.folder, tmp_path / "renamed"))
    renamed.update_run_json(class_names=[*"abcdefghij"])
    words = (f"init_from={renamed.folder}", "normalisation=standardise")
    run, report = train(*SHORT, *words)
    assert report["init"]["new"] == ["dense_2"]
    assert normalisation_scale(run) != normalisation_scale(base)


def test_digits_to_odd_and_even_train_only_the_new_head(train, base):
    words = ("dataset.label_map=odd_even", "finetune=head", f"init_from={base.folder}")
    _, report = train(*SHORT, *words)
    assert report["parameters"]["trainable"] == 84 * 2 + 2
    assert report["init"]["loaded"] == ["conv2d", "conv2d_1", "dense", "dense_1"]
    assert report["init"]["new"] == ["dense_2"]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_deeper_vgg_takes_from_vgg11_what_the_paper_says_and_its_norms(spec, tmp_path, batch_norm):
    words = ("model.hidden=16", f"model.batch_norm={batch_norm}".lower())
    theirs = spec("model=vgg11", *words).model((32, 32, 3), 10)
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(layer.moving_mean + 3)
    theirs.save(tmp_path / "vgg11.keras")
    ours = spec("model=vgg16", *words).model((32, 32, 3), 10)
    report = warm_start_model(ours, read_source_weights(str(tmp_path / "vgg11.keras")), DIGITS)
    convs = ["block1_conv1", "block2_conv1", "block3_conv1", "block3_conv2"]
    body = [name for conv in convs for name in (conv, f"{conv}_bn")] if batch_norm else convs
    assert report["loaded"] == [*body, "fc1", "fc2", "predictions"]
    assert same(ours, theirs, report["loaded"])
    again = spec("model=vgg11", *words).model((32, 32, 3), 10)
    assert (
        warm_start_model(again, read_source_weights(str(tmp_path / "vgg11.keras")), DIGITS)["new"]
        == []
    )


@pytest.mark.slow
@pytest.mark.parametrize(("option", "peer"), [("vgg16", "VGG16"), ("vgg19", "VGG19")])
def test_vgg_with_the_weights_of_keras_gives_its_logits(spec, tmp_path, option, peer):
    keras.utils.clear_session()
    theirs = getattr(keras.applications, peer)(weights=None, classifier_activation=None)
    random = np.random.default_rng(0)
    for variable in theirs.weights:
        if "bias" in variable.path:
            variable.assign(random.normal(0, 0.1, variable.shape))
    theirs.save(tmp_path / "theirs.h5")
    ours = spec(f"model={option}", "model.hidden=4096", "model.batch_norm=false").model(
        (224, 224, 3), 1000
    )
    assert warm_start_model(ours, read_source_weights(str(tmp_path / "theirs.h5")), ())["new"] == []
    images = random.normal(size=(2, 224, 224, 3)).astype("float32")
    logits = theirs(images)
    assert np.ptp(logits) > 0.01
    np.testing.assert_allclose(ours(images), logits, atol=1e-4)


@pytest.mark.slow
def test_mean_image_of_another_size_is_refused(train):
    colour = "dataset.channels=3"
    base, _ = train(*SHORT, "normalisation=pixel_mean", colour, name="base")
    words = (f"init_from={base.folder}", "dataset.image_size=[48,48]")
    with pytest.raises(SpecError, match="subtracts a mean of shape") as refusal:
        train(*SHORT, *words, colour, name="large")
    assert refusal.value.hint == "normalisation=standardise"
    with pytest.raises(SpecError, match="subtracts a mean of shape") as refusal:
        train(*SHORT, words[0], name="grey")
    assert refusal.value.hint == colour


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_damaged_file_is_refused_or_read(tmp_path, suffix):
    random = np.random.default_rng(0)
    path = tmp_path / f"x{suffix}"
    (small().save if suffix == ".keras" else small().save_weights)(path)
    content = path.read_bytes()
    for _ in range(60):
        damaged = bytearray(content)
        for place in random.integers(0, len(content), 8):
            damaged[place] ^= 255
        path.write_bytes(damaged)
        with contextlib.suppress(SpecError):
            read_source_weights(str(path))


def test_head_of_a_file_that_does_not_say_its_classes_is_named(tmp_path):
    network = small()
    network.save(tmp_path / "bare.keras")
    bare = read_source_weights(tmp_path / "bare.keras")
    assert warm_start_model(small(), bare, ("a", "b", "c"))["unsure"] == ["head"]
    known = replace(bare, class_names=("a", "b", "c"))
    assert warm_start_model(small(), known, ("a", "b", "c"))["unsure"] == []
    assert warm_start_model(small(), known, ("a", "b", "d"))["new"] == ["head"]


@pytest.mark.parametrize("kind", ["external link", "soft link", "external data", "virtual", "huge"])
def test_arrays_that_lie_in_other_files_or_nowhere_are_refused(tmp_path, kind):
    small().save_weights(tmp_path / "other.weights.h5")
    (tmp_path / "raw").write_bytes(bytes(4096))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("layers/hidden/vars")
        group.attrs["name"] = "conv"
        if kind == "external link":
            group["0"] = h5py.ExternalLink("other.weights.h5", "/layers/dense/vars/0")
        elif kind == "soft link":
            group["0"] = h5py.SoftLink("/layers/dense/vars/0")
        elif kind == "external data":
            group.create_dataset("0", (16, 5), "f4", external=[(str(tmp_path / "raw"), 0, 320)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((16, 5), "f4")
            layout[:] = h5py.VirtualSource("other.weights.h5", "layers/dense/vars/0", (16, 5))
            group.create_virtual_dataset("0", layout)
        else:
            group.create_dataset("0", (2**20, 2**20), "f4", chunks=(64, 64), compression="gzip")
    with pytest.raises(SpecError, match="cannot be read as weights: layers/hidden/vars/0"):
        read_source_weights(tmp_path / "a.h5")


def test_archive_that_becomes_far_larger_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * 2**28)
    with pytest.raises(SpecError, match=r"config\.json becomes 256 MiB"):
        read_source_weights(tmp_path / "a.keras")
