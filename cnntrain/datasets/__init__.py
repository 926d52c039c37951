"""The data sets: one file a source, `f(data_dir, manual_dir, *, knobs) -> Source`.

`dataset` turns any source into its three splits: official where they exist, else stratified and
seeded, cut from the training part.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from sklearn.model_selection import train_test_split

from cnntrain.datasets.source import Examples, Source, Splits, room_for
from cnntrain.errors import SpecError
from cnntrain.knobs import Count, Seed, Share


def dataset(
    component: Callable[[Path, Path | None], Source],
    data_dir: Path,
    manual_dir: Path | None,
    *,
    valid: Share,
    test: Share,
    split_seed: Seed,
    label_map: Literal["none", "odd_even"],
    image_size: tuple[Count, Count] | None,
    limit: Count | None,
) -> Splits:
    """Return the splits of a source.

    `valid` and `test` say how much to cut off where the source has no such split, `split_seed`
    which examples; it is not the run's seed, so that runs stay comparable. `limit` keeps at most
    that many images of each split, in class proportions.
    """
    source = component(data_dir, manual_dir)
    train, origin = source.train, {}
    parts: dict[str, Examples] = {}
    for name, official, size in [("test", source.test, test), ("valid", source.valid, valid)]:
        if official is not None:
            parts[name], origin[name] = official, "official"
        else:
            train, parts[name] = cut(train, size, split_seed, name)
            origin[name] = f"cut from train, stratified, split_seed={split_seed}"
    parts["train"], origin["train"] = train, "all that is left"
    for name, part in parts.items():
        if limit is not None:
            parts[name] = some(part, limit, split_seed)
        if image_size is not None:
            parts[name] = Examples(resized(parts[name].images, image_size), parts[name].labels)
    class_names = source.class_names
    if label_map == "odd_even":
        parts, class_names = odd_even(parts, class_names), ("odd", "even")
    return Splits(parts["train"], parts["valid"], parts["test"], class_names, origin)


def cut(examples: Examples, size: float, seed: int, name: str) -> tuple[Examples, Examples]:
    """Split in two, in class proportions: the rest, and `size` examples (a share if below 1)."""
    count = round(size * len(examples)) if size < 1 else int(size)
    classes, sizes = np.unique(examples.labels, return_counts=True)
    if not len(classes) <= count <= len(examples) - len(classes) or sizes.min() < 2:
        raise SpecError(
            f"{count} of {len(examples)} images for the {name} split, {len(classes)} classes, "
            f"{sizes.min()} images in the smallest",
            "at least one image of each class on both sides of a cut",
            f"more images, or another dataset.{name}",
        )
    rest, taken = train_test_split(
        np.arange(len(examples)), test_size=count, random_state=seed, stratify=examples.labels
    )
    return examples[np.sort(rest)], examples[np.sort(taken)]


def some(examples: Examples, limit: int, seed: int) -> Examples:
    """At most `limit` examples, as evenly from all classes as these allow."""
    if limit >= len(examples):
        return examples
    classes = np.unique(examples.labels)
    if limit < len(classes):
        raise SpecError(
            f"dataset.limit is {limit} and there are {len(classes)} classes",
            "at least one image of each class",
            f"dataset.limit={10 * len(classes)}",
        )
    order = np.random.default_rng(seed).permutation(len(examples))
    share = np.empty(len(order))  # how much of its class comes before an example
    for label in classes:
        members = order[examples.labels[order] == label]
        share[members] = (np.arange(len(members)) + 0.5) / len(members)
    return examples[np.sort(np.argsort(share, kind="stable")[:limit])]


def odd_even(parts: dict[str, Examples], class_names: tuple[str, ...]) -> dict[str, Examples]:
    """Relabel digits: odd is 0, even is 1."""
    if not all(name.isdigit() for name in class_names):
        raise SpecError(
            f"dataset.label_map is odd_even and the classes are {', '.join(class_names[:5])}, …",
            "classes that are numbers",
            "dataset=digits or dataset=mnist",
        )
    even = np.array([int(name) % 2 == 0 for name in class_names], np.int32)
    return {name: Examples(part.images, even[part.labels]) for name, part in parts.items()}


def resized(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Images (N, H, W, C) uint8 stretched to `size`, (height, width), bilinearly."""
    if images.shape[1:3] == size:
        return images
    result = room_for(len(images), size, images.shape[3])
    for index, image in enumerate(images):
        channels = image[..., 0] if image.shape[2] == 1 else image
        scaled = Image.fromarray(channels).resize(size[::-1], Image.Resampling.BILINEAR)
        result[index] = np.asarray(scaled).reshape(result.shape[1:])
    return result
