"""Initial weights: `initializer` sets every kernel of a built network; biases stay zero.

Layers that the network's attribute `pretrained` names keep the weights that they have learnt.

The seed of each kernel is derived from the run's seed and the kernel's path, so that a layer
added to a network leaves the weights of the others as they were. A component takes the seed of a
kernel and returns its initializer.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
from keras import initializers

from cnntrain.spec.knobs import NonNegative, Positive
from cnntrain.training.networks.warm_start import find_logit_layers


def initializer(
    component: Callable[[int], initializers.Initializer],
    network: keras.Model,
    seed: int,
    *,
    head: Literal[
        "same", "zeros", "glorot_uniform", "glorot_normal", "he_uniform", "he_normal",
        "lecun_uniform", "lecun_normal",
    ],
    head_gain: NonNegative,
) -> None:  # fmt: skip
    """Set every kernel of `network` that has learnt nothing yet, each with a seed of its own.

    The kernels of the layers that put out the logits are drawn by the initializer that `head`
    names, or by the same, and multiplied by `head_gain`: no ReLU follows them, so with He's gain
    the first predictions would be confident and wrong.
    """
    head_component = component if head == "same" else globals()[head]  # a function below
    heads = {network.get_layer(name).path for name in find_logit_layers(network)}
    for variable in _find_fresh_kernels(network):
        is_head = variable.path.rpartition("/")[0] in heads
        draw = (head_component if is_head else component)(_derive_seed(seed, variable.path))
        value = draw(variable.shape, variable.dtype)
        variable.assign(value * head_gain if is_head else value)


def _find_fresh_kernels(network: keras.Model) -> list[keras.Variable]:
    """Return the kernels that have learnt nothing yet: none of the layers in `pretrained`."""
    pretrained = {
        variable.path
        for name in getattr(network, "pretrained", ())
        for variable in network.get_layer(name).weights
    }
    return [
        v
        for v in network.trainable_variables
        if "kernel" in v.name and len(v.shape) > 1 and v.path not in pretrained
    ]


def _derive_seed(seed: int, path: str) -> int:
    """Return a seed of 31 bits that depends on the run's seed and the variable's path."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{path}".encode()).digest()[:4]) >> 1


def zeros(seed: int) -> initializers.Initializer:
    """Return zeros, to show what fails: all units of a layer then have the same gradient."""
    return initializers.Zeros()


def random_normal(seed: int, *, stddev: Positive) -> initializers.Initializer:
    """Return normal weights of mean 0."""
    return initializers.RandomNormal(stddev=stddev, seed=seed)


def random_uniform(seed: int, *, limit: Positive) -> initializers.Initializer:
    """Return uniform weights from -limit to limit."""
    return initializers.RandomUniform(-limit, limit, seed=seed)


def truncated_normal(seed: int, *, stddev: Positive) -> initializers.Initializer:
    """Return normal weights of mean 0, drawn again beyond two standard deviations."""
    return initializers.TruncatedNormal(stddev=stddev, seed=seed)


def glorot_uniform(seed: int) -> initializers.Initializer:
    """Return uniform weights of variance 1 / fan_avg (Glorot & Bengio 2010)."""
    return initializers.GlorotUniform(seed=seed)


def glorot_normal(seed: int) -> initializers.Initializer:
    """Return truncated-normal weights of variance 1 / fan_avg (Glorot & Bengio 2010)."""
    return initializers.GlorotNormal(seed=seed)


def he_uniform(seed: int) -> initializers.Initializer:
    """Return uniform weights of variance 2 / fan_in, for ReLU (arXiv:1502.01852)."""
    return initializers.HeUniform(seed=seed)


def he_normal(seed: int) -> initializers.Initializer:
    """Return truncated-normal weights of variance 2 / fan_in, for ReLU (arXiv:1502.01852)."""
    return initializers.HeNormal(seed=seed)


def lecun_uniform(seed: int) -> initializers.Initializer:
    """Return uniform weights of variance 1 / fan_in (LeCun et al. 1998)."""
    return initializers.LecunUniform(seed=seed)


def lecun_normal(seed: int) -> initializers.Initializer:
    """Return truncated-normal weights of variance 1 / fan_in (LeCun et al. 1998)."""
    return initializers.LecunNormal(seed=seed)


class Dirac(initializers.VarianceScaling):
    """Kernels of convolutions that pass channels on; `dirac` says how."""

    def __init__(self, seed: int):
        super().__init__(1 / 3, "fan_in", "uniform", seed)  # of variance 1 / (3 fan_in)

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        kernel = super().__call__(shape, dtype)
        if len(shape) != 4 or shape[0] % 2 == 0 or shape[1] % 2 == 0:
            return kernel
        height, width, inputs, filters = shape
        passed = min(inputs, filters)
        centre = np.eye(inputs, passed) if filters > 1 else 1
        result = keras.ops.convert_to_numpy(kernel).copy()
        result[..., :passed] = 0
        result[height // 2, width // 2, :, :passed] = centre
        return keras.ops.convert_to_tensor(result, dtype)


def dirac(seed: int) -> initializers.Initializer:
    """Return convolutions of odd sides that begin as the identity (arXiv:1706.00388).

    Of a kernel (h, w, in, out) the first min(in, out) filters pass on one channel each, as a 1 in
    the middle does. The other filters, and kernels of any other shape, are uniform of variance
    1 / (3 fan_in), as PyTorch draws them. A kernel of one filter, as a depthwise convolution has,
    passes on each of its channels.
    """
    return Dirac(seed)


def orthogonal(seed: int, *, gain: Positive) -> initializers.Initializer:
    """Return weights with orthogonal rows or columns, times `gain` (Saxe et al. 2013)."""
    return initializers.Orthogonal(gain=gain, seed=seed)
