"""The components of a run, as `template/` calls them: `script.py` puts the run's own in place."""

from typing import Any

import keras
import numpy as np


def build_model(image_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Stand for the function of the run's model."""
    raise NotImplementedError


def draw_weights(seed: int) -> keras.initializers.Initializer:
    """Stand for the function of the run's initializer."""
    raise NotImplementedError


def draw_head_weights(seed: int) -> keras.initializers.Initializer:
    """Stand for the function of the initializer of the layers that put out the logits."""
    raise NotImplementedError


def augment_images(
    images: np.ndarray, labels: np.ndarray, num_classes: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Stand for the function of the run's augmentation."""
    raise NotImplementedError


def compute_curve(
    step: keras.KerasTensor, steps_per_epoch: int, total_steps: int
) -> keras.KerasTensor:
    """Stand for the function of the run's schedule."""
    raise NotImplementedError


def make_optimizer(rate: Any) -> keras.optimizers.Optimizer:
    """Stand for the function of the run's optimizer."""
    raise NotImplementedError
