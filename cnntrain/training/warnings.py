"""Warnings of a run before its first step; `cnntrain plan` gives those that it can know, too.

Each function returns a sentence, or None where there is nothing to warn about.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from cnntrain.training.devices.decisions import has_bfloat16_instructions
from cnntrain.training.metrics import MAX_CLASSES_IN_WARNING


def warn_about_changed_replicas(before: int, now: int) -> str | None:
    """Warn of a run that goes on with another number of devices than it began with."""
    if before == now:
        return None
    return (
        f"the run began with {count_devices(before)} and resumes with {count_devices(now)}: "
        "batch norm's statistics and the masks of dropout will differ"
    )


def warn_about_changed_pixels(before: int | None, now: int | None) -> str | None:
    """Warn of a run whose photos were decoded by another version of the decoder when it began."""
    if before == now:
        return None
    return "photos are now resized differently than when the run began: pixels will differ slightly"


def warn_about_unsure_layers(init: Mapping[str, Any], class_names: Sequence[str]) -> str | None:
    """Warn of heads with loaded weights, if their source does not name its classes.

    `init` is the warm-start report of `warm_start_model`.
    """
    if not init.get("unsure"):
        return None
    more = ", …" * (len(class_names) > MAX_CLASSES_IN_WARNING)
    classes = ", ".join(class_names[:MAX_CLASSES_IN_WARNING]) + more
    return (
        f"the head {', '.join(init['unsure'])} was loaded from {init['from']}, which does not name "
        f"its classes: predictions are right only if they were, in this order, {classes}"
    )


def count_devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"


def warn_about_frozen_random_weights(finetune: str, are_trained: bool) -> str | None:
    """Warn of frozen layers, unless all of them have trained weights (`are_trained`)."""
    if are_trained:
        return None
    return (
        f"finetune={finetune} freezes layers with random weights; begin with trained ones: "
        "init_from=RUN, or a network with model.weights=imagenet"
    )


def warn_about_slow_precision(precision: str, on_gpu: bool) -> str | None:
    """Warn of 16-bit precision on a CPU, unless it has, or may have, instructions for bfloat16."""
    if precision == "float32" or on_gpu:
        return None
    if precision == "mixed_bfloat16" and has_bfloat16_instructions() is not False:
        return None
    return (
        f"precision is {precision} on a CPU without instructions for it, "
        "where it is often 2 to 4 times slower than float32"
    )
