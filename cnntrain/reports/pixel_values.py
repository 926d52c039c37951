"""Draw a small image with the value of every pixel written into it."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from cnntrain.errors import SpecError
from cnntrain.reports.contact_sheet import INK, LINE_HEIGHT, MARGIN, PAPER, choose_font, wrap_line

LARGEST_SIDE = 64  # pixels
CELL_WIDTH, CELL_LINE = 28, 14  # of a pixel on the sheet, and of each number in it
BRIGHT = 140  # from here on, numbers are black


def draw_pixel_values(image: np.ndarray, title: Sequence[str]) -> Image.Image:
    """Return a picture of an image (H, W, 1 or 3) uint8: a cell a pixel, a number a channel.

    Raises SpecError for an image that is larger than 64x64.
    """
    height, width, channels = image.shape
    if max(height, width) > LARGEST_SIDE:
        raise SpecError(
            f"--values writes into {height}x{width} pixels",
            f"at most {LARGEST_SIDE}x{LARGEST_SIDE}",
            "'dataset.image_size=[28,28]'",
        )
    font, small = choose_font(title), choose_font(["0"])
    tall = max(2, channels) * CELL_LINE
    lines = [part for line in title for part in wrap_line(line, font, width * CELL_WIDTH)]
    top = MARGIN + len(lines) * LINE_HEIGHT + MARGIN // 2
    size = (width * CELL_WIDTH + 2 * MARGIN, top + height * tall + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        draw.text((MARGIN, MARGIN + number * LINE_HEIGHT), line, INK, font)
    for row, column in np.ndindex(height, width):
        pixel = image[row, column]
        left, upper = MARGIN + column * CELL_WIDTH, top + row * tall
        colour = tuple(int(value) for value in np.broadcast_to(pixel, 3))
        draw.rectangle((left, upper, left + CELL_WIDTH - 1, upper + tall - 1), colour)
        text, ink = "\n".join(map(str, pixel)), 0 if pixel.mean() >= BRIGHT else 255
        middle = (left + CELL_WIDTH / 2, upper + tall / 2)
        draw.text(middle, text, (ink,) * 3, small, anchor="mm", align="center", spacing=0)
    return sheet
