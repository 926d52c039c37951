"""The gradient of a max pool without a scatter, for XLA on a GPU.

Where XLA must be deterministic, it may make of a scatter a loop that takes one element after
another (openxla/xla, pull request 17886). Sums of masks need no scatter.
"""

from itertools import product
from typing import Any

import keras
from keras import ops

from cnntrain.training.networks.replaced_calls import Call


def choose_pool_call(layer: keras.layers.Layer) -> Call | None:
    """Return `pool_by_masks` for a max pool of (B, H, W, C); None for other layers."""
    is_pool = type(layer) is keras.layers.MaxPooling2D
    return pool_by_masks if is_pool and layer.data_format == "channels_last" else None


def pool_by_masks(layer: keras.layers.MaxPooling2D, inputs: Any) -> Any:
    """Return what a max pool (B, H, W, C) does; its gradient is a sum of masks.

    As in TensorFlow, the first of equal values in a window, row by row, gets all of its gradient.
    """
    size, strides, padding = layer.pool_size, layer.strides, layer.padding
    height, width = inputs.shape[1:3]
    rows, columns = (
        find_margins(length, window, stride, padding)
        for length, window, stride in zip((height, width), size, strides, strict=True)
    )

    @ops.custom_gradient
    def pool(images: Any) -> Any:
        pooled = ops.max_pool(images, size, strides, padding)

        def differentiate(*arguments: Any, upstream: Any = None) -> Any:
            (gradient,) = arguments if upstream is None else (upstream,)
            padded = ops.pad(images, [(0, 0), rows, columns, (0, 0)], constant_values=float("-inf"))
            taken, total = ops.zeros_like(pooled, "bool"), ops.zeros_like(padded)
            for place in product(range(size[0]), range(size[1])):
                values = pick_from_windows(padded, place, strides, pooled.shape)
                is_first = ops.logical_and(values == pooled, ops.logical_not(taken))
                taken = ops.logical_or(taken, is_first)
                share = ops.where(is_first, gradient, ops.zeros_like(gradient))
                total += put_into_windows(share, place, strides, padded.shape)
            return total[:, rows[0] : rows[0] + height, columns[0] : columns[0] + width]

        return pooled, differentiate

    return pool(inputs)


def find_margins(length: int, window: int, stride: int, padding: str) -> tuple[int, int]:
    """Return how much `same` pads before and after `length` pixels; nothing for `valid`."""
    if padding == "valid":
        return 0, 0
    missing = max((-(-length // stride) - 1) * stride + window - length, 0)
    return missing // 2, missing - missing // 2


def pick_from_windows(
    images: Any, place: tuple[int, int], strides: tuple[int, int], shape: tuple[int, ...]
) -> Any:
    """Return the pixels (B, H', W', C) at a place in each window; `shape` is theirs."""
    rows, columns = (
        slice(first, first + (count - 1) * stride + 1, stride)
        for first, count, stride in zip(place, shape[1:3], strides, strict=True)
    )
    return images[:, rows, columns]


def put_into_windows(
    values: Any, place: tuple[int, int], strides: tuple[int, int], shape: tuple[int, ...]
) -> Any:
    """Return images of `shape` that have `values` (B, H', W', C) at a place in each window.

    All other pixels are 0.
    """
    count, (height, width), channels = ops.shape(values)[0], values.shape[1:3], values.shape[3]
    apart = [(0, 0), (0, 0), (0, strides[0] - 1), (0, 0), (0, strides[1] - 1), (0, 0)]
    spread = ops.pad(ops.reshape(values, (count, height, 1, width, 1, channels)), apart)
    spread = ops.reshape(spread, (count, height * strides[0], width * strides[1], channels))
    spread = spread[:, : shape[1] - place[0], : shape[2] - place[1]]
    missing = [shape[n + 1] - place[n] - spread.shape[n + 1] for n in (0, 1)]
    return ops.pad(spread, [(0, 0), (place[0], missing[0]), (place[1], missing[1]), (0, 0)])
