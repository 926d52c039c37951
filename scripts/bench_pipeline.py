"""Compare our pipeline with common ones, in images per second of processor time.

`make bench-pipeline`: blocks of batches of small images, gathered and augmented in every way of
`conf/augmentation`, beside the map over single images that tutorials have, and Keras' layers; then
photos (ARGUMENTS="--photos FOLDER", else made up), decoded and resized, beside a bare map of
TensorFlow's operations. All take turns in one process, for several rounds, and medians are shown.
Time is that of the processor, of all threads: the wall clock of a shared machine says little. As
many batches lie ready when the clock stops as when it starts, so that those counted were made
within it.
"""

import argparse
import itertools
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
from cnntrain.data.photos.photo import Frame, Photos
from cnntrain.data.photos.photo_cache import cache_photos
from cnntrain.data.source import Examples
from cnntrain.spec import option_files
from cnntrain.spec.signatures import Component, build_component

COUNT, BATCH_SIZE, SIDE, CLASSES = 50_000, 128, 32, 10  # as CIFAR-10
PHOTOS, PHOTO_BATCH_SIZE = 256, 32
Way = Iterator[int]  # makes batches, and yields how many images it has made
STEPS = 10  # in a block
SETTLE = 0.1  # seconds: a pipeline that takes no processor for so long has its batches ready
MAP, KERAS = "a map over images: flip, pad, crop", "Keras' layers: flip, translate"
BARE = "a bare map: decode_jpeg, resize"


def main() -> None:
    """Print a table for small images, and one for each size of photos."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1, help="of each way in each round")
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs (default: made up)")
    arguments = parser.parse_args()
    rates = measured(small_images(), arguments)
    show(f"batches of {BATCH_SIZE} images of {SIDE}x{SIDE}x3", rates, MAP)
    with tempfile.TemporaryDirectory() as folder:
        files = sorted((arguments.photos or made_up(Path(folder))).rglob("*.jpg"))
        for size in (96, 224):
            rates = measured(photos(files, size, Path(folder)), arguments)
            show(f"{len(files)} photos, decoded to {size}x{size}", rates, BARE)


def measured(ways: Mapping[str, Way], arguments: argparse.Namespace) -> dict[str, float]:
    """Return the median rate of each way, in images per second of processor time."""
    for way in ways.values():
        next(way)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            rates[name].append(rate(way, arguments.seconds))
    return {name: statistics.median(found) for name, found in rates.items()}


def rate(way: Way, seconds: float) -> float:
    """Return images per second of processor time, from one moment with all ready to another."""
    settle()
    began, images = time.process_time(), 0
    while time.process_time() - began < seconds:
        images += next(way)
    settle()
    return images / (time.process_time() - began)


def settle() -> None:
    """Wait until no pipeline works any more, because it has as much ready as it may have."""
    before = -1.0
    while time.process_time() - before > SETTLE / 20:
        before = time.process_time()
        time.sleep(SETTLE)


def show(title: str, rates: Mapping[str, float], peer: str) -> None:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("pipeline", no_wrap=True)
    table.add_column("images / CPU s", justify="right")
    table.add_column(f"over {peer}", justify="right")
    for name, found in rates.items():
        table.add_row(name, f"{found:,.0f}", f"{found / rates[peer]:.2f}")
    Console().print(table)


def small_images() -> dict[str, Way]:
    """Return our pipeline with every augmentation, and those of tutorials, by name."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (COUNT, SIDE, SIDE, 3), np.uint8)
    labels = random.integers(0, CLASSES, COUNT).astype(np.int32)
    files = sorted((option_files.CONF / "augmentation").glob("*.yaml"))
    ways = {
        file.stem: stream(
            Examples(images, labels),
            BATCH_SIZE,
            build_component("augmentation", option_files.load_option(file)),
        )
        for file in files
    }
    shuffled = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(10_000).repeat()
    moving = [keras.layers.RandomFlip("horizontal"), keras.layers.RandomTranslation(0.125, 0.125)]
    learnt = keras.layers.RandAugment((0, 255))
    return ways | {
        MAP: counted(shuffled.map(cropped, tf.data.AUTOTUNE).batch(BATCH_SIZE), BATCH_SIZE),
        KERAS: layered(shuffled, keras.Sequential(moving)),
        "Keras' RandAugment": layered(shuffled, learnt),
    }


def stream(examples: Examples, batch_size: int, augmentation: Component) -> Way:
    """Return our pipeline, as training uses it: blocks of steps."""
    steps = len(examples) // batch_size
    batches = pipeline.TrainingBatches(
        examples, CLASSES, batch_size, steps, augmentation, seed=0, on_device=False
    )
    spans = ((first, STEPS) for first in itertools.count(0, STEPS))
    for block in pipeline.stream_blocks(batches.make_block, spans):
        yield len(block["labels"]) * batch_size


def counted(batches: tf.data.Dataset, batch_size: int) -> Way:
    """Return a data set of whole batches as a way."""
    return (batch_size for _ in batches.prefetch(2))


def cropped(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    padded = tf.pad(tf.image.random_flip_left_right(image), [[4, 4], [4, 4], [0, 0]])
    return tf.image.random_crop(padded, (SIDE, SIDE, 3)), label


def layered(shuffled: tf.data.Dataset, layer: keras.Layer) -> Way:
    def augmented(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return layer(images, training=True), labels

    return counted(shuffled.batch(BATCH_SIZE).map(augmented, tf.data.AUTOTUNE), BATCH_SIZE)


def photos(files: list[Path], size: int, folder: Path) -> dict[str, Way]:
    """Return our pipeline with each way to resize photos, and the fastest of TensorFlow."""
    found = Photos([str(file) for file in files], lambda row: files[row].read_bytes())

    def ours(resize: str) -> Way:
        frame = Frame((size, size), 3, resize, None)  # type: ignore[arg-type]
        images = cache_photos(found, frame, "none", folder).images
        examples = Examples(images, np.zeros(len(files), np.int32))
        return stream(examples, PHOTO_BATCH_SIZE, build_component("augmentation", {"name": "none"}))

    names = tf.data.Dataset.from_tensor_slices([str(file) for file in files])
    bare = names.shuffle(len(files)).repeat().map(lambda name: decoded(name, size), 2)
    return {resize: ours(resize) for resize in ("stretch", "crop", "pad", "random_crop")} | {
        BARE: counted(bare.batch(PHOTO_BATCH_SIZE), PHOTO_BATCH_SIZE)
    }


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
