"""What a run is warned of before its first step: from facts to a sentence, or None.

`cnntrain plan` says those that it can know, too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

MAX_NAMED_CLASSES = 5


def warn_about_other_devices(before: int, now: int) -> str | None:
    """Of a run that goes on with another number of devices than it began with."""
    if before == now:
        return None
    return (
        f"the run began on {before} devices and goes on with {now}; "
        "batch norm and dropout see other parts of a batch"
    )


def warn_about_other_pixels(before: int | None, now: int | None) -> str | None:
    """Of a run whose photos were made by another version of the decoder when it began."""
    if before == now:
        return None
    return (
        "photos are made smaller in another way than when the run began, so that it "
        "goes on with slightly other pixels"
    )


def warn_about_unsure_layers(init: Mapping[str, Any], class_names: Sequence[str]) -> str | None:
    """Of layers that depend on the classes, from weights that do not say theirs."""
    if not init.get("unsure"):
        return None
    more = ", …" * (len(class_names) > MAX_NAMED_CLASSES)
    classes = ", ".join(class_names[:MAX_NAMED_CLASSES]) + more
    return (
        f"{', '.join(init['unsure'])} has the weights of {init['from']}, too, "
        f"which does not say its classes; they mean something if these are {classes}"
    )


def warn_about_frozen_random_weights(finetune: str, has_learnt: bool) -> str | None:
    """Of frozen layers; `has_learnt` says whether all of them, if any, have learnt weights."""
    if has_learnt:
        return None
    return (
        f"finetune={finetune} freezes layers with random weights; begin with learnt ones: "
        "model.init_from=RUN, or a network with model.weights=imagenet"
    )


def warn_about_slow_precision(precision: str, on_gpu: bool) -> str | None:
    """Of 16 bits on a CPU."""
    if precision == "float32" or on_gpu:
        return None
    return f"precision is {precision} on a CPU, where it is often 2 to 4 times slower than float32"
