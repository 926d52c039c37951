"""Measure how a run begins and is fed where photos are many: `make bench-scale`.

    python scripts/bench_scale.py --folder FOLDER [--photos 1000000] [--size 64] [--stored 64x64] …

FOLDER gets photos of noise, of STORED pixels, in 100 classes, most of them hard links to others,
and shards of them; what is there is used again. More words are overrides of all runs. A table is
printed as Markdown: seconds from the command to the first step, beside those of a walk through the
folder and of a run on few photos; the peak memory of the run itself and with its decoding
processes; the rate of steps.
Then photos decoded a second by one process and by all cores, beside a bare loop over files.
"""

import argparse
import io
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from cnntrain.data.device_memory import count_cores
from cnntrain.data.fetch.folders import open_tree, read_tree_source
from cnntrain.data.photos.decoding_processes import set_decoding_processes
from cnntrain.data.photos.lazy_images import LazyImages
from cnntrain.data.photos.photo import Frame, Photos

CLASSES, FEW, DIFFERENT = 100, 2000, 2000
DECODED, STEPS, BATCH = 16_384, 100, 256
ROW = "| {:<34} | {:>9} | {:>9} | {:>9} | {:>9} | {:>9} |"


@dataclass(frozen=True)
class Start:
    """Seconds from the command to the first step, peak bytes, and images a second in training."""

    seconds: float
    own_bytes: int
    all_bytes: int
    images_per_second: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", help="overrides of all runs")
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--size", type=int, default=64, help="pixels of a side, for the network")
    parser.add_argument("--stored", default="64x64", help="pixels, in the files")
    arguments = parser.parse_intermixed_args()
    folder, size = arguments.folder, arguments.size
    stored = arguments.stored
    many, few = folder / f"photos_{arguments.photos}_{stored}", folder / f"photos_{FEW}_{stored}"
    for place, count in ((many, arguments.photos), (few, FEW)):
        if not place.exists():
            width, height = map(int, stored.split("x"))
            make_photos(place, count, (width, height))
    shutil.rmtree(folder / "data", ignore_errors=True)
    words = [f"data_dir={folder / 'data'}", f"dataset.image_size=[{size},{size}]", *arguments.words]
    walk = min(time_walk(many) for _ in range(3))
    print(f"a walk through {arguments.photos:,} files by os.scandir: {walk:.2f} s\n")
    print(ROW.format("run on", "to step 1", "more, in", "own peak", "all peak", "images/s"))
    print(ROW.format("", "s", "walks", "MiB", "MiB", "").replace(" ", "-", 1))
    base = show_start(f"{FEW:,} files, in memory", few, "image_folder", words, None, walk)
    show_start("many files, the first time", many, "image_folder", words, base, walk)
    show_start("many files, again", many, "image_folder", words, base, walk)
    shards = folder / f"shards_{arguments.photos}_{stored}"
    if not (shards / "records.json").exists():
        seconds = prepare_records(many, shards)
        print(f"(records written in {seconds:,.0f} s)")
    show_start("shards", shards, "records", words, base, walk)
    print()
    for name, rate in measure_decoding(many, size):
        print(f"{name}: {rate:,.0f} photos a second")


def make_photos(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Make a folder of `count` JPEGs of noise, DIFFERENT ones, the others links to them."""
    random, contents = np.random.default_rng(0), []
    for _ in range(min(DIFFERENT, count)):
        coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8))
        fine = random.integers(-20, 21, (*size[::-1], 3))
        pixels = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)) + fine
        content = io.BytesIO()
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(content, "JPEG", quality=90)
        contents.append(content.getvalue())
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    first: list[Path] = []
    for number in range(count):
        own = part / f"class_{number % CLASSES:03}"
        own.mkdir(parents=True, exist_ok=True)
        file = own / f"{number:08}.jpg"
        if number < len(contents):
            file.write_bytes(contents[number])
            first.append(file)
        else:
            os.link(first[number % len(first)], file)
    part.rename(folder)


def time_walk(folder: Path) -> float:
    """Return the seconds that a walk takes, which learns the names and kinds of all files."""
    began = time.perf_counter()
    waiting = [str(folder)]
    while waiting:
        for entry in os.scandir(waiting.pop()):
            if entry.is_dir():
                waiting.append(entry.path)
    return time.perf_counter() - began


def show_start(
    name: str, folder: Path, option: str, words: Sequence[str], base: Start | None, walk: float
) -> Start:
    """Run STEPS steps, print a row of the table, and return what was measured."""
    found = time_start([f"dataset={option}", f"dataset.folder={folder}", *words])
    more = "" if base is None else f"{(found.seconds - base.seconds) / walk:.2f}"
    sizes = [f"{size / 2**20:,.0f}" for size in (found.own_bytes, found.all_bytes)]
    print(ROW.format(name, f"{found.seconds:.1f}", more, *sizes, f"{found.images_per_second:,.0f}"))
    return found


def time_start(words: Sequence[str]) -> Start:
    """Begin a run, and watch it until it has made STEPS steps."""
    with tempfile.TemporaryDirectory() as home:
        run = Path(home) / "run"
        command = [
            sys.executable, "-m", "cnntrain", "model=cnn_cifar", "augmentation=none", "epochs=100",
            f"batch_size={BATCH}", f"max_steps={STEPS}", "log_every=1", "steps_per_block=1",
            "dataset.test=200", "dataset.valid=200", "tracking=none", f"hydra.run.dir={run}",
            *words,
        ]  # fmt: skip
        began, first, own, together = time.perf_counter(), 0.0, 0, 0
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        watched = psutil.Process(process.pid)
        rows, ended = run / "steps.csv", 0.0
        while process.poll() is None:
            done = rows.read_text().count("\n") - 1 if rows.exists() else 0
            if done >= 1 and not first:
                first, counted = time.perf_counter(), done
            if done >= STEPS and not ended:
                ended = time.perf_counter()
            try:
                sizes = [p.memory_info().rss for p in (watched, *watched.children(recursive=True))]
                own, together = max(own, sizes[0]), max(together, sum(sizes))
            except psutil.Error:  # it has just ended
                pass
            time.sleep(0.02)
        if process.returncode or not ended:
            raise SystemExit(f"{' '.join(command)} has failed")
    rate = (STEPS - counted) * BATCH / (ended - first)
    return Start(first - began, own, together, rate)


def prepare_records(photos: Path, shards: Path) -> float:
    """Write shards, and return the seconds that this takes."""
    began = time.perf_counter()
    words = ["image_folder", f"dataset.folder={photos}", "--to", "array_record"]
    command = [sys.executable, "-m", "cnntrain", "data", "prepare", *words, "--output", str(shards)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def measure_decoding(folder: Path, size: int) -> Iterator[tuple[str, float]]:
    """Yield names of ways to decode photos, and how many each decodes in a second."""
    photos = read_tree_source(open_tree(folder)).images
    assert isinstance(photos, Photos)
    rows = np.random.default_rng(0).permutation(len(photos))[:DECODED]
    files = [str(folder / photos.names[row]) for row in rows]
    for count in sorted({1, count_cores()}):
        cores = f"{count} process{'es' * (count > 1)}"
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(count, context) as pool:
            bare = time_bare_loop(pool, files, size)
        set_decoding_processes(count)
        images = LazyImages(photos, Frame((size, size), 3, "stretch", None))
        time_decoding(images, rows[:1024])  # the processes start, and memory is found
        ours = time_decoding(images, rows)
        yield f"a bare loop, {cores}", bare
        yield f"cnntrain, {cores} ({ours / bare:.2f} of it)", ours


def time_decoding(images: LazyImages, rows: np.ndarray) -> float:
    """Return how many photos are decoded in a second, in batches made ahead as in training."""
    from cnntrain.data.pipeline import stream_blocks  # which loads TensorFlow

    began = time.perf_counter()
    spans = [(start, BATCH) for start in range(0, len(rows), BATCH)]
    for _ in stream_blocks(lambda first, count: images[rows[first : first + count]], spans):
        pass
    return len(rows) / (time.perf_counter() - began)


def time_bare_loop(pool: ProcessPoolExecutor, files: Sequence[str], size: int) -> float:
    parts = [(files[start : start + 64], size) for start in range(0, len(files), 64)]
    list(pool.map(decode_files, parts[:16]))
    began = time.perf_counter()
    list(pool.map(decode_files, parts))
    return len(files) / (time.perf_counter() - began)


def decode_files(part: tuple[Sequence[str], int]) -> int:
    """Read, decode and resize files, and keep nothing."""
    files, size = part
    total = 0
    for file in files:
        with Image.open(file) as image:
            small = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
            total += np.asarray(small).shape[0]
    return total


if __name__ == "__main__":
    main()
