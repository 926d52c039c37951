"""Operations that several families share and for which Keras has no layer.

They are built from `keras.ops`, so that a saved network loads without our code.
"""

import keras
from keras import ops


def local_response_norm(
    x: keras.KerasTensor,
    size: int = 5,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
) -> keras.KerasTensor:
    """Divide every value of x (B, H, W, C) by (k + alpha * s) ** beta; keep its shape and dtype.

    s is the sum of the squares at the same place in the `size` channels around it; channels beyond
    the ends count as zero (Krizhevsky et al. 2012, section 3.3; unlike Caffe, they do not divide by
    `size`). It is computed in float32, because squares soon leave the range of float16.
    """
    dtype = keras.backend.standardize_dtype(x.dtype)
    wide = x if dtype == "float32" else ops.cast(x, "float32")
    before = size // 2
    squares = ops.pad(ops.square(wide), [[0, 0]] * 3 + [[before, size - 1 - before]])
    total = sum(squares[..., start : start + x.shape[-1]] for start in range(size))
    normed = wide * ops.power(k + alpha * total, -beta)
    return normed if dtype == "float32" else ops.cast(normed, dtype)
