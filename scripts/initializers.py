"""Draw how far initializers bring a perceptron on MNIST: `make initializers`.

The recipes `mlp_mnist_*` are trained with some seeds, and their validation accuracy is drawn over
the epochs: a line for each seed. Then each initializer is tested against the best one. Runs that
have ended in the folder `--output` are not repeated.
"""

import argparse
from datetime import datetime
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot
from measure_recipes import locate_run, train_seed

from cnntrain.analysis.significance import compare_seeds, correct_for_many
from cnntrain.recipes.catalogue import list_recipes
from cnntrain.runs.directory import Run
from cnntrain.runs.tables import read_history

PREFIX, METRIC = "mlp_mnist_", "valid.accuracy"
COLORS = {
    "zeros": "tab:gray", "random_normal": "tab:orange", "glorot_uniform": "tab:green",
    "he_normal": "tab:blue",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", help="overrides of all runs, such as data_dir=…")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--output", type=Path, help="the folder of the runs and the picture")
    arguments = parser.parse_intermixed_args()
    folder = (
        arguments.output or Path("outputs") / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_initializers"
    )
    curves: dict[str, dict[int, list[float]]] = {}
    for recipe in list_recipes():
        if recipe.name.startswith(PREFIX):
            runs = curves[recipe.name.removeprefix(PREFIX)] = {}
            for seed in arguments.seeds:
                train_seed(recipe, seed, folder, arguments.words)
                run = Run(locate_run(folder / recipe.name, seed)[0])
                runs[seed] = [row[METRIC] for row in read_history(run)]
    print_comparison(curves)
    draw(curves, folder / "initializers.png")
    print(folder / "initializers.png")


def print_comparison(curves: dict[str, dict[int, list[float]]]) -> None:
    """Print the accuracies after the last epoch, and whether the best is better than the others."""
    ends = {name: {seed: c[-1] for seed, c in runs.items()} for name, runs in curves.items()}
    order = sorted(ends, key=lambda name: -sum(ends[name].values()))
    for name in order:
        print(name, ", ".join(f"{100 * value:.2f} %" for value in ends[name].values()))
    best, *others = order
    pairs = len(order) * len(others) // 2
    tested = [compare_seeds(ends[best], ends[name]) for name in others]
    found = correct_for_many(tested, pairs)
    for name, contrast in zip(others, found, strict=True):
        print(contrast.describe(best, name))


def draw(curves: dict[str, dict[int, list[float]]], path: Path) -> None:
    """Save the curves as a picture: all of them, and beside it those of the best ones."""
    mpl.use("Agg")
    figure, (whole, top) = pyplot.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for axes in (whole, top):
        for name, runs in curves.items():
            for number, values in enumerate(runs.values()):
                label = name.replace("_", " ") if number == 0 else None
                epochs = range(1, len(values) + 1)
                axes.plot(epochs, [100 * v for v in values], color=COLORS[name], label=label)
        axes.set(xlabel="epoch", ylabel="validation accuracy, %")
        axes.grid(alpha=0.3)
    whole.legend()
    whole.set(title="From zeros, nothing is learnt", ylim=(0, 100))
    top.set(title="A closer look", ylim=(88, 98))
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
