"""Images in rows with a line or two under each, as one picture, in a new file."""

import contextlib
import io
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cnntrain.errors import SpecError
from cnntrain.files.paths import expand_folder

ENLARGED_SIDE, REDUCED_SIDE = (
    112,
    256,
)  # pixels: images are enlarged to about the one, reduced to the other
MARGIN, GAP, BETWEEN = 16, 4, 24  # around the sheet, between the tiles of a block, between blocks
APART = 8  # more, between the first tile of a block and the others
PAPER, INK = (238, 238, 238), (20, 20, 20)  # neither black nor white, as the edges of images are
TEXT_SIZE, LINE_HEIGHT = 13, 17  # the size of the letters, and from one line to the next
# Looked for where Pillow's own font lacks letters: it has those of ASCII.
FONTS = ("NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "DejaVuSans.ttf", "arial.ttf")

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class CaptionedImage:
    """An image (H, W, C) uint8, grey or RGB, and the lines under it."""

    image: np.ndarray
    lines: Sequence[str]


def draw_contact_sheet(
    title: Sequence[str], blocks: Sequence[Sequence[CaptionedImage]], across: int
) -> Image.Image:
    """Return a picture of blocks, each a row of tiles, so many beside each other.

    All images have one size. Small ones are enlarged by a whole number, without smoothing.
    """
    font = choose_font([*title, *(line for b in blocks for tile in b for line in tile.lines)])
    wide, tall = size = choose_tile_size(blocks[0][0].image)
    deep = max(len(tile.lines) for block in blocks for tile in block) * LINE_HEIGHT + GAP
    block_width = len(blocks[0]) * (wide + GAP) - GAP + (APART if len(blocks[0]) > 1 else 0)
    across = min(across, len(blocks))
    width = across * (block_width + BETWEEN) - BETWEEN
    text = [part for line in title for part in wrap_line(line, font, width)]
    top = MARGIN + len(text) * LINE_HEIGHT + BETWEEN // 2
    height = -(-len(blocks) // across) * (tall + deep + GAP)
    sheet = Image.new("RGB", (width + 2 * MARGIN, top + height + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    write_lines(draw, text, (MARGIN, MARGIN), font, width)
    for number, block in enumerate(blocks):
        x = MARGIN + number % across * (block_width + BETWEEN)
        y = top + number // across * (tall + deep + GAP)
        for place, tile in enumerate(block):
            left = x + place * (wide + GAP) + (APART if place else 0)
            sheet.paste(resize_tile(tile.image, size), (left, y))
            write_lines(draw, tile.lines, (left, y + tall + GAP // 2), font, wide)
    return sheet


def choose_font(texts: Sequence[str]) -> Font:
    """The same font everywhere, unless it lacks letters and the machine has one that may not."""
    for name in () if all(text.isascii() for text in texts) else FONTS:
        with contextlib.suppress(OSError):
            return ImageFont.truetype(name, TEXT_SIZE)
    return ImageFont.load_default(TEXT_SIZE)


def choose_tile_size(image: np.ndarray) -> tuple[int, int]:
    """The (width, height) that images of this shape are shown at."""
    height, width = image.shape[:2]
    longer = max(height, width)
    scale = (
        REDUCED_SIDE / longer if longer > REDUCED_SIDE else max(1, round(ENLARGED_SIDE / longer))
    )
    return max(1, round(width * scale)), max(1, round(height * scale))


def resize_tile(image: np.ndarray, size: tuple[int, int]) -> Image.Image:
    photo = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    grows = size[0] >= photo.size[0]
    return photo.resize(size, Image.Resampling.NEAREST if grows else Image.Resampling.BOX)


def write_lines(
    draw: ImageDraw.ImageDraw,
    lines: Sequence[str],
    corner: tuple[int, int],
    font: Font,
    width: int,
) -> None:
    """Write lines from a corner down, each cut where it would be wider than `width`."""
    for number, line in enumerate(lines):
        shown = line
        while shown and font.getlength(shown) > width:
            shown = shown[:-2] + "…"
        draw.text((corner[0], corner[1] + number * LINE_HEIGHT), shown, INK, font)


def wrap_line(line: str, font: Font, width: int) -> Sequence[str]:
    """A line in pieces that are no wider than `width`, broken between words."""
    pieces = [""]
    for word in line.split(" "):
        longer = f"{pieces[-1]} {word}".lstrip()
        if font.getlength(longer) <= width or not pieces[-1]:
            pieces[-1] = longer
        else:
            pieces.append(word)
    return pieces


def choose_picture_file(stem: str, output: str | None) -> Path:
    """The PNG to make: `output`, or the first of STEM.png, STEM_2.png, … that is not there.

    Raises SpecError where it cannot be made, or is there: no picture replaces another.
    """
    names = itertools.chain([stem], (f"{stem}_{number}" for number in itertools.count(2)))
    free = next(name for name in names if not Path(f"{name}.png").exists())
    file = Path(f"{free}.png") if output is None else expand_folder(output, "--output")
    if file.suffix != ".png":
        raise SpecError(f"--output is {output or 'empty'}", "a file that ends in .png")
    if file.exists():
        raise SpecError(f"--output is {file}, which is there", "a new file", f"--output {free}.png")
    if not (file.parent.is_dir() and os.access(file.parent, os.W_OK)):
        what = "cannot be written to" if file.parent.is_dir() else "is not there"
        raise SpecError(f"{file.parent}, where the picture goes, {what}", "a folder of yours")
    return file


def save_picture(sheet: Image.Image, file: Path) -> None:
    """Write a picture into a new file: whole, or not at all."""
    content = io.BytesIO()
    sheet.save(content, "png")
    try:
        opened = file.open("xb")  # not write_whole: what came there meanwhile is not replaced
    except OSError as error:
        raise SpecError(f"{file} cannot be made: {error.strerror}", "a new file") from error
    with opened:
        try:
            opened.write(content.getbuffer())
        except BaseException:
            file.unlink()
            raise
