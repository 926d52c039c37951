"""Inception-v3 as its authors released it (Szegedy et al. 2015, arXiv:1512.00567).

The layers are those of `keras.applications`, in the same order, without its names.
"""

import keras
from keras import layers

from cnntrain.models.parts.inception_parts import (
    Chain,
    Norm,
    check_inception_images,
    conv,
    inception_module,
    reduction_module,
)
from cnntrain.models.parts.inception_stems import stem_v3
from cnntrain.spec.knobs import NonNegative, Probability

NORM: Norm = "shift"  # the next layer can learn the gamma before a ReLU itself


def inception_v3(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    dropout: Probability,
    auxiliary_weight: NonNegative,
) -> keras.Model:
    """Return Inception-v3: float images (B, H, W, C) in, logits (B, num_classes) out.

    With an `auxiliary_weight` the model returns two logits: those of the network, then those of the
    auxiliary classifier on the 17x17 grid; 0 leaves the classifier out. Raises SpecError for images
    below 75x75; the classifier needs 107x107.
    """
    check_inception_images("inception_v3", image_shape, 75, 107 if auxiliary_weight else None)
    inputs = keras.Input(image_shape)  # (299, 299, 3)
    x = stem_v3(inputs, NORM)  # (35, 35, 192)
    for projection in (32, 64, 64):
        x = inception_module(x, GRID_35, projection, NORM)  # (35, 35, 256), (35, 35, 288) twice
    x = reduction_module(x, [[(384, 3)], [(64, 1), (96, 3), (96, 3)]], NORM)  # (17, 17, 768)
    for filters in (128, 160, 160, 192):
        x = inception_module(x, build_grid_17(filters), 192, NORM)  # (17, 17, 768)
    auxiliary = [auxiliary_logits(x, num_classes)] if auxiliary_weight else []
    x = reduction_module(x, TO_8, NORM)  # (8, 8, 1280)
    for _ in range(2):
        x = inception_module(x, GRID_8, 192, NORM)  # (8, 8, 2048)

    x = layers.GlobalAveragePooling2D()(x)  # (2048,)
    x = layers.Dropout(dropout)(x)
    logits = layers.Dense(num_classes, dtype="float32")(x)
    outputs = [logits, *auxiliary] if auxiliary else logits
    network = keras.Model(inputs, outputs, name="inception_v3")
    network.auxiliary = (auxiliary_weight,) * len(auxiliary)
    return network


# The modules of Figs 5, 6, 7 and 10; the released network keeps the 5x5 in the first three.
GRID_35: list[Chain] = [[(64, 1)], [(48, 1), (64, 5)], [(64, 1), (96, 3), (96, 3)]]
TO_8: list[Chain] = [
    [(192, 1), (320, 3)],
    [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3)],
]
GRID_8: list[Chain] = [
    [(320, 1)],
    [(384, 1), [(384, (1, 3)), (384, (3, 1))]],
    [(448, 1), (384, 3), [(384, (1, 3)), (384, (3, 1))]],
]


def build_grid_17(n: int) -> list[Chain]:
    """Return the chains of Fig. 6: 7x7 factorised into 7x1 and 1x7, with n filters within."""
    double: Chain = [(n, 1), (n, (7, 1)), (n, (1, 7)), (n, (7, 1)), (192, (1, 7))]
    return [[(192, 1)], [(n, 1), (n, (1, 7)), (192, (7, 1))], double]


def auxiliary_logits(x: keras.KerasTensor, num_classes: int) -> keras.KerasTensor:
    """Return the logits of a classifier beside the network, with batch norm (Fig. 8)."""
    x = layers.AveragePooling2D(5, 3)(x)  # (5, 5, 768) from (17, 17, 768)
    x = conv(x, 128, 1, NORM)
    # For 299x299 images the kernel covers the grid; smaller images have a smaller grid.
    kernel = min(5, x.shape[1]), min(5, x.shape[2])
    x = conv(x, 768, kernel, NORM, padding="valid")  # (1, 1, 768)
    x = layers.GlobalAveragePooling2D()(x)  # (768,)
    return layers.Dense(num_classes, dtype="float32")(x)
