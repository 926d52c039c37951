"""What `cnntrain fit` proposes for photos: settings, each with its reason.

A proposal is a pure function of what was looked at: the facts of the photos, the sizes of the
splits, the weights that can be had, and what the user has set, which wins. Its settings are those
of recipes that were measured (conf/experiment/mobilenet_flowers17.yaml,
conf/experiment/cats_dogs_mobilenet.yaml).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from cnntrain.planning.photo_facts import PhotoFacts
from cnntrain.planning.pretrained_choice import PretrainedChoice

FEW_PHOTOS = 100  # fewer to learn from: none is left to choose an epoch by
SOME_PHOTOS = 400  # fewer to learn from: validation gets a fifth
MANY_PHOTOS = 2000  # so many to learn from: all layers are fine-tuned
FINE_TUNING_EPOCHS = 5
SMALLEST_PHOTO = 48  # pixels of the shorter side; in smaller ones ImageNet's weights see little
PRETRAINED_SIDES = (224, 192, 160, 128)  # pixels, for which MobileNet's weights are published
SMALLEST_SIDE, SCRATCH_SIDE = 96, 64  # pixels, of images for ImageNet's weights, and from scratch
HEAD_STEPS, SCRATCH_STEPS = 800, 3000  # in which a new head learns, and a small network
MOST_HEAD_EPOCHS, MOST_SCRATCH_EPOCHS = 75, 100  # of few photos
UNBALANCED = 1.5  # times more photos of the commonest class than of the rarest


@dataclass(frozen=True)
class Decision:
    """A line of a proposal: what is decided, its value in words, why, and the overrides."""

    what: str
    value: str
    why: str
    words: tuple[str, ...] = ()


def propose_splits(facts: PhotoFacts, given: Mapping[str, str]) -> Decision:
    """Return how test and validation photos are chosen; `given` are the user's settings.

    A fold that the user holds out is the test split or, beside a test part, the validation split.
    """
    train, has_test = facts.parts.get("train", 0), "test" in facts.parts
    learning = train if has_test else round(0.8 * train)
    test = "your test part" if has_test else None
    valid = "your validation part" if "valid" in facts.parts else None
    if given.get("dataset.folds", "null") != "null":
        fold = f"fold {given.get('dataset.fold')} of {given['dataset.folds']}"
        test = test or f"{fold} for the test"
        valid = f"{fold} for validation" if has_test else None
    why, words = "the folders say which are which", list[str]()
    if test is None:
        share = 0.25 if learning < FEW_PHOTOS else 0.2
        test = f"{share:.0%} for the test"
        words.append(f"dataset.test={share}")
    if valid is None:
        share = 0 if learning < FEW_PHOTOS else 0.2 if learning < SOME_PHOTOS else 0.1
        valid = f"{share:.0%} of the rest for validation" if share else "no validation"
        words.append(f"dataset.valid={share}")
    if words:
        why = "validation chooses the epoch; test photos are read once, at the end"
    if "dataset.valid=0" in words:
        why = "too few photos to choose an epoch by some of them"
    return respect_given(Decision("splits", f"{test}, {valid}", why, tuple(words)), given)


def propose_settings(
    facts: PhotoFacts,
    train: int,
    has_valid: bool,
    pretrained: PretrainedChoice | None,
    given: Mapping[str, str],
) -> list[Decision]:
    """Return all decisions but the splits, of which training has `train` photos.

    `pretrained` is the network whose ImageNet weights can be had, or None.
    """
    if pretrained is not None and suits_pretrained(facts, given):
        decisions = [propose_pretrained(pretrained), *propose_head(facts, train, given)]
    elif brings_weights(given):
        decisions = propose_head(facts, train, given)
    else:
        decisions = propose_scratch(facts, train, given)
    decisions.append(propose_class_weights(facts, has_valid))
    return [respect_given(decision, given) for decision in decisions]


def brings_weights(given: Mapping[str, str]) -> bool:
    """Return whether the user says which weights to begin with."""
    return "init_from" in given or given.get("model.weights", "null") != "null"


def suits_pretrained(facts: PhotoFacts, given: Mapping[str, str]) -> bool:
    """Return whether ImageNet's weights are of use, and the user has not decided about weights."""
    decided = "init_from" in given or "model.weights" in given
    return min(facts.size) >= SMALLEST_PHOTO and not decided


def propose_pretrained(choice: PretrainedChoice) -> Decision:
    """Return the decision for a network with ImageNet weights."""
    network = choice.network
    alpha = [f"model.alpha={network.alpha:g}"] if network.alpha != 1 else []
    words = (f"model={network.option}", *alpha, "model.weights=imagenet", "model.head=[0.5]")
    why = f"it has learnt from a million photos; weights: {choice.where}"
    return Decision("network", f"{network.title} of ImageNet, a new head", why, words)


def propose_head(facts: PhotoFacts, train: int, given: Mapping[str, str]) -> list[Decision]:
    """Return the decisions on training a new head above learnt layers, and later all of them."""
    side = next((n for n in PRETRAINED_SIDES if n <= min(facts.size)), SMALLEST_SIDE)
    batch_size = 32 if train >= 4 * FEW_PHOTOS else 16 if train >= FEW_PHOTOS else 8
    epochs = count_epochs(HEAD_STEPS, train, batch_size, MOST_HEAD_EPOCHS)
    finetune, added = propose_finetuning(train, epochs, given), 0
    if any(word == "finetune=two_phase" for word in finetune.words):
        added = FINE_TUNING_EPOCHS
    height, width = facts.size
    return [
        finetune,
        Decision(
            "image size",
            f"{side}x{side}",
            f"the photos have {height}x{width}, the weights learnt at 224",
            (f"dataset.image_size=[{side},{side}]",),
        ),
        propose_batch_size(train, batch_size),
        propose_epochs(epochs + added, "enough steps for a head", given),
        Decision(
            "learning rate",
            "0.002, falling as a cosine",
            "what measured best for a head",
            ("optimizer=adam", "optimizer.learning_rate=0.002", "schedule=cosine"),
        ),
        Decision(
            "augmentation",
            "none",
            "so the features of frozen layers are computed once: minutes become seconds",
            ("augmentation=none",),
        ),
    ]


def propose_finetuning(train: int, epochs: int, given: Mapping[str, str]) -> Decision:
    """Return whether the head alone is trained, for `epochs`, or then all layers too."""
    head = ("finetune=head",)
    if train < MANY_PHOTOS:
        why = f"{train:,} photos to learn from: training all layers gains nothing with so few"
        return Decision("training", "the head; the rest is frozen", why, head)
    if "minutes" in given:
        why = "all layers would take longer than the minutes are sure to allow"
        return Decision("training", "the head; the rest is frozen", why, head)
    words = (
        "finetune=two_phase",
        f"finetune.head_epochs={epochs}",
        "finetune.learning_rate=1e-4",
    )
    value = f"{epochs} epochs the head, then {FINE_TUNING_EPOCHS} all layers, slowly"
    return Decision("training", value, f"{train:,} photos are enough to fine-tune all", words)


def propose_scratch(facts: PhotoFacts, train: int, given: Mapping[str, str]) -> list[Decision]:
    """Return the decisions on training a small network from random weights."""
    why = "no ImageNet weights in weights_dir nor in Keras' cache, and no network to fetch them"
    if min(facts.size) < SMALLEST_PHOTO:
        why = "in photos this small, ImageNet's weights see little"
    if given.get("model.weights") == "null":
        why = "you want no weights"
    batch_size = 128 if train >= 10_000 else 32 if train >= FEW_PHOTOS else 8
    decisions = [
        Decision("network", "ResNet-20, from random weights", why, ("model=resnet20_v1",)),
        propose_small_side(facts),
        propose_batch_size(train, batch_size),
        propose_epochs(
            count_epochs(SCRATCH_STEPS, train, batch_size, MOST_SCRATCH_EPOCHS),
            "enough steps to learn in",
            given,
        ),
        Decision(
            "learning rate",
            "0.001, falling as a cosine",
            "Adam's usual one; cnntrain plan --find-rate looks for another",
            ("optimizer=adam", "optimizer.learning_rate=0.001", "schedule=cosine"),
        ),
    ]
    return [*decisions, propose_augmentation(facts)]


def propose_small_side(facts: PhotoFacts) -> Decision:
    """Return the size, and the colours, of images for a network that learns from nothing."""
    height, width = facts.size
    grey = ("dataset.channels=1",) if facts.is_grey else ()
    colours = ", grey" if facts.is_grey else ""
    if facts.has_one_size and max(height, width) <= SCRATCH_SIDE:
        why = "all photos have that size"
        words = (f"dataset.image_size=[{height},{width}]", *grey)
        return Decision("image size", f"{height}x{width}{colours}", why, words)
    words = (f"dataset.image_size=[{SCRATCH_SIDE},{SCRATCH_SIDE}]", *grey)
    why = "small images teach a small network faster"
    return Decision("image size", f"{SCRATCH_SIDE}x{SCRATCH_SIDE}{colours}", why, words)


def propose_augmentation(facts: PhotoFacts) -> Decision:
    """Return how images are varied: grey ones may be letters, and are not mirrored."""
    if facts.is_grey:
        words = (
            "augmentation=geometric", "augmentation.rotation=10", "augmentation.shift=0.1",
            "augmentation.shear=0", "augmentation.zoom=0.1", "augmentation.flip=0",
        )  # fmt: skip
        why = "few photos teach more so; grey ones may be letters, which have no mirror image"
        return Decision("augmentation", "turned, shifted and zoomed a little", why, words)
    why = "few photos teach more so"
    return Decision("augmentation", "shifted and mirrored", why, ("augmentation=shift_flip",))


def propose_batch_size(train: int, batch_size: int) -> Decision:
    steps = max(1, train // batch_size)
    why = f"{steps:,} step{'s' * (steps != 1)} an epoch"
    return Decision("batch size", str(batch_size), why, (f"batch_size={batch_size}",))


def count_epochs(steps: int, train: int, batch_size: int, most: int) -> int:
    """Return the epochs in which so many steps are made: from 5 to `most`."""
    return min(most, max(5, math.ceil(steps / max(1, train // batch_size))))


def propose_epochs(epochs: int, why: str, given: Mapping[str, str]) -> Decision:
    """Return the number of epochs, unless the user gives minutes."""
    if "minutes" in given:
        return Decision("epochs", f"what fits into minutes={given['minutes']}", "as you say")
    return Decision("epochs", str(epochs), why, (f"epochs={epochs}",))


def propose_class_weights(facts: PhotoFacts, has_valid: bool) -> Decision:
    """Return how the classes are weighed in the loss, and by what the best epoch is chosen."""
    if facts.has_several_labels:
        return Decision("class weights", "none", "a photo may be of several classes")
    if facts.imbalance < UNBALANCED:
        return Decision("class weights", "none", "all classes have about as many photos")
    monitor = ("monitor=valid.balanced_accuracy",) if has_valid else ()
    why = f"the commonest class has {facts.imbalance:.1f} times the photos of the rarest"
    words = ("loss.class_weights=balanced", *monitor)
    return Decision("class weights", "balanced", why, words)


def respect_given(decision: Decision, given: Mapping[str, str]) -> Decision:
    """Return a decision without the words of settings that the user has set.

    With an option that the user has chosen go the knobs of the one that was proposed.
    """
    kept = tuple(word for word in decision.words if not is_given(word.partition("=")[0], given))
    if len(kept) == len(decision.words):
        return decision
    keys = [word.partition("=")[0] for word in decision.words]
    groups = {key.partition(".")[0] for key in keys} - {"dataset", "loss"}
    own = [
        f"{key}={value}"
        for key, value in given.items()
        if key in keys or key.partition(".")[0] in groups
    ]
    if not kept:
        return Decision(decision.what, " ".join(own), "as you say")
    return replace(decision, value=f"{decision.value}; {' '.join(own)}", words=kept)


def is_given(key: str, given: Mapping[str, str]) -> bool:
    """Return whether the user has set a key, or has chosen the option that it is a knob of."""
    group, _, knob = key.partition(".")
    return key in given or (bool(knob) and group != "dataset" and group in given)
