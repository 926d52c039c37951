"""What a look at a picture shows: sections of rows of tiles, for the page and for PNGs alike."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import matplotlib as mpl
import numpy as np
from PIL import Image

MAX_MAP_SIDE = 224  # pixels: maps of larger pictures are shown smaller


@dataclass(frozen=True)
class Tile:
    """An image (H, W, 1 or 3) uint8, what stands under it, and the kernel that made it."""

    image: np.ndarray
    caption: str = ""
    kernel: np.ndarray | None = None
    exact: bool = False  # every pixel counts


@dataclass(frozen=True)
class TileRow:
    """Tiles beside each other, and what they are."""

    label: str
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Section:
    """A heading, what is to be known, and pictures, `across` of them beside each other."""

    key: str  # of the PNG
    heading: str
    text: str
    rows: Sequence[TileRow] = field(default=())
    across: int = 4


def render_signed_map(values: np.ndarray) -> np.ndarray:
    """A map (h, w) as grey (h, w, 1) uint8: black is 0; where some are negative, 0 is grey.

    Its few largest values are clipped; they would leave the rest without contrast.
    """
    largest = np.percentile(np.abs(values), 99.5) or np.abs(values).max() or 1
    zero, room = (127.5, 127.5) if values.min() < 0 else (0, 255)
    return render_brightness(zero + room * values / largest)


def render_brightness(values: np.ndarray) -> np.ndarray:
    """A map (h, w) of brightness as grey (h, w, 1) uint8."""
    return shrink_image(np.clip(np.round(values), 0, 255).astype(np.uint8)[..., np.newaxis])


def render_colors(values: np.ndarray, colours: str = "viridis") -> np.ndarray:
    """A map (h, w) as colours (h, w, 3) uint8, from its lowest value to its highest."""
    room = np.ptp(values) or 1
    shares = (values - values.min()) / room
    return shrink_image(np.round(255 * mpl.colormaps[colours](shares)[..., :3]).astype(np.uint8))


def shrink_image(image: np.ndarray) -> np.ndarray:
    """An image (H, W, C) uint8, no side longer than 224 pixels."""
    scale = MAX_MAP_SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    photo = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
    return np.asarray(photo.resize((width, height), Image.Resampling.BOX)).reshape(
        height, width, -1
    )
