"""The spec: a composed configuration, checked and frozen. A run is a pure function of it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from cnntrain.files.paths import expand_folder
from cnntrain.spec.knobs import (
    Count,
    Decoders,
    Duration,
    Factor,
    Fraction,
    NonNegative,
    Positive,
    Probability,
    Seed,
    Workers,
)
from cnntrain.spec.nested import flatten_mapping
from cnntrain.spec.renames import ADDED, RENAMED, drop_operation_knobs, get_added_knobs
from cnntrain.spec.signatures import GROUPS, Component, collect_vocabulary, convert_to_plain


@dataclass(frozen=True, kw_only=True)
class EarlyStoppingSettings:
    """Stop when `monitor` has not improved by `min_delta` for `patience` epochs (null: never)."""

    patience: Count | None
    min_delta: NonNegative


@dataclass(frozen=True, kw_only=True)
class CheckpointSettings:
    """When to save a checkpoint besides at the end of every epoch (null: never)."""

    every_steps: Count | None
    every_minutes: Positive | None


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """The variations of the cross-entropy that training minimises; `conf/config.yaml` explains."""

    label_smoothing: Probability
    focal_gamma: NonNegative
    class_weights: Literal["none", "balanced"] | list[NonNegative]
    rejection: Literal["auto"] | float | None


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The settings of a run that belong to no group; `conf/config.yaml` says what each does."""

    seed: Seed
    epochs: Count
    minutes: Positive | None
    max_steps: Count | None
    steps_per_epoch: Count | None
    image_sizes: list[tuple[Count, Duration]] | None
    batch_size: Count
    accumulate: Count
    refit: bool
    init_from: str | None
    replan: bool
    loss: LossSettings
    ema_decay: Factor | None
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"]
    normalisation: Literal["auto", "rescale", "standardise", "pixel_mean", "mean_rgb", "none"]
    batch_norm_momentum: Literal["auto"] | Fraction
    fused_norm: bool
    monitor: Literal[
        "valid.accuracy", "valid.loss", "valid.balanced_accuracy", "valid.macro_f1",
        "train.accuracy", "train.loss", "valid.mean_average_precision", "valid.exact_match",
        "valid.micro_f1", "train.exact_match",
    ]  # fmt: skip
    test_views: Literal["none", "mirrored", "mirrored_shifted"]
    early_stopping: EarlyStoppingSettings
    checkpoint: CheckpointSettings
    deterministic: bool
    xla: Literal["auto"] | bool
    pipeline: Literal["auto", "host", "device"]
    steps_per_block: Literal["auto"] | Count
    decoders: Literal["auto"] | Decoders
    threads: Workers | None
    log_every: Count
    data_dir: str
    manual_dir: str | None
    weights_dir: str | None


@dataclass(frozen=True, kw_only=True)
class Spec(RunSettings):
    """All settings and components of a run: what decides its numbers, and where its data lies."""

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
    def deciding_values(self) -> dict[str, Any]:
        """The settings that decide the numbers, by dotted key: no path, nothing that is logged.

        A setting of `ADDED` or `ADDED_KNOBS` is left out while it has the value that earlier
        versions meant.
        """
        deciding = [group for group in GROUPS if group not in WITHOUT_EFFECT]
        chosen = {
            group: drop_operation_knobs(group, convert_to_plain(getattr(self, group)))
            for group in deciding
        }
        settings = {key: getattr(self, key) for key in SETTINGS if key not in WITHOUT_EFFECT}
        records = {key: asdict(settings[key]) for key in RECORDS if key in settings}
        items = flatten_mapping(chosen | settings | records).items()
        added = ADDED | flatten_mapping(
            {group: get_added_knobs(group, chosen[group]["name"]) for group in deciding}
        )
        decides = {
            key: value
            for key, value in items
            if key not in WITHOUT_EFFECT and not (key in added and value == added[key])
        }
        return json.loads(json.dumps(decides))  # as a checkpoint holds them

    @property
    def hash(self) -> str:
        """The sha256 of `deciding_values`, under the first names of renamed settings.

        So runs of earlier versions keep their hash.
        """
        first_names = {now: before for before, now in RENAMED.items()}
        decides = {first_names.get(key, key): v for key, v in self.deciding_values.items()}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    def load_splits(self) -> Any:
        """Return the `Splits` of the data set, read from the spec's data_dir and manual_dir."""
        manual_dir = expand_folder(self.manual_dir, "manual_dir") if self.manual_dir else None
        return self.dataset(expand_folder(self.data_dir, "data_dir"), manual_dir)


WITHOUT_EFFECT = (
    "data_dir", "manual_dir", "dataset.folder", "dataset.table", "dataset.cache", "weights_dir",
    "model.weights_dir", "log_every", "checkpoint", "pipeline", "steps_per_block", "decoders",
    "distribution.workers", "distribution.index", "distribution.port", "distribution.timeout",
    "tracking",
)  # fmt: skip
# The settings that may change when a run is resumed.
MAY_CHANGE = (
    "epochs", "max_steps", "replan", "data_dir", "manual_dir", "dataset.folder", "dataset.table",
    "dataset.cache", "dataset.scan", "model.weights_dir", "log_every", "pipeline",
    "steps_per_block", "decoders",
    "checkpoint.every_steps", "checkpoint.every_minutes", "distribution.workers",
    "distribution.index", "distribution.port", "distribution.timeout",
)  # fmt: skip
SETTINGS = collect_vocabulary(Path(__file__))["RunSettings"].fields
RECORDS: dict[str, Any] = {
    "early_stopping": EarlyStoppingSettings,
    "checkpoint": CheckpointSettings,
    "loss": LossSettings,
}


def is_without_effect(key: str) -> bool:
    """Return whether a setting, such as log_every, has no effect on the weights of a run."""
    return any(key == name or key.startswith(f"{name}.") for name in WITHOUT_EFFECT)
