"""The images to evaluate a run on: of its own data set, or of another with the same classes."""

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
# Settings of the run's data set that its network needs on any other data set, too.
CARRIED_KEYS = ("resize", "label_map", "value_range")
# Overrides that ask to divide a data set which comes undivided.
SPLIT_OVERRIDES = {
    "dataset.valid", "dataset.test", "dataset.cut", "dataset.split_seed",
    "dataset.slices.train", "dataset.slices.valid", "dataset.slices.test",
}  # fmt: skip
UNDIVIDED = "not divided into parts: all of it"
# Settings that decide how images look and where they are stored, but not which images there are.
PATH_KEYS = ("folder", "table")
APPEARANCE_KEYS = ("image_size", "resize", "channels", "value_range", "cache", *PATH_KEYS)


def build_evaluation_spec(
    classifier: Classifier, overrides: Sequence[str], config_dir: str | None = None
) -> Spec:
    """Return the run's spec with its data overridden: `dataset=…`, `dataset.KNOB=…`, `data_dir=…`.

    Another data set gets the image shape of the network. If it comes undivided and no override
    divides it, all of it is in every split. Raises SpecError for overrides of other settings.
    """
    config = dict(classifier.config)
    parsed = [parse_single_override(word) for word in overrides]
    for override in parsed:
        key, word = override.key_or_group, override.text
        if key not in DATA_SETTINGS and not key.startswith("dataset."):
            close = find_nearest(key, DATA_SETTINGS)
            raise SpecError(
                f"{key} cannot be set for a trained network",
                f"{format_choices(DATA_SETTINGS)}, or dataset.KNOB",
                word.replace(key, close, 1) if close else None,
            )
    keys = [override.key_or_group for override in parsed]
    height, width, channels = classifier.image_shape
    own = dict(config["dataset"])
    if "dataset" in keys:
        frame = [f"dataset.image_size=[{height},{width}]", f"dataset.channels={channels}"]
        data_overrides = [override for override in parsed if is_dataset_key(override.key_or_group)]
        other = compose_parsed([*parse_overrides(frame), *data_overrides], config_dir).config[
            "dataset"
        ]
        carried = {
            key: own[key] for key in CARRIED_KEYS if key in own and f"dataset.{key}" not in keys
        }
        config["dataset"] = other | carried
    else:
        config["dataset"] = own
    for override, key in zip(parsed, keys, strict=True):
        if not (is_dataset_key(key) and "dataset" in keys):
            set_dotted_value(config, key, override.value())
    spec = build_spec(config)
    if is_same_dataset(spec.dataset, classifier.spec.dataset) or SPLIT_OVERRIDES & {*keys}:
        return spec
    return replace(spec, dataset=UndividedDataset(**vars(spec.dataset)))


def is_dataset_key(key: str) -> bool:
    return key == "dataset" or key.startswith("dataset.")


@dataclass(frozen=True)
class UndividedDataset(Component):
    """A data set that is whole in every split, unless it comes divided into parts."""

    @property
    def bound_function(self) -> Any:
        load = super().bound_function
        return lambda *folders: undivide_source(load(*folders))


def undivide_source(source: "Source") -> "Source":
    """Return a source that has train, valid and test parts, so that none is cut from another.

    If `source` has one part, all three are that part. If it has several, a missing one is empty.
    """
    names = ("train", "valid", "test")
    if len(source.parts) > 1:
        empty = np.arange(0)
        return replace(source, parts={name: source.parts.get(name, empty) for name in names})
    [rows] = source.parts.values()
    return replace(source, parts=dict.fromkeys(names, rows), origin=UNDIVIDED)


def is_same_dataset(first: Component, second: Component) -> bool:
    """Return whether the settings of two data sets name the same images."""
    first_knobs, second_knobs = ({**c.knobs, "name": c.name} for c in (first, second))
    for knobs in (first_knobs, second_knobs):
        for key in PATH_KEYS:
            if knobs.get(key) is not None:
                knobs[key] = Path(knobs[key]).expanduser().resolve()
    return first_knobs == second_knobs


def load_evaluation_splits(classifier: Classifier, spec: Spec) -> "Splits":
    """Return the splits of `spec` to evaluate a network on.

    Photos that were only moved to another folder since training are divided as in training: most of
    them have been learnt, and an undivided test split would contain those.
    """
    splits, data = load_splits(spec), classifier.record.get("data", {})
    if not isinstance(spec.dataset, UndividedDataset) or splits.origin["test"] != UNDIVIDED:
        return splits
    is_limited = spec.dataset["limit"] is not None
    if is_limited or sum(data.get("sizes", {}).values()) == len(splits.test):
        from cnntrain.data.fingerprint import compute_fingerprint

        divided = load_splits(replace(spec, dataset=Component(**vars(spec.dataset))))
        if compute_fingerprint(divided) == data.get("fingerprint"):
            return divided
    return splits


def load_examples(classifier: Classifier, spec: Spec, split: str) -> tuple["Examples", "Splits"]:
    """Return the examples of a split, and all splits.

    The examples are labelled by the network's order of classes. Raises SpecError if the split is
    empty, or if the classes or the image shape are not those of the network.
    """
    splits = load_evaluation_splits(classifier, spec)
    return select_examples(classifier, spec, splits, split), splits


def select_examples(classifier: Classifier, spec: Spec, splits: "Splits", split: str) -> "Examples":
    """Return the examples of one of `splits`, labelled by the network's order of classes.

    Raises SpecError as `load_examples` does.
    """
    examples = dict(splits.items()).get(split)
    if not examples:
        available = [name for name, part in splits.items() if len(part)]
        off = "dataset.valid is 0: " if split == "valid" and not spec.dataset["valid"] else ""
        what = f"{off}the data set has no {split} part, only {' and '.join(available)}"
        raise SpecError(what, "a part that it has", f"--split {available[-1]}")
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
    if splits.has_several_labels != classifier.has_several_labels:
        kinds = ("one label each", "several labels")
        raise SpecError(
            f"the images have {kinds[splits.has_several_labels]}, and those of {classifier.folder} "
            f"have {kinds[classifier.has_several_labels]}",
            "images with labels of the same kind",
        )
    if splits.has_several_labels:
        columns = [splits.class_names.index(name) for name in classifier.class_names]
        return replace(examples, labels=examples.labels[:, columns])
    order = np.array([classifier.class_names.index(name) for name in splits.class_names], np.int32)
    return replace(examples, labels=order[examples.labels])


def explain_class_mismatch(classifier: Classifier, names: Sequence[str], where: str) -> SpecError:
    """Return the SpecError for classes `names` that are not those of the classifier in `where`."""
    own = set(classifier.class_names)
    missing, added = sorted(own - set(names)), sorted(set(names) - own)
    differences = [f"lack {abbreviate_names(missing)}"] * bool(missing) + [
        f"have {abbreviate_names(added)}"
    ] * bool(added)
    return SpecError(
        f"the classes are not those of {where}: they {' and '.join(differences)}",
        f"the same names: {abbreviate_names(classifier.class_names)}",
        "dataset.classes=[…] chooses among them" if added and not missing else None,
    )


def abbreviate_names(names: Sequence[str]) -> str:
    """Return the first ten names in one string, and how many more there are."""
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def select_identity_settings(spec: Spec) -> Mapping[str, Any]:
    """Return the settings of a spec's data set that decide which images there are."""
    settings = {"name": spec.dataset.name, **spec.dataset.knobs, **spec.dataset.shared}
    return {key: value for key, value in settings.items() if key not in APPEARANCE_KEYS}


class MirroredImages:
    """The images (N, H, W, C) of a store, mirrored left to right."""

    def __init__(self, store: "Images"):
        self.store = store
        self.shape = store.shape

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self.store[rows][:, :, ::-1]
