"""Muon against numpy: orthogonal updates of convolution kernels, SGD for everything else."""

import keras
import numpy as np
import pytest

from cnntrain.training.optimizers import Muon, _orthogonalise_matrix

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (6, 6)])
@pytest.mark.parametrize("scale", [1e-3, 1, 1e3])
def test_orthogonalised_matrix_has_its_directions_and_singular_values_near_one(shape, scale):
    matrix = RANDOM.normal(size=shape)
    found = np.asarray(_orthogonalise_matrix(keras.ops.cast(scale * matrix, "float32"), 5))
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    values = np.diag(left.T @ found @ right.T)
    assert values.min() > 0.6
    assert values.max() < 1.3
    np.testing.assert_allclose(left @ np.diag(values) @ right, found, atol=1e-4)


def test_gradient_of_zeros_gives_no_update():
    assert not np.asarray(_orthogonalise_matrix(keras.ops.zeros((3, 5)), 3)).any()


def newton_schulz(matrix, iterations):
    """The iteration as its author writes it, in float64."""
    x = matrix / np.linalg.norm(matrix)
    x = x.T if len(matrix) > len(matrix.T) else x
    for _ in range(iterations):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.T if len(matrix) > len(matrix.T) else x


@pytest.mark.parametrize("normalise", [True, False])
def test_steps_are_those_of_the_formula(normalise):
    shapes = {"kernel": (3, 3, 2, 4), "head": (4, 5), "beta": (4,)}
    start = {name: RANDOM.normal(size=shape) for name, shape in shapes.items()}
    variables = [keras.Variable(value, dtype="float32", name=n) for n, value in start.items()]
    optimizer = Muon(0.1, 0.6, 3, normalise, sgd_factor=2.0, sgd_momentum=0.85)
    optimizer.build(variables)
    expected, velocity = dict(start), {name: 0 * value for name, value in start.items()}
    for _ in range(3):
        gradients = {name: RANDOM.normal(size=shape) for name, shape in shapes.items()}
        optimizer.apply([keras.ops.cast(g, "float32") for g in gradients.values()], variables)
        for name, gradient in gradients.items():
            momentum = 0.6 if name == "kernel" else 0.85
            velocity[name] = momentum * velocity[name] + gradient
            step = gradient + momentum * velocity[name]  # Nesterov
            if name != "kernel":
                expected[name] = expected[name] - 0.1 * 2.0 * step
                continue
            old = expected[name]
            if normalise:
                old = old * np.sqrt(4) / np.linalg.norm(old)
            update = newton_schulz(step.reshape(-1, 4).T, 3).T.reshape(step.shape)
            expected[name] = old - 0.1 * update
    for variable, value in zip(variables, expected.values(), strict=True):
        np.testing.assert_allclose(variable.numpy(), value, atol=2e-5)
