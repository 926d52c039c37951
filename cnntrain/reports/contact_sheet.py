"""Contact sheets: many images with a line or two under each, as one picture in a new file."""

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

# All lengths are in pixels. Small images are enlarged to about 112, and large ones reduced to 256.
ENLARGED_SIDE, REDUCED_SIDE = 112, 256
MARGIN, GAP, BETWEEN = 16, 4, 24  # around the sheet, between the tiles of a block, between blocks
APART = 8  # added to GAP between the first tile of a block and the others
PAPER, INK = (238, 238, 238), (20, 20, 20)  # not white and black, which edges of images often are
TEXT_SIZE, LINE_HEIGHT = 13, 17
# Fonts to look for if a text is not ASCII: Pillow's own font has no other letters.
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
    """Return a picture of blocks, each a row of tiles, with `across` blocks beside each other.

    All images must have the same size. Small ones are enlarged by a whole factor, without
    smoothing. The lines of `title` stand on top.
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
    """Return Pillow's own font, or for texts that are not ASCII one of FONTS if it is installed."""
    for name in () if all(text.isascii() for text in texts) else FONTS:
        with contextlib.suppress(OSError):
            return ImageFont.truetype(name, TEXT_SIZE)
    return ImageFont.load_default(TEXT_SIZE)


def choose_tile_size(image: np.ndarray) -> tuple[int, int]:
    """Return the (width, height) in pixels at which images of this shape are shown."""
    height, width = image.shape[:2]
    longer = max(height, width)
    scale = (
        REDUCED_SIDE / longer if longer > REDUCED_SIDE else max(1, round(ENLARGED_SIDE / longer))
    )
    return max(1, round(width * scale)), max(1, round(height * scale))


def resize_tile(image: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """Return an image (H, W, 1 or 3) uint8 at a size (width, height), smoothed only if reduced."""
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
    """Draw lines below each other from a corner (x, y), each cut to `width` pixels."""
    for number, line in enumerate(lines):
        shown = line
        while shown and font.getlength(shown) > width:
            shown = shown[:-2] + "…"
        draw.text((corner[0], corner[1] + number * LINE_HEIGHT), shown, INK, font)


def wrap_line(line: str, font: Font, width: int) -> Sequence[str]:
    """Return a line as lines that are no wider than `width` pixels, broken between words."""
    lines = [""]
    for word in line.split(" "):
        longer = f"{lines[-1]} {word}".lstrip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def choose_picture_file(
    stem: str, output: str | None, suffix: str = ".png", flag: str = "--output"
) -> Path:
    """Return the file to write: `output`, or the first of STEM.png, STEM_2.png, … that is free.

    Raises SpecError if it cannot be written, does not end in `suffix`, or exists: no picture
    replaces another. `flag` is where `output` comes from.
    """
    names = itertools.chain([stem], (f"{stem}_{number}" for number in itertools.count(2)))
    free = next(f"{name}{suffix}" for name in names if not Path(f"{name}{suffix}").exists())
    file = Path(free) if output is None else expand_folder(output, flag)
    if file.suffix != suffix:
        raise SpecError(
            f"{flag} is {output or 'empty'}", f"a file that ends in {suffix}", f"{flag} {free}"
        )
    if file.exists():
        raise SpecError(f"{flag} is {file}, which already exists", "a new file", f"{flag} {free}")
    if not (file.parent.is_dir() and os.access(file.parent, os.W_OK)):
        what = "cannot be written to" if file.parent.is_dir() else "does not exist"
        raise SpecError(
            f"{file.parent}, the folder of the picture, {what}", "a folder that you may write to"
        )
    return file


def save_picture(sheet: Image.Image, file: Path) -> None:
    """Write a picture to a new PNG, as `write_new_file` does."""
    content = io.BytesIO()
    sheet.save(content, "png")
    write_new_file(content.getvalue(), file)


def write_new_file(content: bytes, file: Path) -> None:
    """Write a new file, whole or not at all; raise SpecError if it cannot be made."""
    try:
        stream = file.open("xb")  # not write_whole: what came there meanwhile is not replaced
    except OSError as error:
        raise SpecError(f"{file} cannot be made: {error.strerror}", "a new file") from error
    with stream:
        try:
            stream.write(content)
        except BaseException:
            file.unlink()
            raise
