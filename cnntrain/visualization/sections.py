"""The sections that `cnntrain look` shows, made of rows of tiles, for the page and for PNGs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import matplotlib as mpl
import numpy as np
from PIL import Image

MAX_MAP_SIDE = 224  # pixels; larger maps are shrunk to it


@dataclass(frozen=True)
class Tile:
    """An image (H, W, 1 or 3) uint8, its caption, and the kernel (h, w, 1 or 3) that made it."""

    image: np.ndarray
    caption: str = ""
    kernel: np.ndarray | None = None
    exact: bool = False  # whether the page must show it without losses


@dataclass(frozen=True)
class TileRow:
    """Tiles beside each other under a label."""

    label: str
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Section:
    """A heading, an explanation, and rows of tiles, `across` of them beside each other."""

    key: str  # the name of its PNG
    heading: str
    text: str
    rows: Sequence[TileRow] = field(default=())
    across: int = 4


def render_signed_map(values: np.ndarray) -> np.ndarray:
    """Return a map (h, w) as a grey image (h, w, 1) uint8.

    Black is 0; if the map has negative values, 0 is the middle grey. The largest 0.5 % of values
    are clipped, because they would leave the rest without contrast.
    """
    largest = np.percentile(np.abs(values), 99.5) or np.abs(values).max() or 1
    zero, room = (127.5, 127.5) if values.min() < 0 else (0, 255)
    return render_brightness(zero + room * values / largest)


def render_brightness(values: np.ndarray) -> np.ndarray:
    """Return a map (h, w) of brightness, from 0 to 255, as a grey image (h, w, 1) uint8."""
    return shrink_image(np.clip(np.round(values), 0, 255).astype(np.uint8)[..., np.newaxis])


def render_colors(values: np.ndarray, colours: str = "viridis") -> np.ndarray:
    """Return a map (h, w) as an image (h, w, 3) uint8: the colours span its range of values."""
    span = np.ptp(values) or 1
    scaled = (values - values.min()) / span
    return shrink_image(np.round(255 * mpl.colormaps[colours](scaled)[..., :3]).astype(np.uint8))


def shrink_image(image: np.ndarray) -> np.ndarray:
    """Return an image (H, W, C) uint8, shrunk so that no side is longer than 224 pixels."""
    scale = MAX_MAP_SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    photo = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
    return np.asarray(photo.resize((width, height), Image.Resampling.BOX)).reshape(
        height, width, -1
    )
