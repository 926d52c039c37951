"""Views of an image whose logits are averaged, as airbench94 evaluates (Jordan 2024).

The paper is arXiv:2404.00498. A network that was trained on mirrored and shifted images judges
these a little better together than the image alone.
"""

from collections.abc import Iterator

import numpy as np

# The setting `test_views`, or `--views` -> the weight of each view, the pixels by which the image
# is moved down and right, and whether it is mirrored then.
VIEWS: dict[str, tuple[tuple[float, int, bool], ...]] = {
    "none": ((1, 0, False),),
    "mirrored": ((1 / 2, 0, False), (1 / 2, 0, True)),
    "mirrored_shifted": (
        (1 / 4, 0, False), (1 / 4, 0, True),
        (1 / 8, -1, False), (1 / 8, -1, True),
        (1 / 8, 1, False), (1 / 8, 1, True),
    ),
}  # fmt: skip


def make_views(images: np.ndarray, views: str) -> Iterator[np.ndarray]:
    """Yield each of the `VIEWS` of images (B, H, W, C), in the same shape."""
    for _, shift, is_mirrored in VIEWS[views]:
        shifted = shift_images(images, shift)
        yield np.ascontiguousarray(shifted[:, :, ::-1] if is_mirrored else shifted)


def shift_images(images: np.ndarray, shift: int) -> np.ndarray:
    """Return images (B, H, W, C) moved down and right by -1, 0 or 1 pixel.

    Pixels beyond the edge are reflected.
    """
    if shift == 0:
        return images
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    begin, (height, width) = 1 - shift, images.shape[1:3]
    return padded[:, begin : begin + height, begin : begin + width]


def average_outputs(outputs: list[np.ndarray], views: str) -> np.ndarray:
    """Return the weighted mean (B, units) of a network's outputs for each view, as float64."""
    if len(outputs) == 1:
        return outputs[0]  # features of frozen layers are large, and need no copy
    weights = [weight for weight, *_ in VIEWS[views]]
    return np.average(np.stack(outputs).astype(np.float64), axis=0, weights=weights)


def describe_views(views: str) -> str:
    """Return the name of views as words: `mirrored and shifted`."""
    return views.replace("_", " and ")
