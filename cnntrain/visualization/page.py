"""Write what `cnntrain look` finds in one picture: look.html, look.json and PNGs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from cnntrain.files.documents import write_json
from cnntrain.files.writing import replace_by_file
from cnntrain.inference.predict_report import explain_refusal
from cnntrain.reports import figures, webpage
from cnntrain.reports.run_page import MAX_PIXELATED_SIDE, encode_data_uri
from cnntrain.terminal.units import format_percent
from cnntrain.visualization.folder import OutputFolder
from cnntrain.visualization.look import inspect_picture
from cnntrain.visualization.options import InspectionOptions
from cnntrain.visualization.sections import Section, Tile
from cnntrain.visualization.subject import Subject

# The side of a tile in inches, by how many tiles are beside each other.
TILE_SIDES = {3: 3.2, 4: 2.4, 6: 1.6, 8: 1.35}
TEXT_LINE_HEIGHT, GAP = 0.24, 0.04  # inches for a line of text, and around a tile
KERNEL_LINE_HEIGHT = 0.42  # inches for a line with a kernel
LETTERS_PER_INCH = 17  # of a caption, in an inch


@figures.use_default_style()
def write_look_page(
    folder: Path, described: str, facts: Mapping[str, Any], sections: Sequence[Section]
) -> None:
    """Write the page, a PNG of each section, and the adversarial image, pixel for pixel."""
    webpage.write_page(
        folder / "look.html", "look.html.j2", build_look_context(described, facts, sections)
    )
    for section in sections:
        figures.save_figure(draw_section(section), folder / f"{section.key}.png")
    if "adversarial" not in facts:
        return
    adversarial = sections[-1].rows[0].tiles[-1].image
    with replace_by_file(folder / "misread.png") as file:
        Image.fromarray(squeeze_grey(adversarial)).save(file, "png")


def build_look_context(
    described: str, facts: Mapping[str, Any], sections: Sequence[Section]
) -> dict[str, Any]:
    """Return the variables of the template look.html.j2."""
    name, truth = Path(facts["image"]).name, facts["truth"]
    lead = "It puts out features of the picture, and no classes."
    if facts["classes"]:
        best = facts["classes"][0]
        lead = f"{best['name']}, {format_percent(best['probability'])}"
        if facts.get("refused"):
            refusal = explain_refusal(facts["unfamiliarity"])
            lead = f"{refusal[0].upper()}{refusal[1:]}; the likeliest class is {lead}"
        lead += f"; it is labelled {truth}." if truth else "."
    return {
        "command": facts["command"],
        "title": f"What the network sees in {'a picture' if name == '-' else name}",
        "eyebrow": described,
        "lead": lead,
        "classes": [
            {**row, "percent": format_percent(row["probability"])} for row in facts["classes"]
        ],
        "calibrated_on": facts.get("calibrated_on"),
        "left_out": facts["left_out"],
        "sections": [describe_section(section) for section in sections],
    }


def describe_section(section: Section) -> dict[str, Any]:
    """Return what the template shows of a section."""
    rows = [{"label": r.label, "tiles": [describe_tile(t) for t in r.tiles]} for r in section.rows]
    return {"heading": section.heading, "text": section.text, "rows": rows,
            "across": section.across}  # fmt: skip


def describe_tile(tile: Tile) -> dict[str, Any]:
    """Return what the template shows of a tile, its images as data URIs."""
    kernel = None if tile.kernel is None else encode_data_uri(convert_kernel_to_image(tile.kernel))
    return {
        "image": encode_data_uri(tile.image, tile.exact),
        "pixelated": max(tile.image.shape[:2]) <= MAX_PIXELATED_SIDE,
        "caption": tile.caption,
        "kernel": kernel,
    }


def convert_kernel_to_image(kernel: np.ndarray) -> np.ndarray:
    """Return a kernel (h, w, 1 or 3) as an image of that shape."""
    return figures.convert_kernels_to_images(kernel[np.newaxis])[0]


def squeeze_grey(image: np.ndarray) -> np.ndarray:
    """Return a grey image (H, W, 1) as (H, W), and any other as it is."""
    return image[..., 0] if image.shape[-1] == 1 else image


def draw_section(section: Section) -> Figure:
    """Return a figure of the rows of a section, each under its label; all lengths are in inches."""
    under = (
        KERNEL_LINE_HEIGHT
        if any(tile.kernel is not None for tile in section.rows[0].tiles)
        else TEXT_LINE_HEIGHT
    )
    across, side = section.across, TILE_SIDES[section.across]
    shapes = [tile.image.shape for row in section.rows for tile in row.tiles]
    tall = side * min(1, max(shape[0] / shape[1] for shape in shapes))
    figure = Figure()
    axes, y = figure.add_axes((0, 0, 1, 1)), GAP
    for row in section.rows:
        if row.label:
            draw_text(axes, GAP, y + TEXT_LINE_HEIGHT / 2, row.label, 9)
            y += TEXT_LINE_HEIGHT
        for number, tile in enumerate(row.tiles):
            line, place = divmod(number, across)
            draw_tile(
                axes, tile, place * side + GAP, y + line * (tall + under), side - 2 * GAP, tall
            )
        y += -(-len(row.tiles) // across) * (tall + under)
    figure.set_size_inches(across * side, y)
    axes.set(xlim=(0, across * side), ylim=(y, 0), aspect="auto")
    axes.axis("off")
    return figure


def draw_tile(axes: Any, tile: Tile, x: float, y: float, side: float, tall: float) -> None:
    """Draw a tile with its upper left corner at (x, y), and under it its kernel and caption.

    The tile fits into `side` by `tall`. All lengths are in inches.
    """
    height, width = tile.image.shape[:2]
    scale = min(side / width, (tall - 2 * GAP) / height)
    width, height = width * scale, height * scale
    draw_image(axes, tile.image, x, y, width, height)
    under, left = y + height + 0.5 * TEXT_LINE_HEIGHT, 0.0
    if tile.kernel is not None:
        under, left = y + height + 0.5 * KERNEL_LINE_HEIGHT, 0.8 * KERNEL_LINE_HEIGHT
        edge = KERNEL_LINE_HEIGHT - 2 * GAP
        draw_image(axes, convert_kernel_to_image(tile.kernel), x, under - edge / 2, edge, edge)
    room = int((side - left) * LETTERS_PER_INCH)
    text = tile.caption if len(tile.caption) <= room else f"{tile.caption[: room - 1]}…"
    draw_text(axes, x + left, under, text, 7)


def draw_image(
    axes: Any, image: np.ndarray, x: float, y: float, width: float, height: float
) -> None:
    """Draw an image (H, W, C) uint8 with its upper left corner at (x, y); lengths are in inches."""
    interpolation = "nearest" if max(image.shape[:2]) <= MAX_PIXELATED_SIDE else "antialiased"
    extent = (x, x + width, y + height, y)
    axes.imshow(
        squeeze_grey(image),
        cmap="gray",
        vmin=0,
        vmax=255,
        interpolation=interpolation,
        extent=extent,
    )


def draw_text(axes: Any, x: float, y: float, text: str, size: int) -> None:
    """Draw a line of text, vertically centred at `y`, in `size` points.

    `$` starts no formula in it, for the name of a class may contain anything.
    """
    axes.text(x, y, text, fontsize=size, color=figures.INK, va="center", parse_math=False)


def write_look(
    subject: Subject,
    pixels: np.ndarray,
    options: InspectionOptions,
    folder: OutputFolder,
    origin: Mapping[str, Any],
) -> dict[str, Any]:
    """Inspect a picture (H, W, C) uint8, write all files into `folder`; return look.json's facts.

    `origin` are facts on where the picture comes from: `command`, `image` and `truth`.
    """
    facts, sections = inspect_picture(subject, pixels, options)
    facts = {**origin, **subject.facts, "folder": str(folder.path), **facts}
    with folder.open_draft_folder() as draft:
        write_look_page(draft, subject.described, facts, sections)
        write_json(draft / "look.json", facts)
    return facts
