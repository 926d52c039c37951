"""Inception-v4 (Szegedy et al. 2016, arXiv:1602.07261, Figs 3 to 9)."""

import keras
from keras import layers

from cnntrain.models.parts.inception_parts import (
    Chain,
    check_inception_images,
    inception_module,
    reduction_module,
)
from cnntrain.models.parts.inception_stems import stem_v4
from cnntrain.spec.knobs import Probability

GRID_35: list[Chain] = [[(96, 1)], [(64, 1), (96, 3)], [(64, 1), (96, 3), (96, 3)]]  # Fig. 4
GRID_17: list[Chain] = [  # Fig. 5
    [(384, 1)],
    [(192, 1), (224, (1, 7)), (256, (7, 1))],
    [(192, 1), (192, (1, 7)), (224, (7, 1)), (224, (1, 7)), (256, (7, 1))],
]
GRID_8: list[Chain] = [  # Fig. 6
    [(256, 1)],
    [(384, 1), [(256, (1, 3)), (256, (3, 1))]],
    [(384, 1), (448, (1, 3)), (512, (3, 1)), [(256, (3, 1)), (256, (1, 3))]],
]
TO_17: list[Chain] = [[(384, 3)], [(192, 1), (224, 3), (256, 3)]]  # Fig. 7, Table 1
TO_8: list[Chain] = [  # Fig. 8
    [(192, 1), (192, 3)],
    [(256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3)],
]


def inception_v4(
    image_shape: tuple[int, int, int], num_classes: int, *, dropout: Probability
) -> keras.Model:
    """Return Inception-v4: float images (B, H, W, C) in, logits (B, num_classes) out.

    Raises SpecError for images below 75x75.
    """
    check_inception_images("inception_v4", image_shape, 75)
    inputs = keras.Input(image_shape)  # (299, 299, 3)
    x = stem_v4(inputs, "affine")  # (35, 35, 384)
    for _ in range(4):
        x = inception_module(x, GRID_35, 96, "affine")  # (35, 35, 384)
    x = reduction_module(x, TO_17, "affine")  # (17, 17, 1024)
    for _ in range(7):
        x = inception_module(x, GRID_17, 128, "affine")  # (17, 17, 1024)
    x = reduction_module(x, TO_8, "affine")  # (8, 8, 1536)
    for _ in range(3):
        x = inception_module(x, GRID_8, 256, "affine")  # (8, 8, 1536)
    x = layers.GlobalAveragePooling2D()(x)  # (1536,)
    x = layers.Dropout(dropout)(x)
    logits = layers.Dense(num_classes, dtype="float32")(x)
    return keras.Model(inputs, logits, name="inception_v4")
