"""Warnings of a run; `cnntrain plan` gives those that it can know, too.

Each function returns a sentence, or None where there is nothing to warn about.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from cnntrain.data.labels import leaves_imbalance
from cnntrain.data.source import Splits
from cnntrain.errors import escape_unprintable
from cnntrain.spec.spec import Spec
from cnntrain.training.devices.device import has_bfloat16_instructions
from cnntrain.training.metrics import MAX_CLASSES_IN_WARNING, warn_about_majority_class
from cnntrain.training.networks.build import iterate_leaf_layers

MAX_INITIAL_SHARE = 0.05  # weight of batch norm's initial statistics at the end of the run
MAX_PLAIN_LAYERS = 10  # layers with kernels; deeper networks need batch norm or shortcuts
FEW_STEPS = 200
# Activation -> the initializer that keeps the scale of its maps, as He's does for ReLU.
FITTING_INITIALIZERS = {"selu": "lecun_normal", "sigmoid": "glorot_uniform"}
DEVICE_FACTS = ("kind", "gpus", "threads", "xla", "determinism", "tf32")  # that change last bits
WAITING_SHARE = 0.2  # of the time of training, from which on waiting for images is worth a word


def list_setting_warnings(spec: Spec, model: keras.Model, total_steps: int) -> list[str]:
    """Return the warnings of settings that are allowed, but that went wrong in many tutorials.

    `model` is the builder's own network, behind the normalisation.
    """
    warnings = [
        warn_about_batch_norm_momentum(spec, model, total_steps),
        warn_about_decoupled_decay(spec),
        warn_about_normalised_kernels(spec, model),
        warn_about_initializer(spec),
        warn_about_deep_plain_network(spec, model),
        warn_about_image_scale(spec, model),
        warn_about_few_steps(spec, total_steps),
    ]
    return [warning for warning in warnings if warning]


def warn_about_batch_norm_momentum(spec: Spec, model: keras.Model, total_steps: int) -> str | None:
    """Warn if batch norm still remembers its initial statistics when the run ends."""
    if spec.batch_norm_momentum == "auto" or not find_batch_norms(model):
        return None
    share = float(spec.batch_norm_momentum) ** total_steps
    if share < MAX_INITIAL_SHARE:
        return None
    return (
        f"batch_norm_momentum is {spec.batch_norm_momentum:g}: after {total_steps:,} steps "
        f"{share:.0%} of the statistics are still the initial ones, and validation sees those; "
        "try auto"
    )


def warn_about_normalised_kernels(spec: Spec, model: keras.Model) -> str | None:
    """Warn if Muon keeps the norm of kernels whose scale no batch norm takes away."""
    if not spec.optimizer.knobs.get("normalise") or find_batch_norms(model):
        return None
    return (
        "optimizer.normalise keeps the norm of each convolution kernel, and no batch norm "
        f"takes their scale out of {model.name}; try optimizer.normalise=false"
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


def warn_about_deep_plain_network(spec: Spec, model: keras.Model) -> str | None:
    """Warn of a deep network without batch norm or shortcuts, trained too fast to learn.

    VGG-16 without batch norm, trained by Adam at 1e-3, stays at the chance loss.
    """
    kernels = [la for la in iterate_leaf_layers(model) if hasattr(la, "kernel")]
    joins = (keras.layers.Add, keras.layers.Concatenate)
    plain = not find_batch_norms(model) and not any(
        isinstance(la, joins) for la in iterate_leaf_layers(model)
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


def warn_about_image_scale(spec: Spec, model: keras.Model) -> str | None:
    """Warn if pretrained weights get images of another scale than those that they learnt from."""
    side = min(model.input_shape[1:3])
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


def warn_about_changed_replicas(before: int, now: int) -> str | None:
    """Warn of a run that goes on with another number of devices than it began with."""
    if before == now:
        return None
    return (
        f"the run began with {count_devices(before)} and resumes with {count_devices(now)}: "
        "batch norm's statistics and the masks of dropout will differ"
    )


def warn_about_changed_device(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Warn of a run that goes on with another device than it began with, or on it otherwise.

    Both are entries `device` of run.json; `before` is empty for a run that begins.
    """
    changed = [key for key in DEVICE_FACTS if key in before and before[key] != now[key]]
    if not changed:
        return None
    then, here = (", ".join(f"{key} {facts[key]}" for key in changed) for facts in (before, now))
    return escape_unprintable(
        f"the run began with {then} and resumes with {here}: the numbers may differ"
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


def warn_about_guessing(
    step: int, loss: float, chance_loss: float, correct: tuple[float, int], chance: float
) -> str | None:
    """Warn of a loss that is, after so many steps, still that of guessing by class frequency.

    Nothing is wrong where the network recognised clearly more of the images that it trained on,
    three standard errors, than the share `chance` of the commonest class: then it has begun to
    learn, and the loss follows. `correct` are the images recognised, and all images.
    """
    right, images = correct
    has_begun = right - chance * images > 3 * math.sqrt(images * chance * (1 - chance))
    if has_begun or abs(loss - chance_loss) >= 0.01 * chance_loss:
        return None
    return (
        f"Warning: after {step} steps the loss is {loss:.3f}, as if the network "
        f"guessed ({chance_loss:.3f}); it may never learn. Try model.batch_norm=true, a "
        "smaller optimizer.learning_rate, or another initializer."
    )


def warn_about_statistics(row: Mapping[str, float], chance_loss: float) -> str | None:
    """Warn where only training looks good: batch norm's statistics lag, or worse.

    It is judged by the accuracy, which images with several labels have not.
    """
    if "train.accuracy" not in row:
        return None
    chance = math.exp(-chance_loss)
    learnt = (row["train.accuracy"] - chance) / (1 - chance)
    shown = (row.get("valid.accuracy", 1) - chance) / (1 - chance)
    if learnt <= 0.3 or shown >= 0.2 * learnt:
        return None
    return (
        f"Warning: validation is near chance (accuracy {row['valid.accuracy']:.3f}) and "
        f"training is not ({row['train.accuracy']:.3f}). The statistics of batch norm may "
        "lag behind (batch_norm_momentum=auto), or the validation images are of another kind."
    )


def warn_about_predictions(spec: Spec, splits: Splits, scores: np.ndarray) -> str | None:
    """Warn if the test predictions miss classes or are no better than the commonest class.

    `scores` are (N, classes). Images with several labels have no commonest class.
    """
    if splits.has_several_labels:
        return None
    remedies = ["loss.class_weights=balanced"] if leaves_imbalance(spec) else []
    remedies += ["monitor=valid.balanced_accuracy"] if splits.valid is not None else []
    labels, guesses = splits.test.labels, scores.argmax(axis=-1)
    return warn_about_majority_class(labels, guesses, splits.class_names, remedies)


def warn_about_skipped_steps(updates: int, steps: int) -> str | None:
    """Warn where float16 let most gradients overflow: these steps changed nothing."""
    if updates >= steps / 2:
        return None
    return (
        f"Warning: {steps - updates} of {steps} steps were skipped because their gradients "
        "were not finite in float16. Try precision=mixed_bfloat16, a smaller "
        "optimizer.learning_rate, or smaller loss.class_weights."
    )


def warn_about_standstill(
    before: Sequence[np.ndarray], read_weights: Callable[[], Sequence[np.ndarray]]
) -> str | None:
    """Warn where the first epoch of a phase has left its last layer exactly as it was."""
    if not all(map(np.array_equal, before, read_weights())):
        return None
    return (
        "Warning: the epoch has changed no weight of the last layer: the steps are too "
        "small for float32. Try a larger optimizer.learning_rate."
    )


def warn_about_input(spent: Mapping[str, float], decodes: bool, on_device: bool) -> str | None:
    """Warn of training that waits for its images, and say what would help."""
    waited = spent.get("waiting", 0.0)
    share = waited / max(waited + spent.get("steps", 0.0), 1e-9)
    if share < WAITING_SHARE or waited < 1:
        return None
    remedies = [] if on_device else ["pipeline=device keeps images of one size on a GPU"]
    if decodes:
        remedies = ["dataset.cache=memory or disk decodes each photo once"]
    remedies.append("a lighter augmentation, or more processor cores, help too")
    return (
        f"Warning: training waited for its images {share:.0%} of the time: {'; '.join(remedies)}."
    )
