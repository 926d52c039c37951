"""The images of the first training step, and what augmentation makes of them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cnntrain.data import pipeline
from cnntrain.data.source import Examples, Splits
from cnntrain.data.steps import plan_steps, shrink_batch_size
from cnntrain.spec.contradictions import count_known_replicas
from cnntrain.spec.spec import Spec


def find_first_batch(asked: Spec, train: Examples) -> np.ndarray:
    """The numbers (B,) of the examples of the first training step."""
    fitting, _ = shrink_batch_size(asked, len(train), count_known_replicas(asked))
    steps_per_epoch, _ = plan_steps(fitting, train)
    numbered = replace(train, labels=np.arange(len(train), dtype=np.int32))
    batches = pipeline.make_training_batches(
        numbered, 1, fitting.batch_size, steps_per_epoch, skip_augmentation, asked.seed
    )
    return next(batches.take(1).as_numpy_iterator())[1]


def skip_augmentation(
    images: np.ndarray, labels: np.ndarray, num_classes: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    return images, labels


def augment_preview(
    asked: Spec, splits: Splits, step: int, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What training makes of these examples at a step."""
    classes = len(splits.class_names)
    return pipeline.augment_batch(
        splits.train, classes, asked.augmentation, asked.seed, step, chosen
    )


def format_soft_label(target: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """The classes of a mixed image and their shares, a line each; nothing under a plain one."""
    if np.ndim(target) == 0:
        return []
    shares = [(target[c], class_names[c]) for c in np.argsort(-target, kind="stable")]
    lines = [f"{name} {share:.2f}" for share, name in shares if share >= 0.005]
    return lines if len(lines) > 1 else [shares[0][1]]
