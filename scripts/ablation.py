"""Train the fast recipe of CIFAR-10 with one thing changed at a time: `make ablation`.

    python scripts/ablation.py [words] --epochs 4 --seeds 0 1 [--output FOLDER] [--only NAME …]

Each run is a process of the command line; further words, such as data_dir=…, are overrides of all.
Accuracies are of a validation split, which training does not see: nothing is tuned on test images.
A run that has ended in FOLDER is not repeated. The table is printed as Markdown.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

from measure_recipes import locate_run, measure_children

RECIPE = "cifar10_94_fast"
SGD = (
    "~optimizer.sgd_factor", "~schedule.power",
    "optimizer=sgd", "optimizer.learning_rate=2.9", "optimizer.momentum=0.85",
    "optimizer.nesterov=true", "optimizer.weight_decay=0.009", "optimizer.bias_rate=64",
    "schedule=triangular", "schedule.start=0.2", "schedule.peak=23%", "schedule.final=0.07",
)  # fmt: skip
COLOUR = "{name: color, brightness: 0.1, contrast: 0.13, saturation: 0, hue: 0}"
MOVED = "{name: flip_crop, pad: 2, flip: 0.5, alternate: true, border: reflect}"


def augment(*ops: str) -> tuple[str, ...]:
    """Return the override that makes these the augmentations, one after another."""
    return (f"augmentation.ops=[{', '.join(ops)}]",)


VARIANTS = {
    "as it is": (),
    "first layer drawn and trained": ("model.whitening=false",),
    "patches of 3x3": ("model.patch=3",),
    "mirrored by a new coin in each epoch": augment(MOVED.replace("true", "false"), COLOUR),
    "not moved": augment(MOVED.replace("pad: 2", "pad: 0"), COLOUR),
    "black borders": augment(MOVED.replace("reflect", "black"), COLOUR),
    "the same colours": augment(MOVED),
    "no label smoothing": ("loss.label_smoothing=0",),
    "airbench's SGD": SGD,
    "biases at the rate of other weights": ("optimizer.bias_rate=1",),
    "He's initial weights": (
        "initializer=he_normal", "initializer.head=lecun_normal", "initializer.head_gain=1",
    ),
    "full size throughout": ("image_sizes=null",),
    "float32": ("precision=float32",),
    "Keras' memory of batch norm": ("batch_norm_momentum=0.99",),
    "GELU": ("model.activation=gelu",),
    "ReLU": ("model.activation=relu",),
    "batches of 1,000": ("batch_size=1000", "optimizer.learning_rate=0.17"),
    "64, 128 and 256 filters": ("model.filters=[64,128,256]",),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", help="overrides of all runs")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--output", type=Path, help="the folder of the runs")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    arguments = parser.parse_intermixed_args()
    output = arguments.output or Path("outputs") / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_ablation"
    common = [f"epochs={arguments.epochs}", "dataset.valid=5000", "test_views=none"]
    found = {}
    for name in arguments.only:
        plain = name.replace(" ", "_").replace("'", "").replace(",", "")
        folder = output / f"{arguments.epochs}_epochs" / plain
        words = [*common, *VARIANTS[name], *arguments.words]
        found[name] = [train_seed(folder, seed, words) for seed in arguments.seeds]
        print(f"{name}: {found[name]}", flush=True)
    print("\n".join(format_rows(found)))


def train_seed(folder: Path, seed: int, words: list[str]) -> tuple[float, float]:
    """Return the last validation accuracy of a run, trained if need be, and its CPU-seconds."""
    run, times = locate_run(folder, seed)
    if not times.is_file():
        command = [sys.executable, "-m", "cnntrain", f"experiment={RECIPE}", f"seed={seed}"]
        command += [f"hydra.run.dir={run}", "tracking=none", *words]
        before, begun = measure_children(), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        cpu, seconds = measure_children() - before, time.perf_counter() - begun
        folder.mkdir(parents=True, exist_ok=True)
        times.write_text(json.dumps({"cpu_seconds": round(cpu, 1), "seconds": round(seconds, 1)}))
    report = json.loads((run / "report.json").read_text())
    return report["valid"]["final"]["accuracy"], json.loads(times.read_text())["cpu_seconds"]


def format_rows(found: dict[str, list[tuple[float, float]]]) -> list[str]:
    """Return the lines of a table: accuracy and time of each variant, beside the first one's."""
    rows = ["| changed | valid accuracy | points | CPU-seconds | times |", "|---|--:|--:|--:|--:|"]
    first, *_ = found.values()
    base, base_seconds = (statistics.fmean(values) for values in zip(*first, strict=True))
    for name, runs in found.items():
        accuracy, seconds = (statistics.fmean(values) for values in zip(*runs, strict=True))
        rows.append(
            f"| {name} | {100 * accuracy:.2f} % | {100 * (accuracy - base):+.2f} | {seconds:,.0f} "
            f"| {seconds / base_seconds:.2f} |"
        )
    return rows


if __name__ == "__main__":
    main()
