"""ResNets for 32x32 images against the counts of their papers."""

import keras
import numpy as np
import pytest

from cnntrain.errors import SpecError
from cnntrain.models.parts import deep
from cnntrain.models.parts.keras_private import get_graph, iterate_nodes

COUNTS = {
    ("resnet1202_v1", (32, 32, 3), 10, ()): (None, 19_421_274),
    ("resnet1202_v1", (32, 32, 3), 10, ("model.shortcut=B",)): (None, 19_424_026),
    ("plain20", (32, 32, 3), 10, ()): (None, 269_722),
    ("plain56", (32, 32, 3), 10, ()): (None, 853_018),
    ("resnet29_v2", (32, 32, 3), 10, ()): (None, 312_218),
    ("resnet56_v2", (32, 32, 3), 10, ()): (None, 590_426),
    ("resnet110_v2", (32, 32, 3), 10, ()): (None, 1_146_842),
    ("resnet164_v2", (32, 32, 3), 10, ()): (None, 1_703_258),
    ("wrn16_8", (32, 32, 3), 10, ()): (None, 10_961_370),
    ("wrn28_10", (32, 32, 3), 10, ()): (None, 36_479_194),
    # The kernels and head of ResNet-20, five scalars for each block, and two outside the blocks.
    ("resnet20_fixup", (32, 32, 3), 10, ()): (268_393, 268_393),
    ("resnet_tutorial", (224, 224, 3), 17, ()): (229_233, None),
}
SMALLEST = {}
HEAVY = {
    "resnet1202_v1": "twelve seconds",
    "resnet110_v2": "three seconds",
    "resnet164_v2": "five seconds",
    "wrn28_10": "36 million weights",
}


def images(size: int = 32) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, size, size, 3)).astype("float32")


def kinds(network: keras.Model, kind: type) -> list[keras.layers.Layer]:
    return [layer for layer in network.layers if isinstance(layer, kind)]


@pytest.mark.parametrize(
    ("option", "additions"), [("plain20", 0), ("resnet20_v1", 9), ("resnet29_v2", 9)]
)
def test_every_block_but_the_plain_ones_has_a_shortcut(spec, option, additions):
    model = spec(f"model={option}").model((32, 32, 3), 10)
    assert len(kinds(model, keras.layers.Add)) == additions


@pytest.mark.parametrize(
    ("option", "kernels", "shapes"),  # layers with a kernel: the depth, and three projections
    [
        ("resnet20_v1", 20, [(32, 16), (16, 32), (8, 64)]),
        ("plain20", 20, [(32, 16), (16, 32), (8, 64)]),
        ("resnet29_v2", 29 + 3, [(32, 64), (16, 128), (8, 256)]),
        ("wrn16_8", 16 + 1, [(32, 128), (16, 256), (8, 512)]),  # 16 with them, without the head
    ],
)
def test_stages_have_the_depth_and_the_shapes_of_the_papers(spec, option, kernels, shapes):
    model = spec(f"model={option}").model((32, 32, 3), 10)
    kind = keras.layers.ReLU if option in ("plain20", "resnet20_v1") else keras.layers.Add
    found = [layer.output.shape[1:] for layer in kinds(model, kind)]
    assert list(dict.fromkeys((s[0], s[-1]) for s in found)) == shapes
    assert sum("kernel" in weight.path for weight in model.weights) == kernels


def test_names_of_the_first_networks_stay(spec):
    keras.utils.clear_session()
    model = spec("model=resnet20_v1").model((32, 32, 3), 10)
    assert [w.path for w in model.weights[:3]] == [
        "conv2d/kernel",
        "batch_normalization/gamma",
        "batch_normalization/beta",
    ]
    assert model.weights[-1].path == "dense/bias"
    assert model.name == "resnet20_v1"


@pytest.mark.parametrize(
    ("option", "depth", "hint"),
    [("resnet29_v2", 30, 29), ("wrn16_8", 18, 16), ("wrn16_8", 4, 10), ("resnet29_v2", 2, 11)],
)
def test_impossible_depths_are_refused(spec, option, depth, hint):
    with pytest.raises(SpecError, match=f"model.depth is {depth}") as refused:
        spec(f"model={option}", f"model.depth={depth}").model((32, 32, 3), 10)
    assert refused.value.hint == f"model.depth={hint}"


@pytest.mark.parametrize("option", ["resnet29_v2", "wrn16_8", "resnet20_fixup"])
def test_images_too_small_are_refused(spec, option):
    with pytest.raises(SpecError, match="got 7x32 images"):
        spec(f"model={option}").model((7, 32, 3), 10)


def test_dropout_comes_before_the_last_convolution_of_each_block(spec):
    model = spec("model=wrn16_8", "model.width=1", "model.dropout=0.3").model((32, 32, 3), 10)
    dropouts = kinds(model, keras.layers.Dropout)
    assert [d.rate for d in dropouts] == [0.3] * 6
    dropped = {id(layer.output) for layer in dropouts}
    calls = iterate_nodes(get_graph(model))
    after = [call.operation for call in calls if dropped & set(map(id, call.input_tensors))]
    assert [(c.kernel_size, c.strides) for c in after] == [((3, 3), (1, 1))] * 6


@pytest.mark.parametrize(
    "option", ["resnet20_v1", pytest.param("resnet29_v2", marks=pytest.mark.slow)]
)
def test_chains_that_are_cut_compute_the_same(spec, monkeypatch, tmp_path, option):
    whole = spec(f"model={option}").model((32, 32, 3), 10)
    monkeypatch.setattr(deep, "LONGEST", 4)
    cut = spec(f"model={option}").model((32, 32, 3), 10)
    assert sum(isinstance(layer, keras.Model) for layer in cut.layers) == 3
    cut.set_weights(whole.get_weights())
    np.testing.assert_allclose(cut(images()), whole(images()), atol=1e-5)
    cut.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(images()), whole(images()), atol=1e-5)


@pytest.mark.slow
def test_network_of_1001_layers_is_built(spec):
    """It is the deepest of the pre-activation paper, with 10.2 million parameters."""
    model = spec("model=resnet164_v2", "model.depth=1001").model((32, 32, 3), 10)
    assert sum(np.prod(w.shape) for w in model.trainable_weights) == pytest.approx(10.2e6, rel=0.02)


# The tutorials' ResNet.


def test_tutorial_pools_and_flattens(spec):
    model = spec("model=resnet_tutorial").model((224, 224, 3), 17)
    pool = kinds(model, keras.layers.AveragePooling2D)[0]
    assert (pool.input.shape[1:], pool.output.shape[1:]) == ((56, 56, 64), (7, 7, 64))


def test_tutorial_refuses_images_too_small_for_its_pool(spec):
    model = spec("model=resnet_tutorial").model
    assert model((29, 29, 3), 10).output_shape == (None, 10)
    with pytest.raises(SpecError, match=r"model\.pool is 8 and the images are 28x28") as refused:
        model((28, 28, 3), 10)
    assert refused.value.hint == "dataset.image_size=[32,32] or a smaller model.pool"


# Fixup.


def test_fixup_has_the_scalars_of_its_authors(spec):
    model = spec("model=resnet20_fixup").model((32, 32, 3), 10)
    norms = kinds(model, keras.layers.LayerNormalization)
    values = [float(norm.beta.numpy()[0]) for norm in norms]
    assert all([w.shape for w in norm.weights] == [(1,)] for norm in norms)
    assert (len(values), sum(values)) == (9 * 5 + 2, 9)  # five a block, of which one multiplies


def test_fixup_is_only_shortcuts_at_first_and_keeps_its_first_weights(spec):
    run = spec("model=resnet20_fixup")
    keras.utils.set_random_seed(0)
    model = run.model((32, 32, 3), 10)
    chosen = {name: model.get_layer(name).kernel.numpy() for name in model.pretrained}
    run.initializer(model, 0)
    assert len(chosen) == 2 * 9 + 1
    for name, kernel in chosen.items():
        np.testing.assert_array_equal(model.get_layer(name).kernel, kernel)
        assert kernel.any() == name.endswith("_conv1")
    assert model.get_layer("stem").kernel.numpy().std() > 0.2  # He's: sqrt(2 / 27) = 0.27
    deviation = chosen["stage3_block2_conv1"].std()
    assert deviation == pytest.approx((2 / (9 * 64)) ** 0.5 * 9**-0.5, rel=0.02)
    np.testing.assert_array_equal(model(images()), np.zeros((2, 10)))


def test_scalars_of_fixup_follow_the_formula(spec):
    """Each scalar gets another value, and the block is compared with its formula."""
    model = spec("model=resnet20_fixup", "model.depth=8").model((8, 8, 3), 10)
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=w.shape) * 0.3 for w in model.get_weights()])
    scalars = [layer.beta for layer in kinds(model, keras.layers.LayerNormalization)]
    stem, a, b, c, multiplier, d = (float(s.numpy()[0]) for s in scalars[:6])
    x = keras.ops.relu(model.get_layer("stem")(images(8)) - stem)
    y = keras.ops.relu(model.get_layer("stage1_block1_conv1")(x - a) - b)
    y = model.get_layer("stage1_block1_conv2")(y - c) * multiplier - d
    expected = keras.ops.relu(x + y)
    block = kinds(model, keras.layers.ReLU)[2].output
    network = keras.Model(model.input, block)
    np.testing.assert_allclose(network(images(8)), expected, atol=1e-5)
    # Test the graph as well: a fused addition would fail for two images of 8x8.
    np.testing.assert_allclose(network.predict(images(8), verbose=0), expected, atol=1e-5)


def test_every_weight_of_fixup_gets_its_gradient(spec):
    """Weights are random, because the first ones make most gradients zero."""
    model = spec("model=resnet20_fixup", "model.depth=8").model((8, 8, 3), 10)
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=w.shape) * 0.3 for w in model.get_weights()])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = model.get_weights()
    model.train_on_batch(images(8), np.array([1, 2]))
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert all(changed)


@pytest.mark.slow
def test_fixup_learns_where_every_branch_began_at_zero(spec):
    model = spec("model=resnet20_fixup", "model.depth=8").model((8, 8, 3), 2)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 64)
    pictures = random.normal(size=(64, 8, 8, 3)) + labels[:, None, None, None]
    losses = [float(model.train_on_batch(pictures, labels)) for _ in range(20)]
    assert losses[0] == pytest.approx(np.log(2), abs=1e-5)
    assert losses[-1] < 0.3


@pytest.mark.parametrize(
    "option",
    [
        pytest.param("plain20", marks=pytest.mark.slow),
        pytest.param("resnet29_v2", marks=pytest.mark.slow),
        "resnet20_fixup",
        "resnet_tutorial",
    ],
)
def test_saved_network_loads_and_answers_alike(spec, tmp_path, option):
    model = spec(f"model={option}").model((32, 32, 3), 3)
    random = np.random.default_rng(1)
    model.set_weights([w + 0.05 * random.random(w.shape) for w in model.get_weights()])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(images()), model(images()), atol=1e-5)
