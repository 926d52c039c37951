"""LeNet-5 of 1998 against the paper: parameters, connections, Table I and the centres."""

import keras
import numpy as np
import pytest

from cnntrain.analysis.connections import count_connections
from cnntrain.errors import SpecError
from cnntrain.models.lenet5_1998 import TABLE_I, compute_rejection, parse_centres
from helpers.layers import describe_layers, read_table

COUNTS = {
    ("lenet5_1998", (32, 32, 1), 10, ()): (60_840, 60_000),
    ("lenet5_1998", (28, 28, 1), 10, ()): (60_840, 60_000),
}
SMALLEST = {}
HEAVY = {}
FIXED = {"lenet5_1998": ((32, 32, 1), 10)}  # an image shape and classes, where few others are taken


@pytest.fixture
def network(spec):
    checked = spec("model=lenet5_1998", "initializer=lecun_uniform")
    network = checked.model(*FIXED["lenet5_1998"])
    checked.initializer(network, 0)
    return network


def squash(sums):
    """Return the paper's squashing function (appendix A) of sums."""
    return 1.7159 * np.tanh(2 / 3 * sums)


def pixels(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype("float32")


# Section II.B: name -> (trainable parameters, connections).
LAYERS = {
    "c1": (156, 122_304),
    "s2": (12, 5_880),
    "c3": (1_516, 151_600),
    "s4": (32, 2_000),
    "c5": (48_120, 48_120),
    "f6": (10_164, 10_164),
}


def test_layers_have_the_parameters_and_connections_of_the_paper(network):
    parameters = dict.fromkeys(LAYERS, 0)
    for layer in network.layers:
        if layer.trainable_weights:
            parameters[layer.name.partition("_")[0]] += layer.count_params()
    assert parameters == {name: number for name, (number, _) in LAYERS.items()}
    connections = {name: number for name, (_, number) in LAYERS.items()} | {"rbf": 840}
    assert count_connections(network) == connections
    assert sum(connections.values()) == 340_908  # as the end of section II.B has it


# Section II.B and Figure 2. `multiply` are the factors of the scaled tanh, and 4 of a sum, for
# which Keras has the average.
SQUASHED = """
multiply            {0}
tanh                {0}
multiply            {0}
"""
SUBSAMPLED = """
average pool 2x2/2  {0}
multiply            {0}
depthwise conv 1x1  {0}
"""


def test_layers_are_those_of_figure_2_in_its_order(network):
    c3 = [f"branch\ntake 14x14x{len(maps)}\nconv 5x5 10x10x1" for maps in TABLE_I]
    stages = [
        ("conv 5x5 28x28x6", "28x28x6"),
        (SUBSAMPLED, "14x14x6"),
        ("\n".join([*c3, "concatenate 10x10x16"]), "10x10x16"),
        (SUBSAMPLED, "5x5x16"),
        ("conv 5x5 1x1x120", "1x1x120"),
        ("flatten 120\ndense 84", "84"),
    ]
    table = ["rescaling 32x32x1"]
    for rows, shape in stages:
        table += read_table(rows.format(shape)) + read_table(SQUASHED.format(shape))
    rows = describe_layers(network)
    assert rows[: len(table)] == table
    assert "dense 10" in rows[len(table) :]  # the centres of the radial basis functions
    squashes = [layer.name for layer in network.layers if layer.name.endswith("_scaled_tanh")]
    assert squashes == [f"{name}_scaled_tanh" for name in LAYERS]


def test_every_map_of_s2_is_seen_by_ten_of_c3():
    assert [sum(maps.count(s) for maps in TABLE_I) for s in range(6)] == [10] * 6
    assert [len(maps) for maps in TABLE_I] == [3] * 6 + [4] * 9 + [6]
    assert len({tuple(maps) for maps in TABLE_I}) == 16


def test_c3_sees_only_the_maps_of_its_column(network):
    """Changing one map of S2 changes exactly the maps of C3 that Table I names."""
    s2 = network.get_layer("s2").output
    between = keras.Model(s2, network.get_layer("c3").output)
    maps = np.zeros((1, 14, 14, 6), "float32")
    before = between(maps).numpy()
    for number in range(6):
        changed = maps.copy()
        changed[..., number] = 1
        moved = (between(changed).numpy() != before).any(axis=(0, 1, 2))
        assert [number in seen for seen in TABLE_I] == moved.tolist()


def test_subsampling_adds_four_and_has_a_weight_and_a_bias(network):
    c1, s2 = (network.get_layer(name) for name in ("c1", "s2"))
    weight, bias = np.array([1, 2, 3, 4, 5, 6]), np.array([6, 5, 4, 3, 2, 1])
    s2.set_weights([weight.reshape(1, 1, 6, 1), bias])
    maps = np.random.default_rng(0).normal(size=(1, 28, 28, 6)).astype("float32")
    sums = squash(maps).reshape(1, 14, 2, 14, 2, 6).sum(axis=(2, 4))
    got = keras.Model(c1.output, s2.output)(maps)
    np.testing.assert_allclose(got, weight * sums + bias, atol=1e-4)


def test_logits_are_minus_squared_distances_to_the_bitmaps(network):
    f6 = network.get_layer("f6").output
    drawn = squash(keras.Model(network.input, f6)(pixels(5, 32, 32, 1)).numpy())
    expected = -((drawn[:, None].astype("float64") - parse_centres()[None]) ** 2).sum(axis=-1)
    np.testing.assert_allclose(network(pixels(5, 32, 32, 1)), expected, rtol=1e-5)


def test_bitmaps_are_fixed_and_differ(network):
    rbf = network.get_layer("rbf")
    assert rbf.kernel.shape == (84, 10)
    assert not rbf.trainable_weights
    np.testing.assert_array_equal(rbf.kernel, parse_centres().T)  # the initializer was here
    assert set(np.unique(parse_centres())) == {-1, 1}
    differing = (parse_centres()[:, None] != parse_centres()[None]).sum(axis=-1)  # (10, 10)
    assert (
        differing[~np.eye(10, dtype=bool)].min() == compute_rejection() == network.rejection == 12
    )


def test_one_is_drawn_as_a_one():
    one = "\n".join(
        "".join(".#"[int(p > 0)] for p in row) for row in parse_centres()[1].reshape(12, 7)
    )
    assert one.split() == [
        *("...##..", "..###..", ".####..", *["...##.."] * 6, ".######"),
        *[".......", "......."],
    ]


def test_squashing_maps_one_and_minus_one_to_themselves(network):
    c1, s2_sum = network.get_layer("c1").output, network.get_layer("s2_sum").input
    sums = np.tile(np.array([-1.0, 0, 1], "float32"), 28 * 28 * 2).reshape(1, 28, 28, 6)
    squashed = keras.Model(c1, s2_sum)(sums)
    np.testing.assert_allclose(squashed, sums, atol=1e-4)
    np.testing.assert_allclose(squashed, squash(sums), atol=1e-6)


def test_small_images_are_padded_with_paper(spec, network):
    small = spec("model=lenet5_1998").model((28, 28, 1), 10)
    small.set_weights(network.get_weights())
    images = pixels(2, 28, 28, 1)
    padded = np.pad(images, [(0, 0), (2, 2), (2, 2), (0, 0)])
    np.testing.assert_allclose(small(images), network(padded), rtol=1e-6)
    scaled = small.get_layer("preprocessing")(np.array([[[[0.0], [255.0]]]]))
    np.testing.assert_allclose(np.ravel(scaled), [-0.1, 1.175], atol=1e-6)


@pytest.mark.parametrize(
    ("image_shape", "num_classes", "given"),
    [
        ((30, 30, 1), 10, "30x30 images of 1 channels"),
        ((28, 32, 1), 10, "28x32 images of 1 channels"),
        ((32, 32, 3), 10, "32x32 images of 3 channels"),
        ((32, 32, 1), 2, "2 classes"),
    ],
)
def test_images_and_classes_that_the_published_network_excludes_are_refused(
    spec, image_shape, num_classes, given
):
    with pytest.raises(SpecError, match=given):
        spec("model=lenet5_1998").model(image_shape, num_classes)


def test_saved_network_needs_none_of_our_code(network, tmp_path):
    network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(pixels(2, 32, 32, 1)), network(pixels(2, 32, 32, 1)))
    assert not loaded.get_layer("rbf").trainable_weights


@pytest.mark.slow
def test_loss_falls_and_digits_are_told_apart(train):
    run, report = train("model=lenet5_1998", "epochs=12", "initializer=lecun_uniform")
    rows = run.folder.joinpath("history.csv").read_text().splitlines()
    column = rows[0].split(",").index("train.loss")
    losses = [float(row.split(",")[column]) for row in rows[1:]]
    assert losses[-1] < losses[0] / 4
    assert report["test"]["final"]["accuracy"] > 0.85
