"""The spec: a composed configuration, checked and frozen. A run is a pure function of it."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from cnntrain.components import GROUPS, Component, component, plain, vocabulary
from cnntrain.errors import SpecError, nearest, one_of
from cnntrain.files.paths import folder
from cnntrain.knobs import (
    Count,
    Factor,
    Fraction,
    NonNegative,
    Positive,
    Probability,
    Seed,
    Workers,
    convert,
    describe,
    show,
)


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """Stop when `monitor` has not improved by `min_delta` for `patience` epochs (null: never)."""

    patience: Count | None
    min_delta: NonNegative


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """When to write the state besides at the end of every epoch (null: not)."""

    every_steps: Count | None
    every_minutes: Positive | None


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What is minimised: cross-entropy, and what is asked beside it (see `losses.objective`)."""

    label_smoothing: Probability
    focal_gamma: NonNegative
    class_weights: Literal["none", "balanced"] | list[NonNegative]
    rejection: Literal["auto"] | float | None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a run that belong to no group; `conf/config.yaml` says what each does."""

    seed: Seed
    epochs: Count
    max_steps: Count | None
    steps_per_epoch: Count | None
    batch_size: Count
    accumulate: Count
    refit: bool
    loss: Loss
    ema_decay: Factor | None
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"]
    normalisation: Literal["auto", "rescale", "standardise", "pixel_mean", "none"]
    batch_norm_momentum: Literal["auto"] | Fraction
    monitor: Literal[
        "valid.accuracy", "valid.loss", "valid.balanced_accuracy", "valid.macro_f1",
        "train.accuracy", "train.loss",
    ]  # fmt: skip
    early_stopping: EarlyStopping
    checkpoint: Checkpoint
    deterministic: bool
    threads: Workers | None
    log_every: Count
    data_dir: str
    manual_dir: str | None
    weights_dir: str | None


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Everything that decides a run's numbers, and where its data lies."""

    model: Component
    dataset: Component
    augmentation: Component
    optimizer: Component
    schedule: Component
    initializer: Component
    finetune: Component
    distribution: Component
    tracking: Component
    config: Mapping[str, Any]  # as composed, for spec.yaml

    @property
    def decides(self) -> dict[str, Any]:
        """All that decides the numbers, by dotted key: not where files lie or what is logged."""
        deciding = [group for group in GROUPS if group not in WITHOUT_EFFECT]
        chosen = {group: plain(getattr(self, group)) for group in deciding}
        settings = {key: getattr(self, key) for key in SETTINGS if key not in WITHOUT_EFFECT}
        records = {key: asdict(settings[key]) for key in RECORDS if key in settings}
        items = flat(chosen | settings | records).items()
        decides = {key: value for key, value in items if key not in WITHOUT_EFFECT}
        return json.loads(json.dumps(decides))  # as it is read back from a state

    @property
    def hash(self) -> str:
        """The sha256 of all that decides the numbers."""
        return hashlib.sha256(json.dumps(self.decides, sort_keys=True).encode()).hexdigest()

    def splits(self) -> Any:
        """Return the `Splits` of the data set, from where this spec says that its data lies."""
        manual_dir = folder(self.manual_dir, "manual_dir") if self.manual_dir else None
        return self.dataset(folder(self.data_dir, "data_dir"), manual_dir)


WITHOUT_EFFECT = (
    "data_dir", "manual_dir", "dataset.folder", "dataset.cache", "weights_dir",
    "model.weights_dir", "log_every", "checkpoint", "distribution.workers", "distribution.index",
    "distribution.port", "distribution.timeout", "tracking",
)  # fmt: skip
# Groups that came later, as they are in a spec.yaml from before.
LATER: dict[str, Any] = {"distribution": {"name": "single"}, "tracking": {"name": "none"}}
# Knobs that came later, as a run from before had them.
LATER_KNOBS: dict[str, Any] = {"dataset": {"value_range": None}}
# What a resumed run may have otherwise.
MAY_CHANGE = (
    "epochs", "max_steps", "schedule.stretch", "data_dir", "manual_dir", "dataset.folder",
    "dataset.cache", "model.weights_dir", "log_every", "checkpoint.every_steps",
    "checkpoint.every_minutes", "distribution.workers", "distribution.index", "distribution.port",
    "distribution.timeout",
)  # fmt: skip
SETTINGS = vocabulary(Path(__file__))["Settings"].fields
RECORDS: dict[str, Any] = {"early_stopping": EarlyStopping, "checkpoint": Checkpoint, "loss": Loss}


def spec(config: Mapping[str, Any]) -> Spec:
    """Return the spec of a composed configuration, a plain mapping; or raise SpecError."""
    config = LATER | dict(config)
    check_keys(config)
    config |= {group: {**knobs, **config[group]} for group, knobs in LATER_KNOBS.items()}
    settings: dict[str, Any] = {
        key: convert(config[key], kind, key) for key, kind in SETTINGS.items()
    }
    for key, record in RECORDS.items():
        settings[key] = record(**settings[key])
    groups: dict[str, Any] = {group: component(group, config[group]) for group in GROUPS}
    checked = Spec(**settings, **groups, config=config)
    for contradiction in CONTRADICTIONS:
        contradiction(checked)
    return checked


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping with dotted keys."""
    flattened: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        flattened |= flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flattened


def check_keys(config: Mapping[str, Any]) -> None:
    """Refuse settings that do not exist, are missing, or are no group where one belongs."""
    known = [*GROUPS, *SETTINGS]
    for key, value in config.items():
        if key not in known:
            close = nearest(key, SETTINGS)
            hint = f"{close}={show(value)}" if close else None
            raise SpecError(f"{key} is not a setting", one_of(known, key), hint)
    for key, kind in SETTINGS.items():
        if key not in config:
            raise SpecError(f"{key} is missing", describe(kind))
    for group in GROUPS:
        if not isinstance(config.get(group), Mapping):
            raise SpecError(
                f"{group} is {show(config.get(group))}",
                f"an option of the group {group}",
                f"cnntrain list {group}",
            )


def one_kind_of_clipping(spec: Spec) -> None:
    clips = ("clip_value", "clip_norm", "global_clip_norm")
    given = [f"optimizer.{clip}" for clip in clips if spec.optimizer[clip] is not None]
    if len(given) > 1:
        raise SpecError(f"{' and '.join(given)} are both set", "one of them", f"{given[1]}=null")


def nesterov_with_momentum(spec: Spec) -> None:
    knobs = spec.optimizer.knobs
    if knobs.get("nesterov") and knobs["momentum"] == 0:
        raise SpecError(
            "optimizer.nesterov is true and optimizer.momentum is 0",
            "a momentum above 0",
            "optimizer.momentum=0.9",
        )


def a_factor_for_each_boundary(spec: Spec) -> None:
    boundaries = spec.schedule.knobs.get("after_epochs")
    if boundaries is None:
        return
    factors = spec.schedule.knobs["factors"]
    if len(boundaries) != len(factors):
        raise SpecError(
            f"schedule.after_epochs has {len(boundaries)} numbers, schedule.factors {len(factors)}",
            "as many factors as boundaries",
        )
    if list(boundaries) != sorted(set(boundaries)):
        raise SpecError(f"schedule.after_epochs is {list(boundaries)}", "rising numbers")


def odd_even_of_digits(spec: Spec) -> None:
    if spec.dataset["label_map"] == "odd_even" and spec.dataset.knobs.get("tfds") in NOT_DIGITS:
        raise SpecError(
            f"dataset.label_map is odd_even and the data set is {spec.dataset['tfds']}",
            "a data set of digits",
            "dataset=mnist",
        )


def value_range_that_rises(spec: Spec) -> None:
    given = spec.dataset["value_range"]
    if isinstance(given, tuple) and given[0] >= given[1]:
        raise SpecError(
            f"dataset.value_range is [{given[0]:g},{given[1]:g}]",
            "the value that is black, and a greater one that is white",
            f"'dataset.value_range=[0,{max(given) if max(given) > 0 else 65535:g}]'",
        )


def pieces_of_one_size(spec: Spec) -> None:
    if spec.batch_size % spec.accumulate:
        raise SpecError(
            f"accumulate is {spec.accumulate} and batch_size is {spec.batch_size}",
            "pieces of one size",
            f"accumulate={math.gcd(spec.accumulate, spec.batch_size)}",
        )


def epochs_for_both_phases(spec: Spec) -> None:
    first = spec.finetune.knobs.get("head_epochs", 0)
    if first >= spec.epochs:
        raise SpecError(
            f"finetune.head_epochs is {first} and epochs is {spec.epochs}",
            "epochs left for the second phase",
            f"epochs={2 * first}",
        )


def refit_of_whole_epochs(spec: Spec) -> None:
    if spec.refit and spec.max_steps is not None:
        raise SpecError(
            f"refit is true and max_steps is {spec.max_steps}",
            "whole epochs, of which validation chooses a number",
            "max_steps=null epochs=N",
        )


def known_parts_of_one_size(spec: Spec) -> None:
    devices, cpus = (spec.distribution.knobs.get(key) for key in ("devices", "logical_cpus"))
    if devices is not None and cpus is not None:
        raise SpecError(
            "distribution.devices and distribution.logical_cpus are both set",
            "GPUs, or the CPU as if it were several",
            "distribution.devices=null",
        )
    parts_of_one_size(spec, known_replicas(spec))


def known_replicas(spec: Spec) -> int:
    """How many devices the settings say, one where they leave it to the machine."""
    named, cpus = spec.distribution.knobs, spec.distribution.knobs.get("logical_cpus")
    return len(named.get("devices") or named.get("workers") or ()) or cpus or 1


def parts_of_one_size(spec: Spec, replicas: int) -> None:
    """Refuse a batch that so many devices cannot share, in equal parts, and in equal pieces."""
    if spec.batch_size % (replicas * spec.accumulate):
        pieces = f", in {spec.accumulate} pieces each" if spec.accumulate > 1 else ""
        whole = replicas * spec.accumulate
        raise SpecError(
            f"batch_size is {spec.batch_size} and {replicas} devices share each batch{pieces}",
            f"a multiple of {whole}",
            f"batch_size={max(1, round(spec.batch_size / whole)) * whole}",
        )


NOT_DIGITS = ("cifar10", "cifar100", "fashion_mnist")
CONTRADICTIONS = [
    one_kind_of_clipping,
    nesterov_with_momentum,
    a_factor_for_each_boundary,
    odd_even_of_digits,
    value_range_that_rises,
    pieces_of_one_size,
    known_parts_of_one_size,
    epochs_for_both_phases,
    refit_of_whole_epochs,
]
