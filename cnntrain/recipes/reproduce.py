"""Train a recipe with some seeds, as a sweep, and hold what comes out to what is expected."""

import math
import shlex
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cnntrain.errors import SpecError
from cnntrain.files.documents import explain_damage, write_json
from cnntrain.files.writing import write_whole
from cnntrain.recipes.catalogue import Recipe, find_recipe
from cnntrain.recipes.page import write_reproduction_page
from cnntrain.recipes.verdict import Verdict, judge_runs, read_seed_run
from cnntrain.runs.directory import Run
from cnntrain.signals import INTERRUPTED, TERMINATED
from cnntrain.spec.overrides import parse_overrides, quote_literal
from cnntrain.spec.spec import WITHOUT_EFFECT
from cnntrain.sweeps.directory import Sweep
from cnntrain.sweeps.job_process import POLL_SECONDS, STOP_RUNNING
from cnntrain.sweeps.sweep import run_sweep
from cnntrain.sweeps.sweep_file import read_plan

NEEDED = "needed"  # the folder of the runs of recipes whose weights a recipe needs
SEED_FOLDER = "FOLDER_OF_THE_SEED"  # stands for it while a path is quoted
RUNS = "runs"  # the folder of the runs, if those that they need have one of their own
FIXED = {"experiment": "its name as a word", "seed": "--seeds N"}


@dataclass(frozen=True)
class Request:
    """What to reproduce: with seeds 0 to `seeds` - 1, and for at most so many minutes in all."""

    seeds: int
    minutes: float | None
    overrides: tuple[str, ...]
    config_dir: str | None

    def check_overrides(self, recipe: Recipe) -> None:
        """Raise SpecError for an override of what this command decides itself, or of a sweep."""
        for override in parse_overrides(self.overrides):
            key = override.key_or_group
            if key in FIXED or key in (recipe.expected.needs or {}) or key.startswith("hydra"):
                raise SpecError(
                    f"{override.text} is decided by reproduce", "other settings", FIXED.get(key)
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
    request.check_overrides(recipe)
    end = math.inf if request.minutes is None else time.monotonic() + 60 * request.minutes
    needed = []
    for setting, name in (recipe.expected.needs or {}).items():
        base = folder / NEEDED / name
        if not train_seeds(find_recipe(name, request.config_dir), request, base, end):
            reason = f"No run has begun, because {name}, whose weights it needs, has not finished."
            return write_verdict(judge_runs(recipe, [], (), reason), folder)
        # The job of a seed has the number of the seed, and its folder is named after both.
        best = quote_literal(str(base.absolute() / SEED_FOLDER / "best.keras"))
        needed.append(f"{setting}={best.replace(SEED_FOLDER, '${seed}_seed=${seed}')}")
    runs_folder = folder / RUNS if needed else folder
    train_seeds(recipe, request, runs_folder, end, needed)
    return judge_folder(recipe, folder)


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


def judge_folder(recipe: Recipe, folder: Path) -> Verdict:
    """Judge the runs that `reproduce_recipe` has left in a folder, and write page and JSON again.

    Raises SpecError if it holds none, or runs of another recipe, or if all were refused; nothing is
    written then.
    """
    sweep = read_sweep(folder)
    if (name := find_recipe_name(sweep)) != recipe.name:
        hint = shlex.join(["cnntrain", "reproduce", "--from", str(folder)])
        raise SpecError(f"{folder} is of {name}", f"runs of {recipe.name}", hint)
    seeds = {job.folder: read_seed(sweep, job.overrides) for job in sweep.jobs}
    begun = [place for place in seeds if Run(place).record.is_file()]
    reasons = [job.record.get("reason") for job in sweep.jobs]
    if not begun and (reason := next(filter(None, reasons), None)):
        raise SpecError(reason, "what a run needs: its data, its weights", "manual_dir=FOLDER")
    runs = [read_seed_run(place, seeds[place], recipe.expected.metric) for place in begun]
    missing = f"{len(seeds) - len(begun)} of {len(seeds)} runs have not begun."
    verdict = judge_runs(
        recipe, runs, list_changes(sweep, recipe), missing if len(begun) < len(seeds) else ""
    )
    return write_verdict(verdict, folder)


def list_changes(sweep: Sweep, recipe: Recipe) -> list[str]:
    """Return the overrides of a sweep that change what is computed, and not where it is done."""
    needed = recipe.expected.needs or {}
    keys = (*FIXED, *needed, *WITHOUT_EFFECT, "hydra.sweep.dir", "model.weights")
    return [
        word
        for word in sweep.plan["overrides"]
        if word.partition("=")[0] not in keys and not word.startswith("sweep.")
    ]


def find_recipe_of_folder(folder: Path) -> str:
    """Return the name of the recipe whose runs a folder holds; raise SpecError if it holds none."""
    return find_recipe_name(read_sweep(folder))


def find_recipe_name(sweep: Sweep) -> str:
    """Return the recipe of a sweep, or `no recipe`."""
    words = [word for word in sweep.plan["overrides"] if word.startswith("experiment=")]
    return words[0].partition("=")[2] if words else "no recipe"


def read_seed(sweep: Sweep, overrides: Sequence[str]) -> int:
    """Return the seed of a job; raise SpecError if it has none that is a number."""
    seeds = [word.partition("=")[2] for word in overrides if word.startswith("seed=")]
    if not seeds or not seeds[0].isdecimal():
        raise explain_damage(sweep.plan_file, "it is not a sweep over seeds")
    return int(seeds[0])


def write_verdict(verdict: Verdict, folder: Path) -> Verdict:
    """Write reproduce.html and reproduce.json into a folder, and return the verdict."""
    write_json(folder / "reproduce.json", verdict.to_json())
    write_reproduction_page(verdict, folder)
    return verdict


def read_sweep(folder: Path) -> Sweep:
    """Return the sweep over seeds in a reproduction's folder, without locking it.

    Raises SpecError if there is none.
    """
    sweep = Sweep(folder / RUNS if (folder / RUNS).is_dir() else folder)
    if not sweep.plan_file.is_file():
        expected = "a folder that cnntrain reproduce RECIPE has made"
        if (folder / NEEDED).is_dir():
            expected += ", with the recipe's own runs: those that it needs were stopped before"
        raise SpecError(f"{folder} holds no runs of a recipe", expected)
    sweep.plan = read_plan(sweep.plan_file)
    for words in sweep.plan["jobs"]:
        sweep.add_job(words)
    return sweep
