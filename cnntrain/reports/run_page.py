"""report.html: a run on one page, made of what lies in its directory; with figures/ as PNG.

What a run has not left yet, or an old one never did, is left out of the page.
"""

import io
import math
import shlex
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cnntrain.files.documents import LARGE_BYTES, SMALL_BYTES, read_text
from cnntrain.reports import charts, figures, webpage
from cnntrain.reports.network_diagram import build_diagram
from cnntrain.runs.directory import Run
from cnntrain.runs.results import RunResult, describe_status, read_run
from cnntrain.runs.strangers import (
    explain_odd_pictures,
    explain_odd_predictions,
    read_arrays,
    read_network,
    read_record,
    read_report,
    read_steps,
)
from cnntrain.terminal.units import NO_VALUE, format_duration, format_percent
from cnntrain.training.metrics import score_saved_predictions

MAX_PIXELATED_SIDE = 64  # images with a side no longer are shown with square pixels, and losslessly
TIMED_PARTS = {
    "data": "reading the data", "build": "building the network", "train": "training",
    "steps": "of it, training steps", "test": "evaluating", "refit": "refitting", "total": "in all",
}  # fmt: skip
MIN_OBJECTIVE_SHARE = 1e-4  # of the cross-entropy; an objective that differs by less is the same


def write_run_report(folder: Path, output: Path | None = None) -> Path:
    """Write report.html and figures/ of a run; return the page's path.

    Raises SpecError if the directory holds no run, a damaged or a newer one.
    """
    result, run, out = read_run(folder), Run(folder), output or folder
    left = RunFiles(run)
    page = out / "report.html"
    shown = build_run_context(result, run, left)
    webpage.write_page(page, "run.html.j2", shown)
    figures.write_figures(
        out / "figures", result, left.phases, shown["scores"], left.pictures, shown
    )
    return page


class RunFiles:
    """The files of a run beside its history."""

    def __init__(self, run: Run):
        self.record, self.report = read_record(run), read_report(run)
        self.network = read_network(run.folder)
        self.steps = read_steps(run)
        self.names: list[str] = self.record.get("class_names", [])
        files = [run.folder / f"{stem}.npz" for stem in ("predictions", "pictures")]
        (self.predictions, why), (self.pictures, too) = map(read_arrays, files)
        why = why or explain_odd_predictions(self.predictions, len(self.names))
        too = too or explain_odd_pictures(self.pictures, self.predictions, len(self.names))
        self.predictions = {} if why else self.predictions
        self.pictures = {} if too else self.pictures
        self.notes = [
            f"Warning: {file.name} is damaged and left out: {reason}"
            for file, reason in zip(files, (why, too), strict=True)
            if reason
        ]
        self.phases: list[int] = [e for e in self.report.get("phases", []) if e]


def build_run_context(result: RunResult, run: Run, left: RunFiles) -> dict[str, Any]:
    """What the template shows."""
    marked = (
        score_saved_predictions(left.predictions, len(left.names)) if left.predictions else None
    )
    return {
        "again": shlex.join(["report", str(run.folder)]),
        "title": f"{result.settings.get('model')} on {result.settings.get('dataset')}",
        "result": result,
        "eyebrow": format_run_eyebrow(result, left),
        "lead": format_run_lead(result, left),
        "command": format_run_command(left.record),
        "numbers": build_headline_tiles(result, left),
        "weights": build_weight_rows(left.report),
        "warnings": [*read_warnings(run), *left.notes],
        "curves": plot_training_curves(result, left),
        "scores": marked,
        "confusion": charts.plot_confusion(marked.confusion, left.names) if marked else None,
        "classes": marked.list_rows(left.names) if marked else [],
        "mistakes": build_image_tiles(left, "mistakes", "mistake"),
        "sample": build_image_tiles(left, "sample", "sample"),
        "draws": build_augmentation_draws(left),
        "augmentation": result.settings.get("augmentation"),
        "filters": encode_filters(left.pictures.get("filters")),
        "network": left.network,
        "diagram": build_diagram(left.network["layers"]) if left.network else None,
        "spec": read_text(run.spec, SMALL_BYTES),
        "environment": list_environment(left.record),
        "throughput": list_throughput(result, left),
    }


def format_run_eyebrow(result: RunResult, left: RunFiles) -> str:
    began = left.record.get("started", "")[:16].replace("T", " ")
    return " · ".join(part for part in (result.folder.resolve().name, began) if part)


def format_run_command(record: Mapping[str, Any]) -> str:
    """The command that makes the run again, wherever that one lies."""
    words = [word for word in record.get("overrides", []) if not word.startswith("hydra.")]
    return shlex.join(["cnntrain", *words])


def format_run_lead(result: RunResult, left: RunFiles) -> str:
    """What was trained on what, how far, and how it ended, in two sentences."""
    epochs = int(result.last.get("epoch", 0))
    planned = result.settings.get("epochs")
    ends = planned == epochs or not isinstance(planned, int)
    far = f"{epochs:,}" if ends else f"{epochs:,} of {planned:,}"
    far += " epoch" if planned == 1 else " epochs"
    took = "" if result.seconds is None else f" in {format_duration(result.seconds)}"
    device = left.record.get("device", {}).get("kind")
    where = f" on a {device}" if device else ""
    lines = [f"{far}{took}{where}; the run {describe_status(result.status)}."]
    if sizes := left.record.get("data", {}).get("sizes"):
        counts = ", ".join(f"{count:,} {part}" for part, count in sizes.items())
        lines.append(f"{len(left.names)} classes; {counts} images.")
    return " ".join(lines)


def build_headline_tiles(result: RunResult, left: RunFiles) -> list[dict[str, str]]:
    """The numbers at the top."""
    numbers, report = result.numbers, left.report
    found = []
    chosen = "best epoch" if "best" in report.get("test", {}) else "last epoch"
    for part, what in (("test", chosen), ("valid", f"epoch {result.best.get('epoch', NO_VALUE)}")):
        if f"{part}.accuracy" in numbers:
            loss = f"{what}, loss {numbers.get(f'{part}.loss', math.nan):.4f}"
            found.append(
                make_headline_tile(
                    f"{part} accuracy", format_percent(numbers[f"{part}.accuracy"]), loss
                )
            )
    counts = report.get("parameters", {})
    if {"total", "trainable"} <= counts.keys():
        trained = counts["trainable"]
        small = "" if trained == counts["total"] else f"{trained:,} trainable"
        found.append(make_headline_tile("parameters", f"{counts['total']:,}", small))
    if left.network:
        found.append(
            make_headline_tile(
                "multiply-adds", f"{left.network['multiply_adds']:,}", "for one image"
            )
        )
    if rate := get_training_speed(result, left):
        found.append(
            make_headline_tile(
                "training", f"{rate:,.0f}", f"images per second{format_feature_note(left)}"
            )
        )
    return found


def make_headline_tile(name: str, value: str, small: str) -> dict[str, str]:
    return {"name": name, "value": value, "small": small}


def get_training_speed(result: RunResult, left: RunFiles) -> float | None:
    return left.report.get("images_per_second") or result.last.get("images_per_second")


def format_feature_note(left: RunFiles) -> str:
    """What a rate of training leaves out, where it is not the whole network's."""
    if not left.report.get("features_once"):
        return ""
    return ", above features of frozen layers that were computed once"


def build_weight_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """A row for each weights that were evaluated."""
    names = {"best": f"best epoch ({report.get('best_epoch')})", "final": "last epoch"}
    names |= {"ema": "last average", "refit": "refit on train + valid"}
    rows = []
    for key, name in names.items():
        if key in report.get("test", {}):
            parts = [report.get("valid", {}).get(key), report["test"][key]]
            kinds = ("loss", "accuracy")
            cells = [f"{p[k]:.4f}" if p and k in p else NO_VALUE for p in parts for k in kinds]
            rows.append([name, *cells])
    return rows


def read_warnings(run: Run) -> list[str]:
    """What the run was warned of."""
    if not run.log.is_file():
        return []
    with run.log.open(encoding="utf-8", errors="replace") as log:
        lines = log.read(LARGE_BYTES).splitlines()
    return list(dict.fromkeys(line for line in lines if line.startswith("Warning: ")))


def plot_training_curves(result: RunResult, left: RunFiles) -> list[charts.Figure]:
    """Loss, accuracy and rate over the epochs, as far as the run is."""
    rows = result.history
    if not rows:
        return []
    objective = any(
        abs(row.get("train.objective", row["train.loss"]) - row["train.loss"])
        > MIN_OBJECTIVE_SHARE * abs(row["train.loss"])
        for row in rows
    )
    keys = ["train.loss", "valid.loss", *(["train.objective"] if objective else [])]
    best = result.best.get("epoch")
    rate = [
        {"epoch": row["step"] * rows[-1]["epoch"] / rows[-1]["step"], **row}
        for row in left.steps
        if rows[-1]["step"]
    ]
    return [
        charts.plot_over_epochs("loss", rows, keys, left.phases, best),
        charts.plot_over_epochs(
            "accuracy", rows, ["train.accuracy", "valid.accuracy"], left.phases, best
        ),
        charts.plot_over_epochs(
            "learning rate", rate or rows, ["learning_rate"], left.phases, None
        ),
    ]


def build_image_tiles(left: RunFiles, rows: str, stem: str) -> list[dict[str, Any]]:
    """Test images, each with its class, what the network took it for, and its file, if any."""
    found: list[dict[str, Any]] = []
    if not left.predictions:
        return found
    images, numbers = left.pictures.get(f"{stem}_images", ()), left.pictures.get(rows, ())
    files = [str(name) for name in left.pictures.get(f"{stem}_files", ())]
    files += [""] * (len(images) - len(files))
    for image, row, file in zip(images, numbers, files, strict=False):
        label = int(left.predictions["labels"][row])
        guess = int(left.predictions["classes"][row, 0])
        found.append(
            {
                "image": encode_data_uri(image),
                "pixelated": max(image.shape[:2]) <= MAX_PIXELATED_SIDE,
                "label": left.names[label],
                "guess": left.names[guess],
                "right": guess == label,
                "probability": f"{left.predictions['probabilities'][row, 0]:.0%}",
                "number": int(row),
                "file": file,
                "array": image,
            }
        )
    return found


def build_augmentation_draws(left: RunFiles) -> list[dict[str, Any]]:
    """Training images, each with what augmentation makes of it."""
    pictures = left.pictures
    return [
        {
            "images": [encode_data_uri(image) for image in images],
            "pixelated": max(images.shape[1:3]) <= MAX_PIXELATED_SIDE,
            "label": left.names[label],
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
    """Each filter as an image, its largest weight, of either sign, at full contrast."""
    if kernels is None:
        return []
    return [encode_data_uri(image) for image in figures.convert_kernels_to_images(kernels)]


def encode_data_uri(image: np.ndarray, exact: bool = False) -> str:
    """An image (H, W, C) uint8 within the page; large ones lose what no eye sees, unless told."""
    photo = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
    small, out = exact or max(image.shape[:2]) <= MAX_PIXELATED_SIDE, io.BytesIO()
    photo.save(out, "png") if small else photo.save(out, "jpeg", quality=85)
    return f"data:image/{'png' if small else 'jpeg'};base64,{b64encode(out.getvalue()).decode()}"


def list_environment(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the numbers depend on beside the spec."""
    device, git = record.get("device", {}), record.get("git", {})
    changed = ", with changes" if git.get("dirty") else ""
    rows = [
        ("began", record.get("started")),
        ("ended", record.get("ended")),
        ("resumed", ", ".join(record.get("resumed", []))),
        ("device", " ".join([device.get("kind", ""), *map(str, device.get("gpus", []))]).strip()),
        ("threads", device.get("threads")),
        ("platform", record.get("platform")),
        *record.get("versions", {}).items(),
        ("git commit", f"{git['commit']}{changed}" if "commit" in git else None),
        ("spec", record.get("spec_hash")),
        ("images", record.get("data", {}).get("fingerprint")),
    ]
    return [(name, str(value)) for name, value in rows if value]


def list_throughput(result: RunResult, left: RunFiles) -> list[tuple[str, str]]:
    """Milliseconds an image, and the seconds of the parts of the run."""
    rows = []
    if rate := get_training_speed(result, left):
        step = f"a training step: forward, backward, update{format_feature_note(left)}"
        rows.append((step, f"{1000 / rate:.3f} ms an image"))
    if rate := left.report.get("evaluation", {}).get("images_per_second"):
        rows.append(("forward alone, in evaluation", f"{1000 / rate:.3f} ms an image"))
    seconds = left.report.get("seconds", {})
    return rows + [
        (what, format_duration(seconds[name]))
        for name, what in TIMED_PARTS.items()
        if name in seconds
    ]
