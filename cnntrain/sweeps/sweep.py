"""Run a sweep, `cnntrain -m`, and resume it, `cnntrain resume` with its directory.

A job is the command of a single run in a process of its own: it has the same weights bit for bit,
and one that fails harms no other. All that a sweep knows is in files: sweep.yaml holds the plan,
and the directories of the jobs hold how each has ended. Resuming a sweep is therefore the same as
beginning it, with the jobs that are left.
"""

import shlex
import signal
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import Timeout
from rich.console import Console as RichConsole

from cnntrain.errors import SpecError
from cnntrain.files.locks import acquire_lock
from cnntrain.files.paths import shorten_path
from cnntrain.reports.comparisons import comparison_tables as tables
from cnntrain.reports.comparisons.sweep_summary import write_sweep_summary
from cnntrain.running.run import check_machine
from cnntrain.runs.directory import Run
from cnntrain.signals import INTERRUPTED, TERMINATED, Signals
from cnntrain.spec.build import build_provisional_spec
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
    SearchJobs,
    build_probe_jobs,
    choose_search_space,
    import_optuna,
    parse_search_settings,
)
from cnntrain.sweeps.scheduler import GridJobs, JobSupply, Scheduler
from cnntrain.sweeps.sweep_file import check_launcher
from cnntrain.terminal.tables import make_console

if TYPE_CHECKING:
    from cnntrain.running.progress import RunView

ORPHAN_SECONDS = 60  # how long a job may take to exit after its sweep was killed


# The sections of which `cnntrain resume SWEEP` may change settings -> their keys in sweep.yaml. Of
# the sweeper it may change n_trials alone.
PLAN_SECTIONS = {"sweep": "sweep", "hydra.sweeper": "sweeper", "hydra.launcher": "launcher"}


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """The settings `sweep.*`, which `conf/config.yaml` explains."""

    jobs: Workers
    gpus: Literal["auto"] | list[Natural] | None
    on_error: Literal["continue", "stop"]
    retry_oom: bool


def run_sweep(
    overrides: Sequence[str], config_dir: str | None, view: "RunView | None" = None
) -> int:
    """Check the jobs of a sweep, run them, show the results, and return the exit code.

    It is that of `run_unfinished_jobs`. A `view` is told the directory. Of a search, jobs with the
    extremes of each axis are checked. Raises SpecError, before the first job begins, for a mistake
    that this check finds.
    """
    parsed = parse_overrides(overrides)
    setup = compose_sweep_setup([o for o in parsed if is_sweep_setting(o)], config_dir)
    job_overrides = [override for override in parsed if not is_sweep_setting(override)]
    for override in job_overrides:
        check_job_override(override)
    fixed = [override.text for override in job_overrides if not override.is_sweep_override()]
    varied = [override for override in job_overrides if override.is_sweep_override()]
    parse_sweep_settings(setup.settings)
    plan: dict[str, Any] = {
        "overrides": list(overrides),
        "flags": ["--config-dir", str(find_config_folder(config_dir))] if config_dir else [],
        "cwd": str(Path.cwd()),
        "sweep": setup.settings,
        "launcher": setup.launcher,
        "sweeper": setup.sweeper,
    }
    if setup.sweeper["name"] == "optuna":
        ready = parse_search_settings(setup.sweeper).params
        varied = varied or parse_overrides(choose_search_space(fixed, ready))
        jobs = list[list[str]]()  # the search adds them, one after another
        probes = [fixed + words for words in build_probe_jobs(parse_axes(varied, config_dir))]
        plan |= {"fixed": fixed, "space": [override.text for override in varied]}
    else:
        probes = jobs = expand_jobs(job_overrides, config_dir)
    specs = [build_provisional_spec(compose_config(words, config_dir).config) for words in probes]
    for spec in specs:
        check_machine(spec)
    plan |= {
        "varied": [override.get_key_element() for override in varied],
        "monitor": find_common_monitor(specs),
    }
    if "space" in plan:
        check_search_metric(specs, plan["monitor"])
    # A launcher or a search that cannot work here must fail before anything is written.
    build_launcher(setup.launcher, [None], setup.folder)
    if "space" in plan:
        import_optuna()
    sweep = Sweep.begin(setup.folder, plan, jobs)
    if view is not None:
        view.begin_run(sweep.folder)
    return run_unfinished_jobs(sweep)


def find_common_monitor(specs: Sequence[Spec]) -> str:
    """Return the monitor by which jobs are compared; raise SpecError if they have several."""
    names = sorted({spec.monitor for spec in specs})
    if len(names) > 1:
        raise SpecError(f"monitor differs between jobs: {', '.join(names)}", "one monitor for all")
    return names[0]


def check_search_metric(specs: Sequence[Spec], monitor: str) -> None:
    """Raise SpecError if a search would learn from a metric of validation that trials lack."""
    if monitor.startswith("valid.") and not all(spec.dataset["valid"] for spec in specs):
        raise SpecError(
            f"dataset.valid is 0, and a search learns from each trial's {monitor}",
            "validation images, from which hydra/sweeper=optuna learns",
            "dataset.valid=0.1",
        )


def parse_sweep_settings(values: Mapping[str, Any]) -> SweepSettings:
    """Return the settings of a sweep; raise SpecError for a wrong value or a GPU that is not here.

    On such a GPU's number a job would train on the CPU, without a message.
    """
    fields = collect_vocabulary(Path(__file__))["SweepSettings"].fields
    settings = SweepSettings(**convert_all(values, fields, "sweep"))
    if settings.gpus not in (None, "auto"):
        visible = list_visible_gpus()
        if missing := [gpu for gpu in settings.gpus if str(gpu) not in visible]:
            expected = visible or "no number: nvidia-smi and CUDA_VISIBLE_DEVICES name no GPU here"
            raise SpecError(f"sweep.gpus has {missing[0]}", expected, "sweep.gpus=auto")
    return settings


def resume_sweep(folder: Path, overrides: Sequence[str]) -> int:
    """Run the jobs of a sweep that are not begun, were interrupted or failed; return the exit code.

    Finished, pruned and diverged jobs are not touched, nor failed trials of a search. `overrides`
    may change how jobs run, and the number of trials; others raise SpecError.
    """
    sweep, launcher_keys = Sweep.reopen(folder), set[str]()
    for override in map(parse_single_override, overrides):
        section, _, key = override.key_or_group.rpartition(".")
        part = PLAN_SECTIONS.get(section, "")
        if key not in sweep.plan.get(part, {}) or (part == "sweeper" and key != "n_trials"):
            launcher_settings = (f"hydra.launcher.{name}" for name in sweep.plan["launcher"])
            raise SpecError(
                f"{override.key_or_group} cannot change within a sweep",
                [*(f"sweep.{name}" for name in sweep.plan["sweep"]), "hydra.sweeper.n_trials",
                 *launcher_settings],
            )  # fmt: skip
        sweep.plan[part][key] = override.value()
        launcher_keys.add(key if part == "launcher" else "")
    parse_sweep_settings(sweep.plan["sweep"])
    sweep.plan["launcher"] = complete_launcher(sweep, launcher_keys)
    if is_search(sweep):
        parse_search_settings(sweep.plan["sweeper"])
    if not Path(sweep.plan["cwd"]).is_dir():
        print(f"{sweep.plan['cwd']}, where the sweep was begun, does not exist: relative paths "
              f"begin in {Path.cwd()}")  # fmt: skip
        sweep.plan["cwd"] = str(Path.cwd())
    sweep.write_plan()
    return run_unfinished_jobs(sweep)


def complete_launcher(sweep: Sweep, given_keys: Collection[str]) -> dict[str, Any]:
    """Return the settings of a sweep's launcher: those in its plan, and defaults for the others.

    `given_keys` are those that the user has just set. If the name of the launcher is one of them,
    the other settings in the plan belong to another launcher and are dropped. Raises SpecError for
    an unknown setting, and for one that may not be taken from an untrusted plan.
    """
    launcher, is_other = sweep.plan["launcher"].items(), "name" in given_keys
    settings = {key: value for key, value in launcher if not is_other or key in given_keys}
    check_launcher(sweep.plan_file, settings, given_keys)
    words = [f"hydra/launcher={settings['name']}", f"sweep.jobs={sweep.plan['sweep']['jobs']}"]
    defaults = compose_sweep_setup(parse_overrides(words), None).launcher
    unknown = [key for key in settings if key not in defaults]
    if unknown and "cluster" not in defaults:  # submitit has more settings than its option file
        raise SpecError(f"hydra.launcher.{unknown[0]} is not a setting", defaults)
    return defaults | settings


def is_search(sweep: Sweep) -> bool:
    return sweep.plan["sweeper"]["name"] == "optuna"


def wait_for_orphan(job: Job) -> None:
    """Wait until a job whose sweep was killed has written its checkpoint and exited.

    Raises SpecError if it has not exited after a minute.
    """
    lock = Run(job.folder).lock
    if not job.folder.is_dir() or not Path(lock.lock_file).exists():
        return
    try:
        acquire_lock(lock, ORPHAN_SECONDS)
        lock.release()
    except Timeout:
        raise SpecError(
            f"{job.folder} is being trained by another process",
            "jobs that are not running",
            "wait for it, or stop it",
        ) from None


def run_unfinished_jobs(sweep: Sweep) -> int:
    """Run the unfinished jobs of a sweep, show the results, and return the exit code.

    It is 0 if every job has finished or was pruned, else 1; 130 or 143 after a signal.
    """
    settings, monitor = parse_sweep_settings(sweep.plan["sweep"]), sweep.plan["monitor"]
    supply: JobSupply = GridJobs(sweep)
    if is_search(sweep):
        space = parse_overrides(sweep.plan["space"])
        axes = parse_axes(space, (sweep.plan["flags"] or [None])[-1])
        supply = SearchJobs(sweep, parse_search_settings(sweep.plan["sweeper"]), axes, monitor)
    for job in sweep.list_unfinished_jobs():
        wait_for_orphan(job)
    try:
        dashboard = Dashboard(sweep, supply.total, monitor, RichConsole(), supply.unfinished_jobs)
        with Signals() as signals, dashboard:
            Scheduler(sweep, supply, settings.jobs, settings.gpus).run_jobs(signals, dashboard)
    finally:
        sweep.write_jobs_file()
        sweep.stop_file.unlink(missing_ok=True)
    if signals.received:
        print(f"Interrupted. To go on: {format_sweep_resume_command(sweep)}", file=sys.stderr)
        return INTERRUPTED if signals.received == signal.SIGINT else TERMINATED
    report_sweep(sweep, supply)
    return 0 if all(job.status in GOOD_STATUSES for job in sweep.jobs) else 1


def format_sweep_resume_command(sweep: Sweep) -> str:
    return shlex.join(["cnntrain", "resume", str(sweep.folder)])


def report_sweep(sweep: Sweep, supply: JobSupply) -> None:
    """Write the page of a sweep; print its results, its failures and the best trial of a search."""
    comparison, console = write_sweep_summary(sweep.folder), make_console()
    console.print(tables.render_comparison(comparison, console.width, differences=False))
    for line in supply.format_results():
        print(line)
    if supply.unfinished_jobs:
        print(f"Some jobs have not finished. To run them: {format_sweep_resume_command(sweep)}")
    print(f"results in {shorten_path(sweep.folder / 'sweep.html')}")
