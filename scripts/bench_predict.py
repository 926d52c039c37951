"""Compare `cnntrain predict` with the bare calls that it is made of, in photos per second.

`make bench-predict`: MobileNet at 224x224, on 1,000 photos (ARGUMENTS="--photos FOLDER"; fewer are
repeated, none are made up). Bare is TensorFlow's decode_jpeg and resize in a parallel map of
tf.data: all photos into one array, then `model.predict` of that; and both at once, `model.predict`
of the map. They take turns in one process, for several rounds, and medians are shown.
"""

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from cnntrain.data.photos.findings import Findings
from cnntrain.data.photos.photo import Frame, Photos
from cnntrain.inference.predict_photos import predict_photos

COUNT, SIDE, BATCH_SIZE = 1000, 224, 64


def main() -> None:
    """Print the medians of each way, and ours over the bare ones."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs (default: made up)")
    arguments = parser.parse_args()
    network = mobilenet()
    with tempfile.TemporaryDirectory() as folder:
        found = sorted((arguments.photos or made_up(Path(folder))).rglob("*.jpg"))
        files = list(itertools.islice(itertools.cycle(found), COUNT))
        ways: dict[str, Callable[[], np.ndarray]] = {
            "cnntrain predict": lambda: ours(network, files),
            "bare, decoded first": lambda: decoded_first(network, files),
            "bare, at once": lambda: network.predict(mapped(files), verbose=0),
        }
        rates = measured(ways, arguments.rounds)
    for name, rate in rates.items():
        ratio = rates["cnntrain predict"] / rate
        print(f"{name:<20} {rate:7.1f} photos/s   ours over it {ratio:.2f}")


def mobilenet() -> keras.Model:
    images = keras.Input((SIDE, SIDE, 3), dtype="uint8")
    pixels = keras.layers.Rescaling(1 / 127.5, -1.0)(images)
    body = keras.applications.MobileNet(alpha=0.75, weights=None, classifier_activation=None)
    return keras.Model(images, body(pixels))


def ours(network: keras.Model, files: Sequence[Path]) -> np.ndarray:
    photos = Photos([str(file) for file in files], lambda row: files[row].read_bytes())
    frame = Frame((SIDE, SIDE), 3, "stretch", None)
    found = predict_photos(network, photos, frame, Findings())
    return np.array([prediction.probabilities for prediction in found])


def mapped(files: Sequence[Path]) -> tf.data.Dataset:
    """Return batches of photos, decoded in parallel, without care for EXIF or broken files."""

    def decoded(name: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_jpeg(tf.io.read_file(name), channels=3)
        return tf.cast(tf.image.resize(image, (SIDE, SIDE)), tf.uint8)

    names = tf.data.Dataset.from_tensor_slices([str(file) for file in files])
    return names.map(decoded, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH_SIZE).prefetch(2)


def decoded_first(network: keras.Model, files: Sequence[Path]) -> np.ndarray:
    images = np.concatenate(list(mapped(files).as_numpy_iterator()))
    return network.predict(images, batch_size=BATCH_SIZE, verbose=0)


def measured(ways: dict[str, Callable[[], np.ndarray]], rounds: int) -> dict[str, float]:
    """Return photos per second: the median of all rounds but the first, which builds graphs."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            assert len(way()) == COUNT
            if number:
                rates[name].append(COUNT / (time.perf_counter() - began))
    return {name: statistics.median(found) for name, found in rates.items()}


def made_up(folder: Path) -> Path:
    """Write JPEGs of 500x375 pixels, as smooth as photos, into a folder; return it."""
    for number in range(50):
        corners = np.random.default_rng(number).integers(0, 256, (12, 16, 3), np.uint8)
        photo = Image.fromarray(corners).resize((500, 375), Image.Resampling.BICUBIC)
        photo.save(folder / f"{number}.jpg", quality=90)
    return folder


if __name__ == "__main__":
    main()
