"""Every kernel is set, from its own seed; the variances are those of the papers."""

import math

import keras
import numpy as np
import pytest

from cnntrain.spec import option_files

OPTIONS = sorted(option_files.find_option_files("initializer"))
# sigma^2 for fan_in = 400, fan_out = 100
VARIANCE = {
    "zeros": 0,
    "random_normal": 0.01**2,
    "random_uniform": 0.05**2 / 3,
    "truncated_normal": 0.05**2 * 0.7737,  # a normal cut at two standard deviations
    "glorot_uniform": 1 / 250,
    "glorot_normal": 1 / 250,
    "he_uniform": 2 / 400,
    "he_normal": 2 / 400,
    "lecun_uniform": 1 / 400,
    "lecun_normal": 1 / 400,
    "orthogonal": 1 / 400,
    "dirac": 1 / 1200,
}


def network(units=(400, 100)):
    keras.utils.clear_session()
    inputs = keras.Input((20, 20, 1))
    x = keras.layers.Conv2D(4, 5)(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    for width in units:
        x = keras.layers.Dense(width)(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize("option", OPTIONS)
def test_variance_is_the_one_of_the_paper(spec, option):
    model = network()
    spec(f"initializer={option}", "initializer.head_gain=1").initializer(model, 0)
    kernel = model.layers[-1].kernel.numpy()  # (400, 100)
    assert kernel.var() == pytest.approx(VARIANCE[option], rel=0.05)
    assert abs(kernel.mean()) <= 4 * math.sqrt(VARIANCE[option] / kernel.size)


def test_every_initializer_is_tested():
    assert set(OPTIONS) == set(VARIANCE), 'VARIANCE wants a row: "mine": 2 / 400'


def test_orthogonal_kernels_are_orthogonal(spec):
    model = network()
    spec("initializer=orthogonal", "initializer.head_gain=1").initializer(model, 0)
    kernel = model.layers[-1].kernel.numpy()
    assert np.allclose(kernel.T @ kernel, np.eye(100), atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, (5, 3)])
@pytest.mark.parametrize("filters", [2, 6, 9])
def test_dirac_passes_on_the_channels_of_images(spec, filters, size):
    keras.utils.clear_session()
    inputs = keras.Input((7, 8, 6))
    conv = keras.layers.Conv2D(filters, size, padding="same", activation="relu")
    model = keras.Model(inputs, keras.layers.Flatten()(conv(inputs)))
    spec("initializer=dirac", "initializer.head_gain=1").initializer(model, 0)
    images = np.random.default_rng(0).random((2, 7, 8, 6), np.float32)
    passed = min(filters, 6)
    assert np.array_equal(conv(images)[..., :passed], images[..., :passed])
    drawn = conv.kernel.numpy()[..., passed:]
    limit = 1 / math.sqrt(np.prod(conv.kernel.shape[:3]))
    assert (filters <= 6) == (drawn.size == 0)
    assert filters <= 6 or 0.9 * limit < abs(drawn).max() <= limit


def test_dirac_takes_kernels_of_every_kind(spec):
    keras.utils.clear_session()
    inputs = keras.Input((6, 6, 4))
    depthwise = keras.layers.DepthwiseConv2D(3, padding="same")
    separable = keras.layers.SeparableConv2D(4, 3, padding="same")
    grouped = keras.layers.Conv2D(8, 3, padding="same", groups=2)
    even = keras.layers.Conv2D(4, 2)
    x = separable(depthwise(inputs))
    outputs = keras.layers.Dense(3)(keras.layers.Flatten()(even(grouped(x))))
    spec("initializer=dirac").initializer(keras.Model(inputs, outputs), 0)
    images = np.random.default_rng(0).random((2, 6, 6, 4), np.float32)
    assert np.array_equal(separable(depthwise(images)), images)
    assert np.array_equal(grouped(images)[..., :2], images[..., :2])
    assert even.kernel.numpy().all()


def test_seed_decides_and_layers_differ(spec):
    he = spec("initializer=he_normal").initializer
    weights = []
    for seed in (0, 0, 1):
        model = network()
        he(model, seed)
        weights.append([w.numpy() for w in model.trainable_weights])
    assert all(np.array_equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    assert not np.array_equal(weights[0][0], weights[2][0])


def test_biases_and_norms_keep_their_start(spec):
    model = network()
    spec("initializer=he_normal").initializer(model, 0)
    assert not model.layers[1].bias.numpy().any()
    assert (model.layers[2].gamma.numpy() == 1).all()


def test_a_layer_added_behind_leaves_the_weights_before_it(spec):
    he, short, long = spec().initializer, network(), network((400, 100, 7))
    he(short, 0)
    he(long, 0)
    for layer, same in zip(short.layers[:-1], long.layers, strict=False):
        assert all(
            np.array_equal(a.numpy(), b.numpy())
            for a, b in zip(layer.weights, same.weights, strict=True)
        )


def test_head_gain_scales_the_logits_alone(spec):
    plain, scaled = network(), network()
    spec("initializer.head_gain=1").initializer(plain, 0)
    spec("initializer.head_gain=0.1").initializer(scaled, 0)
    assert np.allclose(plain.layers[-1].kernel.numpy() * 0.1, scaled.layers[-1].kernel.numpy())
    assert np.array_equal(plain.layers[1].kernel.numpy(), scaled.layers[1].kernel.numpy())


def test_head_has_another_initializer_and_the_other_kernels_stay(spec):
    same, zeros, glorot = network(), network(), network()
    spec("initializer.head_gain=1").initializer(same, 0)
    spec("initializer.head_gain=1", "initializer.head=zeros").initializer(zeros, 0)
    spec("initializer.head_gain=1", "initializer.head=glorot_uniform").initializer(glorot, 0)
    for model, variance in ((zeros, 0), (glorot, VARIANCE["glorot_uniform"])):
        assert model.layers[-1].kernel.numpy().var() == pytest.approx(variance, rel=0.05)
        for layer, other in zip(model.layers[:-1], same.layers, strict=False):
            assert all(map(np.array_equal, layer.get_weights(), other.get_weights()))


def test_initializer_without_knobs_may_be_that_of_the_head(spec):
    for option in ("zeros", "glorot_uniform", "lecun_normal"):
        one, other = network(), network()
        spec(f"initializer={option}").initializer(one, 0)
        spec("initializer=he_normal", f"initializer.head={option}").initializer(other, 0)
        assert np.array_equal(one.layers[-1].kernel.numpy(), other.layers[-1].kernel.numpy())


def test_a_sweep_over_initializers_compares_initializers_alone(spec):
    """He's options once had a tenth of the others' gain, which turned the lesson round."""
    assert {spec(f"initializer={option}").initializer["head_gain"] for option in OPTIONS} == {0.1}


def test_a_run_keeps_the_gain_that_it_began_with(spec):
    from cnntrain.spec.build import build_spec as check

    before = {**spec("initializer=glorot_uniform").config}
    before["initializer"] = {"name": "glorot_uniform", "head_gain": 1}  # as its option had it
    assert check(before).initializer["head_gain"] == 1
    assert check(before).hash == spec("initializer=glorot_uniform", "initializer.head_gain=1").hash
