"""Local response normalisation against TensorFlow's own, and against the formula."""

import keras
import numpy as np

from cnntrain.models.parts.blocks import local_response_norm


def test_local_response_norm_is_the_one_of_tensorflow():
    import tensorflow as tf

    maps = np.random.default_rng(0).normal(0, 100, (2, 3, 3, 7)).astype("float32")
    expected = tf.nn.local_response_normalization(maps, 2, bias=2.0, alpha=1e-4, beta=0.75)
    np.testing.assert_allclose(local_response_norm(keras.ops.array(maps)), expected, rtol=1e-5)


def test_local_response_norm_is_the_formula_of_the_paper():
    maps = np.array([10.0, 20, 30, 40, 50, 60]).reshape(1, 1, 1, 6)
    sums = [100 + 400 + 900, 3000, 5500, 9000, 8600, 1600 + 2500 + 3600]
    expected = maps.ravel() / (2 + 1e-4 * np.array(sums)) ** 0.75
    np.testing.assert_allclose(np.ravel(local_response_norm(keras.ops.array(maps))), expected, 1e-5)


def test_half_precision_stays_and_does_not_overflow():
    maps = np.full((1, 1, 1, 6), 1000, "float16")
    normed = local_response_norm(keras.ops.array(maps))
    assert keras.backend.standardize_dtype(normed.dtype) == "float16"
    np.testing.assert_allclose(np.ravel(normed)[2], 1000 / (2 + 500) ** 0.75, rtol=1e-3)
