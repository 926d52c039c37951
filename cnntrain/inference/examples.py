"""The images that a run is judged by: those of its own data set, or of another with its classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnntrain.data.load import load_splits
from cnntrain.errors import SpecError, find_nearest, format_choices
from cnntrain.inference.classifier import Classifier
from cnntrain.spec.build import build_spec
from cnntrain.spec.compose import compose_parsed
from cnntrain.spec.nested import set_dotted_value
from cnntrain.spec.overrides import parse_overrides, parse_single_override
from cnntrain.spec.signatures import Component
from cnntrain.spec.spec import Spec

if TYPE_CHECKING:
    from cnntrain.data.source import Examples, Images, Source, Splits


DATA_SETTINGS = ("dataset", "data_dir", "manual_dir", "batch_size", "threads")
# What of a data set's settings goes with the network, whatever set it is shown.
CARRIED_KEYS = ("resize", "label_map", "value_range")
# What cuts a data set that its makers have not cut.
SPLIT_OVERRIDES = {"dataset.valid", "dataset.test", "dataset.split_seed"}
UNDIVIDED = "not divided into parts: all of it"
# What decides how images look and where they lie, not which they are.
APPEARANCE_KEYS = ("image_size", "resize", "channels", "value_range", "cache", "folder")


def build_evaluation_spec(
    classifier: Classifier, overrides: Sequence[str], config_dir: str | None = None
) -> Spec:
    """Return the run's spec with other data: `dataset=…`, `dataset.KNOB=…`, `data_dir=…`.

    Another data set gets the frame of the network, and is shown whole where it has no parts and
    no override cuts it. Raises SpecError for other overrides.
    """
    config = dict(classifier.config)
    parsed = [parse_single_override(word) for word in overrides]
    for override in parsed:
        key, word = override.key_or_group, override.text
        if key not in DATA_SETTINGS and not key.startswith("dataset."):
            close = find_nearest(key, DATA_SETTINGS)
            raise SpecError(
                f"{key} is not for a network that is trained",
                f"{format_choices(DATA_SETTINGS)}, or dataset.KNOB",
                word.replace(key, close, 1) if close else None,
            )
    keys = [override.key_or_group for override in parsed]
    height, width, channels = classifier.image_shape
    own = dict(config["dataset"])
    if "dataset" in keys:
        frame = [f"dataset.image_size=[{height},{width}]", f"dataset.channels={channels}"]
        of_data = [override for override in parsed if is_dataset_key(override.key_or_group)]
        given = compose_parsed([*parse_overrides(frame), *of_data], config_dir).config["dataset"]
        stays = {
            key: own[key] for key in CARRIED_KEYS if key in own and f"dataset.{key}" not in keys
        }
        config["dataset"] = given | stays
    else:
        config["dataset"] = own
    for override, key in zip(parsed, keys, strict=True):
        if not (is_dataset_key(key) and "dataset" in keys):
            set_dotted_value(config, key, override.value())
    checked = build_spec(config)
    if is_same_dataset(checked.dataset, classifier.spec.dataset) or SPLIT_OVERRIDES & {*keys}:
        return checked
    return replace(checked, dataset=UndividedDataset(**vars(checked.dataset)))


def is_dataset_key(key: str) -> bool:
    return key == "dataset" or key.startswith("dataset.")


@dataclass(frozen=True)
class UndividedDataset(Component):
    """A data set of which all is in every split, unless its makers have divided it."""

    @property
    def bound_function(self) -> Any:
        load = super().bound_function
        return lambda *folders: undivide_source(load(*folders))


def undivide_source(source: "Source") -> "Source":
    """A source from which nothing is cut: what is in one part is in all; what lacks stays empty."""
    names = ("train", "valid", "test")
    if len(source.parts) > 1:
        none = np.arange(0)
        return replace(source, parts={name: source.parts.get(name, none) for name in names})
    [rows] = source.parts.values()
    return replace(source, parts=dict.fromkeys(names, rows), origin=UNDIVIDED)


def is_same_dataset(one: Component, other: Component) -> bool:
    """Whether two data sets are of the same images, as far as their settings tell."""
    mine, theirs = ({**c.knobs, "name": c.name} for c in (one, other))
    for knobs in (mine, theirs):
        if "folder" in knobs:
            knobs["folder"] = Path(knobs["folder"]).expanduser().resolve()
    return mine == theirs


def load_evaluation_splits(classifier: Classifier, asked: Spec) -> "Splits":
    """The splits to judge a network by; those of training, where its photos have only moved."""
    splits, known = load_splits(asked), classifier.record.get("data", {})
    if not isinstance(asked.dataset, UndividedDataset) or splits.origin["test"] != UNDIVIDED:
        return splits
    limited = asked.dataset["limit"] is not None
    if limited or sum(known.get("sizes", {}).values()) == len(splits.test):
        from cnntrain.data.fingerprint import compute_fingerprint

        cut = load_splits(replace(asked, dataset=Component(**vars(asked.dataset))))
        if compute_fingerprint(cut) == known.get("fingerprint"):
            return cut
    return splits


def load_examples(classifier: Classifier, asked: Spec, split: str) -> tuple["Examples", "Splits"]:
    """Return the examples of a split, labelled as the network counts its classes, and all splits.

    Raises SpecError for other classes and for images of another shape.
    """
    splits = load_evaluation_splits(classifier, asked)
    part = dict(splits.items())[split]
    if not len(part):
        there = [name for name, own in splits.items() if len(own)]
        what = f"the data set has no {split} part, only {' and '.join(there)}"
        raise SpecError(what, "a part that it has", f"--split {there[-1]}")
    if set(splits.class_names) != set(classifier.class_names):
        raise explain_class_mismatch(classifier, splits.class_names, str(classifier.folder))
    if splits.image_shape != classifier.image_shape:
        height, width, channels = classifier.image_shape
        raise SpecError(
            f"the images are {splits.image_shape} and {classifier.folder} takes "
            f"{classifier.image_shape}",
            "images of that shape",
            f"dataset.image_size=[{height},{width}] dataset.channels={channels}",
        )
    order = np.array([classifier.class_names.index(name) for name in splits.class_names], np.int32)
    return replace(part, labels=order[part.labels]), splits


def explain_class_mismatch(classifier: Classifier, names: Sequence[str], where: str) -> SpecError:
    """The answer where two sets of classes are not the same."""
    own = set(classifier.class_names)
    lacks, more = sorted(own - set(names)), sorted(set(names) - own)
    found = [f"lack {abbreviate_names(lacks)}"] * bool(lacks) + [
        f"have {abbreviate_names(more)}"
    ] * bool(more)
    return SpecError(
        f"the classes are not those of {where}: they {' and '.join(found)}",
        f"the same names: {abbreviate_names(classifier.class_names)}",
        "dataset.classes=[…] chooses among them" if more and not lacks else None,
    )


def abbreviate_names(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def select_identity_settings(asked: Spec) -> Mapping[str, Any]:
    """The settings that decide which images there are."""
    known = {"name": asked.dataset.name, **asked.dataset.knobs, **asked.dataset.shared}
    return {key: value for key, value in known.items() if key not in APPEARANCE_KEYS}


class MirroredImages:
    """The images of a store, left and right exchanged."""

    def __init__(self, store: "Images"):
        self.store = store
        self.shape = store.shape

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self.store[rows][:, :, ::-1]
