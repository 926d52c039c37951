"""Train a recipe with some seeds, as a sweep, and hold what comes out to what is expected."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cnntrain.errors import SpecError
from cnntrain.files.documents import write_json
from cnntrain.files.writing import write_whole
from cnntrain.recipes.catalogue import Recipe, find_recipe
from cnntrain.recipes.page import write_reproduction_page
from cnntrain.recipes.verdict import SeedRun, Verdict, judge_runs, read_seed_run
from cnntrain.runs.directory import Run
from cnntrain.signals import INTERRUPTED, TERMINATED
from cnntrain.spec.overrides import parse_overrides, quote_literal
from cnntrain.sweeps.directory import Sweep
from cnntrain.sweeps.job_process import STOP_RUNNING
from cnntrain.sweeps.sweep import run_sweep
from cnntrain.sweeps.sweep_file import read_plan

FIXED = {
    "experiment": "its name as a word", "seed": "--seeds N",
    "hydra.run.dir": "hydra.sweep.dir=FOLDER", "hydra.sweep.dir": None,
}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What to reproduce: with seeds 0 to `seeds` - 1, and for at most so many minutes in all."""

    seeds: int
    minutes: float | None
    overrides: tuple[str, ...]
    config_dir: str | None

    def check_overrides(self) -> None:
        """Raise SpecError for an override of what this command decides itself, or of a sweep."""
        for override in parse_overrides(self.overrides):
            key = override.key_or_group
            if key in FIXED:
                raise SpecError(
                    f"{override.text} is decided by reproduce", "other settings", FIXED[key]
                )
            if override.is_sweep_override():
                raise SpecError(
                    f"{override.text} names several values", "one value for all runs of a recipe"
                )


class Interrupted(Exception):
    """The sweep was stopped by a signal; `code` is the exit code."""

    def __init__(self, code: int):
        super().__init__(code)
        self.code = code


def make_folder_name(name: str) -> Path:
    """Return a new folder below outputs/, named after the time and the recipe."""
    return Path("outputs") / f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}_reproduce_{name}"


def reproduce_recipe(recipe: Recipe, request: Request, folder: Path) -> Verdict:
    """Train a recipe below `folder`, judge the runs, and write reproduce.html and reproduce.json.

    The recipes whose weights it needs are trained first, with the same seeds. Raises SpecError for
    a mistake, before the first run begins, and Interrupted after a signal.
    """
    request.check_overrides()
    needed = []
    for setting, name in (recipe.expected.needs or {}).items():
        base = folder / "needed" / name
        train_seeds(find_recipe(name, request.config_dir), request, base)
        # The job of a seed has the number of the seed, and its folder is named after both.
        best = base.absolute() / "${seed}_seed=${seed}" / "best.keras"
        needed.append(f"{setting}={quote_literal(str(best))}")
    runs_folder = folder / "runs" if needed else folder
    train_seeds(recipe, request, runs_folder, needed)
    return judge_folder(recipe, runs_folder, request.overrides, folder)


def train_seeds(
    recipe: Recipe, request: Request, folder: Path, further: Sequence[str] = ()
) -> None:
    """Train a recipe with each seed, as a sweep in `folder`, until its minutes are over."""
    words = [
        f"experiment={recipe.name}", *request.overrides, *further,
        f"seed=range({request.seeds})" if request.seeds > 1 else "seed=choice(0)",
        f"hydra.sweep.dir={quote_literal(str(folder))}",
    ]  # fmt: skip
    timer = None
    if request.minutes is not None:
        stop = threading.Timer(60 * request.minutes, stop_sweep, [folder])
        stop.daemon = True
        stop.start()
        timer = stop
    try:
        code = run_sweep(words, request.config_dir)
    finally:
        if timer is not None:
            timer.cancel()
    if code in (INTERRUPTED, TERMINATED):
        raise Interrupted(code)


def stop_sweep(folder: Path) -> None:
    """Let the running jobs of a sweep write a checkpoint and exit, and begin no other."""
    if folder.is_dir():
        write_whole(folder / "stop", STOP_RUNNING)


def judge_folder(
    recipe: Recipe, runs_folder: Path, overrides: Sequence[str], folder: Path
) -> Verdict:
    """Judge the runs of a sweep over seeds, and write reproduce.html and .json into `folder`."""
    verdict = judge_runs(recipe, read_seed_runs(recipe, runs_folder), overrides)
    write_json(folder / "reproduce.json", verdict.to_json())
    write_reproduction_page(verdict, folder)
    return verdict


def read_seed_runs(recipe: Recipe, folder: Path) -> list[SeedRun]:
    """Return the runs of a sweep over seeds that have begun; raise SpecError if there is none."""
    sweep = Sweep(folder)
    if not sweep.plan_file.is_file():
        raise SpecError(f"{folder} holds no sweep", "a folder that cnntrain reproduce has made")
    sweep.plan = read_plan(sweep.plan_file)
    runs = []
    for words in sweep.plan["jobs"]:
        job = sweep.add_job(words)
        if Run(job.folder).record.is_file():
            seed = next(int(word.partition("=")[2]) for word in words if word.startswith("seed="))
            runs.append(read_seed_run(job.folder, seed, recipe.expected.metric))
    return runs
