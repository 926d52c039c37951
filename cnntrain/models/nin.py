"""Network in Network (Lin et al. 2013, arXiv:1312.4400): convolutions that are small perceptrons.

The network is the one that the authors published for CIFAR-10. Its pools round up, as in Caffe:
they look over the edge, and never average what is there.
"""

from dataclasses import dataclass

import keras
from keras import layers

from cnntrain.errors import SpecError
from cnntrain.spec.knobs import Probability


@dataclass(frozen=True)
class MlpConv:
    """A convolution, and the two 1x1 convolutions that slide over its output as a perceptron."""

    kernel: int
    filters: tuple[int, int, int | None]  # None: as many as there are classes


STAGES = [
    MlpConv(5, (192, 160, 96)),
    MlpConv(5, (192, 192, 192)),
    MlpConv(3, (192, 192, None)),
]
SMALLEST = 4  # pixels: then the last feature map has one


def nin(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    dropout: Probability,
    last_relu: bool,
) -> keras.Model:
    """Return the network: float images (B, H, W, C) in, logits (B, num_classes) out.

    A 3x3 pool with stride 2 and `dropout` follow the first stage (maximum) and the second
    (average). The last stage has a feature map for each class, whose mean is its logit; only with
    `last_relu` a ReLU comes before the mean.
    Raises SpecError for images smaller than 4x4.
    """
    if min(image_shape[:2]) < SMALLEST:
        raise SpecError(
            f"model=nin got {image_shape[0]}x{image_shape[1]} images",
            f"{SMALLEST}x{SMALLEST} or larger",
            f"dataset.image_size=[{SMALLEST},{SMALLEST}]",
        )
    inputs = x = keras.Input(image_shape)  # (H, W, C)
    for number, stage in enumerate(STAGES, 1):
        x = mlpconv(x, stage, num_classes, last_relu, number)
        if number < len(STAGES):
            pool = layers.MaxPooling2D if number == 1 else layers.AveragePooling2D
            x = pool(3, 2, padding="same", name=f"pool{number}")(x)  # (H/2^number, W/2^number, …)
            x = layers.Dropout(dropout)(x)
    logits = layers.GlobalAveragePooling2D(dtype="float32", name="predictions")(x)
    return keras.Model(inputs, logits, name="nin")


def mlpconv(
    x: keras.KerasTensor, stage: MlpConv, num_classes: int, last_relu: bool, number: int
) -> keras.KerasTensor:
    """Apply the three convolutions of a stage and their ReLUs; the height and width stay."""
    for place, filters in enumerate(stage.filters):
        name = f"mlpconv{number}_conv{place + 1}"
        x = layers.Conv2D(
            filters or num_classes, 1 if place else stage.kernel, padding="same", name=name
        )(x)
        if filters or last_relu:
            x = layers.ReLU(name=f"{name}_relu")(x)
    return x
