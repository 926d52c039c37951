"""Regularisation and clipping against numpy; biases and norms are exempt."""

import keras
import numpy as np
import pytest

from cnntrain.spec import option_files

GRADIENT = np.array([[0.9], [100.0]], "float32")


def network():
    keras.utils.clear_session()
    inputs = keras.Input((2,))
    x = keras.layers.Dense(1, kernel_initializer="ones", bias_initializer="ones")(inputs)
    return keras.Model(inputs, keras.layers.BatchNormalization()(x))


def stepped(spec, *overrides, gradient=GRADIENT):
    """Apply one gradient to the kernel, zero to the rest; return how each variable changed."""
    model = network()
    chosen = spec(*overrides)
    rate = spec("schedule=constant").schedule(chosen.optimizer["learning_rate"], 10, 100)
    optimizer = chosen.optimizer(model, rate)
    before = [v.numpy() for v in model.trainable_variables]
    gradients = [keras.ops.zeros(v.shape) for v in model.trainable_variables]
    gradients[0] = keras.ops.convert_to_tensor(gradient)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    after = [v.numpy() for v in model.trainable_variables]
    return [b - a for a, b in zip(before, after, strict=True)]


SGD = ("optimizer=sgd", "optimizer.momentum=0", "optimizer.learning_rate=1")


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        ("clip_norm=1", [0.00899964, 0.9999595]),
        ("global_clip_norm=1", [0.00899964, 0.9999595]),
        ("clip_value=1", [0.9, 1.0]),
    ],
)
def test_gradients_are_clipped(spec, clip, expected):
    kernel, *_ = stepped(spec, *SGD, f"optimizer.{clip}")
    assert np.allclose(-kernel[:, 0], expected, atol=1e-6)


def test_decoupled_decay_shrinks_kernels_only(spec):
    kernel, bias, gamma, beta = stepped(
        spec, *SGD, "optimizer.weight_decay=0.1", gradient=np.zeros((2, 1), "float32")
    )
    assert np.allclose(kernel, -0.1)
    assert not bias.any()
    assert not gamma.any()
    assert not beta.any()


@pytest.mark.parametrize(("l1", "l2"), [(0.1, 0), (0, 0.01), (0.1, 0.01)])
def test_l1_and_l2_are_in_the_loss_of_kernels_only(spec, l1, l2):
    model = network()
    model.layers[1].kernel.assign([[2.0], [-3.0]])
    rate = spec().schedule(1.0, 10, 100)
    spec(f"optimizer.l1={l1}", f"optimizer.l2={l2}").optimizer(model, rate)
    assert float(sum(model.losses)) == pytest.approx(l1 * 5 + l2 * 13)


def test_momentum_is_classical_or_nesterov(spec):
    plain, *_ = stepped(spec, *SGD[::2], "optimizer.momentum=0.9")
    nesterov, *_ = stepped(spec, *SGD[::2], "optimizer.momentum=0.9", "optimizer.nesterov=true")
    assert np.allclose(-plain, GRADIENT)
    assert np.allclose(-nesterov, 1.9 * GRADIENT)


@pytest.mark.parametrize("option", sorted(option_files.find_option_files("optimizer")))
def test_every_optimizer_moves_against_the_gradient(spec, option):
    kernel, bias, *_ = stepped(spec, f"optimizer={option}")
    assert (kernel < 0).all()
    assert not bias.any()
