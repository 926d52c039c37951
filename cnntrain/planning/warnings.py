"""Warnings before training: what went wrong in tutorials, and is allowed here but rarely meant."""

import keras

from cnntrain.data.device_memory import DeviceMemory
from cnntrain.data.source import ARRAY_REMEDIES, PHOTO_REMEDIES, check_image_memory
from cnntrain.errors import SpecError
from cnntrain.planning.batch_size import compute_step_memory
from cnntrain.planning.dataset_outline import DatasetOutline
from cnntrain.planning.step_memory import MemoryEstimate, NetworkDraft
from cnntrain.spec.spec import Spec
from cnntrain.terminal.units import format_size
from cnntrain.training.network import iterate_leaf_layers
from cnntrain.training.warnings import warn_about_frozen_random_weights, warn_about_slow_precision

MAX_INITIAL_SHARE = 0.05  # of the initial statistics, at the end: more is worth a warning
MAX_PLAIN_LAYERS = 10  # layers with kernels: more need batch norm, shortcuts, or care
FEW_STEPS = 200


def collect_warnings(
    spec: Spec,
    outline: DatasetOutline,
    drafted: NetworkDraft,
    total_steps: int,
    needed: MemoryEstimate,
    room: DeviceMemory,
) -> list[str]:
    """Return what to think of before this run, a sentence or two each."""
    found = [
        warn_about_memory(spec, needed, room),
        warn_about_dataset_memory(outline, needed),
        warn_about_batch_norm_momentum(spec, drafted, total_steps),
        warn_about_decoupled_decay(spec),
        warn_about_deep_plain_network(spec, drafted),
        warn_about_frozen_random_weights(spec.finetune.name, has_learnt_below(spec, drafted)),
        warn_about_image_scale(spec, drafted),
        warn_about_slow_precision(spec.precision, room.is_gpu),
        warn_about_few_steps(spec, total_steps),
    ]
    return [sentence for sentence in found if sentence]


def warn_about_memory(spec: Spec, needed: MemoryEstimate, room: DeviceMemory) -> str | None:
    host = 0 if room.is_gpu else needed.graph + needed.dataset
    if needed.compute_device_bytes(spec.batch_size) + host <= room.free:
        return None
    most = needed.find_largest_batch(compute_step_memory(room, host))
    fits = f"at most batch_size={most} fits" if most else "not even one image fits"
    return (
        f"a step takes {format_size(needed.compute_device_bytes(spec.batch_size) + host)} and "
        f"{format_size(room.free)} are free: "
        f"{fits}; or accumulate={2 * spec.accumulate}, smaller images, precision=mixed_bfloat16 on "
        "a GPU"
    )


def warn_about_dataset_memory(outline: DatasetOutline, needed: MemoryEstimate) -> str | None:
    """What training will refuse when it has prepared the data."""
    height, width, channels = outline.splits.image_shape
    count = needed.dataset // (height * width * channels)
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


def warn_about_batch_norm_momentum(
    spec: Spec, drafted: NetworkDraft, total_steps: int
) -> str | None:
    """Batch norm that still remembers its first statistics."""
    if spec.batch_norm_momentum == "auto" or not find_batch_norms(drafted.model):
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
    """Decoupled decay with plain SGD, taken for the papers' L2."""
    momentum = spec.optimizer.knobs.get("momentum", 0)
    if spec.optimizer.name != "sgd" or not spec.optimizer["weight_decay"] or spec.optimizer["l2"]:
        return None
    return (
        "optimizer.weight_decay is decoupled: papers that train by SGD mean L2, which is "
        f"{1 / (1 - momentum):.0f} times stronger at momentum {momentum:g}; their weight decay of "
        "5e-4 is optimizer.l2=2.5e-4"
    )


def warn_about_deep_plain_network(spec: Spec, drafted: NetworkDraft) -> str | None:
    """VGG-16 without batch norm by Adam at 1e-3: the loss stays that of guessing."""
    kernels = [la for la in iterate_leaf_layers(drafted.model) if hasattr(la, "kernel")]
    joins = (keras.layers.Add, keras.layers.Concatenate)
    plain = not find_batch_norms(drafted.model) and not any(
        isinstance(la, joins) for la in iterate_leaf_layers(drafted.model)
    )
    fast = spec.optimizer.name != "sgd" and spec.optimizer["learning_rate"] >= 1e-3
    fresh = not spec.model.knobs.get("weights") and spec.model["init_from"] is None
    if not (plain and fast and fresh and len(kernels) > MAX_PLAIN_LAYERS):
        return None
    return (
        f"{len(kernels)} layers without batch norm, trained by {spec.optimizer.name} at "
        f"{spec.optimizer['learning_rate']:g}, often stay at the loss of guessing; try "
        "model.batch_norm=true or a tenth of the rate"
    )


def has_learnt_below(spec: Spec, drafted: NetworkDraft) -> bool:
    """Whether the layers that are frozen at first, if any, will have learnt weights."""
    frozen = {la.name for la in drafted.model.layers if la.weights} - drafted.phases[0].layers
    learnt = spec.model.knobs.get("weights") or spec.model["init_from"] is not None
    return bool(learnt) or not frozen or spec.finetune.name == "none"


def warn_about_image_scale(spec: Spec, drafted: NetworkDraft) -> str | None:
    """Learnt weights that see much smaller or larger things than they learnt."""
    side = min(drafted.model.input_shape[1:3])
    if spec.model.knobs.get("weights") != "imagenet" or 96 <= side <= 384:
        return None
    return (
        f"weights=imagenet were learnt on photos of about 224 pixels and these have {side}: "
        "another scale; try dataset.image_size=[224,224], or a size from 96 on"
    )


def warn_about_few_steps(spec: Spec, total_steps: int) -> str | None:
    if total_steps >= FEW_STEPS or spec.max_steps is not None:
        return None
    return f"{total_steps} steps in all are few to learn from; more epochs or a smaller batch"


def find_batch_norms(body: keras.Model) -> list[keras.layers.Layer]:
    return [
        la for la in iterate_leaf_layers(body) if isinstance(la, keras.layers.BatchNormalization)
    ]
