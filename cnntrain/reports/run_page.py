"""Write report.html, a run on one page, and its figures as PNG, from the files in its directory.

A section whose files a run has not written, yet or ever, is left out.
"""

import io
import math
import shlex
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cnntrain.data.labels import format_label
from cnntrain.data.views import describe_views
from cnntrain.files.documents import LARGE_BYTES, SMALL_BYTES, read_text
from cnntrain.reports import charts, figures, webpage
from cnntrain.reports.calibration_section import build_calibration_context
from cnntrain.reports.network_diagram import build_diagram
from cnntrain.reports.run_environment import format_run_title, list_environment, list_run_commands
from cnntrain.reports.run_scores import (
    build_score_context,
    build_weight_rows,
    describe_division,
    describe_prediction,
    format_interval,
    format_views,
    list_evaluated_parts,
    list_weight_headings,
)
from cnntrain.runs.directory import Run
from cnntrain.runs.results import RunResult, chose_epoch, describe_status, read_run
from cnntrain.runs.strangers import (
    explain_odd_pictures,
    read_arrays,
    read_network,
    read_predictions,
    read_record,
    read_report,
)
from cnntrain.runs.tables import read_steps
from cnntrain.spec.metrics import list_metric_curves, name_metric
from cnntrain.terminal.units import NO_VALUE, format_duration, format_percent

MAX_PIXELATED_SIDE = 64  # images up to this side are shown as PNG, pixel by pixel
TIMED_PARTS = {
    "start": "starting", "data": "reading the data", "build": "building the network",
    "train": "training", "steps": "of it, training steps", "test": "evaluating",
    "refit": "refitting", "total": "in all",
}  # fmt: skip
MIN_OBJECTIVE_SHARE = 1e-4  # of the cross-entropy; an objective that differs by less is not drawn


def write_run_report(folder: Path, output: Path | None = None) -> Path:
    """Write report.html and figures/ of a run into its folder or `output`; return the page's path.

    Raises SpecError if the folder holds no run, or one that is damaged or of a newer cnntrain.
    """
    result, run, target = read_run(folder), Run(folder), output or folder
    run_files = RunFiles(run)
    page = target / "report.html"
    context = build_run_context(result, run, run_files) | build_calibration_context(folder)
    webpage.write_page(page, "run.html.j2", context)
    figures.write_figures(
        target / "figures", result, run_files.phases, context["scores"], run_files.pictures, context
    )
    return page


class RunFiles:
    """The contents of a run's files, except history.csv. Damaged pictures are left out.

    `notes` are warnings about what was left out, and `phases` the epochs at which phases began.
    """

    def __init__(self, run: Run):
        self.record, self.report = read_record(run), read_report(run)
        self.network = read_network(run.folder)
        self.steps = read_steps(run)
        self.names: list[str] = self.record.get("class_names", [])
        self.test_images: int | None = self.record.get("data", {}).get("sizes", {}).get("test")
        count = len(self.names)
        self.predictions, odd_predictions = read_predictions(run.folder, count)
        pictures, odd_pictures = read_arrays(run.folder / "pictures.npz")
        odd_pictures = odd_pictures or explain_odd_pictures(pictures, self.predictions, count)
        self.pictures = {} if odd_pictures else pictures
        reasons = {"predictions.npz": odd_predictions, "pictures.npz": odd_pictures}
        self.notes = [
            f"Warning: {name} is damaged and left out: {reason}"
            for name, reason in reasons.items()
            if reason
        ]
        self.phases: list[int] = [e for e in self.report.get("phases", []) if e]


def build_run_context(result: RunResult, run: Run, run_files: RunFiles) -> dict[str, Any]:
    """Return the variables of the template run.html.j2."""
    return {
        "again": shlex.join(["report", str(run.folder)]),
        "title": format_run_title(result.settings, run_files.names),
        "result": result,
        "eyebrow": format_run_eyebrow(result, run_files),
        "lead": format_run_lead(result, run_files),
        "commands": list_run_commands(run_files.record),
        "numbers": build_headline_tiles(result, run_files),
        "weights": build_weight_rows(run_files.report, run_files.test_images),
        "weight_headings": list_weight_headings(run_files.report),
        "evaluated": list_evaluated_parts(run_files.report),
        "views": describe_views(run_files.report.get("views", "")),
        "is_several": run_files.record.get("several_labels", False),
        "headline": name_metric(result.headline),
        "warnings": [*read_warnings(run), *run_files.notes],
        "data_notes": run_files.record.get("data", {}).get("notes", []),
        "curves": plot_training_curves(result, run_files),
        **build_score_context(run_files.predictions, run_files.names),
        "mistakes": build_image_tiles(run_files, "mistakes", "mistake"),
        "sample": build_image_tiles(run_files, "sample", "sample"),
        "draws": build_augmentation_draws(run_files),
        "augmentation": result.settings.get("augmentation"),
        "filters": encode_filters(run_files.pictures.get("filters")),
        "network": run_files.network,
        "diagram": build_diagram(run_files.network["layers"]) if run_files.network else None,
        "spec": read_text(run.spec, SMALL_BYTES),
        "environment": list_environment(run_files.record),
        "times": list_times(result, run_files),
    }


def format_run_eyebrow(result: RunResult, run_files: RunFiles) -> str:
    """Return the line above the title: the name of the folder, and when the run began."""
    began = run_files.record.get("started", "")[:16].replace("T", " ")
    return " · ".join(part for part in (result.folder.resolve().name, began) if part)


def format_run_lead(result: RunResult, run_files: RunFiles) -> str:
    """Return two sentences: how far a run has trained, how it ended, its classes and its images."""
    epochs = int(result.last.get("epoch", 0))
    planned = result.settings.get("epochs")
    is_complete = planned == epochs or not isinstance(planned, int)
    count = f"{epochs:,}" if is_complete else f"{epochs:,} of {planned:,}"
    count += " epoch" if planned == 1 else " epochs"
    duration = "" if result.seconds is None else f" in {format_duration(result.seconds)}"
    device = run_files.record.get("device", {}).get("kind")
    place = f" on a {device}" if device else ""
    sentences = [f"{count}{duration}{place}; the run {describe_status(result.status)}."]
    if sizes := run_files.record.get("data", {}).get("sizes"):
        counts = ", ".join(f"{count:,} {part}" for part, count in sizes.items())
        sentences.append(f"{len(run_files.names)} classes; {counts} images.")
    return " ".join([*sentences, *describe_division(result.settings, run_files.record)])


def build_headline_tiles(result: RunResult, run_files: RunFiles) -> list[dict[str, str]]:
    """Return the numbers at the top of the page: accuracies, parameters, multiply-adds, speed."""
    numbers, report = result.numbers, run_files.report
    interval = format_interval(result.test, run_files.test_images)
    tiles = []
    has_best = "best" in report.get("test", {}) and chose_epoch(report)
    chosen = "best epoch" if has_best else "last epoch"
    for part, what in (("test", chosen), ("valid", f"epoch {result.best.get('epoch', NO_VALUE)}")):
        headline = f"{part}.{result.headline}"
        if headline in numbers:
            small = f"{what}, loss {numbers.get(f'{part}.loss', math.nan):.4f}"
            if part == "test" and interval:
                small = f"95 % interval {interval}; {small}{format_views(report)}"
            tiles.append(
                make_headline_tile(
                    f"{part} {name_metric(result.headline)}",
                    format_percent(numbers[headline]),
                    small,
                )
            )
    counts = report.get("parameters", {})
    if {"total", "trainable"} <= counts.keys():
        trained = counts["trainable"]
        small = "" if trained == counts["total"] else f"{trained:,} trainable"
        tiles.append(make_headline_tile("parameters", f"{counts['total']:,}", small))
    if run_files.network:
        tiles.append(
            make_headline_tile(
                "multiply-adds", f"{run_files.network['multiply_adds']:,}", "for one image"
            )
        )
    if rate := get_training_speed(result, run_files):
        tiles.append(
            make_headline_tile(
                "training", f"{rate:,.0f}", f"images per second{format_feature_note(run_files)}"
            )
        )
    return tiles


def make_headline_tile(name: str, value: str, small: str) -> dict[str, str]:
    """Return a number at the top of the page with its name and the small text under it."""
    return {"name": name, "value": value, "small": small}


def get_training_speed(result: RunResult, run_files: RunFiles) -> float | None:
    return run_files.report.get("images_per_second") or result.last.get("images_per_second")


def format_feature_note(run_files: RunFiles) -> str:
    """Return a note on the training speed if only a part of the network was trained, else ""."""
    if not run_files.report.get("features_once"):
        return ""
    return ", above features of frozen layers that were computed once"


def read_warnings(run: Run) -> list[str]:
    """Return the distinct warnings in the log of a run."""
    if not run.log.is_file():
        return []
    with run.log.open(encoding="utf-8", errors="replace") as log:
        lines = log.read(LARGE_BYTES).splitlines()
    return list(dict.fromkeys(line for line in lines if line.startswith("Warning: ")))


def plot_training_curves(result: RunResult, run_files: RunFiles) -> list[charts.Figure]:
    """Return charts of loss, accuracy and learning rate over the epochs; none before the first.

    The objective is drawn if it is not the same as the loss, and what L2 adds to it.
    """
    rows = result.history
    if not rows:
        return []
    has_objective = any(
        abs(row.get("train.objective", row["train.loss"]) - row["train.loss"])
        > MIN_OBJECTIVE_SHARE * abs(row["train.loss"])
        for row in rows
    )
    keys = ["train.loss", "valid.loss", *(["train.objective"] if has_objective else [])]
    keys += ["train.l2_loss"] if "train.l2_loss" in rows[-1] else []
    is_chosen = result.is_validated or result.monitor in rows[-1]
    best = result.best.get("epoch") if is_chosen else None
    rates = [
        {"epoch": row["step"] * rows[-1]["epoch"] / rows[-1]["step"], **row}
        for row in run_files.steps
        if rows[-1]["step"]
    ]
    return [
        charts.plot_over_epochs("loss", rows, keys, run_files.phases, best),
        *(
            charts.plot_over_epochs(title, rows, metrics, run_files.phases, best)
            for title, metrics in list_metric_curves(rows[-1]).items()
        ),
        charts.plot_over_epochs(
            "learning rate", rates or rows, ["learning_rate"], run_files.phases, None
        ),
    ]


def build_image_tiles(run_files: RunFiles, rows: str, stem: str) -> list[dict[str, Any]]:
    """Return test images with their class, their predicted class, and their file if they have one.

    `rows` names the array of their numbers in pictures.npz, and `stem` begins the names of the
    arrays of their pixels and files.
    """
    tiles: list[dict[str, Any]] = []
    if not run_files.predictions:
        return tiles
    images, numbers = run_files.pictures.get(f"{stem}_images", ()), run_files.pictures.get(rows, ())
    files = [str(name) for name in run_files.pictures.get(f"{stem}_files", ())]
    files += [""] * (len(images) - len(files))
    for image, row, file in zip(images, numbers, files, strict=False):
        label, guess, right, probability = describe_prediction(
            run_files.predictions, row, run_files.names
        )
        tiles.append(
            {
                "image": encode_data_uri(image),
                "pixelated": max(image.shape[:2]) <= MAX_PIXELATED_SIDE,
                "label": label,
                "guess": guess,
                "right": right,
                "probability": f"{probability:.0%}",
                "number": int(row),
                "file": file,
                "array": image,
            }
        )
    return tiles


def build_augmentation_draws(run_files: RunFiles) -> list[dict[str, Any]]:
    """Return training images for the page, each with what augmentation has made of it."""
    pictures = run_files.pictures
    return [
        {
            "images": [encode_data_uri(image) for image in images],
            "pixelated": max(images.shape[1:3]) <= MAX_PIXELATED_SIDE,
            "label": format_label(label, run_files.names),
            "texts": [str(t) for t in texts],
            "arrays": images,
        }
        for images, label, texts in zip(
            pictures.get("augmented_images", ()),
            pictures.get("augmented_labels", ()),
            pictures.get("augmented_texts", ()),
            strict=False,
        )
    ]


def encode_filters(kernels: np.ndarray | None) -> list[str]:
    """Return the kernels (n, h, w, 1 or 3) of the first convolution as images in data URIs."""
    if kernels is None:
        return []
    return [encode_data_uri(image) for image in figures.convert_kernels_to_images(kernels)]


def encode_data_uri(image: np.ndarray, exact: bool = False) -> str:
    """Return an image (H, W, 1 or 3) uint8 as a data URI.

    It is a PNG if it is small or must be `exact`, and otherwise a JPEG of high quality.
    """
    photo = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
    is_png = exact or max(image.shape[:2]) <= MAX_PIXELATED_SIDE
    content, kind = io.BytesIO(), "png" if is_png else "jpeg"
    photo.save(content, "png") if is_png else photo.save(content, "jpeg", quality=85)
    return f"data:image/{kind};base64,{b64encode(content.getvalue()).decode()}"


def list_times(result: RunResult, run_files: RunFiles) -> list[tuple[str, str]]:
    """Return names and values of the times: milliseconds an image, and the parts of the run."""
    rows = []
    if rate := get_training_speed(result, run_files):
        step = f"a training step: forward, backward, update{format_feature_note(run_files)}"
        rows.append((step, f"{1000 / rate:.3f} ms an image"))
    if rate := run_files.report.get("evaluation", {}).get("images_per_second"):
        rows.append(("forward alone, in evaluation", f"{1000 / rate:.3f} ms an image"))
    seconds = run_files.report.get("seconds", {})
    return rows + [
        (label, format_duration(seconds[name]))
        for name, label in TIMED_PARTS.items()
        if name in seconds
    ]
