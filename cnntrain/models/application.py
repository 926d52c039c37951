"""Networks of `keras.applications`, with random weights or those learnt on ImageNet."""

import functools
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import keras
from keras import layers, ops

from cnntrain.errors import SpecError
from cnntrain.models.parts.pretrained import load_pretrained
from cnntrain.spec.knobs import Count, Factor, Positive, Variant, format_value


@dataclass(frozen=True)
class Application:
    """A function of `keras.applications`, and facts about it that Keras does not offer as data."""

    function: str
    preprocessing: Literal["tf", "torch", "caffe", "included"]
    smallest: int = 32  # pixels of the shorter side, as its documentation says
    alphas: tuple[float, ...] = (1,)  # the widths for which ImageNet weights are published


VARIANTS = {
    "vgg16": Application("VGG16", "caffe"),
    "vgg19": Application("VGG19", "caffe"),
    "resnet50": Application("ResNet50", "caffe"),
    "resnet101": Application("ResNet101", "caffe"),
    "resnet152": Application("ResNet152", "caffe"),
    "resnet50v2": Application("ResNet50V2", "tf"),
    "resnet101v2": Application("ResNet101V2", "tf"),
    "resnet152v2": Application("ResNet152V2", "tf"),
    "inception_v3": Application("InceptionV3", "tf", smallest=75),
    "inception_resnet_v2": Application("InceptionResNetV2", "tf", smallest=75),
    "xception": Application("Xception", "tf", smallest=71),
    "densenet121": Application("DenseNet121", "torch"),
    "densenet169": Application("DenseNet169", "torch"),
    "densenet201": Application("DenseNet201", "torch"),
    "mobilenet": Application("MobileNet", "tf", alphas=(0.25, 0.5, 0.75, 1)),
    "mobilenet_v2": Application("MobileNetV2", "tf", alphas=(0.35, 0.5, 0.75, 1, 1.3, 1.4)),
    "nasnet_mobile": Application("NASNetMobile", "tf"),
    "nasnet_large": Application("NASNetLarge", "tf"),
    "efficientnet_b0": Application("EfficientNetB0", "included"),
    "efficientnet_b1": Application("EfficientNetB1", "included"),
    "efficientnet_b2": Application("EfficientNetB2", "included"),
    "efficientnet_b3": Application("EfficientNetB3", "included"),
    "efficientnet_b4": Application("EfficientNetB4", "included"),
    "efficientnet_b5": Application("EfficientNetB5", "included"),
    "efficientnet_b6": Application("EfficientNetB6", "included"),
    "efficientnet_b7": Application("EfficientNetB7", "included"),
    "convnext_tiny": Application("ConvNeXtTiny", "included"),
    "convnext_small": Application("ConvNeXtSmall", "included"),
    "convnext_base": Application("ConvNeXtBase", "included"),
}
# What `keras.applications.*.preprocess_input` does with RGB pixels, as scale and offset; `caffe`
# then turns RGB into BGR. The numbers are means and deviations of ImageNet; `torch` has them for
# values of 0..1.
SCALING: dict[str, tuple[Any, Any]] = {
    "tf": (1 / 127.5, -1.0),
    "torch": (
        [1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)],
        [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
    ),
    "caffe": ([1.0, 1.0, 1.0], [-123.68, -116.779, -103.939]),
}
# Keras' own pool is used where it has one, because ConvNeXt normalises behind it.
POOLING = {"average": "avg", "max": "max", "flatten": None}


def application(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    architecture: Variant,
    alpha: Positive,
    upsample: Count,
    interpolation: Literal["bilinear", "nearest"],
    weights: str | None,
    weights_dir: str | None,
    pool: Literal["average", "max", "flatten"],
    head: list[Count | Factor | Literal["batch_norm"]],
    one_logit: bool,
) -> keras.Model:
    """Return a network of Keras: float pixels 0..255 (B, H, W, C) in, logits (B, num_classes) out.

    Its preprocessing is built in, and its layers are layers of the model, under their own names.
    `upsample` enlarges the images by a whole factor first, by `interpolation`. `weights` is null,
    `imagenet` (looked for in `weights_dir`, in Keras' cache, then on the network) or a file; the
    model's `pretrained` names the layers that have such weights. In `head` a whole number is a
    dense layer with ReLU, a number below 1 is a dropout; with `one_logit` two classes share one
    logit (B, 1).
    Raises SpecError for images that are too small, for a width that the network does not have, and
    for weights that are missing or do not fit.
    """
    variant = VARIANTS[architecture]
    check_application_images(image_shape, upsample, architecture, variant)
    check_alpha(alpha, architecture, variant, weights)
    inputs = x = keras.Input(image_shape)  # (H, W, C)
    if image_shape[2] == 1:
        x = ops.repeat(x, 3, axis=-1)  # (H, W, 3)
    x = preprocess_pixels(x, variant.preprocessing)
    if upsample > 1:
        x = layers.UpSampling2D(upsample, interpolation=interpolation)(x)  # (upsample * H, …)

    width = {"alpha": alpha} if len(variant.alphas) > 1 else {}
    build = functools.partial(
        call_quietly,
        getattr(keras.applications, variant.function),
        include_top=False,
        input_tensor=x,
        pooling=POOLING[pool],
        **width,
    )
    if weights is None:
        base = build(weights=None)
    else:
        # Build as for ImageNet even if the user names a file: EfficientNet then scales its input.
        text = ", ".join(f"{knob}={format_value(value)}" for knob, value in width.items())
        described = f"{architecture} with {text}" if text else architecture
        base = load_pretrained(build, described, weights, weights_dir)

    x = base.output  # (features,), or (h, w, features)
    if pool == "flatten":
        x = layers.Flatten()(x)
    x = layers.Identity(name="features")(x)
    for part in head:
        x = build_head_layer(part)(x)
    units = 1 if one_logit and num_classes == 2 else num_classes
    logits = layers.Dense(units, dtype="float32")(x)
    network = keras.Model(inputs, logits, name=architecture)
    pretrained = [layer.name for layer in base.layers if layer.weights] if weights else []
    network.pretrained = tuple(pretrained)
    return network


def check_application_images(
    image_shape: tuple[int, int, int], upsample: int, architecture: str, variant: Application
) -> None:
    """Raise SpecError if the enlarged images are smaller than the network's documented minimum."""
    height, width, _ = image_shape
    needed, shorter = variant.smallest, min(height, width)
    if upsample * shorter < needed:
        enlarged = f", {upsample * height}x{upsample * width} enlarged" if upsample > 1 else ""
        raise SpecError(
            f"architecture {architecture} got {height}x{width} images{enlarged}",
            f"{needed}x{needed} or larger",
            f"model.upsample={-(-needed // shorter)} or dataset.image_size=[{needed},{needed}]",
        )


def check_alpha(alpha: float, architecture: str, variant: Application, weights: str | None) -> None:
    """Raise SpecError for a width that the network, or its ImageNet weights, do not have."""
    given = f"model.alpha is {format_value(alpha)} and model.architecture is {architecture}"
    if len(variant.alphas) == 1 and alpha != 1:
        others = [name for name, other in VARIANTS.items() if len(other.alphas) > 1]
        raise SpecError(given, f"1: only {' and '.join(others)} come in widths", "model.alpha=1")
    if weights is not None and alpha not in variant.alphas:
        raise SpecError(
            f"{given}, with weights", map(format_value, variant.alphas), "model.weights=null"
        )
    if alpha < 1 / 32:
        raise SpecError(given, "0.04 or more: the first layer has 32 * alpha filters")


def preprocess_pixels(x: keras.KerasTensor, kind: str) -> keras.KerasTensor:
    """Apply the authors' preprocessing to RGB pixels 0..255 (B, H, W, 3).

    The layer's name `preprocessing` tells the trainer not to normalise the images. Networks that
    preprocess on their own get an identity of that name.
    """
    if kind == "included":
        return layers.Identity(name="preprocessing")(x)
    scale, offset = SCALING[kind]
    x = layers.Rescaling(scale, offset, dtype="float32", name="preprocessing")(x)
    return ops.flip(x, axis=-1) if kind == "caffe" else x


def call_quietly(function: Any, **arguments: Any) -> keras.Model:
    """Call a function of Keras without its warnings, for example on a missing image size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(**arguments)


def build_head_layer(part: int | float | str) -> layers.Layer:
    if part == "batch_norm":
        return layers.BatchNormalization()
    if isinstance(part, int):
        return layers.Dense(part, activation="relu")
    return layers.Dropout(part)
