"""The images."""

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from sklearn.datasets import load_digits

from cnntrain.data.pipeline import (
    AUGMENTATION,
    balance_examples,
    make_batch_generator,
    make_generator,
)
from cnntrain.data.sampling import sample_rows, split_first, split_stratified
from cnntrain.eject.components import augment_images
from cnntrain.eject.template.plainer import shuffle_examples
from cnntrain.eject.template.settings import (
    ALTERNATES,
    AUGMENTS,
    BATCH_SIZE,
    CUT,
    DATA_DIR,
    DATASET,
    FRACTION,
    IMAGE_KEY,
    IMAGE_SHAPE,
    LABEL_KEY,
    LIMIT,
    MARGIN,
    NUM_CLASSES,
    PARTS,
    RESIZED,
    SAMPLING,
    SEED,
    SPLIT_SEED,
    STEPS_PER_EPOCH,
    TEST_SIZE,
    VALID_SIZE,
)


def load_data() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the splits by name: images (n, H, W, C) uint8, and labels (n,) int32."""
    if DATASET == "digits":
        images, labels = load_digit_images()
        rows = {"train": np.arange(len(images))}
    else:
        images, labels, rows = load_prepared_images()
    if TEST_SIZE:
        train = rows["train"]
        if CUT == "first":
            rows["train"], rows["test"] = split_first(train, labels[train], TEST_SIZE, "test")
        else:
            rows["train"], rows["test"] = split_stratified(
                train, labels[train], TEST_SIZE, SPLIT_SEED, 2 if VALID_SIZE else 1
            )
    if VALID_SIZE:
        train = rows["train"]
        if CUT == "first":
            rows["train"], rows["valid"] = split_first(train, labels[train], VALID_SIZE, "valid")
        else:
            rows["train"], rows["valid"] = split_stratified(
                train, labels[train], VALID_SIZE, SPLIT_SEED, 1
            )
    if FRACTION:
        count = round(FRACTION * len(rows["train"]))
        rows["train"] = sample_rows(rows["train"], labels, count, SPLIT_SEED, "fraction")
    if LIMIT:
        rows = {
            name: sample_rows(own, labels, LIMIT, SPLIT_SEED, "limit") for name, own in rows.items()
        }
    if RESIZED:
        return {name: (resize_images(images[own]), labels[own]) for name, own in rows.items()}
    return {name: (images[own], labels[own]) for name, own in rows.items()}


def load_digit_images() -> tuple[np.ndarray, np.ndarray]:
    """Return scikit-learn's digits: images (1797, H, W, 1) uint8, white on black, and labels."""
    bunch = load_digits()
    pixels = np.round(bunch.images * (255 / 16)).astype(np.uint8)  # from 17 grey levels
    images = np.pad(pixels, [(0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)])
    return images[..., np.newaxis], bunch.target.astype(np.int32)


def load_prepared_images() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return all images and labels that TFDS has prepared, and the rows of each official split."""
    images, labels, rows = [], [], {}
    for name, split in PARTS.items():
        examples = tfds.load(
            DATASET,
            split=split,
            data_dir=DATA_DIR,
            batch_size=-1,
            as_supervised=not IMAGE_KEY,
            # Files are read one after another, so that the order is that of the files.
            read_config=tfds.ReadConfig(interleave_cycle_length=1),
        )
        own = (examples[IMAGE_KEY], examples[LABEL_KEY]) if IMAGE_KEY else examples
        images.append(own[0].numpy())
        labels.append(own[1].numpy().astype(np.int32))
        rows[name] = np.arange(len(labels[-1])) + sum(map(len, labels[:-1]))
    return np.concatenate(images), np.concatenate(labels), rows


def resize_images(images: np.ndarray) -> np.ndarray:
    """Return images resized to IMAGE_SHAPE by Pillow's antialiased bilinear filter."""
    height, width, channels = IMAGE_SHAPE
    mode = "L" if channels == 1 else "RGB"
    resized = [
        Image.fromarray(image.squeeze())
        .convert(mode)
        .resize((width, height), Image.Resampling.BILINEAR)
        for image in images
    ]
    return np.stack([np.asarray(image) for image in resized]).reshape(-1, *IMAGE_SHAPE)


def make_batch(images: np.ndarray, labels: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the images (B, H, W, C) uint8 and the labels of a training step, counted from 0.

    A batch is a function of the seed and the step: nothing depends on what was drawn before.
    """
    epoch, place = divmod(step, STEPS_PER_EPOCH)
    if SAMPLING == "balanced":
        order = balance_examples(labels, BATCH_SIZE * STEPS_PER_EPOCH, SEED, epoch)
    else:
        order = shuffle_examples(len(labels), SEED, epoch)
    chosen = order[place * BATCH_SIZE : (place + 1) * BATCH_SIZE]
    if AUGMENTS:
        if not ALTERNATES:
            random = make_generator(SEED, AUGMENTATION, step)
        else:
            random = make_batch_generator(SEED, step, epoch, len(labels), chosen)
        return augment_images(images[chosen], labels[chosen], NUM_CLASSES, random)
    return images[chosen], labels[chosen]
