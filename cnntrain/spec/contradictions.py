"""Rules between settings and groups, checked when a spec is built."""

import math
from collections.abc import Iterator
from typing import Any

from cnntrain.errors import SpecError
from cnntrain.spec.knobs import format_setting, format_value
from cnntrain.spec.metrics import MONITORS, SEVERAL_LABELS_MONITORS
from cnntrain.spec.signatures import Component
from cnntrain.spec.slices import parse_slices
from cnntrain.spec.spec import Spec


def check_clipping(spec: Spec) -> None:
    """Raise SpecError if gradients are clipped in more than one way."""
    clips = ("clip_value", "clip_norm", "global_clip_norm")
    clippings = [f"optimizer.{clip}" for clip in clips if spec.optimizer[clip] is not None]
    if len(clippings) > 1:
        raise SpecError(
            f"{' and '.join(clippings)} are both set", "one of them", f"{clippings[1]}=null"
        )


def check_nesterov(spec: Spec) -> None:
    """Raise SpecError for Nesterov momentum whose momentum is 0."""
    knobs = spec.optimizer.knobs
    if knobs.get("nesterov") and knobs["momentum"] == 0:
        raise SpecError(
            "optimizer.nesterov is true and optimizer.momentum is 0",
            "a momentum above 0",
            "optimizer.momentum=0.9",
        )


def check_alternating_flip(spec: Spec) -> None:
    """Raise SpecError if images that are mirrored in every second epoch are not half of them."""
    for where, augmentation in iterate_augmentations("augmentation", spec.augmentation):
        knobs = augmentation.knobs
        if knobs.get("alternate") and knobs["flip"] != 0.5:
            raise SpecError(
                f"{where}.alternate is true and {where}.flip is {knobs['flip']:g}",
                "a flip of 0.5: each image is mirrored in every second epoch",
                format_setting(f"{where}.alternate", "false"),
            )


def iterate_augmentations(where: str, augmentation: Component) -> Iterator[tuple[str, Component]]:
    """Yield an augmentation, and those that it lists, each with its dotted key."""
    yield where, augmentation
    for number, operation in enumerate(augmentation.knobs.get("ops", ())):
        yield from iterate_augmentations(f"{where}.ops[{number}]", operation)


def check_schedule_boundaries(spec: Spec) -> None:
    """Raise SpecError if a step schedule's boundaries do not rise, or its factors are too few."""
    second = spec.finetune.knobs.get("schedule")
    for key, schedule in (("schedule", spec.schedule), ("finetune.schedule", second)):
        if schedule is None or "after_epochs" not in schedule.knobs:
            continue
        boundaries, factors = schedule["after_epochs"], schedule["factors"]
        if len(boundaries) != len(factors):
            raise SpecError(
                f"{key}.after_epochs has {len(boundaries)} numbers, {key}.factors {len(factors)}",
                "as many factors as boundaries",
            )
        if list(boundaries) != sorted(set(boundaries)):
            raise SpecError(f"{key}.after_epochs is {list(boundaries)}", "rising numbers")


def check_label_map(spec: Spec) -> None:
    """Raise SpecError if labels of what is no digit are to become odd and even."""
    if spec.dataset["label_map"] == "odd_even" and spec.dataset.knobs.get("tfds") in NOT_DIGITS:
        raise SpecError(
            f"dataset.label_map is odd_even and the data set is {spec.dataset['tfds']}",
            "a data set of digits",
            "dataset=mnist",
        )


def check_slices(spec: Spec) -> None:
    """Raise SpecError for a slice of TFDS' splits that cannot be read."""
    for part, text in spec.dataset.knobs.get("slices", {}).items():
        if text is not None:
            parse_slices(text, f"dataset.slices.{part}")


def check_value_range(spec: Spec) -> None:
    """Raise SpecError if white is not a greater pixel value than black."""
    value_range = spec.dataset["value_range"]
    if isinstance(value_range, tuple) and value_range[0] >= value_range[1]:
        raise SpecError(
            f"dataset.value_range is [{value_range[0]:g},{value_range[1]:g}]",
            "the value that is black, and a greater one that is white",
            f"'dataset.value_range=[0,{max(value_range) if max(value_range) > 0 else 65535:g}]'",
        )


def check_folds(spec: Spec) -> None:
    """Raise SpecError for folds without a number, a fold that does not exist, and a first cut."""
    folds, fold = spec.dataset["folds"], spec.dataset["fold"]
    if folds is None and fold is not None:
        raise SpecError(
            f"dataset.fold is {fold} and dataset.folds is null",
            "the number of folds that the images are divided into",
            f"dataset.fold={fold} dataset.folds={max(5, fold + 1)}",
        )
    if folds is not None and (fold is None or fold >= folds):
        raise SpecError(
            f"dataset.fold is {'null' if fold is None else fold} and dataset.folds is {folds}",
            f"the fold that is held out, from 0 to {folds - 1}; or all, one after the other: "
            f"cnntrain -m 'dataset.fold=range({folds})' dataset.folds={folds}",
            "dataset.fold=0" if fold is None else f"dataset.fold={folds - 1}",
        )
    knob = "folds" if folds is not None else "groups"
    if spec.dataset["cut"] == "first" and (value := spec.dataset[knob]) is not None:
        raise SpecError(
            f"dataset.cut is first and dataset.{knob} is {value}",
            "a stratified cut: the first images are no fold, and may divide a group",
            "dataset.cut=stratified",
        )


def check_label_columns(spec: Spec) -> None:
    """Raise SpecError if the labels of a table are said to be in one column and in several."""
    column, columns = (spec.dataset.knobs.get(knob) for knob in ("label_column", "label_columns"))
    if columns is not None and column != "auto":
        raise SpecError(
            f"dataset.label_column is {column} and dataset.label_columns is {list(columns)}",
            "one of them",
            "dataset.label_column=auto",
        )


def check_sampling(spec: Spec) -> None:
    """Raise SpecError if rare classes would count twice: sampled more often, and weighed more."""
    if spec.dataset["sampling"] == "balanced" and spec.loss.class_weights == "balanced":
        raise SpecError(
            "dataset.sampling is balanced and loss.class_weights is balanced, so that a rare class "
            "would count too much",
            "one of them",
            "loss.class_weights=none",
        )


def check_micro_batches(spec: Spec) -> None:
    """Raise SpecError if the micro-batches of a batch would differ in size."""
    if spec.batch_size % spec.accumulate:
        raise SpecError(
            f"accumulate is {spec.accumulate} and batch_size is {spec.batch_size}",
            "micro-batches of one size",
            f"accumulate={math.gcd(spec.accumulate, spec.batch_size)}",
        )


def check_head_epochs(spec: Spec) -> None:
    """Raise SpecError if training the head leaves no epoch for the second phase."""
    first = spec.finetune.knobs.get("head_epochs", 0)
    if first >= spec.epochs:
        raise SpecError(
            f"finetune.head_epochs is {first} and epochs is {spec.epochs}",
            "epochs left for the second phase",
            f"epochs={2 * first}",
        )


def check_refit(spec: Spec) -> None:
    """Raise SpecError for a refit after `max_steps`: it repeats a number of whole epochs."""
    if spec.refit and spec.max_steps is not None:
        raise SpecError(
            f"refit is true and max_steps is {spec.max_steps}",
            "whole epochs, of which validation chooses a number",
            "max_steps=null epochs=N",
        )


def check_minutes(spec: Spec) -> None:
    """Raise SpecError for a budget of time in a spec that is frozen: it has epochs instead."""
    if spec.minutes is not None:
        raise SpecError(
            f"minutes is {spec.minutes:g}, which only the beginning of a run turns into epochs",
            "a number of epochs",
            f"minutes=null epochs={spec.epochs}",
        )


def check_validation(spec: Spec) -> None:
    """Raise SpecError if there is no validation (`dataset.valid=0`) and a setting needs it."""
    if spec.dataset["valid"]:
        return
    nested = spec.finetune.knobs.get("schedule")
    schedules = {"schedule": spec.schedule, "finetune.schedule": nested or spec.schedule}
    needing = {
        f"{key}.plateau.patience": schedule["plateau"]["patience"]
        for key, schedule in schedules.items()
    }
    if spec.monitor.startswith("valid."):
        needing["early_stopping.patience"] = spec.early_stopping.patience
    if spec.refit:
        needing["refit"] = "true"
    for key, value in needing.items():
        if value is not None:
            raise SpecError(
                f"{key} is {value} and dataset.valid is 0, which leaves no validation to decide it",
                "validation images, or settings that need none",
                f"{key}={'false' if key == 'refit' else 'null'}",
            )


def check_image_sizes(spec: Spec) -> None:
    """Raise SpecError for sizes of training images that do not rise, or that cannot change.

    Where layers are frozen, and where a mean image is subtracted, all images have one size.
    """
    if spec.image_sizes is None:
        return
    sides = [side for side, _ in spec.image_sizes]
    if not sides or sides != sorted(set(sides)):
        raise SpecError(
            f"image_sizes has the sides {sides}" if sides else "image_sizes is empty",
            "rising sides, each until a later end",
            "image_sizes=null",
        )
    obstacle = None
    if spec.finetune.name != "none":
        obstacle = f"finetune is {spec.finetune.name}", "finetune=none"
    elif spec.normalisation == "pixel_mean":
        obstacle = "normalisation is pixel_mean", "normalisation=auto"
    if obstacle is not None:
        raise SpecError(
            f"image_sizes is set and {obstacle[0]}, which needs images of one size",
            f"{obstacle[1]}, or image_sizes=null",
            obstacle[1],
        )


def check_known_replicas(spec: Spec) -> None:
    """Raise SpecError if the replicas that the settings name cannot share a batch."""
    devices, cpus = (spec.distribution.knobs.get(key) for key in ("devices", "logical_cpus"))
    if devices is not None and cpus is not None:
        raise SpecError(
            "distribution.devices and distribution.logical_cpus are both set",
            "GPUs, or the CPU as if it were several",
            "distribution.devices=null",
        )
    check_replica_batches(spec, count_known_replicas(spec))


def count_known_replicas(spec: Spec) -> int:
    """Return the number of replicas that the settings name; 1 if the machine decides it."""
    knobs, cpus = spec.distribution.knobs, spec.distribution.knobs.get("logical_cpus")
    return len(knobs.get("devices") or knobs.get("workers") or ()) or cpus or 1


def check_replica_batches(spec: Spec, replicas: int) -> None:
    """Raise SpecError if `replicas` devices cannot share a batch in equal micro-batches."""
    if spec.batch_size % (replicas * spec.accumulate):
        micro_batches = f", in {spec.accumulate} micro-batches each" if spec.accumulate > 1 else ""
        whole = replicas * spec.accumulate
        raise SpecError(
            f"batch_size is {spec.batch_size} and {replicas} devices share each batch"
            f"{micro_batches}",
            f"a multiple of {whole}",
            f"batch_size={max(1, round(spec.batch_size / whole)) * whole}",
        )


def check_label_kind(spec: Spec, several: bool) -> None:
    """Raise SpecError for settings that mean nothing for such labels: one an image, or several.

    Only the data shows which they are: it is called where the data is known.
    """
    monitors = SEVERAL_LABELS_MONITORS if several else MONITORS
    if spec.monitor not in monitors:
        what = "images may have several labels" if several else "each image has one label"
        raise SpecError(f"monitor is {spec.monitor} and {what}", monitors, f"monitor={monitors[0]}")
    if not several:
        return
    check_several_label_knobs(spec.dataset["label_map"], spec.dataset["label_noise"])
    if spec.dataset["sampling"] == "balanced":
        raise SpecError(
            "dataset.sampling is balanced and images may have several labels, so that no image "
            "belongs to one class whose turn it is",
            "weights in the loss, by how many images show a class",
            "dataset.sampling=shuffled loss.class_weights=balanced",
        )
    if spec.loss.rejection not in ("auto", None):
        raise SpecError(
            f"loss.rejection is {spec.loss.rejection:g} and images may have several labels",
            "no class of what belongs to none: an image may have no label",
            "loss.rejection=null",
        )


def check_several_label_knobs(label_map: Any, label_noise: float) -> None:
    """Raise SpecError for settings of a data set that need one label an image."""
    for knob, value, off in (("label_map", label_map, "none"), ("label_noise", label_noise, 0)):
        if value != off:
            raise SpecError(
                f"dataset.{knob} is {format_value(value)} and images may have several labels",
                "images with one label each",
                f"dataset.{knob}={off}",
            )


NOT_DIGITS = ("cifar10", "cifar100", "fashion_mnist")
CONTRADICTIONS = [
    check_clipping,
    check_nesterov,
    check_alternating_flip,
    check_schedule_boundaries,
    check_label_map,
    check_slices,
    check_value_range,
    check_folds,
    check_label_columns,
    check_sampling,
    check_micro_batches,
    check_known_replicas,
    check_head_epochs,
    check_refit,
    check_minutes,
    check_validation,
    check_image_sizes,
]
