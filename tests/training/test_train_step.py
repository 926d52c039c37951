"""A training step against numpy: with micro-batches, rates of single layers, and an EMA."""

import keras
import numpy as np
import pytest

from cnntrain.errors import SpecError
from cnntrain.training import losses
from cnntrain.training.devices.one_device import Devices
from cnntrain.training.finetune import Phase
from cnntrain.training.phases import check_rates, list_own_rates
from cnntrain.training.schedules import Plateau, Rate
from cnntrain.training.train_step import StepParts, TrainStep
from cnntrain.training.weight_average import WeightAverage

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(12, 5)).astype("float32")
LABELS = RANDOM.integers(0, 3, 12).astype("int32")


def linear():
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5,))
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(inputs))


def train(network, steps=3, block=2, xla=False, weights=None, **parts):
    """Make steps of SGD on all images, in blocks; return the losses (steps, 3) of each."""
    plateau = Plateau(patience=None, factor=0.5, cooldown=0, min_delta=0, min_lr=0)
    rate = Rate(0.5, lambda step: keras.ops.ones(()), 100, 0, plateau)
    knobs = {name: parts.pop(name) for name in ("momentum", "nesterov") if name in parts}
    optimizer = keras.optimizers.SGD(rate, clipnorm=parts.pop("clip", None), **knobs)
    optimizer.build(network.trainable_variables)
    step = TrainStep(
        StepParts(
            network=network, optimizer=optimizer, rate=rate, loss=losses.compute_cross_entropy,
            make_inputs=lambda batch: batch["images"], **parts,
        ),
        Devices(xla=xla),
    )  # fmt: skip
    found = []
    for first in range(0, steps, block):
        count = min(block, steps - first)
        arrays = {"images": np.stack([IMAGES] * count), "labels": np.stack([LABELS] * count)}
        if weights is not None:
            arrays["weights"] = np.stack([weights] * count)
        values, updates, last_rate = step.run_block(step.place(arrays))
        assert (int(updates), float(last_rate)) == (first + count, 0.5)
        found += np.asarray(values).tolist()
    return np.array(found)


def softmax_regression(
    kernel, bias, steps, clip=None, momentum=0, nesterov=False, bias_rate=1, weights=None
):
    """Return the weights after steps of SGD computed by numpy, in float64."""
    shares = np.ones(len(LABELS)) if weights is None else weights
    kernel, bias = kernel.astype("float64"), bias.astype("float64")
    weights, rates, speeds = [kernel, bias], [0.5, 0.5 * bias_rate], [0, 0]
    for _ in range(steps):
        kernel, bias = weights
        logits = IMAGES @ kernel + bias
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        error = shares[:, np.newaxis] * (p - np.eye(3)[LABELS]) / len(LABELS)
        gradients = [IMAGES.T @ error, error.sum(axis=0)]
        if clip:
            gradients = [g * min(1, clip / np.linalg.norm(g)) for g in gradients]
        speeds = [momentum * v + g for v, g in zip(speeds, gradients, strict=True)]
        if nesterov:
            gradients = [g + momentum * v for v, g in zip(speeds, gradients, strict=True)]
        else:
            gradients = speeds
        weights = [w - r * g for w, r, g in zip(weights, rates, gradients, strict=True)]
    return weights


@pytest.mark.parametrize("pieces", [1, 2, 3, 12])
@pytest.mark.parametrize("clip", [None, 0.05])
def test_step_in_micro_batches_is_the_step_of_the_whole_batch(pieces, clip):
    network = linear()
    expected = softmax_regression(*network.get_weights(), steps=3, clip=clip)
    logs = train(network, micro_batches=pieces, clip=clip)
    for ours, theirs in zip(network.get_weights(), expected, strict=True):
        assert np.allclose(ours, theirs, atol=1e-6)
    assert logs[0][0] > logs[-1][0]


WEIGHTS = RANDOM.uniform(0.2, 3, 12).astype("float32")


@pytest.mark.parametrize("pieces", [1, 3])
def test_weights_multiply_the_losses_of_the_examples(pieces):
    network = linear()
    first = network.get_weights()
    expected = softmax_regression(*first, steps=3, weights=WEIGHTS)
    found = train(network, micro_batches=pieces, weights=WEIGHTS)
    for ours, theirs in zip(network.get_weights(), expected, strict=True):
        assert np.allclose(ours, theirs, atol=1e-6)
    plain = train(linear(), steps=1)[0]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    logits = IMAGES @ first[0] + first[1]
    assert found[0][0] == pytest.approx(float(loss(LABELS, logits, WEIGHTS)), rel=1e-5)
    assert found[0][1:] == pytest.approx(plain[1:], rel=1e-5)  # of all examples alike


@pytest.mark.parametrize("options", [{"label_smoothing": 0.1}, {"focal_gamma": 2.0},
                                     {"class_weights": [1.0, 3.0, 0.5]}])  # fmt: skip
def test_weights_go_with_every_variation_of_the_loss_and_with_auxiliary_heads(options):
    settings = {"label_smoothing": 0, "focal_gamma": 0, "class_weights": None} | options
    loss, network = losses.build_loss(**settings), linear()
    parts = StepParts(network=network, optimizer=None, rate=None, loss=loss, make_inputs=None,
                      auxiliary=(0.3,))  # fmt: skip
    logits = [RANDOM.normal(size=(12, 3)).astype("float32") for _ in range(2)]
    objective, _ = parts.compute_losses(LABELS, logits, WEIGHTS)
    values = [np.asarray(loss(LABELS, own)) for own in logits]
    expected = np.mean(WEIGHTS * values[0]) + 0.3 * np.mean(WEIGHTS * values[1])
    assert float(objective) == pytest.approx(expected, rel=1e-5)


def test_logs_of_micro_batches_are_those_of_the_batch():
    whole, cut = train(linear(), steps=1), train(linear(), steps=1, micro_batches=4)
    assert whole[0] == pytest.approx(cut[0], rel=1e-5)


@pytest.mark.parametrize("block", [1, 3, 7])
def test_how_steps_are_cut_into_blocks_changes_no_bit(block):
    one, other = linear(), linear()
    expected, found = train(one, steps=7, block=7), train(other, steps=7, block=block)
    assert np.array_equal(expected, found)
    assert same(one.get_weights(), other.get_weights())


def test_layer_with_a_rate_of_its_own_moves_by_that_factor():
    network, slowed = linear(), linear()
    before = network.get_weights()
    train(network, steps=1)
    train(slowed, steps=1, own_rates=[(slowed.trainable_variables[0], 0.25)])
    moved, moved_less = network.get_weights()[0] - before[0], slowed.get_weights()[0] - before[0]
    assert np.allclose(moved_less, 0.25 * moved, atol=1e-7)
    assert np.array_equal(network.get_weights()[1], slowed.get_weights()[1])


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("bias_rate", [0.25, 8])
def test_biases_learn_at_a_rate_of_their_own_with_momentum(bias_rate, nesterov):
    network = linear()
    own_rates = list_own_rates(network, {}, bias_rate)
    assert [(v.name, factor) for v, factor in own_rates] == [("bias", bias_rate)]
    momentum = {"momentum": 0.8, "nesterov": nesterov}
    expected = softmax_regression(*network.get_weights(), 5, bias_rate=bias_rate, **momentum)
    train(network, steps=5, own_rates=own_rates, **momentum)
    for ours, theirs in zip(network.get_weights(), expected, strict=True):
        assert np.allclose(ours, theirs, atol=1e-5)


def test_biases_and_offsets_of_norms_have_the_rate_of_biases_times_that_of_their_layer():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.SeparableConv2D(4, 3, name="low")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.LayerNormalization(name="last")(x))
    network = keras.Model(inputs, keras.layers.Dense(2, name="head")(x))
    network.get_layer("last").trainable = False
    found = list_own_rates(network, {"low": 0.5, "norm": 0.25}, 4)
    assert {variable.path: factor for variable, factor in found} == {
        "low/depthwise_kernel": 0.5, "low/pointwise_kernel": 0.5, "low/bias": 2,
        "norm/gamma": 0.25, "head/bias": 4,
    }  # fmt: skip
    assert list_own_rates(network, {}, 1) == []


def test_rates_that_are_zero_are_refused():
    phases = [Phase(frozenset(), rates={"low": 0.5})]
    check_rates(phases, 0.1, 64)
    with pytest.raises(SpecError, match="the lowest layer would have a learning rate of 5e-39"):
        check_rates(phases, 1e-38, 1)
    with pytest.raises(SpecError, match="biases would have a learning rate of 5e-39") as answer:
        check_rates(phases, 1e-37, 0.1)
    assert answer.value.hint == "a larger optimizer.bias_rate"


def test_average_is_the_one_of_numpy():
    network = linear()
    average = WeightAverage(network, 0.3)
    expected = network.get_weights()
    for step in range(1, 6):
        train(network, steps=1)
        average.update()
        keep = min(0.3, (1 + step) / (10 + step))
        pairs = zip(expected, network.get_weights(), strict=True)
        expected = [keep * mean + (1 - keep) * weight for mean, weight in pairs]
    assert keep == 0.3
    for ours, theirs in zip(average.means, expected, strict=True):
        assert np.allclose(ours, theirs, atol=1e-6)


def test_step_updates_the_average_after_the_weights():
    network = linear()
    average = WeightAverage(network, 0.99)
    first = network.get_weights()
    train(network, steps=1, average=average)
    expected = [2 / 11 * a + 9 / 11 * b for a, b in zip(first, network.get_weights(), strict=True)]
    for ours, theirs in zip(average.means, expected, strict=True):
        assert np.allclose(ours, theirs, atol=1e-6)


def test_average_holds_the_statistics_of_batch_norm_and_no_seeds():
    inputs = keras.Input((5,))
    x = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(inputs))
    average = WeightAverage(keras.Model(inputs, x), 0.9)
    names = [variable.name for variable in average.means]
    assert names == ["gamma", "beta", "moving_mean", "moving_variance"]


def test_average_is_in_place_within_the_block_only():
    network = linear()
    average = WeightAverage(network, 0.99)
    mean = [v.numpy() for v in average.means]
    train(network, steps=2)
    own = network.get_weights()
    with average.swapped_in():
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
    logs = train(both, steps=1, micro_batches=pieces, auxiliary=(0.3,))
    kernel, _ = softmax_regression(*before, steps=1)
    moved = both.get_layer("auxiliary").get_weights()[0] - before[0]
    assert np.allclose(moved, 0.3 * (kernel - before[0]), atol=1e-6)
    assert np.allclose(network.get_weights()[0], alone, atol=1e-6)
    assert logs[0][0] > logs[0][1]


@pytest.mark.parametrize("xla", [False, True])
def test_losses_that_layers_add_are_part_of_the_objective(xla):
    inputs = keras.Input((5,))
    head = keras.layers.Dense(3, name="head", activity_regularizer=keras.regularizers.L2(0.1))
    keras.utils.set_random_seed(0)
    network = keras.Model(inputs, head(inputs))
    logits = IMAGES @ network.get_weights()[0]
    ((objective, cross_entropy, _),) = train(network, steps=1, xla=xla)
    assert objective - cross_entropy == pytest.approx(0.1 * (logits**2).sum() / 12, rel=1e-4)


@pytest.mark.parametrize("pieces", [2, 3])
def test_micro_batches_that_xla_compiles_make_the_same_step(pieces):
    one, other = linear(), linear()
    train(one, micro_batches=pieces)
    train(other, micro_batches=pieces, xla=True)
    for ours, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        assert np.allclose(ours, theirs, atol=1e-6)


def test_number_that_a_layer_counts_is_no_seed():
    class Counting(keras.layers.Layer):
        def build(self, shape):
            self.calls = self.add_weight((), "zeros", "int32", trainable=False)

        def call(self, inputs):
            self.calls.assign(self.calls + 1)
            return inputs

    inputs = keras.Input((5,))
    counting = Counting()
    keras.utils.set_random_seed(0)
    train(keras.Model(inputs, keras.layers.Dense(3)(counting(inputs))), steps=3)
    assert int(counting.calls.numpy()) == 3
