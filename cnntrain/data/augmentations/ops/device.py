"""Change a batch on the device, in `keras.ops` on static shapes: the same bytes as on the host.

Only integers are computed with, and sums of floats that the host has multiplied: a compiler may
fuse a product with a sum, which rounds once instead of twice.
"""

from typing import Any

from cnntrain.data.augmentations.ops.crops import Border

Tensor = Any  # of the backend that Keras runs on


def gather_windows(
    images: Tensor, down: Tensor, right: Tensor, flips: Tensor, border: Border
) -> Tensor:
    """Return from each image (B, H, W, C) the window of its own size at (`down`, `right`).

    These are (B,) int32 and may be negative. `border` says what lies beyond the edges. Windows
    where `flips` (B,) is true are mirrored left to right.
    """
    from keras import ops

    count, height, width, channels = images.shape
    across = ops.arange(width, dtype="int32")
    across = ops.where(flips[:, None], width - 1 - across, across) + right[:, None]  # (B, W)
    along = ops.arange(height, dtype="int32") + down[:, None]  # (B, H)
    if border == "reflect":
        along, across = reflect_places(along, height), reflect_places(across, width)
    y, x = ops.clip(along, 0, height - 1), ops.clip(across, 0, width - 1)
    first = ops.arange(count, dtype="int32")[:, None] * height  # the rows of earlier images
    places = ((first + y) * width)[:, :, None] + x[:, None, :]  # (B, H, W)
    windows = ops.take(ops.reshape(images, (-1, channels)), places, axis=0)
    if border != "black":
        return windows
    inside = ops.equal(along, y)[:, :, None] & ops.equal(across, x)[:, None, :]
    return ops.where(inside[..., None], windows, ops.cast(0, images.dtype))


def reflect_places(places: Tensor, length: int) -> Tensor:
    """Return which of `length` pixels are seen at places int32, which may lie beyond the edges."""
    from keras import ops

    period = max(1, 2 * (length - 1))
    return ops.minimum(ops.mod(places, period), ops.mod(-places, period))


def cover_rectangles(
    images: Tensor, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor, content: Tensor | int
) -> Tensor:
    """Return images (B, H, W, C) that show `content` in a rectangle.

    The sides of the rectangles are (B,) or (1,) int32, and may lie beyond the edges. `content` is
    one grey level, or images like `images`.
    """
    from keras import ops

    _, height, width, _ = images.shape
    y, x = ops.arange(height, dtype="int32"), ops.arange(width, dtype="int32")
    tall = (y >= top[:, None]) & (y < bottom[:, None])
    wide = (x >= left[:, None]) & (x < right[:, None])
    covered = tall[:, :, None, None] & wide[:, None, :, None]
    return ops.where(covered, ops.cast(content, images.dtype), images)


def take_images(images: Tensor, rows: Tensor) -> Tensor:
    """Return the images `rows` (B,) int32 of images (N, H, W, C)."""
    from keras import ops

    return ops.take(images, rows, axis=0)


def blend_images(
    images: Tensor, others: Tensor, own_levels: Tensor, other_levels: Tensor
) -> Tensor:
    """Return the sum of two batches, rounded, in which level v counts as the v-th of (256,)."""
    from keras import ops

    own = ops.take(own_levels, ops.cast(images, "int32"), axis=0)
    blended = own + ops.take(other_levels, ops.cast(others, "int32"), axis=0)
    return ops.cast(blended + 0.5, images.dtype)
