"""Draw training images or any photos, and beside each what augmentation makes of it."""

from pathlib import Path

import numpy as np
from PIL import Image

from cnntrain.data.first_batch import (
    find_first_batch,
    format_soft_label,
    is_augmented,
    make_training_batch_of_spec,
)
from cnntrain.data.labels import format_label
from cnntrain.data.photos.cache_folder import CACHE_FOLDER
from cnntrain.data.photos.photo import Photos
from cnntrain.data.photos.photo_cache import CacheKind, cache_photos
from cnntrain.data.source import Source, Splits
from cnntrain.data.splits import apply_cached_photos, build_splits, choose_frame, choose_rows
from cnntrain.reports.contact_sheet import CaptionedImage, draw_contact_sheet
from cnntrain.spec.spec import Spec

EXAMPLES, DRAWS, ACROSS = 16, 4, 2  # images shown, draws beside each, images beside each other
SINGLE_DRAWS, SINGLE_ACROSS = 15, 4  # of a single photo
PLAIN, PLAIN_ACROSS = 48, 8  # images shown and beside each other if there is no augmentation


def draw_preview(spec: Spec, splits: Splits, command: str) -> Image.Image:
    """Return a contact sheet of images of the first training step.

    The first draw beside an image is what that step trains on, pixel for pixel. The others are
    what the following steps would make of the same image. `command` is written on top.
    """
    rows = find_first_batch(spec, splits.train)
    raw = splits.train.gather_images(rows)
    labels = splits.train.labels[rows]
    shows_draws = is_augmented(spec, splits)
    count = min(EXAMPLES if shows_draws else PLAIN, len(rows))
    blocks = [
        [CaptionedImage(image, [format_label(label, splits.class_names)])]
        for image, label in zip(raw[:count], labels[:count], strict=True)
    ]
    for step in range(DRAWS if shows_draws else 0):
        images, targets = make_training_batch_of_spec(spec, splits, step, rows)
        for block, image, target in zip(blocks, images, targets, strict=False):
            block.append(CaptionedImage(image, format_soft_label(target, splits.class_names)))
    counts = f"{count} of the {len(rows)} images of the first training step"
    legend = (
        f"{counts}: each original, then {DRAWS} augmented versions. The step trains on the "
        "first of these."
        if shows_draws
        else f"{counts}, which are not augmented."
    )
    if (fold := spec.dataset["fold"]) is not None:
        legend += f" Fold {fold} of {spec.dataset['folds']} is held out."
    return draw_contact_sheet([command, legend], blocks, ACROSS if shows_draws else PLAIN_ACROSS)


def load_photos(spec: Spec, photos: Photos) -> Splits:
    """Return splits whose training images are `photos`, each a class of its own.

    They are decoded as the data set of the spec decodes its photos. Raises SpecError for a photo
    that is broken.
    """
    knobs = spec.dataset
    frame, notes = choose_frame(
        photos, knobs["image_size"], knobs["channels"], knobs["resize"], knobs["value_range"]
    )
    cache: CacheKind = "none" if frame.resize == "random_crop" else "memory"
    rows, names = np.arange(len(photos)), tuple(Path(name).name for name in photos.names)
    parts = {"train": rows, "valid": rows[:0], "test": rows[:0]}
    source = Source(photos, rows.astype(np.int32), names, parts, notes=notes)
    kept = cache_photos(photos, frame, cache, Path(spec.data_dir) / CACHE_FOLDER)
    source = apply_cached_photos(source, frame, kept)
    assert not isinstance(source.images, Photos)
    chosen = choose_rows(
        source, classes=None, label_map="none", label_noise=0, valid=0, test=0, cut="stratified",
        split_seed=0, folds=None, fold=None, groups=None, fraction=None, limit=None,
    )  # fmt: skip
    return build_splits(source, source.images, chosen)


def draw_photo_preview(spec: Spec, splits: Splits, command: str) -> Image.Image:
    """Return a contact sheet of photos of `load_photos`, each with what augmentation makes of it.

    A single photo is shown with fifteen versions, others with four. `command` is written on top.
    """
    photos, count = splits.train, len(splits.train)
    rows = np.arange(count)
    draws = (SINGLE_DRAWS if count == 1 else DRAWS) if is_augmented(spec, splits) else 0
    blocks = [
        [CaptionedImage(image, [name])]
        for image, name in zip(photos.gather_images(rows), splits.class_names, strict=True)
    ]
    mixes = False
    for step in range(draws):
        images, targets = make_training_batch_of_spec(spec, splits, step, rows)
        mixes = targets.ndim == 2
        for block, image, target in zip(blocks, images, targets, strict=True):
            block.append(CaptionedImage(image, format_soft_label(target, splits.class_names)))
    legend = f"The original, then {draws} augmented versions." if draws else "Not augmented."
    if mixes and count == 1:
        legend += " A photo is mixed with itself here: name a second one."
    if count == 1:  # its versions in lines of four
        return draw_contact_sheet([command, legend], [[tile] for tile in blocks[0]], SINGLE_ACROSS)
    return draw_contact_sheet([command, legend], blocks, 1 if draws else PLAIN_ACROSS)
