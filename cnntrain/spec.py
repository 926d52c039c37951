"""The spec: a composed configuration, checked and frozen. A run is a pure function of it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cnntrain.components import GROUPS, Component, component, vocabulary
from cnntrain.errors import SpecError, nearest, one_of
from cnntrain.knobs import Count, Fraction, NonNegative, Seed, convert, describe, show


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """Stop when `monitor` has not improved by `min_delta` for `patience` epochs (null: never)."""

    patience: Count | None
    min_delta: NonNegative


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a run that belong to no group; `conf/config.yaml` says what each does."""

    seed: Seed
    epochs: Count
    max_steps: Count | None
    steps_per_epoch: Count | None
    batch_size: Count
    normalisation: Literal["rescale", "standardise", "pixel_mean"]
    batch_norm_momentum: Literal["auto"] | Fraction
    monitor: Literal["valid.accuracy", "valid.loss", "train.accuracy", "train.loss"]
    early_stopping: EarlyStopping
    deterministic: bool
    threads: Count | None
    log_every: Count
    data_dir: str
    manual_dir: str | None


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Everything that decides a run's numbers, and where its data lies."""

    model: Component
    dataset: Component
    augmentation: Component
    optimizer: Component
    schedule: Component
    initializer: Component
    config: Mapping[str, Any]  # as composed, for spec.yaml

    @property
    def hash(self) -> str:
        """The sha256 of all that decides the numbers: where files lie and what is logged do not."""
        decides = {key: value for key, value in self.config.items() if key not in WITHOUT_EFFECT}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


WITHOUT_EFFECT = {"data_dir", "manual_dir", "log_every"}
SETTINGS = vocabulary(Path(__file__))["Settings"].fields


def spec(config: Mapping[str, Any]) -> Spec:
    """Return the spec of a composed configuration, a plain mapping; or raise SpecError."""
    check_keys(config)
    settings: dict[str, Any] = {
        key: convert(config[key], kind, key) for key, kind in SETTINGS.items()
    }
    settings["early_stopping"] = EarlyStopping(**settings["early_stopping"])
    groups: dict[str, Any] = {group: component(group, config[group]) for group in GROUPS}
    checked = Spec(**settings, **groups, config=config)
    for contradiction in CONTRADICTIONS:
        contradiction(checked)
    return checked


def check_keys(config: Mapping[str, Any]) -> None:
    """Refuse settings that do not exist, are missing, or are no group where one belongs."""
    known = [*GROUPS, *SETTINGS]
    for key, value in config.items():
        if key not in known:
            close = nearest(key, SETTINGS)
            hint = f"{close}={show(value)}" if close else None
            raise SpecError(f"{key} is not a setting", one_of(known), hint)
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


NOT_DIGITS = ("cifar10", "cifar100", "fashion_mnist")
CONTRADICTIONS = [
    one_kind_of_clipping,
    nesterov_with_momentum,
    a_factor_for_each_boundary,
    odd_even_of_digits,
]
