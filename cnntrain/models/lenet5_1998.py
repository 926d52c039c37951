"""LeNet-5 as published (LeCun et al. 1998, Proceedings of the IEEE 86, section II.B).

Sixty thousand weights that learn, and ten fixed pictures of digits that the last of them must draw.
"""

import keras
import numpy as np
from keras import layers, ops

from cnntrain.errors import SpecError

# Table I of the paper: the feature maps of S2 that each of the 16 feature maps of C3 sees.
TABLE_I = [
    *([0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [0, 4, 5], [0, 1, 5]),
    *([0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [0, 3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 5]),
    *([0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5]),
    [0, 1, 2, 3, 4, 5],
]
# The 7x12 bitmaps of 0 to 9 in Figure 3, side by side; # is +1, a dot -1. This is the transcription
# that public reimplementations share (mattwang44/LeNet-from-Scratch is one), with their bars over
# 0, 2, 4 and 5.
BITMAPS = """
.#####. ...##.. .#####. ####### .#####. .#####. ..####. ####### .#####. .#####.
....... ..###.. ....... .....## ....... ....... .##.... .....## ##...## ##..###
..###.. .####.. .#####. ....##. ....... ####### ##..... .....## ##...## ##...##
.##.##. ...##.. ##...## ...##.. .##..## ##..... ##..... ....##. ##...## ##...##
##...## ...##.. #....## ..####. .##..## ##..... ######. ...##.. .#####. ##..###
##...## ...##.. ....##. .....## ###..## .####.. ###..## ...##.. ##...## .######
##...## ...##.. ..###.. .....## ##...## ..####. ##...## ..##... ##...## .....##
##...## ...##.. .##.... .....## ##...## .....## ##...## ..##... ##...## .....##
.##.##. ...##.. ##..... ##...## ##..### ##...## ###..## ..##... ##...## ....##.
..###.. .###### ####### .#####. .###### .#####. .#####. ..##... .#####. .####..
....... ....... ....... ....... .....## ....... ....... ....... ....... .......
....... ....... ....... ....... .....## ....... ....... ....... ....... .......
"""


def lenet5_1998(image_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Return LeNet-5: raw pixels (B, H, W, 1) in, minus squared distances (B, 10) out.

    Pixels are those of MNIST: 0 is paper, 255 is ink. Every layer but the last squashes its sums by
    a sigmoid that is symmetric about 0: a scaled tanh, named `c1_scaled_tanh` behind `c1`.
    Raises SpecError unless the images are grey and 28x28 (which are padded to 32x32) or 32x32, and
    unless there are 10 classes.
    """
    check_lenet5_images(image_shape, num_classes)
    inputs = x = keras.Input(image_shape)  # (28, 28, 1) or (32, 32, 1)
    if image_shape[0] == 28:
        x = layers.ZeroPadding2D(2)(x)  # (32, 32, 1), paper all round
    x = layers.Rescaling(1.275 / 255, -0.1, name="preprocessing")(x)  # -0.1 (paper) to 1.175 (ink)
    x = squash(layers.Conv2D(6, 5, name="c1")(x), "c1")  # (28, 28, 6)
    x = subsample(x, "s2")  # (14, 14, 6)
    x = [
        layers.Conv2D(1, 5, name=f"c3_{number}")(ops.take(x, channels, axis=-1))
        for number, channels in enumerate(TABLE_I)
    ]
    x = squash(layers.Concatenate(name="c3")(x), "c3")  # (10, 10, 16)
    x = subsample(x, "s4")  # (5, 5, 16)
    x = squash(layers.Conv2D(120, 5, name="c5")(x), "c5")  # (1, 1, 120)
    x = layers.Flatten(name="features")(x)  # (120,)
    x = squash(layers.Dense(84, dtype="float32", name="f6")(x), "f6")  # (84,)

    network = keras.Model(inputs, rbf_layer(x, num_classes), name="lenet5_1998")
    network.get_layer("rbf").set_weights([parse_centres().T])
    # The constant j of equation 9, the energy of an image that is no digit. An image halfway
    # between the two centres that are nearest to each other has this squared distance to both; an
    # image farther away than that from all ten centres is called no digit.
    network.rejection = compute_rejection()
    return network


def check_lenet5_images(image_shape: tuple[int, int, int], num_classes: int) -> None:
    """Raise SpecError for images or classes that the fixed geometry and centres exclude."""
    if image_shape not in ((28, 28, 1), (32, 32, 1)):
        height, width, channels = image_shape
        size = [] if height == width and height in (28, 32) else ["dataset.image_size=[32,32]"]
        grey = [] if channels == 1 else ["dataset.channels=1"]
        raise SpecError(
            f"model=lenet5_1998 got {height}x{width} images of {channels} channels",
            "grey images of 28x28 or 32x32, of 1 channel",
            " ".join([*grey, *size]),
        )
    if num_classes != 10:
        raise SpecError(
            f"model=lenet5_1998 got {num_classes} classes", "10: its centres are ten digits", None
        )


def squash(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Squash the sums of the layer `name` by 1.7159 tanh(2x/3) (appendix A of the paper).

    It maps 1 to 1 and -1 to -1, where it bends most.
    """
    return 1.7159 * layers.Activation("tanh", dtype=x.dtype, name=f"{name}_scaled_tanh")(2 / 3 * x)


def subsample(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Squash the sum of each 2x2 block, times a weight of its feature map, plus its bias."""
    x = 4 * layers.AveragePooling2D(2, name=f"{name}_sum")(x)
    return squash(layers.DepthwiseConv2D(1, name=name)(x), name)


def rbf_layer(x: keras.KerasTensor, num_classes: int) -> keras.KerasTensor:
    """Return minus the squared distance of x (B, 84) to each centre, as logits (B, 10)."""
    products = layers.Dense(
        num_classes, use_bias=False, trainable=False, dtype="float32", name="rbf"
    )(x)
    squares = ops.sum(ops.square(x), axis=-1, keepdims=True) + x.shape[-1]  # |x|^2 + |w|^2
    return layers.Rescaling(-1.0, dtype="float32", name="logits")(squares - 2 * products)


def parse_centres() -> np.ndarray:
    """Return the ten bitmaps (10, 84), row by row, as +1 and -1."""
    rows = [line.split() for line in BITMAPS.split("\n") if line]
    digits = ["".join(row[digit] for row in rows) for digit in range(10)]
    return np.array([[1.0 if pixel == "#" else -1.0 for pixel in digit] for digit in digits])


def compute_rejection() -> float:
    """Return the squared distance from the two nearest centres to the point between them."""
    squared = ((parse_centres()[:, None] - parse_centres()[None]) ** 2).sum(axis=-1)  # (10, 10)
    return float(squared[squared > 0].min() / 4)
