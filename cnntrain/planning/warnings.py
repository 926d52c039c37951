"""Warnings of a plan: settings that are allowed, but that went wrong in many tutorials.

Each function returns a sentence, or None where there is nothing to warn about.
"""

import keras

from cnntrain.data.device_memory import FEATURES_SHARE, DeviceMemory, check_memory
from cnntrain.data.source import ARRAY_REMEDIES, PHOTO_REMEDIES, check_image_memory
from cnntrain.errors import SpecError
from cnntrain.planning.batch_size import compute_memory_for_step
from cnntrain.planning.dataset_outline import DatasetOutline
from cnntrain.planning.step_memory import MemoryEstimate, NetworkDraft
from cnntrain.spec.contradictions import count_known_replicas
from cnntrain.spec.spec import Spec
from cnntrain.terminal.units import format_size
from cnntrain.training.networks.build import iterate_leaf_layers
from cnntrain.training.warnings import warn_about_frozen_random_weights, warn_about_slow_precision

MAX_INITIAL_SHARE = 0.05  # weight of batch norm's initial statistics at the end of the run
MAX_PLAIN_LAYERS = 10  # layers with kernels; deeper networks need batch norm or shortcuts
FEW_STEPS = 200
# Activation -> the initializer that keeps the scale of its maps, as He's does for ReLU.
FITTING_INITIALIZERS = {"selu": "lecun_normal", "sigmoid": "glorot_uniform"}


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
        warn_about_batch_norm_momentum(spec, draft, total_steps),
        warn_about_decoupled_decay(spec),
        warn_about_initializer(spec),
        warn_about_deep_plain_network(spec, draft),
        warn_about_frozen_random_weights(
            spec.finetune.name, are_frozen_layers_trained(spec, draft)
        ),
        warn_about_image_scale(spec, draft),
        warn_about_slow_precision(spec.precision, device.is_gpu),
        warn_about_few_steps(spec, total_steps),
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


def warn_about_batch_norm_momentum(spec: Spec, draft: NetworkDraft, total_steps: int) -> str | None:
    """Warn if batch norm still remembers its initial statistics when the run ends."""
    if spec.batch_norm_momentum == "auto" or not find_batch_norms(draft.model):
        return None
    share = float(spec.batch_norm_momentum) ** total_steps
    if share < MAX_INITIAL_SHARE:
        return None
    return (
        f"batch_norm_momentum is {spec.batch_norm_momentum:g}: after {total_steps:,} steps "
        f"{share:.0%} of the statistics are still the initial ones, and validation sees those; "
        "try auto"
    )


def warn_about_decoupled_decay(spec: Spec) -> str | None:
    """Warn if SGD has decoupled weight decay, because papers that train by SGD mean L2."""
    momentum = spec.optimizer.knobs.get("momentum", 0)
    if spec.optimizer.name != "sgd" or not spec.optimizer["weight_decay"] or spec.optimizer["l2"]:
        return None
    return (
        "optimizer.weight_decay is decoupled: papers that train by SGD mean L2, which is "
        f"{1 / (1 - momentum):.0f} times stronger at momentum {momentum:g}; their weight decay of "
        "5e-4 is optimizer.l2=2.5e-4"
    )


def warn_about_initializer(spec: Spec) -> str | None:
    """Warn if He's initializer, which is made for ReLU, meets SELU or sigmoid."""
    activation = spec.model.knobs.get("activation")
    fitting = FITTING_INITIALIZERS.get(str(activation))
    if fitting is None or not spec.initializer.name.startswith("he_"):
        return None
    return (
        f"model.activation is {activation} and initializer={spec.initializer.name} is made for "
        f"ReLU; try initializer={fitting}"
    )


def warn_about_deep_plain_network(spec: Spec, drafted: NetworkDraft) -> str | None:
    """Warn of a deep network without batch norm or shortcuts, trained too fast to learn.

    VGG-16 without batch norm, trained by Adam at 1e-3, stays at the chance loss.
    """
    kernels = [la for la in iterate_leaf_layers(drafted.model) if hasattr(la, "kernel")]
    joins = (keras.layers.Add, keras.layers.Concatenate)
    plain = not find_batch_norms(drafted.model) and not any(
        isinstance(la, joins) for la in iterate_leaf_layers(drafted.model)
    )
    fast = spec.optimizer.name != "sgd" and spec.optimizer["learning_rate"] >= 1e-3
    fresh = not spec.model.knobs.get("weights") and spec.init_from is None
    if not (plain and fast and fresh and len(kernels) > MAX_PLAIN_LAYERS):
        return None
    return (
        f"{len(kernels)} layers without batch norm, trained by {spec.optimizer.name} at "
        f"{spec.optimizer['learning_rate']:g}, often stay at the chance loss; try "
        "model.batch_norm=true or a tenth of the rate"
    )


def are_frozen_layers_trained(spec: Spec, drafted: NetworkDraft) -> bool:
    """Return whether the layers that are frozen at first, if any, will have trained weights."""
    frozen = {la.name for la in drafted.model.layers if la.weights} - drafted.phases[0].layers
    trained = spec.model.knobs.get("weights") or spec.init_from is not None
    return bool(trained) or not frozen or spec.finetune.name == "none"


def warn_about_image_scale(spec: Spec, draft: NetworkDraft) -> str | None:
    """Warn if pretrained weights get images of another scale than those that they learnt from."""
    side = min(draft.model.input_shape[1:3])
    if spec.model.knobs.get("weights") != "imagenet" or 96 <= side <= 384:
        return None
    return (
        f"weights=imagenet were learnt on photos of about 224 pixels and these have {side}: "
        "another scale; try dataset.image_size=[224,224], or a size from 96 on"
    )


def warn_about_few_steps(spec: Spec, total_steps: int) -> str | None:
    """Warn of a run of very few steps, unless `max_steps` asks for it."""
    if total_steps >= FEW_STEPS or spec.max_steps is not None:
        return None
    return f"{total_steps} steps in all are few to learn from; more epochs or a smaller batch"


def find_batch_norms(model: keras.Model) -> list[keras.layers.Layer]:
    return [
        la for la in iterate_leaf_layers(model) if isinstance(la, keras.layers.BatchNormalization)
    ]
