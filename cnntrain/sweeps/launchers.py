"""What runs the jobs of a sweep: processes here, or the engines of others. One function a launcher.

Each takes tasks, has them worked on somewhere, and returns when they have ended, in whatever way:
how a job ended is in its directory. Keyword-only parameters come from `conf/hydra/launcher/`.
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

from cnntrain.analysis.device_memory import run_nvidia_smi
from cnntrain.errors import SpecError
from cnntrain.sweeps.job_process import POLL_SECONDS, Task, run_job

Launcher = Callable[[Sequence[Task]], None]
ENGINES = {"submitit_local": "submitit", "submitit_slurm": "submitit"}  # launcher -> what it needs


def build_launcher(config: Mapping[str, Any], gpus: Sequence[str | None], folder: Path) -> Launcher:
    """The launcher that an option of `hydra/launcher` describes; SpecError if it cannot be used.

    `gpus` are shared out by the local one; `folder` is for the engines' own files.
    """
    settings = dict(config)
    name = settings.pop("name", None)
    if name == "local":
        return build_local_launcher(gpus)
    if name == "joblib":
        return partial(launch_with_joblib, **settings)
    if name == "ray":
        return partial(launch_with_ray, import_engine("ray"), **settings)
    if name in ENGINES:
        if settings["cluster"] == "slurm" and shutil.which("sbatch") is None:
            raise SpecError(
                "hydra/launcher is submitit_slurm, and there is no sbatch here",
                "a machine from which SLURM takes jobs",
                "hydra/launcher=local",
            )
        return partial(launch_with_submitit, import_engine("submitit"), folder, settings)
    raise SpecError(f"hydra.launcher.name is {name}", ["local", "joblib", "ray", *ENGINES])


def build_local_launcher(gpus: Sequence[str | None]) -> Launcher:
    """A process for each task; it sees one of `gpus`, which no other has meanwhile."""
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
    from joblib import Parallel, delayed

    Parallel(n_jobs=n_jobs, batch_size=1)(delayed(run_job)(task) for task in tasks)


def launch_with_submitit(
    submitit: Any, folder: Path, parameters: Mapping[str, Any], tasks: Sequence[Task]
) -> None:
    """One array; a job that its cluster stops comes back, and `work` goes on with it."""
    given = {key: value for key, value in parameters.items() if value is not None}
    first = {key: given.pop(key) for key in ("cluster", "slurm_max_num_timeout") if key in given}
    executor = submitit.AutoExecutor(folder=folder / "submitit" / "%j", **first)
    executor.update_parameters(**given)
    jobs = executor.map_array(ResubmittableJob(), tasks)
    while not all(job.done() for job in jobs):
        if tasks[0].stop_file.exists():
            for job in jobs:
                if job.state == "PENDING":  # those at work see the file
                    job.cancel(check=False)
        time.sleep(POLL_SECONDS)


class ResubmittableJob:
    """`work`, as submitit wants it: what to submit again when the time of an allocation is over."""

    def __call__(self, task: Task) -> None:
        run_job(task)

    def checkpoint(self, task: Task) -> Any:
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
    if not ray.is_initialized():
        with contextlib.chdir(Path.cwd().anchor):  # whose modules its workers would find first
            ray.init(
                address=address,
                num_cpus=None if address else num_cpus,
                log_to_driver=False,
                include_dashboard=False,
            )
    remote = ray.remote(num_cpus=cpus_per_job, num_gpus=gpus_per_job)(run_job)
    ray.get([remote.remote(task) for task in tasks])


def import_engine(engine: str) -> Any:
    """An engine's module, or SpecError with how to install it."""
    try:
        return importlib.import_module(engine)
    except ImportError:
        raise SpecError(
            f"{engine} is not installed", "what this needs", f"pip install 'cnntrain[{engine}]'"
        ) from None


def assign_gpus(gpus: str | Sequence[int] | None, jobs: int) -> list[str | None]:
    """The GPU of each of the jobs that run at once, as CUDA_VISIBLE_DEVICES has it; None: all."""
    found = list_visible_gpus() if gpus == "auto" else [str(gpu) for gpu in gpus or ()]
    return [found[slot % len(found)] if found else None for slot in range(jobs)]


def list_visible_gpus() -> list[str]:
    """The numbers of the GPUs that the driver lists, or those that the environment names."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu for gpu in named.split(",") if gpu]
    return [number for (number,) in run_nvidia_smi("index")]
