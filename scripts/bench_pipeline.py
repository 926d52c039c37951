"""Compare our pipeline with common ones, in images per second of processor time.

`make bench-pipeline`: batches of small images, gathered and augmented in every way of
`conf/augmentation`, beside the map over single images that tutorials have, and Keras' layers; then
photos (ARGUMENTS="--photos FOLDER", else made up), decoded and resized, beside a bare map of
TensorFlow's operations. All take turns in one process, for several rounds, and medians are shown.
Time is that of the processor, of all threads: the wall clock of a shared machine says little.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from rich import box
from rich.console import Console
from rich.table import Table

from cnntrain.data import pipeline
from cnntrain.data.augmentations.none import none
from cnntrain.data.photos.photo import Frame, Photos
from cnntrain.data.photos.photo_cache import cache_photos
from cnntrain.data.source import Examples, Images
from cnntrain.spec import option_files
from cnntrain.spec.signatures import build_component

COUNT, BATCH_SIZE, SIDE, CLASSES = 50_000, 128, 32, 10  # as CIFAR-10
PHOTOS, PHOTO_BATCH_SIZE = 256, 32
SETTLE = 0.2  # seconds in which another pipeline finishes its last batches
MAP, KERAS = "a map over images: flip, pad, crop", "Keras' layers: flip, translate"
BARE = "a bare map: decode_jpeg, resize"


def main() -> None:
    """Print a table for small images, and one for each size of photos."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1, help="of each way in each round")
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs (default: made up)")
    arguments = parser.parse_args()
    rates = measured(small_images(), BATCH_SIZE, arguments)
    show(f"batches of {BATCH_SIZE} images of {SIDE}x{SIDE}x3", rates, MAP)
    with tempfile.TemporaryDirectory() as folder:
        files = sorted((arguments.photos or made_up(Path(folder))).rglob("*.jpg"))
        for size in (96, 224):
            rates = measured(photos(files, size, Path(folder)), PHOTO_BATCH_SIZE, arguments)
            show(f"{len(files)} photos, decoded to {size}x{size}", rates, BARE)


def measured(
    ways: Mapping[str, tf.data.Dataset], batch_size: int, arguments: argparse.Namespace
) -> dict[str, float]:
    """Return the median rate of each way, in images per second of processor time."""
    running = {name: iter(way) for name, way in ways.items()}
    for batches in running.values():
        next(batches)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, batches in running.items():
            time.sleep(SETTLE)
            rates[name].append(rate(batches, batch_size, arguments.seconds))
    return {name: statistics.median(found) for name, found in rates.items()}


def rate(batches: Iterator[object], batch_size: int, seconds: float) -> float:
    began, images = time.process_time(), 0
    while time.process_time() - began < seconds:
        next(batches)
        images += batch_size
    return images / (time.process_time() - began)


def show(title: str, rates: Mapping[str, float], peer: str) -> None:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("pipeline", no_wrap=True)
    table.add_column("images / CPU s", justify="right")
    table.add_column(f"over {peer}", justify="right")
    for name, found in rates.items():
        table.add_row(name, f"{found:,.0f}", f"{found / rates[peer]:.2f}")
    Console().print(table)


def small_images() -> dict[str, tf.data.Dataset]:
    """Return our pipeline with every augmentation, and those of tutorials, by name."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (COUNT, SIDE, SIDE, 3), np.uint8)
    labels = random.integers(0, CLASSES, COUNT).astype(np.int32)
    files = sorted((option_files.CONF / "augmentation").glob("*.yaml"))
    ways = {
        file.stem: pipeline.make_training_batches(
            Examples(images, labels), CLASSES, BATCH_SIZE, COUNT // BATCH_SIZE,
            build_component("augmentation", option_files.load_option(file)), seed=0,
        )
        for file in files
    }  # fmt: skip
    shuffled = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(10_000).repeat()
    moving = [keras.layers.RandomFlip("horizontal"), keras.layers.RandomTranslation(0.125, 0.125)]
    learnt = keras.layers.RandAugment((0, 255))
    return ways | {
        MAP: shuffled.map(cropped, tf.data.AUTOTUNE).batch(BATCH_SIZE).prefetch(2),
        KERAS: layered(shuffled, keras.Sequential(moving)),
        "Keras' RandAugment": layered(shuffled, learnt),
    }


def cropped(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    padded = tf.pad(tf.image.random_flip_left_right(image), [[4, 4], [4, 4], [0, 0]])
    return tf.image.random_crop(padded, (SIDE, SIDE, 3)), label


def layered(shuffled: tf.data.Dataset, layer: keras.Layer) -> tf.data.Dataset:
    def augmented(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return layer(images, training=True), labels

    return shuffled.batch(BATCH_SIZE).map(augmented, tf.data.AUTOTUNE).prefetch(2)


def photos(files: list[Path], size: int, folder: Path) -> dict[str, tf.data.Dataset]:
    """Return our pipeline with each way to resize photos, and the fastest of TensorFlow."""
    found = Photos([str(file) for file in files], lambda row: files[row].read_bytes())

    def ours(resize: str) -> tf.data.Dataset:
        frame = Frame((size, size), 3, resize, None)  # type: ignore[arg-type]
        return training(cache_photos(found, frame, "none", folder).images, len(files))

    names = tf.data.Dataset.from_tensor_slices([str(file) for file in files])
    bare = names.shuffle(len(files)).repeat().map(lambda name: decoded(name, size), 2)
    return {resize: ours(resize) for resize in ("stretch", "crop", "pad", "random_crop")} | {
        BARE: bare.batch(PHOTO_BATCH_SIZE).prefetch(2)
    }


def training(images: Images, count: int) -> tf.data.Dataset:
    examples = Examples(images, np.zeros(count, np.int32))
    return pipeline.make_training_batches(
        examples, 1, PHOTO_BATCH_SIZE, count // PHOTO_BATCH_SIZE, none, seed=0
    )


def decoded(name: tf.Tensor, size: int) -> tf.Tensor:
    image = tf.io.decode_jpeg(tf.io.read_file(name), channels=3)
    return tf.cast(tf.image.resize(image, (size, size)), tf.uint8)


def made_up(folder: Path) -> Path:
    """Write photos of 500x375, as smooth and noisy as real ones, into a folder; return it."""
    random = np.random.default_rng(0)
    for number in range(PHOTOS):
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8))
        smooth = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC), np.float32)
        noisy = np.clip(smooth + random.normal(0, 8, smooth.shape), 0, 255)
        Image.fromarray(noisy.astype(np.uint8)).save(folder / f"{number:03}.jpg", quality=90)
    return folder


if __name__ == "__main__":
    main()
