"""Rotate, shift, shear, zoom and mirror as Keras' ImageDataGenerator does.

The knobs are those of F. Chollet, "Building powerful image classification models using very
little data", 2016.
"""

from typing import Literal, NamedTuple

import numpy as np

from cnntrain.data.augmentations.ops import geometry
from cnntrain.spec.knobs import Fraction, NonNegative


def geometric(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    random: np.random.Generator,
    *,
    rotation: NonNegative,
    shift: Fraction,
    shear: NonNegative,
    zoom: Fraction,
    flip: Fraction,
    fill: Literal["nearest", "reflect", "constant"],
) -> tuple[np.ndarray, np.ndarray]:
    """Return images rotated by up to `rotation` degrees either way, shifted, sheared and zoomed.

    They shift by up to `shift` of their height and width, lean by an angle of up to `shear`
    radians, and show 1 - `zoom` to 1 + `zoom` times their height and, drawn independently, their
    width. `flip` is the probability of a mirror image. `fill` says what lies beyond the edges: the
    nearest pixel, the image mirrored, or black.
    """
    drawn = draw(len(images), random, rotation, shift, shear, zoom, flip)
    return geometry.warp_images(images, compose_maps(drawn, images.shape[1:3]), fill), labels


class AffineParameters(NamedTuple):
    """The random parameters of each image, each (B,).

    `degrees` counts counter-clockwise, `down` and `right` are shares of the size, `angles` are the
    shear in radians, `tall` and `wide` the shares of the size that are shown, `flips` is bool.
    """

    degrees: np.ndarray
    down: np.ndarray
    right: np.ndarray
    angles: np.ndarray
    tall: np.ndarray
    wide: np.ndarray
    flips: np.ndarray


def draw(
    count: int,
    random: np.random.Generator,
    rotation: float,
    shift: float,
    shear: float,
    zoom: float,
    flip: float,
) -> AffineParameters:
    """Draw the parameters of `count` images, evenly from the ranges that the knobs give."""
    ranges = np.array([rotation, shift, shift, shear, zoom, zoom])[:, None]
    degrees, down, right, angles, tall, wide = random.uniform(-1, 1, (6, count)) * ranges
    return AffineParameters(
        degrees, down, right, angles, 1 + tall, 1 + wide, random.random(count) < flip
    )


def compose_maps(drawn: AffineParameters, size: tuple[int, ...]) -> np.ndarray:
    """Return the affine maps (B, 3, 3) of the parameters, composed in Keras' order.

    Keras' shear also makes the image taller by 1 / cos(angle).
    """
    turned = geometry.make_rotation(drawn.degrees)
    moved = geometry.make_shift(drawn.down * size[0], drawn.right * size[1])
    leaning = geometry.make_shear(0, np.sin(drawn.angles))
    leaning = geometry.make_zoom(1 / np.cos(drawn.angles), 1) @ leaning
    zoomed = geometry.make_zoom(1 / drawn.tall, 1 / drawn.wide)
    return turned @ moved @ leaning @ zoomed @ geometry.make_flip(drawn.flips)
