"""Sweeps: `cnntrain -m`, and `cnntrain resume` of its directory.

A job is the same command as a run alone, in a process of its own: it has the same weights bit for
bit, and one that fails takes nothing with it. What a sweep knows is in files: sweep.yaml says what
was planned, the jobs' directories how each stands. So going on is the same as beginning, with the
jobs that are left.
"""

import shlex
import signal
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import Timeout
from rich.console import Console as RichConsole

from cnntrain.errors import SpecError
from cnntrain.files.locks import acquire_lock
from cnntrain.planning.batch_size import build_provisional_spec
from cnntrain.reports import comparison_tables as tables
from cnntrain.reports.sweep_summary import write_sweep_summary
from cnntrain.running.run import check_machine
from cnntrain.runs.directory import Run
from cnntrain.signals import INTERRUPTED, TERMINATED, Signals
from cnntrain.spec.compose import compose_config
from cnntrain.spec.knobs import Natural, Workers, convert_all
from cnntrain.spec.option_files import find_config_folder
from cnntrain.spec.overrides import parse_overrides, parse_single_override
from cnntrain.spec.signatures import collect_vocabulary
from cnntrain.spec.spec import Spec
from cnntrain.sweeps.dashboard import Dashboard
from cnntrain.sweeps.directory import GOOD_STATUSES, Job, Sweep
from cnntrain.sweeps.expand import (
    check_job_override,
    compose_sweep_setup,
    expand_jobs,
    is_sweep_setting,
    parse_axes,
)
from cnntrain.sweeps.launchers import build_launcher, list_visible_gpus
from cnntrain.sweeps.optuna_search import (
    Trials,
    build_probe_jobs,
    choose_search_space,
    import_optuna,
    parse_search_settings,
)
from cnntrain.sweeps.scheduler import GridJobs, JobSupply, Scheduler
from cnntrain.sweeps.sweep_file import check_launcher

ORPHAN_SECONDS = 60  # that a job has to leave when the sweep that began it was killed


# What `cnntrain resume SWEEP` may set, and what of sweep.yaml that is.
PLAN_SECTIONS = {"sweep": "sweep", "hydra.sweeper": "sweeper", "hydra.launcher": "launcher"}


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """How jobs are run; `conf/config.yaml` says what each does."""

    jobs: Workers
    gpus: Literal["auto"] | list[Natural] | None
    on_error: Literal["continue", "stop"]
    retry_oom: bool


def run_sweep(overrides: Sequence[str], config_dir: str | None) -> int:
    """Check every job, run them, and show what came out.

    Returns 0, or 1 if a job failed. A mistake in any job is answered before the first begins.
    """
    parsed = parse_overrides(overrides)
    asked = compose_sweep_setup([one for one in parsed if is_sweep_setting(one)], config_dir)
    theirs = [one for one in parsed if not is_sweep_setting(one)]
    for override in theirs:
        check_job_override(override)
    fixed = [override.text for override in theirs if not override.is_sweep_override()]
    varied = [override for override in theirs if override.is_sweep_override()]
    parse_sweep_settings(asked.settings)
    plan: dict[str, Any] = {
        "overrides": list(overrides),
        "flags": ["--config-dir", str(find_config_folder(config_dir))] if config_dir else [],
        "cwd": str(Path.cwd()),
        "sweep": asked.settings,
        "launcher": asked.launcher,
        "sweeper": asked.sweeper,
    }
    if asked.sweeper["name"] == "optuna":
        ready = parse_search_settings(asked.sweeper).params
        varied = varied or parse_overrides(choose_search_space(fixed, ready))
        planned = list[list[str]]()
        tried = [fixed + words for words in build_probe_jobs(parse_axes(varied, config_dir))]
        plan |= {"fixed": fixed, "space": [override.text for override in varied]}
    else:
        planned = tried = expand_jobs(theirs, config_dir)
    checked = [build_provisional_spec(compose_config(words, config_dir).config) for words in tried]
    for job in checked:
        check_machine(job)
    plan |= {
        "varied": [override.get_key_element() for override in varied],
        "monitor": find_common_monitor(checked),
    }
    build_launcher(asked.launcher, [None], asked.folder)  # what cannot be used is refused now
    if "space" in plan:
        import_optuna()
    begun = Sweep.begin(asked.folder, plan, planned)
    return run_unfinished_jobs(begun)


def find_common_monitor(checked: Sequence[Spec]) -> str:
    """The one value by which the jobs are compared."""
    names = sorted({job.monitor for job in checked})
    if len(names) > 1:
        raise SpecError(f"monitor differs between jobs: {', '.join(names)}", "one monitor for all")
    return names[0]


def parse_sweep_settings(values: Mapping[str, Any]) -> SweepSettings:
    """The settings of a sweep; SpecError for what they cannot be, or a GPU that is not there."""
    fields = collect_vocabulary(Path(__file__))["SweepSettings"].fields
    settings = SweepSettings(**convert_all(values, fields, "sweep"))
    if settings.gpus not in (None, "auto") and (here := list_visible_gpus()):
        missing = [gpu for gpu in settings.gpus if str(gpu) not in here]
        if missing:  # a job would train on the CPU, without a word
            raise SpecError(f"sweep.gpus has {missing[0]}", here, "sweep.gpus=auto")
    return settings


def resume_sweep(folder: Path, overrides: Sequence[str]) -> int:
    """`cnntrain resume SWEEP`: run what is missing, go on with what was interrupted.

    A job that is done is not touched. What runs the jobs may change, and how many trials there are.
    """
    begun, said = Sweep.reopen(folder), set[str]()
    for override in map(parse_single_override, overrides):
        section, _, key = override.key_or_group.rpartition(".")
        part = PLAN_SECTIONS.get(section, "")
        if key not in begun.plan.get(part, {}) or (part == "sweeper" and key != "n_trials"):
            raise SpecError(
                f"{override.key_or_group} cannot change within a sweep",
                [*(f"sweep.{name}" for name in begun.plan["sweep"]), "hydra.sweeper.n_trials"],
            )
        begun.plan[part][key] = override.value()
        said.add(key if part == "launcher" else "")
    parse_sweep_settings(begun.plan["sweep"])
    begun.plan["launcher"] = complete_launcher(begun, said)
    if is_search(begun):
        parse_search_settings(begun.plan["sweeper"])
    if not Path(begun.plan["cwd"]).is_dir():
        print(f"{begun.plan['cwd']}, where it was begun, is not here: paths are taken from "
              f"{Path.cwd()}")  # fmt: skip
        begun.plan["cwd"] = str(Path.cwd())
    begun.write_plan()
    return run_unfinished_jobs(begun)


def complete_launcher(begun: Sweep, said: Collection[str]) -> dict[str, Any]:
    """Return the settings of a sweep's launcher; of another one that was `said`, those of its file.

    Raises SpecError for what is no setting of it, or may not be taken from a stranger.
    """
    launcher = begun.plan["launcher"].items()
    given = {key: value for key, value in launcher if "name" not in said or key in said}
    check_launcher(begun.plan_file, given, said)
    words = [f"hydra/launcher={given['name']}", f"sweep.jobs={begun.plan['sweep']['jobs']}"]
    ours = compose_sweep_setup(parse_overrides(words), None).launcher
    odd = [key for key in given if key not in ours]
    if odd and "cluster" not in ours:  # submitit has more than its file
        raise SpecError(f"hydra.launcher.{odd[0]} is not a setting", ours)
    return ours | given


def is_search(sweep: Sweep) -> bool:
    return sweep.plan["sweeper"]["name"] == "optuna"


def wait_for_orphan(job: Job) -> None:
    """A job whose sweep was killed writes its state and leaves; then its run is free."""
    lock = Run(job.folder).lock
    if not job.folder.is_dir() or not Path(lock.lock_file).exists():
        return
    try:
        acquire_lock(lock, ORPHAN_SECONDS)
        lock.release()
    except Timeout:
        raise SpecError(
            f"{job.folder} is being trained by another process",
            "jobs that nothing is at work on",
            "wait for it, or stop it",
        ) from None


def run_unfinished_jobs(sweep: Sweep) -> int:
    """Run the jobs that are left; show what came out.

    Returns 0, 1 if a job failed, 130 or 143 after a signal.
    """
    settings, monitor = parse_sweep_settings(sweep.plan["sweep"]), sweep.plan["monitor"]
    supply: JobSupply = GridJobs(sweep)
    if is_search(sweep):
        space = parse_overrides(sweep.plan["space"])
        found = parse_axes(space, (sweep.plan["flags"] or [None])[-1])
        supply = Trials(sweep, parse_search_settings(sweep.plan["sweeper"]), found, monitor)
    for job in sweep.list_unfinished_jobs():
        wait_for_orphan(job)
    try:
        shown = Dashboard(sweep, supply.total, monitor, RichConsole(), supply.unfinished_jobs)
        with Signals() as signals, shown as board:
            Scheduler(sweep, supply, settings.jobs, settings.gpus).run_jobs(signals, board)
    finally:
        sweep.write_jobs_file()
        sweep.stop_file.unlink(missing_ok=True)
    if signals.received:
        print(f"Interrupted; {format_sweep_resume_command(sweep)} goes on.", file=sys.stderr)
        return INTERRUPTED if signals.received == signal.SIGINT else TERMINATED
    show_sweep_results(sweep, supply)
    return 0 if all(job.status in GOOD_STATUSES for job in sweep.jobs) else 1


def format_sweep_resume_command(sweep: Sweep) -> str:
    return shlex.join(["cnntrain", "resume", str(sweep.folder)])


def show_sweep_results(sweep: Sweep, supply: JobSupply) -> None:
    """Show what came out, with what failed and why, and the best of a search; write its page."""
    comparison, console = write_sweep_summary(sweep.folder), tables.make_table_console()
    console.print(tables.render_comparison(comparison, console.width, differences=False))
    for line in supply.format_results():
        print(line)
    if supply.unfinished_jobs:
        print(f"{format_sweep_resume_command(sweep)} runs what is missing")
    print(f"results in {sweep.folder / 'sweep.html'}")
