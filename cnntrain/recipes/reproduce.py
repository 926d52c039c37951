"""Train a recipe with some seeds, as a sweep, and hold what comes out to what is expected."""

import math
import threading
import time
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
from cnntrain.sweeps.job_process import POLL_SECONDS, STOP_RUNNING
from cnntrain.sweeps.sweep import run_sweep
from cnntrain.sweeps.sweep_file import read_plan

RUNS = "runs"  # the folder of the runs, if those that they need have one of their own
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
    end = math.inf if request.minutes is None else time.monotonic() + 60 * request.minutes
    needed = []
    for setting, name in (recipe.expected.needs or {}).items():
        base = folder / "needed" / name
        if not train_seeds(find_recipe(name, request.config_dir), request, base, end):
            reason = f"No run has begun, because {name}, whose weights it needs, has not finished."
            return write_verdict(judge_runs(recipe, [], request.overrides, reason), folder)
        # The job of a seed has the number of the seed, and its folder is named after both.
        best = base.absolute() / "${seed}_seed=${seed}" / "best.keras"
        needed.append(f"{setting}={quote_literal(str(best))}")
    runs_folder = folder / RUNS if needed else folder
    train_seeds(recipe, request, runs_folder, end, needed)
    return judge_folder(recipe, folder, request.overrides)


def train_seeds(
    recipe: Recipe, request: Request, folder: Path, end: float, further: Sequence[str] = ()
) -> bool:
    """Train a recipe with each seed, as a sweep in `folder`; return whether all have finished.

    At the time `end`, of the monotonic clock, running jobs write a checkpoint and exit. Raises
    Interrupted after a signal.
    """
    words = [
        f"experiment={recipe.name}", *request.overrides, *further,
        f"seed=range({request.seeds})" if request.seeds > 1 else "seed=choice(0)",
        f"hydra.sweep.dir={quote_literal(str(folder))}",
    ]  # fmt: skip
    ended = threading.Event()
    clock = threading.Thread(target=stop_sweep_in_time, args=(folder, end, ended), daemon=True)
    clock.start()
    try:
        code = run_sweep(words, request.config_dir)
    finally:
        ended.set()
    if code in (INTERRUPTED, TERMINATED):
        raise Interrupted(code)
    return code == 0


def stop_sweep_in_time(folder: Path, end: float, ended: threading.Event) -> None:
    """Stop a sweep at the time `end`, or as soon as it has begun; return if it has ended before."""
    while not ended.wait(POLL_SECONDS):
        if time.monotonic() >= end and (folder / "sweep.yaml").is_file():
            write_whole(folder / "stop", STOP_RUNNING)
            return


def judge_folder(recipe: Recipe, folder: Path, overrides: Sequence[str]) -> Verdict:
    """Judge the runs that `reproduce_recipe` has left in a folder, and write page and JSON again.

    Raises SpecError if it holds none.
    """
    runs_folder = folder / RUNS if (folder / RUNS).is_dir() else folder
    runs = read_seed_runs(recipe, runs_folder)
    return write_verdict(judge_runs(recipe, runs, overrides), folder)


def write_verdict(verdict: Verdict, folder: Path) -> Verdict:
    """Write reproduce.html and reproduce.json into a folder, and return the verdict."""
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
