"""Write what the page of a run shows, so that it needs neither TensorFlow nor the data.

predictions.csv  for each image of the valid and the test split its file, its class, the predicted
                 class and its probability, for people and spreadsheets
predictions.npz  for each image of the test split its label, the most probable classes, and how
                 probable these are; where an image may have several labels, labels and
                 probabilities of all classes, and the threshold of each
pictures.npz     a sample of test images, the most confident mistakes, augmented training images,
                 and the filters of the first layer
network.json     the layers, their parameters and their multiply-adds
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

from cnntrain.analysis.layer_table import count_totals, describe_layers, drop_auxiliary_heads
from cnntrain.data.first_batch import (
    find_first_batch,
    format_soft_label,
    is_augmented,
    make_training_batch_of_spec,
)
from cnntrain.data.source import Examples, Splits
from cnntrain.files.documents import write_json
from cnntrain.files.writing import escape_formula, replace_by_file, write_whole
from cnntrain.runs.directory import Run
from cnntrain.spec.spec import Spec
from cnntrain.training.labels.artifacts import (
    format_label_csv,
    rank_label_mistakes,
    select_label_predictions,
)
from cnntrain.training.labels.thresholds import find_thresholds
from cnntrain.training.networks.build import iterate_leaf_layers

TOP_CLASSES = 5  # classes in predictions.npz for each image
SAMPLE, MISTAKES, AUGMENTED, DRAWS, FILTERS = 24, 24, 8, 4, 64  # how many of each are kept
MAX_SIDE = 96  # pixels: larger images are shrunk


def write_artifacts(
    run: Run,
    spec: Spec,
    splits: Splits,
    model: keras.Model,
    scores: Mapping[str, np.ndarray],
) -> None:
    """Write the four files of a finished run.

    `scores` holds float64 arrays (N, classes) of the splits `valid` and `test`: see
    `predict_scores`.
    """
    if splits.has_several_labels:
        thresholds = find_thresholds(scores, splits.valid.labels if splits.valid else None)
        parts = [
            (name, list_file_names(splits, part), part.labels, scores[name])
            for name, part in splits.items()
            if name in scores
        ]
        text = format_label_csv(parts, splits.class_names, thresholds)
        predictions = select_label_predictions(scores["test"], splits.test.labels, thresholds)
    else:
        text = format_predictions_csv(splits, scores)
        predictions = select_top_classes(scores["test"], splits.test.labels)
    write_whole(run.folder / "predictions.csv", text)
    save_arrays(run.folder / "predictions.npz", predictions)
    pictures = (
        choose_test_images(splits, predictions)
        | collect_augmented_images(spec, splits)
        | extract_filters(model, splits.image_shape)
    )
    save_arrays(run.folder / "pictures.npz", pictures)
    network = drop_auxiliary_heads(model)
    layers = [asdict(row) for row in describe_layers(network)]
    penalty = float(sum(float(loss) for loss in model.losses))  # L1 and L2
    facts = {"name": network.name, **count_totals(network), "penalty": penalty, "layers": layers}
    write_json(run.folder / "network.json", facts)


def format_predictions_csv(splits: Splits, log_probabilities: Mapping[str, np.ndarray]) -> str:
    """Return the text of predictions.csv: a row for each image of the predicted splits."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["file", "split", "true class", "called", "probability"])
    for split, part in splits.items():
        if split not in log_probabilities:
            continue
        guesses = log_probabilities[split].argmax(axis=1)
        probabilities = np.exp(log_probabilities[split].max(axis=1))
        rows = zip(list_file_names(splits, part), part.labels, guesses, probabilities, strict=True)
        for file, label, guess, probability in rows:
            texts = (file, split, splits.class_names[label], splits.class_names[guess])
            writer.writerow([*map(escape_formula, texts), f"{probability:.6f}"])
    return out.getvalue()


def list_file_names(splits: Splits, part: Examples) -> list[str]:
    """Return the file name of each example of a split, or its number if images are not in files."""
    if splits.names is None:
        return [str(number) for number in range(len(part))]
    names = (splits.names[row] for row in part.locate_rows(np.arange(len(part))))
    return [name.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for name in names]


def select_top_classes(log_probabilities: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return the arrays of predictions.npz.

    These are the `labels` (N,), and the `classes` (N, k) with the largest `probabilities` (N, k), k
    being 5, or the number of classes if there are fewer.
    """
    top = np.argsort(-log_probabilities, axis=1, kind="stable")[:, :TOP_CLASSES]
    probable = np.exp(np.take_along_axis(log_probabilities, top, axis=1))
    return {
        "labels": labels.astype(np.int32),
        "classes": top.astype(np.int32),
        "probabilities": probable.astype(np.float32),
    }


def choose_test_images(splits: Splits, predictions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a sample spread evenly over the test split, and the most confident mistakes."""
    test, count = splits.test, len(splits.test)
    sample = np.unique(np.linspace(0, count - 1, min(SAMPLE, count)).astype(int))
    rank = rank_label_mistakes if splits.has_several_labels else rank_mistakes
    mistakes = rank(predictions)[:MISTAKES]
    files = np.array(list_file_names(splits, test)) if splits.names is not None else None
    return {
        "sample": sample,
        "sample_images": shrink_images(test.gather_images(sample)),
        "mistakes": mistakes,
        "mistake_images": shrink_images(test.gather_images(mistakes))
        if len(mistakes)
        else np.empty(0),
        **(
            {}
            if files is None
            else {"sample_files": files[sample], "mistake_files": files[mistakes]}
        ),
    }


def rank_mistakes(predictions: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the numbers of the images that were taken for another class, the surest first."""
    wrong = np.flatnonzero(predictions["classes"][:, 0] != predictions["labels"])
    surest = np.argsort(-predictions["probabilities"][wrong, 0], kind="stable")
    return wrong[surest]


def collect_augmented_images(spec: Spec, splits: Splits) -> dict[str, Any]:
    """Return training images, each as it is and as the first four steps augment it.

    The first augmented one is what the first step trained on. Nothing is returned for a run
    without augmentation.
    """
    if not is_augmented(spec, splits):
        return {}
    rows = find_first_batch(spec, splits.train)
    draws, texts = [splits.train.gather_images(rows[:AUGMENTED])], []
    for step in range(DRAWS):
        images, targets = make_training_batch_of_spec(spec, splits, step, rows)
        draws.append(images[:AUGMENTED])
        texts.append(
            [", ".join(format_soft_label(t, splits.class_names)) for t in targets[:AUGMENTED]]
        )
    pictures = np.stack([shrink_images(images) for images in draws], axis=1)  # (8, 5, H, W, C)
    return {
        "augmented_images": pictures,
        "augmented_labels": splits.train.labels[rows[:AUGMENTED]],
        "augmented_texts": np.asarray(texts).T,
    }


def extract_filters(model: keras.Model, image_shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Return the first layer's kernels as float32 images (n, h, w, 1 or 3), if they are images."""
    first = next((layer for layer in iterate_leaf_layers(model) if hasattr(layer, "kernel")), None)
    if first is None:
        return {}
    kernel = np.asarray(first.kernel)
    if kernel.ndim == 2 and len(kernel) == np.prod(image_shape):  # a dense layer over all pixels
        kernel = kernel.reshape(*image_shape, -1)
    if kernel.ndim != 4 or kernel.shape[2] not in (1, 3):
        return {}
    return {"filters": np.moveaxis(kernel, -1, 0)[:FILTERS].astype(np.float32)}


def shrink_images(images: np.ndarray) -> np.ndarray:
    """Return images (N, H, W, C), shrunk so that no side is longer than 96 pixels."""
    height, width = images.shape[1:3]
    scale = MAX_SIDE / max(height, width)
    if scale >= 1:
        return images
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk = [
        np.asarray(
            Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).resize(
                size, Image.Resampling.BOX
            )
        )
        for image in images
    ]
    return np.stack(shrunk).reshape(len(images), size[1], size[0], -1)


def save_arrays(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an .npz file in one piece.

    It holds no Python objects, so that reading it cannot run code.
    """
    with replace_by_file(file) as out:
        np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
