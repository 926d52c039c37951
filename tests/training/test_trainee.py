"""A training step against numpy: with micro-batches, rates of single layers, and an EMA."""

import keras
import numpy as np
import pytest

from cnntrain.training import losses
from cnntrain.training.trainee import Average, Trainee, compiled

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(12, 5)).astype("float32")
LABELS = RANDOM.integers(0, 3, 12).astype("int32")


def linear():
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5,))
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(inputs))


def trained(network, steps=3, pieces=1, rates=None, average=None, auxiliary=(), **options):
    """Make steps of SGD on all images; return the logs of each."""
    trainee = Trainee(network, auxiliary, pieces, rates or {}, average, None)
    optimizer = keras.optimizers.SGD(0.5, **options)
    compiled(trainee, optimizer, losses.compute_cross_entropy)
    batch = (keras.ops.array(IMAGES), keras.ops.array(LABELS))
    trainee.make_train_function()
    return [trainee.train_on_batch(*batch, return_dict=True) for _ in range(steps)]


def softmax_regression(kernel, bias, steps, clip=None):
    """Return the weights after steps of SGD computed by numpy, in float64."""
    kernel, bias = kernel.astype("float64"), bias.astype("float64")
    for _ in range(steps):
        logits = IMAGES @ kernel + bias
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        error = (p - np.eye(3)[LABELS]) / len(LABELS)
        gradients = [IMAGES.T @ error, error.sum(axis=0)]
        if clip:
            gradients = [g * min(1, clip / np.linalg.norm(g)) for g in gradients]
        kernel, bias = kernel - 0.5 * gradients[0], bias - 0.5 * gradients[1]
    return kernel, bias


@pytest.mark.parametrize("pieces", [1, 2, 3, 12])
@pytest.mark.parametrize("clip", [None, 0.05])
def test_step_in_micro_batches_is_the_step_of_the_whole_batch(pieces, clip):
    network = linear()
    expected = softmax_regression(*network.get_weights(), steps=3, clip=clip)
    logs = trained(network, pieces=pieces, clipnorm=clip)
    for ours, theirs in zip(network.get_weights(), expected, strict=True):
        assert np.allclose(ours, theirs, atol=1e-6)
    assert logs[0]["loss"] > logs[-1]["loss"]


def test_logs_of_micro_batches_are_those_of_the_batch():
    whole, cut = trained(linear(), steps=1), trained(linear(), steps=1, pieces=4)
    assert whole[0] == pytest.approx(cut[0], rel=1e-5)


def test_layer_with_a_rate_of_its_own_moves_by_that_factor():
    network, slowed = linear(), linear()
    before = network.get_weights()
    trained(network, steps=1)
    trained(slowed, steps=1, rates={"head/kernel": 0.25})
    moved, moved_less = network.get_weights()[0] - before[0], slowed.get_weights()[0] - before[0]
    assert np.allclose(moved_less, 0.25 * moved, atol=1e-7)
    assert np.array_equal(network.get_weights()[1], slowed.get_weights()[1])


def test_average_is_the_one_of_numpy():
    network = linear()
    average = Average(network, 0.3)
    expected = network.get_weights()
    for step in range(1, 6):
        trained(network, steps=1)
        average.update()
        keep = min(0.3, (1 + step) / (10 + step))
        pairs = zip(expected, network.get_weights(), strict=True)
        expected = [keep * mean + (1 - keep) * weight for mean, weight in pairs]
    assert keep == 0.3
    for ours, theirs in zip(average.variables, expected, strict=True):
        assert np.allclose(ours, theirs, atol=1e-6)


def test_step_updates_the_average_after_the_weights():
    network = linear()
    average = Average(network, 0.99)
    first = network.get_weights()
    trained(network, steps=1, average=average)
    expected = [2 / 11 * a + 9 / 11 * b for a, b in zip(first, network.get_weights(), strict=True)]
    for ours, theirs in zip(average.variables, expected, strict=True):
        assert np.allclose(ours, theirs, atol=1e-6)


def test_average_holds_the_statistics_of_batch_norm_and_no_seeds():
    inputs = keras.Input((5,))
    x = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(inputs))
    average = Average(keras.Model(inputs, x), 0.9)
    names = [variable.name for variable in average.variables]
    assert names == ["gamma", "beta", "moving_mean", "moving_variance"]


def test_average_is_in_place_within_the_block_only():
    network = linear()
    average = Average(network, 0.99)
    mean = [v.numpy() for v in average.variables]
    trained(network, steps=2)
    own = network.get_weights()
    with average.in_place():
        assert same(network.get_weights(), mean)
    assert same(network.get_weights(), own)


def same(ours, theirs):
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("pieces", [1, 3])
def test_auxiliary_heads_add_their_weighted_loss(pieces):
    network = linear()
    inputs = network.inputs[0]
    other = keras.layers.Dense(3, name="auxiliary")(inputs)
    both = keras.Model(inputs, [network.outputs[0], other])
    before = both.get_layer("auxiliary").get_weights()
    alone, _ = softmax_regression(*network.get_weights(), steps=1)
    logs = trained(both, steps=1, pieces=pieces, auxiliary=(0.3,))
    kernel, _ = softmax_regression(*before, steps=1)
    moved = both.get_layer("auxiliary").get_weights()[0] - before[0]
    assert np.allclose(moved, 0.3 * (kernel - before[0]), atol=1e-6)
    assert np.allclose(network.get_weights()[0], alone, atol=1e-6)
    assert logs[0]["loss"] > logs[0]["cross_entropy"]
