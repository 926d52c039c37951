"""look.html and the PNGs of a look at one picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from cnntrain import figures, webpage
from cnntrain.classifier import Classifier
from cnntrain.looking.sections import Section, Tile
from cnntrain.results import settings
from cnntrain.run_page import PIXELATED, data_uri, percent

SIDE = {3: 3.2, 4: 2.4, 6: 1.6, 8: 1.35}  # inches of a tile, by how many are beside each other
LINE = 0.28  # inches for a line of text


def write(
    folder: Path, classifier: Classifier, facts: Mapping[str, Any], sections: Sequence[Section]
) -> None:
    """Write the page, a PNG of each section, and the misread picture, pixel for pixel."""
    webpage.write(folder / "look.html", "look.html.j2", context(classifier, facts, sections))
    for section in sections:
        figures.save(drawn(section), folder / f"{section.key}.png")
    misread = sections[-1].rows[0].tiles[-1].image
    Image.fromarray(squeezed(misread)).save(folder / "misread.png")


def context(
    classifier: Classifier, facts: Mapping[str, Any], sections: Sequence[Section]
) -> dict[str, Any]:
    """What the template shows."""
    chosen = settings(classifier.config, classifier.record.get("overrides", ()))
    name, best, truth = Path(facts["image"]).name, facts["classes"][0], facts["truth"]
    return {
        "title": f"What the network sees in {'a picture' if name == '-' else name}",
        "eyebrow": f"{classifier.folder.resolve().name} · {classifier.weights} weights · "
        f"{chosen['model']} on {chosen['dataset']}",
        "lead": f"{best['name']}, {percent(best['probability'])}"
        + (f"; it is labelled {truth}." if truth else "."),
        "classes": [{**row, "percent": percent(row["probability"])} for row in facts["classes"]],
        "left_out": facts["left_out"],
        "sections": [shown(section) for section in sections],
    }


def shown(section: Section) -> dict[str, Any]:
    rows = [{"label": r.label, "tiles": [within(t) for t in r.tiles]} for r in section.rows]
    return {"heading": section.heading, "text": section.text, "rows": rows,
            "across": section.across}  # fmt: skip


def within(tile: Tile) -> dict[str, Any]:
    """A tile within the page."""
    kernel = None if tile.kernel is None else data_uri(as_image(tile.kernel))
    return {
        "image": data_uri(tile.image, tile.exact),
        "pixelated": max(tile.image.shape[:2]) <= PIXELATED,
        "caption": tile.caption,
        "kernel": kernel,
    }


def as_image(kernel: np.ndarray) -> np.ndarray:
    return figures.as_images(kernel[np.newaxis])[0]


def squeezed(image: np.ndarray) -> np.ndarray:
    return image[..., 0] if image.shape[-1] == 1 else image


def drawn(section: Section) -> Figure:
    """The rows of a section, each under its label, as a figure."""
    lines = [
        (row.label if start == 0 else "", row.tiles[start : start + section.across])
        for row in section.rows
        for start in range(0, len(row.tiles), section.across)
    ]
    side = SIDE[section.across]
    shapes = [tile.image.shape for _, tiles in lines for tile in tiles]
    tall = min(1.0, max(shape[0] / shape[1] for shape in shapes))
    height = LINE + sum(side * tall + LINE * (1 + bool(label)) for label, _ in lines)
    figure = Figure(figsize=(side * section.across, height), layout="constrained")
    parts = figure.subfigures(len(lines), squeeze=False)[:, 0]
    for part, (label, tiles) in zip(parts, lines, strict=True):
        if label:
            part.suptitle(label, x=0.01, ha="left", fontsize=9, color=figures.INK)
        for axes, tile in zip(part.subplots(1, section.across, squeeze=False)[0],
                              [*tiles, *[None] * section.across], strict=False):  # fmt: skip
            axes.axis("off")
            if tile is not None:
                draw(axes, tile)
    return figure


def draw(axes: Any, tile: Tile) -> None:
    """A tile, with the kernel in its corner."""
    show(axes, tile.image)
    axes.set_title(tile.caption, fontsize=7, color=figures.INK, pad=3)
    if tile.kernel is not None:
        corner = axes.inset_axes((0.02, 0.02, 0.26, 0.26))
        show(corner, as_image(tile.kernel))
        corner.set(xticks=[], yticks=[])


def show(axes: Any, image: np.ndarray) -> None:
    how = "nearest" if max(image.shape[:2]) <= PIXELATED else None
    axes.imshow(squeezed(image), cmap="gray", vmin=0, vmax=255, interpolation=how)
