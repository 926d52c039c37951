"""Write the figures of a run as PNG files for slides and papers, drawn by matplotlib or Pillow."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from cnntrain.files.writing import replace_by_file
from cnntrain.reports.chart_text import shorten_name
from cnntrain.reports.contact_sheet import CaptionedImage, draw_contact_sheet
from cnntrain.reports.label_page import PrecisionRecall
from cnntrain.runs.results import RunResult
from cnntrain.spec.metrics import list_metric_curves
from cnntrain.training.metrics import Scores

MAX_CLASSES_ON_AXIS = 30  # of more classes, only the rows of a matrix are named, in small letters
SMALL_FONT = 5  # points
MAX_PNG_CLASSES = 120  # a larger confusion matrix is only on the page, as its cells are too small
INK, ACCENT, WARM = "#1d2126", "#1f5fa8", "#c7691a"
DPI = 150
TILES_ACROSS = 8


@contextmanager
def use_default_style() -> Iterator[None]:
    """Have figures drawn and saved within it in Matplotlib's own style.

    Otherwise the user's matplotlibrc would apply, and could start TeX.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


@use_default_style()
def write_figures(
    folder: Path,
    result: RunResult,
    phases: Sequence[int],
    scores: Scores | None,
    pictures: Mapping[str, np.ndarray],
    shown: Mapping[str, Any],
) -> None:
    """Write the figures that a run has data for: curves, confusion matrix, predictions and so on.

    `phases` are the epochs at which phases began, `pictures` the arrays of pictures.npz, and
    `shown` the variables of the run's page.
    """
    folder.mkdir(exist_ok=True)
    if result.history:
        save_figure(draw_training_curves(result, phases), folder / "curves.png")
    if scores is not None and len(scores.support) <= MAX_PNG_CLASSES:
        names = [row["name"] for row in shown["classes"]]
        save_figure(draw_confusion_matrix(scores.confusion, names), folder / "confusion.png")
    if shown["label_scores"] is not None:
        figure = draw_precision_recall(shown["label_curves"])
        save_figure(figure, folder / "precision_recall.png")
    for name, stem in (("sample", "predictions"), ("mistakes", "mistakes")):
        if tiles := shown[name]:
            save_contact_sheet([[make_sheet_tile(tile)] for tile in tiles], stem, folder)
    if shown["draws"]:
        blocks = [
            [
                CaptionedImage(image, [line])
                for image, line in zip(draw["arrays"], [draw["label"], *draw["texts"]], strict=True)
            ]
            for draw in shown["draws"]
        ]
        save_contact_sheet(blocks, "augmentation", folder, 2)
    if "filters" in pictures:
        save_contact_sheet(
            [
                [CaptionedImage(image, [])]
                for image in convert_kernels_to_images(pictures["filters"])
            ],
            "filters",
            folder,
        )


def save_contact_sheet(
    blocks: Sequence[Sequence[CaptionedImage]], stem: str, folder: Path, across: int = TILES_ACROSS
) -> None:
    """Write a contact sheet to STEM.png, with the stem for a title."""
    with replace_by_file(folder / f"{stem}.png") as file:
        draw_contact_sheet([stem], blocks, across).save(file, "png")


def make_sheet_tile(tile: Mapping[str, Any]) -> CaptionedImage:
    """Return a test image of the page with its class, and its prediction if that is wrong."""
    mark = "" if tile["right"] else f"taken for {tile['guess']}"
    return CaptionedImage(tile["array"], [tile["label"], mark])


def convert_kernels_to_images(kernels: np.ndarray) -> list[np.ndarray]:
    """Return kernels (n, h, w, 1 or 3) as images (h, w, 1 or 3) uint8.

    Grey is 0. The weight of a kernel with the largest absolute value is white or black.
    """
    largest = np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
    scaled = kernels / np.where(largest > 0, largest, 1)
    return [*np.round(127.5 + 127.5 * scaled).astype(np.uint8)]


def save_figure(figure: Figure, file: Path) -> None:
    """Write a figure to a PNG file, whole or not at all."""
    with replace_by_file(file) as stream:
        figure.savefig(stream, format="png", dpi=DPI, facecolor="white")


def draw_training_curves(result: RunResult, phases: Sequence[int]) -> Figure:
    """Return a figure of loss, accuracy and learning rate over the epochs of a run."""
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    metric, curves = next(iter(list_metric_curves(result.last).items()))
    parts = {
        "loss": ["train.loss", "valid.loss"], metric: curves, "learning rate": ["learning_rate"]
    }  # fmt: skip
    epochs = [row["epoch"] for row in result.history]
    for axes, (title, keys) in zip(figure.subplots(1, 3), parts.items(), strict=True):
        for key, color in zip(keys, (WARM, ACCENT), strict=False):
            if key in result.last:
                values = [row.get(key, np.nan) for row in result.history]
                axes.plot(epochs, values, color=color, label=key.partition(".")[0])
        for epoch in phases:
            axes.axvline(epoch, color="#999999", linewidth=0.8, linestyle=":")
        axes.set_title(title, fontsize=11, color=INK)
        axes.set_xlabel("epoch")
        axes.spines[["top", "right"]].set_visible(False)
        if len(keys) > 1:
            axes.legend(frameon=False)
    return figure


def draw_precision_recall(curves: Sequence[PrecisionRecall]) -> Figure:
    """Return a figure of precision over recall: all classes together, and some of them."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    for number, curve in enumerate(curves):
        style = {"color": INK, "linewidth": 2.5} if number == 0 else {"linewidth": 1}
        label = f"{shorten_name(curve.name)} ({curve.average_precision:.3f})"
        axes.plot(curve.recall, curve.precision, label=label, **style)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.03))
    axes.spines[["top", "right"]].set_visible(False)
    for text in axes.legend(frameon=False, fontsize=8).get_texts():
        text.set_parse_math(False)
    return figure


def draw_confusion_matrix(matrix: np.ndarray, names: Sequence[str]) -> Figure:
    """Return a figure of a confusion matrix (classes, classes).

    Colours show the share of the true class. The counts are written into the cells if they fit.
    """
    count = len(names)
    side = min(12, 3 + 0.35 * count)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    labels = [shorten_name(name) for name in names]
    size = "medium" if count <= MAX_CLASSES_ON_AXIS else SMALL_FONT
    axes.set_yticks(range(count), labels, parse_math=False, fontsize=size)
    if count <= MAX_CLASSES_ON_AXIS:
        axes.set_xticks(range(count), labels, rotation=90, parse_math=False)
        for (row, column), number in np.ndenumerate(matrix):
            if number:
                dark = shares[row, column] > 0.5
                axes.text(column, row, str(number), ha="center", va="center", fontsize=7,
                          color="white" if dark else INK)  # fmt: skip
    return figure
