"""The format `html` of `cnntrain export`, and what it refuses before TensorFlow loads."""

import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cnntrain.errors import SpecError
from cnntrain.inference.classifier import Classifier
from cnntrain.inference.export_formats import ExportFormat, Labels
from cnntrain.visualization.demo.v8 import run_page

LARGEST_WEIGHTS = 25e6  # bytes; in the page they are a third longer
CHECKED_IMAGES = 40  # images that a page is run on: JavaScript is slow


def write_run_page(
    classifier: Classifier, network: Any, labels: Labels, path: Path, shown: np.ndarray | None
) -> None:
    """Write the demo page of a run's network, after training images (N, H, W, C) were `shown`."""
    from cnntrain.visualization.demo.page import write_demo_page

    assert shown is not None
    write_demo_page(classifier, network, labels, path, shown)


def make_page_format(classifier: Classifier) -> ExportFormat:
    """Return the format that writes the demo page of a run.

    Raises SpecError for a network that is too large, and photos that a browser cannot read.
    """
    check_weights_size(classifier)
    check_value_range(classifier)
    here = replace(classifier, folder=classifier.folder.absolute())  # pages are written elsewhere
    return replace(PAGE_FORMAT, write=partial(write_run_page, here))


def check_weights_size(classifier: Classifier) -> None:
    """Raise SpecError if the weights are too large for a page."""
    with zipfile.ZipFile(classifier.file) as archive:
        size = archive.getinfo("model.weights.h5").file_size
    if size > LARGEST_WEIGHTS:
        raise SpecError(
            f"the network has {size / 1e6:.1f} MB of weights, and a page contains them all",
            f"at most {LARGEST_WEIGHTS / 1e6:.0f} MB",
            "--format onnx",
        )


def check_value_range(classifier: Classifier) -> None:
    """Raise SpecError for a run on photos of 16 bits that do not fill their range."""
    value_range = classifier.frame.value_range
    assert value_range != "auto"
    if value_range is not None:
        low, high = value_range
        raise SpecError(
            f"the run's photos have values of {low:g} to {high:g}, and browsers read 8 bits",
            "a run on photos of 8 bits",
            "--format onnx",
        )


PAGE_FORMAT = ExportFormat(
    ".html",
    "mini-racer",
    ("py_mini_racer",),
    only_float32=True,
    write=write_run_page,
    run=run_page,
    wants_training_images=True,
    checked_images=CHECKED_IMAGES,
)
