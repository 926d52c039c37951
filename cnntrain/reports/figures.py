"""The figures of a run as PNG files, for slides and papers: curves and confusion by matplotlib."""

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
from cnntrain.runs.results import RunResult
from cnntrain.training.metrics import Scores

MAX_NAMED_CLASSES = 30  # classes; of more only the rows of a matrix are named, in small letters
SMALL_FONT = 5  # points
INK, ACCENT, WARM = "#1d2126", "#1f5fa8", "#c7691a"
DPI = 150
TILES_ACROSS = 8


@contextmanager
def use_default_style() -> Iterator[None]:
    """Have figures drawn and saved within it in Matplotlib's own style.

    Otherwise a matplotlibrc where the user is would decide, and could start TeX.
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
    """Write into a folder what there is: curves, confusion, predictions, mistakes, …"""
    folder.mkdir(exist_ok=True)
    if result.history:
        save_figure(draw_training_curves(result, phases), folder / "curves.png")
    if scores is not None and len(scores.support) <= 4 * MAX_NAMED_CLASSES:
        names = [row["name"] for row in shown["classes"]]
        save_figure(draw_confusion_matrix(scores.confusion, names), folder / "confusion.png")
    for name, stem in (("sample", "predictions"), ("mistakes", "mistakes")):
        if tiles := shown[name]:
            save_contact_sheet([[make_sheet_tile(t)] for t in tiles], stem, folder)
    if shown["draws"]:
        blocks = [
            [
                CaptionedImage(image, [line])
                for image, line in zip(d["arrays"], [d["label"], *d["texts"]], strict=True)
            ]
            for d in shown["draws"]
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
    with replace_by_file(folder / f"{stem}.png") as out:
        draw_contact_sheet([stem], blocks, across).save(out, "png")


def make_sheet_tile(shown: Mapping[str, Any]) -> CaptionedImage:
    mark = "" if shown["right"] else f"taken for {shown['guess']}"
    return CaptionedImage(shown["array"], [shown["label"], mark])


def convert_kernels_to_images(kernels: np.ndarray) -> list[np.ndarray]:
    """Kernels (n, h, w, 1 or 3) as images uint8: 0 is grey, the largest of each white or black."""
    largest = np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
    shares = kernels / np.where(largest > 0, largest, 1)
    return [*np.round(127.5 + 127.5 * shares).astype(np.uint8)]


def save_figure(figure: Figure, file: Path) -> None:
    with replace_by_file(file) as out:
        figure.savefig(out, format="png", dpi=DPI, facecolor="white")


def draw_training_curves(result: RunResult, phases: Sequence[int]) -> Figure:
    """Loss, accuracy and rate over the epochs."""
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    parts = {"loss": ("train.loss", "valid.loss"), "accuracy": ("train.accuracy", "valid.accuracy")}
    epochs = [row["epoch"] for row in result.history]
    for axes, (title, keys) in zip(
        figure.subplots(1, 3), [*parts.items(), ("learning rate", ("learning_rate",))], strict=True
    ):
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


def draw_confusion_matrix(matrix: np.ndarray, names: Sequence[str]) -> Figure:
    """Shares of each true class, with the counts where there is room."""
    count = len(names)
    side = min(12, 3 + 0.35 * count)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    shown = [shorten_name(name) for name in names]
    size = "medium" if count <= MAX_NAMED_CLASSES else SMALL_FONT
    axes.set_yticks(range(count), shown, parse_math=False, fontsize=size)
    if count <= MAX_NAMED_CLASSES:
        axes.set_xticks(range(count), shown, rotation=90, parse_math=False)
        for (row, column), number in np.ndenumerate(matrix):
            if number:
                dark = shares[row, column] > 0.5
                axes.text(column, row, str(number), ha="center", va="center", fontsize=7,
                          color="white" if dark else INK)  # fmt: skip
    return figure
