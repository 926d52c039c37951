"""Draw how the training loss of deep networks falls with shortcuts and without: `make degradation`.

As in He et al. (2015, arXiv:1512.03385, Fig. 6): plain networks of 20 and 56 layers and ResNets of
the same depths, on some of CIFAR-10. Plain, the deeper one trains worse; with shortcuts, better.
With `--depths 20 100` they are rows of 20 and 100 convolutions (`cnn_depth`) instead.

Every curve is a run of the command line in a directory of its own, whose `steps.csv` is drawn. With
`--output` an existing folder, runs that have ended there are not repeated. A loss that is not
finite ends its run and its curve; any other failure ends the script.
"""

import argparse
import csv
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot

BATCH_SIZE = 32
# A tenth of the paper's rate, for a twentieth of its steps: with more (0.03, or 0.1 at batches of
# 128) deep networks lose so many of them at the beginning that ResNet-56 ends behind ResNet-20.
# Weight decay is that of section 4.2: its 1e-4 is half as much in `l2`.
SETTINGS = (
    "dataset=cifar10",
    f"batch_size={BATCH_SIZE}",
    "augmentation=none",
    "optimizer=sgd",
    "optimizer.learning_rate=0.01",
    "optimizer.momentum=0.9",
    "optimizer.l2=5e-5",
    "schedule=cosine",
    "schedule.warmup=5%",
    "log_every=1",
)
DIVERGED = "the loss is not finite"


@dataclass(frozen=True)
class Curve:
    """A network, what it is called, and how its line looks."""

    label: str
    overrides: tuple[str, ...]
    color: str
    line: str


# Plain networks are red, those with shortcuts blue; the deeper ones have solid lines.
OF_THE_PAPER = (
    Curve("plain, 20 layers", ("model=plain20",), "tab:red", "--"),
    Curve("plain, 56 layers", ("model=plain56",), "tab:red", "-"),
    Curve("ResNet, 20 layers", ("model=resnet20_v1",), "tab:blue", "--"),
    Curve("ResNet, 56 layers", ("model=resnet56_v1",), "tab:blue", "-"),
)


def build_depth_curves(depths: Sequence[int]) -> tuple[Curve, ...]:
    """Return plain networks of `depths` convolutions, and the same with shortcuts."""
    curves = []
    for residual, name, color in ((False, "plain", "tab:red"), (True, "shortcuts", "tab:blue")):
        for depth in depths:
            words = ("model=cnn_depth", f"model.depth={depth}", "optimizer.global_clip_norm=1")
            line = "-" if depth == max(depths) else "--"
            label = f"{name}, {depth:,} layers"
            settings = (*words, f"model.residual={str(residual).lower()}")
            curves.append(Curve(label, settings, color, line))
    return tuple(curves)


def main() -> None:
    """Train the networks one after another and draw their losses."""
    arguments = parsed()
    curves = build_depth_curves(arguments.depths) if arguments.depths else OF_THE_PAPER
    name = "depths" if arguments.depths else "degradation"
    folder = arguments.output or Path("outputs") / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{name}"
    losses: dict[Curve, list[np.ndarray]] = {}
    for number, curve in enumerate(curves):
        for seed in arguments.seeds:
            run = (
                folder / f"{number}_{curve.label.replace(', ', '_').replace(' ', '_')}_seed={seed}"
            )
            found = train(curve, run, seed, arguments)
            losses.setdefault(curve, []).append(found)
            end = smoothed(found, arguments.steps)[-1] if len(found) else math.nan
            print(f"{curve.label}, seed {seed}: {len(found):,} steps, loss at the end {end:.3f}\n")
    title = "Rows of convolutions" if arguments.depths else "Plain networks and ResNets"
    figure = folder / f"{name}.png"
    draw(losses, arguments.steps, f"{title}, {arguments.images:,} images of CIFAR-10", figure)
    print(figure)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=3200, help="of each run (default 3200)")
    parser.add_argument("--images", type=int, default=10_000, help="of CIFAR-10 (default 10000)")
    parser.add_argument("--data-dir", help="where TFDS keeps CIFAR-10 (default: as cnntrain)")
    parser.add_argument(
        "--depths", nargs="+", type=int, help="rows of so many convolutions instead"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="a line for each")
    parser.add_argument("--output", type=Path, help="the folder of the runs and the picture")
    return parser.parse_args()


def train(curve: Curve, run: Path, seed: int, arguments: argparse.Namespace) -> np.ndarray:
    """Return the training loss of each step (steps,); fewer where it ceased to be finite."""
    if (run / "report.json").exists():
        return losses_of(run)
    per_epoch = arguments.images // BATCH_SIZE
    epochs = math.ceil(arguments.steps / per_epoch)
    command = [
        *(sys.executable, "-m", "cnntrain", *SETTINGS, *curve.overrides),
        *(f"epochs={epochs}", f"max_steps={arguments.steps}", f"seed={seed}"),
        *(f"dataset.limit={arguments.images}", "dataset.valid=500"),  # the curves need no more
        f"hydra.run.dir={run}",
        *([f"data_dir={arguments.data_dir}"] if arguments.data_dir else []),
    ]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode and DIVERGED not in done.stderr:
        sys.exit(done.stderr)
    if done.returncode:
        print(done.stderr.strip())
    return losses_of(run)


def losses_of(run: Path) -> np.ndarray:
    steps = run / "steps.csv"
    if not steps.exists():  # not one step was finite
        return np.empty(0)
    with steps.open(encoding="utf-8") as file:
        return np.array([float(row["train.loss"]) for row in csv.DictReader(file)])


def smoothed(losses: np.ndarray, steps: int) -> np.ndarray:
    """The mean of each step's loss and those before it, over at most a fortieth of `steps`."""
    width = max(1, steps // 40)
    sums = np.concatenate([[0.0], np.cumsum(losses)])
    ends = np.arange(1, len(losses) + 1)
    begins = np.maximum(0, ends - width)
    return (sums[ends] - sums[begins]) / (ends - begins)


def draw(losses: dict[Curve, list[np.ndarray]], steps: int, title: str, path: Path) -> None:
    """Save smoothed losses as a picture; a circle is where a run of fewer than `steps` diverged."""
    mpl.use("Agg")
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    lines = [
        (curve, n, values) for curve, found in losses.items() for n, values in enumerate(found)
    ]
    for curve, number, values in lines:
        means, done = smoothed(values, steps), np.arange(1, len(values) + 1)
        diverged = len(values) < steps
        note = f" (diverged at step {len(values) + 1:,})" if diverged else ""
        label = curve.label + note if number == 0 else None
        axes.plot(done, means, curve.line, color=curve.color, label=label)
        if diverged:
            axes.plot(done[-1:], means[-1:], "o", color=curve.color)
    axes.axhline(math.log(10), color="gray", linewidth=0.8, linestyle=":", label="chance loss")
    axes.set(title=title, xlabel="step", ylabel="training loss (nats), smoothed")
    axes.set_ylim(0, 1.5 * math.log(10))
    axes.set_xlim(0, steps)
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
