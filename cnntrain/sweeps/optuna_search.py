"""Search with Optuna: it chooses the values of each job from the results of the jobs before.

The study is a SQLite file in the sweep's directory. Each trial has a new sampler with its own seed,
so that, with one job at a time and no pruning, a search that was stopped and resumed has the same
trials as one that was not.
"""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cnntrain.errors import SpecError
from cnntrain.files.documents import explain_damage
from cnntrain.files.writing import break_hard_links, write_whole
from cnntrain.runs.directory import Run
from cnntrain.runs.tables import read_history_so_far
from cnntrain.spec.knobs import Count, Natural, Seed, convert_all
from cnntrain.spec.metrics import choose_tie_breaker, higher_is_better, rank_by
from cnntrain.spec.signatures import collect_vocabulary
from cnntrain.sweeps.directory import GOOD_STATUSES, Job, Sweep, read_best_value
from cnntrain.sweeps.expand import Axis
from cnntrain.sweeps.launchers import import_engine
from cnntrain.sweeps.optuna_private import reopen_trial

OLDEST_OPTUNA = 4  # 2.10, which Hydra's own sweeper needs, cannot open SQLite with SQLAlchemy 2
# Settings that make trials short. The command that trains the best trial in full leaves them out.
SHORTENING_KEYS = (
    "epochs", "minutes", "max_steps", "steps_per_epoch", "dataset.fraction", "dataset.limit",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """The settings of a search, which `conf/hydra/sweeper/optuna.yaml` explains."""

    n_trials: Count
    seed: Seed
    sampler: Literal["tpe", "random"]
    random_trials: Count
    pruner: Literal["median", "none"]
    prune_from_trial: Natural
    prune_from_epoch: Natural
    params: dict[str, str]


def parse_search_settings(config: Mapping[str, Any]) -> SearchSettings:
    """Return the settings of a search; raise SpecError if one is wrong."""
    values = {key: value for key, value in config.items() if key != "name"}
    fields = collect_vocabulary(Path(__file__))["SearchSettings"].fields
    return SearchSettings(**convert_all(values, fields, "hydra.sweeper"))


def import_optuna() -> Any:
    """Return the module of Optuna; raise SpecError if it is missing or too old."""
    optuna = import_engine("optuna")
    if int(optuna.__version__.partition(".")[0]) < OLDEST_OPTUNA:
        raise SpecError(
            f"optuna {optuna.__version__} is installed",
            f"version {OLDEST_OPTUNA} or newer",
            "pip install --upgrade 'cnntrain[optuna]'",
        )
    return optuna


class SearchJobs:
    """The jobs of a search. Each is a trial of a study, which learns from the trials before."""

    def __init__(self, sweep: Sweep, settings: SearchSettings, axes: Sequence[Axis], monitor: str):
        self.optuna = import_optuna()
        self.optuna.logging.set_verbosity(self.optuna.logging.ERROR)
        self.sweep, self.settings, self.monitor = sweep, settings, monitor
        self.space = {axis.key: self.build_distribution(axis) for axis in axes}
        pruner = self.build_pruner()
        break_hard_links(sweep.database)
        try:
            self.study = self.optuna.create_study(
                storage=f"sqlite:///{sweep.database}",
                study_name="search",
                direction="maximize" if higher_is_better(monitor) else "minimize",
                pruner=pruner,
                load_if_exists=True,
            )
        except Exception as error:  # SQLite and Optuna raise anything for a damaged file
            raise explain_damage(sweep.database, error) from None
        self.open_trials: dict[int, Any] = {}  # trials that have not ended, by the job's number
        self.reported_epochs: dict[int, set[int]] = {}  # by the job's number
        self.interrupted_jobs: list[Job] = []
        self.restore_trials()

    @property
    def total(self) -> int:
        """How many jobs the search will have in all."""
        return max(self.settings.n_trials, len(self.sweep.jobs))

    @property
    def unfinished_jobs(self) -> list[Job]:
        """The jobs whose trials are open. A trial that has failed is not: it has ended, too."""
        return [self.sweep.jobs[number] for number in self.open_trials]

    def restore_trials(self) -> None:
        """Add a job for each trial in the study, and reopen those that have not ended.

        A trial whose job has ended meanwhile is closed. Raises SpecError if the study belongs to
        another search.
        """
        for frozen in self.study.get_trials(deepcopy=False):
            if not self.space.keys() <= frozen.params.keys():
                raise explain_damage(
                    self.sweep.database, f"trial {frozen.number} belongs to another search"
                )
            job = self.sweep.add_job(self.build_overrides(frozen.params))
            self.reported_epochs[job.number] = set(frozen.intermediate_values)
            if not frozen.state.is_finished():
                self.open_trials[job.number] = reopen_trial(self.optuna, self.study, frozen)
                self.interrupted_jobs.append(job)
                self.record_end(job)
        self.interrupted_jobs = [
            job for job in self.interrupted_jobs if job.number in self.open_trials
        ]

    def take_next_job(self) -> Job | None:
        """Return the next job to run: an interrupted one, or a new one, or None at the end."""
        if self.interrupted_jobs:
            return self.interrupted_jobs.pop(0)
        number = len(self.sweep.jobs)
        if number >= self.settings.n_trials:
            return None
        self.study.sampler = self.build_sampler(number)
        trial = self.study.ask(self.space)
        job = self.sweep.add_job(self.build_overrides(trial.params))
        self.open_trials[job.number], self.reported_epochs[job.number] = trial, set()
        return job

    def report_progress(self) -> None:
        """Report new epochs to the study, and stop the jobs whose trials it prunes."""
        for number, trial in self.open_trials.items():
            job, reported = self.sweep.jobs[number], self.reported_epochs[number]
            for row in read_history_so_far(Run(job.folder)):
                epoch, value = int(row["epoch"]), row.get(self.monitor, math.nan)
                if epoch in reported or not math.isfinite(value):
                    continue
                reported.add(epoch)
                trial.report(value, epoch)
                if job.status == "running" and trial.should_prune():
                    reason = f"after epoch {epoch} worse than the median of the trials before"
                    write_whole(job.folder / "prune", reason)

    def record_end(self, job: Job) -> None:
        """Tell the study how a job has ended; the trial of an interrupted job stays open."""
        states, status = self.optuna.trial.TrialState, job.status
        if status in ("waiting", "running", "interrupted"):
            return
        trial, value = self.open_trials.pop(job.number), read_best_value(job)
        if status == "finished" and value is not None:
            self.study.tell(trial, value)
        else:
            self.study.tell(trial, state=states.PRUNED if status in GOOD_STATUSES else states.FAIL)

    def build_overrides(self, params: Mapping[str, Any]) -> list[str]:
        """Return the overrides of a job: those of every trial, and the values of this one."""
        return [*self.sweep.plan["fixed"], *(f"{key}={params[key]}" for key in self.space)]

    def build_distribution(self, axis: Axis) -> Any:
        """Return Optuna's distribution of an axis."""
        kinds = self.optuna.distributions
        if axis.choices:
            return kinds.CategoricalDistribution(axis.choices)
        if axis.is_integer:
            step = int(axis.step or 1)
            return kinds.IntDistribution(int(axis.low), int(axis.high), log=axis.log, step=step)
        return kinds.FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)

    def build_sampler(self, number: int) -> Any:
        """Return the sampler of trial `number`, seeded by that and the search's seed alone."""
        seed = int(np.random.SeedSequence([self.settings.seed, number]).generate_state(1)[0])
        if self.settings.sampler == "random":
            return self.optuna.samplers.RandomSampler(seed=seed)
        startup = self.settings.random_trials
        return self.optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)

    def build_pruner(self) -> Any:
        """Return the pruner of the settings: the median of earlier trials, or none."""
        if self.settings.pruner == "none":
            return self.optuna.pruners.NopPruner()
        return self.optuna.pruners.MedianPruner(
            n_startup_trials=self.settings.prune_from_trial,
            n_warmup_steps=self.settings.prune_from_epoch,
        )

    def format_results(self) -> list[str]:
        """Return lines that name the best trial and the command to train it in full."""
        finished = [job for job in self.sweep.jobs if read_best_value(job) is not None]
        if not finished:
            return ["no trial finished"]
        found = min(finished, key=self.rank_job)
        kept = [w for w in found.overrides if w.partition("=")[0] not in SHORTENING_KEYS]
        command = shlex.join(["cnntrain", *self.sweep.plan["flags"], *kept])
        return [
            f"best of {len(finished)} finished trials: {found.number}, "
            f"{self.monitor} {read_best_value(found):.4f}, in {found.folder}",
            f"  trained in full by  {command}",
        ]

    def rank_job(self, job: Job) -> tuple[float, float]:
        """Return a key that sorts jobs the best first, as every table does."""
        value, tie = read_best_value(job) or 0, choose_tie_breaker(self.monitor)
        rows = read_history_so_far(Run(job.folder))
        losses = [row.get(tie, 0) for row in rows if row.get(self.monitor) == value]
        return rank_by(self.monitor, {tie: min(losses, default=0), self.monitor: value})


def build_probe_jobs(axes: Sequence[Axis]) -> list[list[str]]:
    """Return the overrides of jobs to check before the first trial of a search.

    Each differs from the first job in one value at most, so that every choice, or both ends, of
    each axis are checked.
    """
    first = {axis.key: axis.list_extremes()[0] for axis in axes}
    variants = [first | {axis.key: value} for axis in axes for value in axis.list_extremes()]
    return [[f"{key}={value}" for key, value in values.items()] for values in variants]


def choose_search_space(fixed: Sequence[str], ready: Mapping[str, str]) -> list[str]:
    """Return the search space that an option of sweeper brings along, `ready`, as overrides.

    It is searched if the command line names no space; a key that is `fixed` there is left out.
    Raises SpecError if no key is left.
    """
    space = [
        f"{key}={value}"
        for key, value in ready.items()
        if key not in [text.partition("=")[0] for text in fixed]
    ]
    if not space:
        raise SpecError(
            "nothing is left to search",
            "a key with several values",
            "'optimizer.learning_rate=tag(log,interval(1e-4,1e-1))'",
        )
    return space
