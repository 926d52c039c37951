"""look.html and the PNGs of a look at one picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from cnntrain.files.documents import write_json
from cnntrain.files.writing import replace_by_file
from cnntrain.inference.classifier import Classifier
from cnntrain.reports import figures, webpage
from cnntrain.reports.run_page import MAX_PIXELATED_SIDE, encode_data_uri
from cnntrain.runs.results import collect_settings
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import silence_stderr
from cnntrain.terminal.units import format_percent
from cnntrain.visualization.folder import OutputFolder
from cnntrain.visualization.options import InspectionOptions
from cnntrain.visualization.picture import PictureSource, load_pixels
from cnntrain.visualization.sections import Section, Tile

TILE_SIDES = {
    3: 3.2,
    4: 2.4,
    6: 1.6,
    8: 1.35,
}  # inches of a tile, by how many are beside each other
TEXT_LINE_HEIGHT, GAP = 0.24, 0.04  # inches for a line of text, and around a tile
KERNEL_LINE_HEIGHT = 0.42  # inches for a line with a kernel
LETTERS_PER_INCH = 17  # of a caption, in an inch


@figures.use_default_style()
def write_look_page(
    folder: Path, classifier: Classifier, facts: Mapping[str, Any], sections: Sequence[Section]
) -> None:
    """Write the page, a PNG of each section, and the misread picture, pixel for pixel."""
    webpage.write_page(
        folder / "look.html", "look.html.j2", build_look_context(classifier, facts, sections)
    )
    for section in sections:
        figures.save_figure(draw_section(section), folder / f"{section.key}.png")
    misread = sections[-1].rows[0].tiles[-1].image
    with replace_by_file(folder / "misread.png") as out:
        Image.fromarray(squeeze_grey(misread)).save(out, "png")


def build_look_context(
    classifier: Classifier, facts: Mapping[str, Any], sections: Sequence[Section]
) -> dict[str, Any]:
    """What the template shows."""
    chosen = collect_settings(classifier.config, classifier.record.get("overrides", ()))
    name, best, truth = Path(facts["image"]).name, facts["classes"][0], facts["truth"]
    return {
        "command": facts["command"],
        "title": f"What the network sees in {'a picture' if name == '-' else name}",
        "eyebrow": f"{classifier.folder.resolve().name} · {classifier.weights} weights · "
        f"{chosen['model']} on {chosen['dataset']}",
        "lead": f"{best['name']}, {format_percent(best['probability'])}"
        + (f"; it is labelled {truth}." if truth else "."),
        "classes": [
            {**row, "percent": format_percent(row["probability"])} for row in facts["classes"]
        ],
        "left_out": facts["left_out"],
        "sections": [describe_section(section) for section in sections],
    }


def describe_section(section: Section) -> dict[str, Any]:
    rows = [{"label": r.label, "tiles": [describe_tile(t) for t in r.tiles]} for r in section.rows]
    return {"heading": section.heading, "text": section.text, "rows": rows,
            "across": section.across}  # fmt: skip


def describe_tile(tile: Tile) -> dict[str, Any]:
    """A tile within the page."""
    kernel = None if tile.kernel is None else encode_data_uri(convert_kernel_to_image(tile.kernel))
    return {
        "image": encode_data_uri(tile.image, tile.exact),
        "pixelated": max(tile.image.shape[:2]) <= MAX_PIXELATED_SIDE,
        "caption": tile.caption,
        "kernel": kernel,
    }


def convert_kernel_to_image(kernel: np.ndarray) -> np.ndarray:
    return figures.convert_kernels_to_images(kernel[np.newaxis])[0]


def squeeze_grey(image: np.ndarray) -> np.ndarray:
    return image[..., 0] if image.shape[-1] == 1 else image


def draw_section(section: Section) -> Figure:
    """The rows of a section, each under its label, as a figure; places are in inches."""
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
    """A tile from its upper left corner on; under it the kernel that made it, and the caption."""
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
    how = "nearest" if max(image.shape[:2]) <= MAX_PIXELATED_SIDE else "antialiased"
    place = (x, x + width, y + height, y)
    axes.imshow(squeeze_grey(image), cmap="gray", vmin=0, vmax=255, interpolation=how, extent=place)


def draw_text(axes: Any, x: float, y: float, text: str, size: int) -> None:
    """Write a line, in which a class may be called anything."""
    axes.text(x, y, text, fontsize=size, color=figures.INK, va="center", parse_math=False)


def write_look(
    classifier: Classifier,
    asked: Spec,
    picture: PictureSource,
    wishes: InspectionOptions,
    folder: OutputFolder,
    command: str,
) -> dict[str, Any]:
    """Load TensorFlow, look, and write everything; return the facts."""
    with silence_stderr():
        from cnntrain.training.trainer import configure_backend
        from cnntrain.visualization import page
        from cnntrain.visualization.look import inspect_picture
    configure_backend(asked)
    image, truth = load_pixels(classifier, asked, picture)
    facts, sections = inspect_picture(classifier, asked, image, wishes)
    known = {
        "command": command,
        "run": str(classifier.folder),
        "weights": classifier.weights,
        "image": picture.origin,
        "truth": truth,
        "folder": str(folder.path),
    }
    facts = known | facts
    with folder.open_draft_folder() as place:
        page.write_look_page(place, classifier, facts, sections)
        write_json(place / "look.json", facts)
    return facts
