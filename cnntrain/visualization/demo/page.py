"""Write the page that contains a network and runs it in the browser."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import matplotlib as mpl
import numpy as np

from cnntrain.errors import escape_unprintable
from cnntrain.inference.classifier import Classifier
from cnntrain.inference.export_formats import PROBABILITIES, Labels
from cnntrain.reports.run_page import RunFiles, make_headline_tile
from cnntrain.reports.run_scores import format_interval
from cnntrain.reports.webpage import PAGES, write_page
from cnntrain.runs.directory import Run
from cnntrain.runs.results import RunResult, read_run
from cnntrain.spec.metrics import name_metric
from cnntrain.terminal.units import format_percent
from cnntrain.visualization.demo.translation import Translation
from cnntrain.visualization.layer_outputs import find_last_feature_maps, list_layer_outputs

SCRIPTS = {
    "network_script": "demo_network.js", "pixels_script": "demo_pixels.js",
    "page_script": "demo_page.js", "demo_style": "demo.css",
}  # fmt: skip
LONGEST_CLASSES = 60  # letters of the classes in the title
RESIZING = {
    "stretch": "A photo of another shape is stretched.",
    "crop": "Of a photo of another shape the middle is shown.",
    "random_crop": "Of a photo of another shape the middle is shown.",
    "pad": "A photo of another shape is shown between black bars.",
}


def write_demo_page(
    classifier: Classifier, network: keras.Model, labels: Labels, path: Path, shown: np.ndarray
) -> None:
    """Write the page of an exported network: named outputs, of which one is `probabilities`.

    `shown` are training images (N, H, W, C) uint8: whoever draws is given their paper and ink.
    Raises SpecError for a layer that a page cannot compute.
    """
    result, run_files = read_run(classifier.folder), RunFiles(Run(classifier.folder))
    program, weights = build_program(network)
    frame, scripts = (
        classifier.frame,
        {name: (PAGES / file).read_text(encoding="utf-8") for name, file in SCRIPTS.items()},
    )
    height, width = frame.size
    context = {
        "title": make_title(result, labels.class_names),
        "eyebrow": f"{result.settings.get('model')} · {result.folder.resolve().name} · "
        f"{classifier.weights} weights",
        "numbers": build_run_tiles(classifier, result, run_files),
        "draws": frame.channels == 1,
        "colors": "grey" if frame.channels == 1 else "RGB",
        "width": width,
        "height": height,
        "resizing": RESIZING[frame.resize],
        "has_maps": "maps" in program["outputs"],
        "has_thresholds": labels.thresholds is not None,
        "program": program,
        "weights": weights,
        "facts": build_page_facts(classifier, labels, shown),
    }
    write_page(path, "demo.html.j2", context | scripts)


def make_title(result: RunResult, class_names: Sequence[str]) -> str:
    """Return what a network tells apart: `photos: cats, dogs`; of many classes their number."""
    settings = result.settings
    path = settings.get("dataset.folder") or settings.get("dataset.table")
    data = escape_unprintable(Path(path).name) if path else settings.get("dataset")
    words = ", ".join(class_names)
    return f"{data}: {words if len(words) <= LONGEST_CLASSES else f'{len(class_names)} classes'}"


def build_program(network: keras.Model) -> tuple[dict[str, Any], str]:
    """Return the program of an exported network, for JSON, and its weights as base64 text.

    Among its outputs `scores` is what the probabilities are computed of, the logits or these over a
    temperature, and `maps` the feature maps that Grad-CAM weighs, if there are any.
    """
    translation = Translation(network)
    steps = translation.program.steps
    outputs = {name: ref.number for name, ref in translation.outputs.items()}
    [outputs["scores"]] = steps[outputs[PROBABILITIES] - 1]["inputs"]
    alone = keras.Model(network.inputs, network.output[PROBABILITIES])
    if layer_outputs := list_layer_outputs(alone):
        last = find_last_feature_maps(layer_outputs)
        outputs["maps"] = translation.layer_arrays[id(last.operation)].number
    program = {
        "image": translation.program.image.shape,
        "steps": steps,
        "outputs": outputs,
        # A single logit is put beside a 0 before the softmax; nothing else is concatenated here.
        "single_logit": any(
            isinstance(layer, keras.layers.Concatenate) for layer in network.layers
        ),
    }
    return program, translation.program.encode_weights()


def build_page_facts(classifier: Classifier, labels: Labels, shown: np.ndarray) -> dict[str, Any]:
    """Return what the script of the page needs besides the program, for JSON."""
    height, width, channels = classifier.image_shape
    inferno = np.round(255 * np.array(mpl.colormaps["inferno"].colors)).astype(np.uint8)  # type: ignore[attr-defined]
    paper = find_paper(shown)
    return {
        "class_names": labels.class_names,
        "thresholds": labels.thresholds,
        "calibration": labels.set_rule,
        "frame": {
            "height": height,
            "width": width,
            "channels": channels,
            "resize": classifier.frame.resize,
        },
        "paper": paper,
        "ink": 255 if paper < 128 else 0,
        "inferno": base64.b64encode(inferno.tobytes()).decode(),
    }


def find_paper(images: np.ndarray) -> int:
    """Return the grey, 0 to 255, that the edges of most images (N, H, W, C) uint8 have."""
    edges = [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]
    return int(np.median(np.concatenate([edge.ravel() for edge in edges])))


def build_run_tiles(
    classifier: Classifier, result: RunResult, run_files: RunFiles
) -> list[dict[str, str]]:
    """Return the numbers of the run that the page shows: how good, on what data, how large."""
    tiles = []
    numbers = run_files.report.get("test", {}).get(classifier.weights, {})
    if result.headline in numbers:
        interval = format_interval(numbers, run_files.test_images)
        tiles.append(
            make_headline_tile(
                f"test {name_metric(result.headline)}",
                format_percent(numbers[result.headline]),
                f"95 % interval {interval}" if interval else "",
            )
        )
    if sizes := run_files.record.get("data", {}).get("sizes"):
        counts = ", ".join(f"{count:,} {part}" for part, count in sizes.items())
        tiles.append(make_headline_tile("images", f"{sum(sizes.values()):,}", counts))
    if "total" in (counts := run_files.report.get("parameters", {})):
        tiles.append(make_headline_tile("parameters", f"{counts['total']:,}", ""))
    return tiles
