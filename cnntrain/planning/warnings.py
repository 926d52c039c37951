"""Warnings of a plan: those of a run that can be known before it, and of memory.

Each function returns a sentence, or None where there is nothing to warn about.
"""

from cnntrain.data.device_memory import FEATURES_SHARE, DeviceMemory, check_memory
from cnntrain.data.source import ARRAY_REMEDIES, PHOTO_REMEDIES, check_image_memory
from cnntrain.errors import SpecError
from cnntrain.planning.batch_size import compute_memory_for_step
from cnntrain.planning.dataset_outline import DatasetOutline
from cnntrain.planning.step_memory import MemoryEstimate, NetworkDraft
from cnntrain.spec.contradictions import count_known_replicas
from cnntrain.spec.spec import Spec
from cnntrain.terminal.units import format_size
from cnntrain.training.warnings import (
    list_setting_warnings,
    warn_about_frozen_random_weights,
    warn_about_slow_precision,
)


def collect_warnings(
    spec: Spec,
    outline: DatasetOutline,
    draft: NetworkDraft,
    total_steps: int,
    needed: MemoryEstimate,
    device: DeviceMemory,
) -> list[str]:
    """Return the warnings of a run, a sentence or two each."""
    warnings = [
        warn_about_memory(spec, needed, device),
        warn_about_image_memory(outline, needed),
        warn_about_feature_memory(outline, needed),
        warn_about_frozen_random_weights(
            spec.finetune.name, are_frozen_layers_trained(spec, draft)
        ),
        warn_about_slow_precision(spec.precision, device.is_gpu),
        *list_setting_warnings(spec, draft.model, total_steps),
    ]
    return [warning for warning in warnings if warning]


def warn_about_memory(spec: Spec, needed: MemoryEstimate, device: DeviceMemory) -> str | None:
    """Warn if a step takes more memory than the device has free."""
    host = 0 if device.is_gpu else needed.host_bytes
    step = needed.compute_device_bytes(spec.batch_size) + host
    if step <= device.free:
        return None
    largest = needed.find_largest_batch(compute_memory_for_step(device, needed.host_bytes))
    fits = f"at most batch_size={largest} fits" if largest else "no batch fits"
    more = find_next_accumulate(spec)
    remedies = [f"accumulate={more}"] if more else []
    remedies += ["smaller images", "precision=mixed_bfloat16 on a GPU"]
    return (
        f"a step takes {format_size(step)} and {format_size(device.free)} are free: {fits}; "
        f"or {', '.join(remedies)}"
    )


def find_next_accumulate(spec: Spec) -> int | None:
    """Return the next number of micro-batches that divides the batch, or None."""
    each = spec.batch_size // count_known_replicas(spec)
    return next((n for n in range(spec.accumulate + 1, each + 1) if each % n == 0), None)


def warn_about_image_memory(outline: DatasetOutline, needed: MemoryEstimate) -> str | None:
    """Warn if training will refuse to keep so many images in memory."""
    height, width, channels = outline.splits.image_shape
    count = needed.images // (height * width * channels)
    try:
        check_image_memory(
            count,
            (height, width),
            channels,
            PHOTO_REMEDIES if outline.has_photos else ARRAY_REMEDIES,
        )
    except SpecError as refusal:
        return f"{refusal.given}; {refusal.hint}"
    return None


def warn_about_feature_memory(outline: DatasetOutline, needed: MemoryEstimate) -> str | None:
    """Warn if training will refuse to keep the features of the training images in memory."""
    train, valid = len(outline.splits.train), len(outline.splits.valid or ())
    size = needed.features * train // (train + valid)
    try:
        check_memory(
            f"the features of {train:,} images",
            size,
            FEATURES_SHARE,
            "features that fit in memory",
            "finetune.cache=false",
        )
    except SpecError as refusal:
        return f"{refusal.given}; {refusal.hint}"
    return None


def are_frozen_layers_trained(spec: Spec, drafted: NetworkDraft) -> bool:
    """Return whether the layers that are frozen at first, if any, will have trained weights."""
    frozen = {la.name for la in drafted.model.layers if la.weights} - drafted.phases[0].layers
    trained = spec.model.knobs.get("weights") or spec.init_from is not None
    return bool(trained) or not frozen or spec.finetune.name == "none"
