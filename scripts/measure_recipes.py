"""Train recipes with some seeds, and write what comes out into their `expect.measured` records.

    python scripts/measure_recipes.py lenet5_mnist cnn_mnist --seeds 0 1 2 --output FOLDER [words]

Each run is a process of the command line, in FOLDER/RECIPE/seed=N; a run that has ended there is
not repeated. Further words, such as data_dir=…, are overrides of all runs. No figure in a record
comes from anywhere else.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from cnntrain.recipes.catalogue import Recipe, find_recipe
from cnntrain.runs.directory import Run
from cnntrain.runs.environment import read_processor_name
from cnntrain.runs.strangers import read_config, read_record, read_report
from cnntrain.runs.tables import read_history
from cnntrain.spec.expectation import digest_recipe, read_expectation

KEPT_VERSIONS = ("cnntrain", "tensorflow", "keras", "numpy")
DIGITS = 6  # of accuracies: enough for a million images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="+", help="recipes, and overrides of all runs")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_intermixed_args()
    overrides = [word for word in arguments.words if "=" in word]
    for name in [word for word in arguments.words if "=" not in word]:
        recipe = find_recipe(name)
        for seed in arguments.seeds:
            train_seed(recipe, seed, arguments.output, overrides)
        write_measured(recipe, arguments.seeds, arguments.output / name)


def train_seed(recipe: Recipe, seed: int, output: Path, overrides: list[str]) -> None:
    """Train a recipe with one seed, and record how much processor time that took."""
    folder, times = locate_run(output / recipe.name, seed)
    if times.is_file():
        return
    needed = [
        f"{setting}={locate_run(output / name, seed)[0] / 'best.keras'}"
        for setting, name in (recipe.expected.needs or {}).items()
    ]
    command = [
        sys.executable, "-m", "cnntrain", f"experiment={recipe.name}", f"seed={seed}",
        f"hydra.run.dir={folder}", "tracking=none", *needed, *overrides,
    ]  # fmt: skip
    before, begun = measure_children(), time.perf_counter()
    subprocess.run(command, check=True)
    cpu, seconds = measure_children() - before, time.perf_counter() - begun
    times.write_text(json.dumps({"cpu_seconds": round(cpu, 1), "seconds": round(seconds, 1)}))


def locate_run(folder: Path, seed: int) -> tuple[Path, Path]:
    """Return the directory of the run with a seed, and the file with the time that it took."""
    return folder / f"seed={seed}", folder / f"seed={seed}.json"


def measure_children() -> float:
    """Return the seconds that all cores have worked for child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def write_measured(recipe: Recipe, seeds: list[int], folder: Path) -> None:
    """Replace the record `measured`, which ends the recipe's file, by what its runs gave."""
    text = recipe.file.read_text(encoding="utf-8").partition("\n  measured:")[0].rstrip()
    text = "\n".join(line for line in text.split("\n") if not line.startswith("  hours:"))
    record = {"measured": collect_measured(recipe, seeds, folder)}
    written = yaml.safe_dump(record, sort_keys=False, default_flow_style=None, width=96)
    lines = [f"  {line}" for line in written.rstrip().split("\n")]
    recipe.file.write_text("\n".join([text, *lines, ""]), encoding="utf-8")
    read_expectation(recipe.file)


def collect_measured(recipe: Recipe, seeds: list[int], folder: Path) -> dict[str, Any]:
    """Return the record of the runs of a recipe with these seeds."""
    runs = [Run(locate_run(folder, seed)[0]) for seed in seeds]
    reports, records = [read_report(run) for run in runs], [read_record(run) for run in runs]
    times = [json.loads(locate_run(folder, seed)[1].read_text()) for seed in seeds]
    first = records[0]
    for record in records:
        if record["status"] != "finished" or record["data"] != first["data"]:
            raise SystemExit(f"{recipe.name}: a run has not finished, or has other images")
    accuracies = {
        f"{split}_{weights}": [
            round(report[split][weights]["accuracy"], DIGITS)
            for report in reports
            if report[split]  # nothing was evaluated on valid if all its images were trained on
        ]
        for split in ("valid", "test")
        for weights in ("best", "final")
    }
    accuracies |= {
        f"test_{weights}_views": [
            round(report["test_views"][weights]["accuracy"], DIGITS) for report in reports
        ]
        for weights in ("best", "final")
        if weights in reports[0].get("test_views", {})
    }
    return {
        "seeds": seeds,
        **accuracies,
        "epochs": max(len(read_history(run)) for run in runs),
        "seconds": [time["seconds"] for time in times],
        "cpu_seconds": [time["cpu_seconds"] for time in times],
        "images": first["data"]["sizes"],
        "fingerprint": first["data"]["fingerprint"],
        "recipe": digest_recipe(recipe.file),
        "device": first["device"]["kind"],
        "precision": read_config(runs[0])["precision"],
        "backend": first["backend"],
        "machine": f"{first['cpu_count']} cores, {first.get('processor', read_processor_name())}",
        "cores": first["cpu_count"] or os.cpu_count(),
        "versions": {name: first["versions"][name] for name in KEPT_VERSIONS},
        "date": max(record["ended"] for record in records)[:10],
    }


if __name__ == "__main__":
    main()
