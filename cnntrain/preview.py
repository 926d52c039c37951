"""The first training batch as pictures: as it is, and beside each image what augmentation draws."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from cnntrain import pipeline
from cnntrain.contact_sheet import Tile, contact_sheet
from cnntrain.datasets.source import Examples, Splits
from cnntrain.fitting import plan
from cnntrain.plans.batch_size import shrunk
from cnntrain.spec.contradictions import known_replicas
from cnntrain.spec.spec import Spec

EXAMPLES, DRAWS, ACROSS = 16, 4, 2  # augmented images, draws beside each, examples side by side
PLAIN, PLAIN_ACROSS = 48, 8  # the same where nothing is drawn


def preview(asked: Spec, splits: Splits, command: str) -> Image.Image:
    """Return a contact sheet of images of the first training step.

    The first draw beside an image is what that step trains on, pixel for pixel; the next ones are
    what the steps after it would make of the same images.
    """
    chosen = first_batch(asked, splits.train)
    raw = splits.train.gather(chosen)
    labels = splits.train.labels[chosen]
    varied = asked.augmentation.name != "none" or hasattr(splits.train.store, "crops")
    count = min(EXAMPLES if varied else PLAIN, len(chosen))
    blocks = [
        [Tile(image, [splits.class_names[label]])]
        for image, label in zip(raw[:count], labels[:count], strict=True)
    ]
    for step in range(DRAWS if varied else 0):
        images, targets = drawn(asked, splits, step, chosen)
        for block, image, target in zip(blocks, images, targets, strict=False):
            block.append(Tile(image, mixture(target, splits.class_names)))
    shown = f"{count} of the {len(chosen)} images of the first training step"
    legend = (
        f"{shown}: as they are, then {DRAWS} draws of the augmentation, the first that of the step."
        if varied
        else f"{shown}, which are not augmented."
    )
    return contact_sheet([command, legend], blocks, ACROSS if varied else PLAIN_ACROSS)


def first_batch(asked: Spec, train: Examples) -> np.ndarray:
    """The numbers (B,) of the examples of the first training step."""
    fitting, _ = shrunk(asked, len(train), known_replicas(asked))
    steps_per_epoch, _ = plan(fitting, train)
    numbered = replace(train, labels=np.arange(len(train), dtype=np.int32))
    batches = pipeline.training(
        numbered, 1, fitting.batch_size, steps_per_epoch, unchanged, asked.seed
    )
    return next(batches.take(1).as_numpy_iterator())[1]


def unchanged(
    images: np.ndarray, labels: np.ndarray, num_classes: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    return images, labels


def drawn(
    asked: Spec, splits: Splits, step: int, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What training makes of these examples at a step."""
    classes = len(splits.class_names)
    return pipeline.drawn(splits.train, classes, asked.augmentation, asked.seed, step, chosen)


def mixture(target: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """The classes of a mixed image and their shares, a line each; nothing under a plain one."""
    if np.ndim(target) == 0:
        return []
    shares = [(target[c], class_names[c]) for c in np.argsort(-target, kind="stable")]
    lines = [f"{name} {share:.2f}" for share, name in shares if share >= 0.005]
    return lines if len(lines) > 1 else [shares[0][1]]
