"""What both versions of the ResNets for ImageNet share: stem, convolution, normalisation."""

import keras
from keras import layers, ops

from cnntrain.errors import SpecError

EPSILON = 1.001e-5  # of every batch norm, as in keras.applications
SMALLEST = {"imagenet": 32, "cifar": 8}  # then the last feature map has one pixel


def check_resnet_images(image_shape: tuple[int, int, int], stem: str, variant: str) -> None:
    """Raise SpecError for images of which less than a pixel reaches the last stage."""
    needed = SMALLEST[stem]
    if min(image_shape[:2]) < needed:
        small = "model.stem=cifar or " if stem == "imagenet" else ""
        raise SpecError(
            f"model={variant} got {image_shape[0]}x{image_shape[1]} images",
            f"{needed}x{needed} or larger",
            f"{small}dataset.image_size=[{needed},{needed}]",
        )


def stem_layers(x: keras.KerasTensor, stem: str, bias: bool, normed: bool) -> keras.KerasTensor:
    """Apply the first convolution, of 64 filters: 7x7 and a max pool, or 3x3 for small images.

    With `normed` batch norm and ReLU follow it; with pre-activation the first block does that.
    """
    if stem == "imagenet":
        x = conv(x, 64, 7, 2, bias, "conv1_conv")  # (H/2, W/2, 64)
    else:
        x = conv(x, 64, 3, 1, bias, "conv1_conv")  # (H, W, 64)
    if normed:
        x = layers.ReLU(name="conv1_relu")(norm(x, "conv1_bn"))
    if stem == "imagenet":
        # After a ReLU no value is below these zeros; without a ReLU, Keras pads with zeros as well.
        x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
        x = layers.MaxPooling2D(3, 2, name="pool1_pool")(x)  # (H/4, W/4, 64)
    return x


def conv(
    x: keras.KerasTensor,
    filters: int,
    kernel: int,
    strides: int,
    bias: bool,
    name: str,
    groups: int = 1,
) -> keras.KerasTensor:
    """Apply a convolution that pads all sides equally, also with a stride.

    Keras' own `same` padding pads even sizes only at the end, which shifts the feature maps. Each
    group is a layer of its own: on a CPU, Keras' grouped convolutions are compiled, which takes
    minutes to train for 128 channels in 32 groups.
    """
    padding = "same"
    if strides > 1 and kernel > 1:
        x = layers.ZeroPadding2D(kernel // 2, name=name.replace("_conv", "_pad"))(x)
        padding = "valid"
    if groups == 1:
        return layers.Conv2D(filters, kernel, strides, padding, use_bias=bias, name=name)(x)
    outputs = [
        layers.Conv2D(
            filters // groups, kernel, strides, padding, use_bias=bias, name=f"{name}_{number}"
        )(part)
        for number, part in enumerate(ops.split(x, groups, axis=-1), 1)
    ]
    return layers.Concatenate(name=name)(outputs)


def norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.BatchNormalization(epsilon=EPSILON, name=name)(x)
