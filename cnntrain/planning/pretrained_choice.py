"""Which network with ImageNet weights `cnntrain fit` takes: one whose weights are here, or close.

The names of the files are those that Keras publishes; they are written down here so that a look
for them does not load Keras.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import requests

from cnntrain.errors import SpecError
from cnntrain.models.parts.weights_file import expand_weights_path, find_official_file

KERAS_FILES = "https://storage.googleapis.com/tensorflow/keras-applications"
PROBE_SECONDS = 4.0


@dataclass(frozen=True)
class PretrainedNetwork:
    """An option of `model`, its width, and the file of its ImageNet weights without a top."""

    option: str
    alpha: float
    file: str
    title: str


# The first whose file is here is taken: those before others are more accurate for their time.
CANDIDATES = (
    PretrainedNetwork("mobilenet", 1, "mobilenet_1_0_224_tf_no_top.h5", "MobileNet"),
    PretrainedNetwork("mobilenet", 0.75, "mobilenet_7_5_224_tf_no_top.h5", "MobileNet 0.75"),
    PretrainedNetwork(
        "mobilenet_v2",
        1,
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        "MobileNetV2",
    ),
    PretrainedNetwork("efficientnet_b0", 1, "efficientnetb0_notop.h5", "EfficientNet-B0"),
    PretrainedNetwork(
        "resnet50_imagenet", 1, "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5", "ResNet-50"
    ),
    PretrainedNetwork("mobilenet", 0.5, "mobilenet_5_0_224_tf_no_top.h5", "MobileNet 0.5"),
    PretrainedNetwork("mobilenet", 0.25, "mobilenet_2_5_224_tf_no_top.h5", "MobileNet 0.25"),
)


@dataclass(frozen=True)
class PretrainedChoice:
    """A network whose ImageNet weights can be had, and where they are."""

    network: PretrainedNetwork
    where: str


def choose_pretrained(
    given: Mapping[str, str], weights_dir: str | None = None
) -> PretrainedChoice | None:
    """Return the network whose weights can be had, or None; `given` are the user's settings.

    Weights are looked for in `weights_dir` and in Keras' cache; only then the network is asked
    whether MobileNet's can be fetched. A model and a width that the user has chosen stay. Raises
    SpecError if `weights_dir` is no folder.
    """
    if weights_dir and not expand_weights_path(weights_dir, "weights_dir").is_dir():
        raise SpecError(
            f"weights_dir is {weights_dir}, which is no folder that is there",
            "a folder with files of weights that Keras publishes",
        )
    wanted = [candidate for candidate in CANDIDATES if suits_settings(candidate, given)]
    for candidate in wanted:
        if file := find_official_file(candidate.file, weights_dir):
            return PretrainedChoice(candidate, f"{file.name} in {file.parent}")
    first = CANDIDATES[0]
    if first in wanted and can_fetch(f"{KERAS_FILES}/mobilenet/{first.file}"):
        return PretrainedChoice(first, f"{first.file}, which is fetched")
    return None


def explain_missing_weights(given: Mapping[str, str]) -> list[str]:
    """Return lines on which file of MobileNet to fetch, from where, and what to say then.

    There are none if the user has chosen another network.
    """
    wanted = [network for network in CANDIDATES if network.option == CANDIDATES[0].option]
    fitting = next((network for network in wanted if suits_settings(network, given)), None)
    if fitting is None:
        return []
    return [
        "Without ImageNet weights photos teach a network much less. Where there is a network "
        "connection, fetch",
        f"  {KERAS_FILES}/mobilenet/{fitting.file}",
        "put the file into a folder of yours here, and add weights_dir=FOLDER",
    ]


def suits_settings(candidate: PretrainedNetwork, given: Mapping[str, str]) -> bool:
    """Return whether a network is the one that the user's settings ask for, if they ask for one."""
    if given.get("model", candidate.option) != candidate.option:
        return False
    return given.get("model.alpha", f"{candidate.alpha:g}") in (
        f"{candidate.alpha:g}",
        f"{candidate.alpha:.1f}",
    )


def can_fetch(url: str) -> bool:
    """Return whether a file can be fetched now: False, after some seconds, without a network."""
    try:
        return requests.head(url, timeout=PROBE_SECONDS, allow_redirects=True).ok
    except requests.RequestException:
        return False
