"""Tiny photos, and tiny data sets in the format that TFDS prepares."""

import io

import numpy as np
from PIL import Image, ImageDraw


def photo(seed, size=(12, 10)):
    """Return the bytes of a JPEG of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def write_photos(folder, count=12):
    """A folder of images, each of its own, for each of two classes."""
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (20, 30, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")
    return folder


def written(data_dir, name, version, features, splits, config=None):
    """Write a data set into `data_dir` as TFDS does: splits of lists of examples."""
    import tensorflow_datasets as library

    library.disable_progress_bar()
    library.dataset_builders.store_as_tfds_dataset(
        name=name,
        version=version,
        config=config,
        features=library.features.FeaturesDict(features),
        split_datasets={split: list(enumerate(rows)) for split, rows in splits.items()},
        data_dir=str(data_dir),
    )


def photos_of(count, classes, **named):
    """Yield examples of photos of different sizes for TFDS.

    `named` has a function for each feature, which makes its value from the number and the label.
    """
    for number in range(count):
        label = number % classes
        names = {key: make(number, label) for key, make in named.items()}
        size = (10 + number % 3, 12)
        yield {"image": io.BytesIO(photo(number, size)), "label": label, **names}


def draw_scene(seed, size=(180, 120)):
    """Return a picture with soft light, sharp shapes and grain, as photos have; each its own."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (4, 5, 3), np.uint8)
    scene = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(scene)
    for _ in range(12):
        x, y = random.integers(0, size[0]), random.integers(0, size[1])
        wide, tall = random.integers(8, 50, 2)
        color = tuple(random.integers(0, 256, 3).tolist())
        draw.ellipse((int(x), int(y), int(x + wide), int(y + tall)), fill=color)
    grain = random.normal(0, 6, (size[1], size[0], 3))
    return Image.fromarray(np.clip(np.asarray(scene) + grain, 0, 255).astype(np.uint8))
