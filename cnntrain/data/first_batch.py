"""Find the images of the first training step, and augment them as training does."""

from collections.abc import Sequence

import numpy as np

from cnntrain.data import pipeline
from cnntrain.data.source import Examples, Splits
from cnntrain.data.steps import plan_steps, shrink_batch_size
from cnntrain.spec.contradictions import count_known_replicas
from cnntrain.spec.spec import Spec


def is_augmented(spec: Spec, splits: Splits) -> bool:
    """Return whether training images are changed at random: augmented, or cropped as they load."""
    return spec.augmentation.name != "none" or hasattr(splits.train.store, "draw_crops")


def find_first_batch(spec: Spec, train: Examples) -> np.ndarray:
    """Return the indices (B,) of the training examples that the first step trains on."""
    fitted, _ = shrink_batch_size(spec, len(train), count_known_replicas(spec))
    taken = fitted.batch_size * plan_steps(fitted, train)[0]
    order = pipeline.order_examples(train.labels, taken, spec.seed, spec.dataset["sampling"], 0)
    return order[: fitted.batch_size]


def make_training_batch_of_spec(
    spec: Spec, splits: Splits, step: int, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the training examples `chosen` (B,) as training augments them at `step`.

    Each step is taken for one of another epoch, because an epoch has an image once. Images are
    (B, H, W, C) uint8, labels (B,) int32 or (B, num_classes) uint8, or soft labels
    (B, num_classes) float32.
    """
    classes = len(splits.class_names)
    batch = pipeline.make_training_batch(
        splits.train, classes, spec.augmentation, spec.seed, step, step, chosen
    )
    return batch["images"], batch["labels"]


def format_soft_label(target: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """Return the classes of a mixed image with their shares, a line each; none for a plain label.

    `target` is a class number or a soft label (num_classes,), whole numbers of it being plain.
    """
    if np.ndim(target) == 0 or target.dtype.kind in "iu":
        return []
    shares = [(target[c], class_names[c]) for c in np.argsort(-target, kind="stable")]
    lines = [f"{name} {share:.2f}" for share, name in shares if share >= 0.005]
    return lines if len(lines) != 1 else [shares[0][1]]
