"""Inception-ResNet-v1 and -v2 (Szegedy et al. 2016, arXiv:1602.07261).

Only the variant `released` is in `keras.applications`; its layers have the same order here.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
from keras import layers

from cnntrain.models.parts.inception_parts import (
    Chain,
    Norm,
    chain,
    check_inception_images,
    conv,
    inception_module,
    reduction_module,
)
from cnntrain.models.parts.inception_stems import stem_resnet_v1, stem_v3, stem_v4
from cnntrain.spec.knobs import Positive, Probability, Variant

NORM: Norm = "shift"  # as released: the next layer can learn the gamma before a ReLU itself


@dataclass(frozen=True)
class Architecture:
    """The modules of a network as chains, and how often the modules of each grid are repeated."""

    stem: Callable[[keras.KerasTensor, Norm], keras.KerasTensor]
    blocks: tuple[int, int, int]  # of grid_35, grid_17, grid_8
    grid_35: list[Chain]
    to_17: list[Chain]
    grid_17: list[Chain]
    to_8: list[Chain]
    grid_8: list[Chain]
    # The released v2 has three things more than the paper: an inception module of v3's kind before
    # the residual ones, a last residual of full scale without ReLU, and then a 1x1 convolution.
    first: list[Chain] | None = None
    last: int | None = None


V2_GRID_35: list[Chain] = [[(32, 1)], [(32, 1), (32, 3)], [(32, 1), (48, 3), (64, 3)]]  # Fig. 16
V2_TO_17: list[Chain] = [[(384, 3)], [(256, 1), (256, 3), (384, 3)]]  # Fig. 7, Table 1
V2_GRID_17: list[Chain] = [[(192, 1)], [(128, 1), (160, (1, 7)), (192, (7, 1))]]  # Fig. 17
V2_TO_8: list[Chain] = [  # Fig. 18
    [(256, 1), (384, 3)],
    [(256, 1), (288, 3)],
    [(256, 1), (288, 3), (320, 3)],
]
V2_GRID_8: list[Chain] = [[(192, 1)], [(192, 1), (224, (1, 3)), (256, (3, 1))]]  # Fig. 19
V2 = (V2_GRID_35, V2_TO_17, V2_GRID_17, V2_TO_8, V2_GRID_8)

# The channels behind each module follow from the chains: 256, 896 and 1792 in v1, as in
# Figs 10 to 13; 384, 1152 and 2144 in v2, where Figs 17 and 19 misprint 1154 and 2048.
VARIANTS = {
    "v1": Architecture(
        stem_resnet_v1,
        (5, 10, 5),
        [[(32, 1)], [(32, 1), (32, 3)], [(32, 1), (32, 3), (32, 3)]],  # Fig. 10
        [[(384, 3)], [(192, 1), (192, 3), (256, 3)]],  # Fig. 7, Table 1
        [[(128, 1)], [(128, 1), (128, (1, 7)), (128, (7, 1))]],  # Fig. 11
        [[(256, 1), (384, 3)], [(256, 1), (256, 3)], [(256, 1), (256, 3), (256, 3)]],  # Fig. 12
        [[(192, 1)], [(192, 1), (192, (1, 3)), (192, (3, 1))]],  # Fig. 13
    ),
    "paper": Architecture(stem_v4, (5, 10, 5), *V2),
    "released": Architecture(
        stem_v3,
        (10, 20, 10),
        *V2,
        first=[[(96, 1)], [(48, 1), (64, 5)], [(64, 1), (96, 3), (96, 3)]],
        last=1536,
    ),
}


def inception_resnet(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: Variant,
    scales: tuple[Positive, Positive, Positive],
    dropout: Probability,
) -> keras.Model:
    """Return an Inception-ResNet: float images (B, H, W, C) in, logits (B, num_classes) out.

    `variant` is v1, or v2 as in the `paper` or as `released`. `scales` multiply the residuals on
    the three grids (35x35, 17x17 and 8x8 for 299x299 images) before they are added.
    Raises SpecError for images below 75x75.
    """
    check_inception_images("inception_resnet", image_shape, 75)
    architecture = VARIANTS[variant]
    in_35, in_17, in_8 = architecture.blocks
    inputs = keras.Input(image_shape)  # (299, 299, 3); channels of v1 | paper | released
    x = architecture.stem(inputs, NORM)  # (35, 35, 256 | 384 | 192)
    if architecture.first:
        x = inception_module(x, architecture.first, 64, NORM)  # (35, 35, 320)
    for _ in range(in_35):
        x = residual(x, architecture.grid_35, scales[0])
    x = reduction_module(x, architecture.to_17, NORM)  # (17, 17, 896 | 1152 | 1088)
    for _ in range(in_17):
        x = residual(x, architecture.grid_17, scales[1])
    x = reduction_module(x, architecture.to_8, NORM)  # (8, 8, 1792 | 2144 | 2080)
    for _ in range(in_8 - 1 if architecture.last else in_8):
        x = residual(x, architecture.grid_8, scales[2])
    if architecture.last:
        x = residual(x, architecture.grid_8, 1.0, relu=False)
        x = conv(x, architecture.last, 1, NORM)  # (8, 8, 1536)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(dropout)(x)
    logits = layers.Dense(num_classes, dtype="float32")(x)
    name = "inception_resnet_v1" if variant == "v1" else f"inception_resnet_v2_{variant}"
    return keras.Model(inputs, logits, name=name)


def residual(
    x: keras.KerasTensor, chains: list[Chain], scale: float, relu: bool = True
) -> keras.KerasTensor:
    """Add the scaled result of chains and a linear 1x1 convolution to x (Fig. 20).

    The convolution has as many filters as x has channels.
    """
    ends = layers.Concatenate()([chain(x, convs, NORM) for convs in chains])
    y = layers.Conv2D(x.shape[-1], 1)(ends)
    x = layers.Add()([x, layers.Rescaling(scale)(y)])
    return layers.ReLU()(x) if relu else x
