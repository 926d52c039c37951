"""Launchers run the jobs of a sweep: as processes here, or by joblib, submitit or Ray.

A launcher is a function that takes tasks, runs them somewhere, and returns when all have ended. How
each ended is in the directory of its job. The keyword-only parameters of joblib's and Ray's are the
settings of their option in `conf/hydra/launcher/`; submitit's settings are handed on as they are.
"""

import contextlib
import importlib
import os
import queue
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cnntrain.data.device_memory import run_nvidia_smi
from cnntrain.errors import SpecError
from cnntrain.sweeps.job_process import POLL_SECONDS, Task, run_job

Launcher = Callable[[Sequence[Task]], None]
SUBMITIT_LAUNCHERS = ("submitit_local", "submitit_slurm")


def build_launcher(config: Mapping[str, Any], gpus: Sequence[str | None], folder: Path) -> Launcher:
    """Return the launcher that the settings of an option of `hydra/launcher` describe.

    The local launcher gives its processes `gpus`; engines write their files to `folder`. Raises
    SpecError for an unknown launcher, and for one whose engine is missing.
    """
    settings = dict(config)
    name = settings.pop("name", None)
    if name == "local":
        return build_local_launcher(gpus)
    if name == "joblib":
        return partial(launch_with_joblib, **settings)
    if name == "ray":
        return partial(launch_with_ray, import_engine("ray"), **settings)
    if name in SUBMITIT_LAUNCHERS:
        if settings["cluster"] == "slurm" and shutil.which("sbatch") is None:
            raise SpecError(
                "hydra/launcher is submitit_slurm, and there is no sbatch here",
                "a machine from which SLURM takes jobs",
                "hydra/launcher=local",
            )
        return partial(launch_with_submitit, import_engine("submitit"), folder, settings)
    raise SpecError(
        f"hydra.launcher.name is {name}", ["local", "joblib", "ray", *SUBMITIT_LAUNCHERS]
    )


def build_local_launcher(gpus: Sequence[str | None]) -> Launcher:
    """Return a launcher that runs each task in a process here.

    The process sees one of `gpus`, or all if that is None. No other process has this item of `gpus`
    meanwhile.
    """
    free: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    for gpu in gpus:
        free.put(gpu)

    def launch(tasks: Sequence[Task]) -> None:
        gpu = free.get()
        try:
            for task in tasks:
                run_job(task, gpu)
        finally:
            free.put(gpu)

    return launch


def launch_with_joblib(tasks: Sequence[Task], *, n_jobs: int) -> None:
    """Run tasks in joblib's workers, at most `n_jobs` at a time."""
    from joblib import Parallel, delayed

    Parallel(n_jobs=n_jobs, batch_size=1)(delayed(run_job)(task) for task in tasks)


def launch_with_submitit(
    submitit: Any, folder: Path, parameters: Mapping[str, Any], tasks: Sequence[Task]
) -> None:
    """Run tasks as one job array of submitit, with the settings `parameters`.

    A job that the cluster stops at its time limit is submitted again, and goes on from its
    checkpoint.
    """
    settings = {key: value for key, value in parameters.items() if value is not None}
    constructor_keys = ("cluster", "slurm_max_num_timeout")
    arguments = {key: settings.pop(key) for key in constructor_keys if key in settings}
    executor = submitit.AutoExecutor(folder=folder / "submitit" / "%j", **arguments)
    executor.update_parameters(**settings)
    jobs = executor.map_array(ResubmittableJob(), tasks)
    while not all(job.done() for job in jobs):
        if tasks[0].stop_file.exists():
            for job in jobs:
                if job.state == "PENDING":  # running jobs see the file themselves
                    job.cancel(check=False)
        time.sleep(POLL_SECONDS)


class ResubmittableJob:
    """`run_job` for submitit, which calls `checkpoint` when the time of an allocation is over."""

    def __call__(self, task: Task) -> None:
        run_job(task)

    def checkpoint(self, task: Task) -> Any:
        """Return what submitit is to submit again: the same task."""
        return import_engine("submitit").helpers.DelayedSubmission(self, task)


def launch_with_ray(
    ray: Any,
    tasks: Sequence[Task],
    *,
    address: str | None,
    num_cpus: int | None,
    cpus_per_job: float,
    gpus_per_job: float,
) -> None:
    """Run tasks on a Ray cluster at `address`, or on one started here."""
    if not ray.is_initialized():
        # Ray's workers would import modules from the working directory first.
        with contextlib.chdir(Path.cwd().anchor):
            ray.init(
                address=address,
                num_cpus=None if address else num_cpus,
                log_to_driver=False,
                include_dashboard=False,
            )
    remote = ray.remote(num_cpus=cpus_per_job, num_gpus=gpus_per_job)(run_job)
    ray.get([remote.remote(task) for task in tasks])


def import_engine(engine: str) -> Any:
    """Return the module of an engine; raise SpecError with the install command if it is missing."""
    try:
        return importlib.import_module(engine)
    except ImportError:
        raise SpecError(
            f"{engine} is not installed", "the package", f"pip install 'cnntrain[{engine}]'"
        ) from None


def assign_gpus(gpus: str | Sequence[int] | None, jobs: int) -> list[str | None]:
    """Return the CUDA_VISIBLE_DEVICES of each of `jobs` that run at the same time.

    `gpus` are the numbers to use, "auto" for all that are here, or None for a list of None. Jobs
    share a GPU if there are more of them.
    """
    names = list_visible_gpus() if gpus == "auto" else [str(gpu) for gpu in gpus or ()]
    return [names[slot % len(names)] if names else None for slot in range(jobs)]


def list_visible_gpus() -> list[str]:
    """Return the numbers of the GPUs that the driver lists, or those that the environment names."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu for gpu in named.split(",") if gpu]
    return [number for (number,) in run_nvidia_smi("index")]
