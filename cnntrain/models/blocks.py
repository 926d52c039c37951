"""What networks of several families are built from; no network itself."""

import keras
from keras import ops


def local_response_norm(x: keras.KerasTensor) -> keras.KerasTensor:
    """Divide each value of (B, H, W, C) by what lies in the five maps round it.

    x / (2 + 1e-4 * sum of five squares)^0.75, fewer at the first and last maps: Krizhevsky et al.
    2012, section 3.3, with n = 5, k = 2, alpha = 1e-4 and beta = 0.75. Alpha multiplies the sum,
    as in the paper; Caffe's multiplies the mean. Computed in float32: half precision overflows.
    """
    maps, precision = x.shape[-1], keras.backend.standardize_dtype(x.dtype)
    x = ops.cast(x, "float32")
    squares = ops.pad(ops.square(x), [[0, 0], [0, 0], [0, 0], [2, 2]])  # (B, H, W, 2 + C + 2)
    total = squares[..., :maps]
    for shift in range(1, 5):
        total = total + squares[..., shift : shift + maps]
    return ops.cast(x / (2 + 1e-4 * total) ** 0.75, precision)
