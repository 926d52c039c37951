"""Sweeps: jobs in processes of their own, the reasons of failures, and resuming after a kill."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from cnntrain.errors import SpecError
from helpers.processes import SHORT, begin, finished, jobs_of, mtimes, statuses, wait_until


@pytest.mark.slow
def test_failed_jobs_are_named_with_their_reasons_and_the_others_finish(command, tmp_path):
    """Two jobs have a wrong batch size, which only the data shows; one diverges; one is killed."""
    rates = "optimizer.learning_rate=0.01,1e30"
    words = ["-m", rates, "batch_size=128,5000", "optimizer=sgd", "epochs=40", "model=mlp_256_128"]
    process = begin(*words, "sweep.jobs=2", "hydra.sweep.dir=sweep", cwd=tmp_path)
    good = tmp_path / "sweep" / "0_batch_size=128,optimizer.learning_rate=0.01"
    wait_until((good / "history.csv").exists, process)
    os.kill(json.loads((good / "job.json").read_text())["pid"], signal.SIGKILL)
    assert process.wait(timeout=300) == 1
    reasons = {job["job"]: (job["status"], job["reason"]) for job in jobs_of(tmp_path / "sweep")}
    assert reasons[0] == ("killed", "killed by SIGKILL")
    assert reasons[1][0] == reasons[3][0] == "refused"
    assert "batch_size is 5000" in reasons[1][1]
    assert reasons[2][0] == "diverged"
    assert "not finite at step" in reasons[2][1]
    done = command("resume", "sweep")  # runs the refused and the killed jobs, not the diverged one
    assert done.returncode == 1
    assert statuses(tmp_path / "sweep") == ["finished", "refused", "diverged", "refused"]
    name = "2_batch_size=128,optimizer.learning_rate=1e+30"
    assert f"{name}: diverged: the loss is not finite" in done.stdout
    assert "resumed" in json.loads((good / "run.json").read_text())


@pytest.mark.slow
def test_a_killed_sweep_is_resumed_without_touching_finished_jobs(command, tmp_path):
    words = ["-m", "seed=1,2,3", "epochs=60", "model=mlp_256_128", "hydra.sweep.dir=sweep"]
    process = begin(*words, cwd=tmp_path)
    sweep = tmp_path / "sweep"
    second = sweep / "1_seed=2"
    wait_until((second / "best.keras").exists, process)
    child = json.loads((second / "job.json").read_text())["pid"]
    process.kill()
    process.wait()
    before = mtimes(sweep / "0_seed=1")
    wait_until(lambda: not is_running(child), None, 60)  # the orphan leaves by itself
    assert json.loads((second / "run.json").read_text())["status"] == "interrupted"
    done = command("resume", "sweep", "sweep.jobs=2")
    assert done.returncode == 0, done.stderr
    assert mtimes(sweep / "0_seed=1") == before
    assert statuses(sweep) == ["finished"] * 3
    record = json.loads((second / "run.json").read_text())
    assert "resumed" in record
    assert record["choices"]["model"] == "mlp_256_128"
    assert "resumed" not in json.loads((sweep / "2_seed=3" / "run.json").read_text())


def is_running(pid: int) -> bool:
    """Return whether a process still runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_plan_is_written_in_full_before_the_first_job(command, tmp_path):
    process = begin("-m", "seed=1,2,3", *SHORT, "hydra.sweep.dir=sweep", cwd=tmp_path)
    plan = tmp_path / "sweep" / "sweep.yaml"
    wait_until(plan.exists, process)
    process.kill()
    process.wait()
    assert [job[0] for job in yaml.safe_load(plan.read_text())["jobs"]] == [
        "seed=1", "seed=2", "seed=3",
    ]  # fmt: skip


@pytest.mark.slow
def test_on_error_stop_begins_no_other_job(command, tmp_path):
    words = ["-m", "steps_per_epoch=5000,1", *SHORT, "sweep.on_error=stop", "hydra.sweep.dir=sweep"]
    assert command(*words).returncode == 1
    assert statuses(tmp_path / "sweep") == ["refused", "waiting"]


def test_each_job_at_a_time_has_its_own_gpu(tmp_path, monkeypatch):
    from cnntrain.sweeps import job_process, launchers

    calls = []
    monkeypatch.setattr(launchers, "run_job", lambda task, gpu=None: calls.append((task, gpu)))
    launch = launchers.build_local_launcher(launchers.assign_gpus([4, 7], 3))
    for number in range(3):
        launch([number])
    assert calls == [(0, "4"), (1, "7"), (2, "4")]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert launchers.assign_gpus("auto", 2) == ["2", "3"]
    assert launchers.assign_gpus(None, 2) == [None, None]
    assert job_process.determine_outcome(job_process.Run(tmp_path), -9, "") == (
        "killed",
        "killed by SIGKILL",
    )


def test_a_job_out_of_memory_has_a_second_attempt_with_half_the_batch(tmp_path, monkeypatch):
    from cnntrain.sweeps import job_process

    attempts = []

    def run_attempt(task, overrides, gpu, **facts):
        attempts.append((overrides, facts))
        task.folder.joinpath("job.json").write_text('{"reason": "out of memory: too much"}')
        task.folder.joinpath("spec.yaml").write_text("{batch_size: 128, accumulate: 2}")
        return "out of memory" if len(attempts) == 1 else "finished"

    monkeypatch.setattr(job_process, "run_attempt", run_attempt)
    job = tmp_path / "0_"
    job_process.run_job(job_process.Task(job, ("seed=1",), (), tmp_path, "continue", True))
    assert [overrides for overrides, _ in attempts] == [("seed=1",), ("seed=1", "batch_size=64")]
    assert attempts[1][1]["retried"].startswith("batch_size=64 after out of memory")


MISTAKES = {
    "unknown launcher": (["-m", "seed=1,2", "hydra/launcher=loky"], "hydra/launcher is loky"),
    "unknown sweeper": (["-m", "seed=1,2", "hydra/sweeper=ax"], "hydra/sweeper is ax"),
    "no jobs at once": (["-m", "seed=1,2", "sweep.jobs=0"], "sweep.jobs is 0"),
    "several numbers of jobs": (["-m", "seed=1", "sweep.jobs=1,2"], "sweep.jobs has several"),
    "no such setting": (["-m", "seed=1", "sweep.job=2"], "sweep.job is not a setting"),
    "setting of a sweep for a run": (["sweep.jobs=2"], "sweep.jobs=2 is for a sweep"),
    "two monitors": (["-m", "monitor=valid.loss,valid.accuracy"], "monitor differs"),
    "grid over an interval": (["-m", "dataset.valid=interval(0.1,0.2)"], "interval"),
    "search of nothing": (
        ["-m", "hydra/sweeper=optuna", "+hydra.sweeper.params.initializer=zeros"],
        "initializer=zeros is not several values",
    ),
    "search of an impossible value": (
        ["-m", "hydra/sweeper=optuna", "batch_size=choice(32,0)"],
        "batch_size is 0",
    ),
    "cluster that is not here": (
        ["-m", "seed=1,2", "hydra/launcher=submitit_slurm"],
        "no sbatch here",
    ),
    "resume of nothing": (["resume", "nowhere"], "nowhere is not there"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_answered_before_the_first_job(name, tmp_path, monkeypatch, capsys):
    from cnntrain.cli.main import main

    if name.startswith("cluster") and shutil.which("sbatch"):
        pytest.skip("there is a SLURM here")
    monkeypatch.chdir(tmp_path)
    words, answer = MISTAKES[name]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert answer in capsys.readouterr().err.replace("\n", " ")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_resuming_a_finished_sweep_does_nothing(command, tmp_path):
    assert command("-m", "seed=1,2", *SHORT, "hydra.sweep.dir=sweep").returncode == 0
    before = {k: v for k, v in mtimes(tmp_path / "sweep").items() if "_seed" in k}
    done = command("resume", "sweep")
    assert done.returncode == 0, done.stderr
    assert {k: v for k, v in mtimes(tmp_path / "sweep").items() if "_seed" in k} == before
    assert command("resume", "sweep", "seed=3").returncode == 2


@pytest.mark.slow
def test_eight_runs_started_in_the_same_second_have_eight_directories(tmp_path):
    processes = [begin(*SHORT, cwd=tmp_path) for _ in range(8)]
    assert [process.wait(timeout=500) for process in processes] == [0] * 8
    runs = list((tmp_path / "outputs").iterdir())
    assert len(runs) == 8
    assert all((run / "report.json").is_file() for run in runs)


@pytest.mark.slow
def test_memory_of_the_sweep_does_not_grow_over_thirty_jobs(tmp_path, monkeypatch):
    """The jobs are replaced by ones that end at once: only the memory of the sweep is measured."""
    import psutil

    monkeypatch.setenv(
        "PYTHONPATH", f"{write_fast_job(tmp_path)}:{os.environ.get('PYTHONPATH', '')}"
    )
    seeds = ",".join(map(str, range(30)))
    process = begin("-m", f"seed={seeds}", "sweep.jobs=2", "hydra.sweep.dir=sweep", cwd=tmp_path)
    sizes = {}
    while process.poll() is None:
        ended = len(list(tmp_path.glob("sweep/*/report.json")))
        sizes[ended] = psutil.Process(process.pid).memory_info().rss
        time.sleep(0.02)
    assert process.returncode == 0
    first, last = (
        max(v for k, v in sizes.items() if k in part) for part in (range(3, 8), range(25, 30))
    )
    assert last - first < 2 * 2**20, sizes


def write_fast_job(tmp_path: Path) -> Path:
    """Return a folder whose sitecustomize.py ends a job at once, as finished."""
    folder = tmp_path / "fast"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import json, os, sys, time\n"
        "from pathlib import Path\n"
        "if 'cnntrain.cli.child' in sys.orig_argv:\n"
        '    run = Path(sys.orig_argv[-1].split("\'")[1])\n'
        "    (run / 'run.json').write_text('{\"status\": \"finished\"}')\n"
        "    part = {'final': {'accuracy': 0.5}}\n"
        "    report = {'monitor': {'best': 0.5}, 'valid': part, 'test': part}\n"
        "    time.sleep(0.3)\n"
        "    (run / 'report.json').write_text(json.dumps(report))\n"
        "    os._exit(0)\n"
    )
    return folder


@pytest.mark.slow
def test_a_sweep_killed_twice_has_the_same_results_as_a_whole_one(command, tmp_path):
    """Every job has the same numbers, and zeros as initial weights stay at chance."""
    words = ["-m", "initializer=zeros,glorot_uniform,he_normal", "seed=1,2", "model=mlp_256_128"]
    words += ["optimizer=sgd", "epochs=30", "batch_size=32", "threads=1", "sweep.jobs=2"]
    assert command(*words, "hydra.sweep.dir=whole").returncode == 0
    process, sweep = begin(*words, "hydra.sweep.dir=sweep", cwd=tmp_path), tmp_path / "sweep"
    done: dict[Path, dict] = {}
    for count in (1, 3):
        wait_until(lambda n=count: len(list(sweep.glob("*/report.json"))) >= n, process, 500)
        wait_until(lambda n=count: len(list(sweep.glob("*/best.keras"))) > n, process, 500)
        process.kill()
        process.wait()
        assert all(mtimes(job) == before for job, before in done.items())
        done = {job.parent: mtimes(job.parent) for job in sweep.glob("*/job.json")}
        done = {job: before for job, before in done.items() if finished(job)}
        process = begin("resume", "sweep", cwd=tmp_path)
    assert process.wait(timeout=500) == 0
    assert done
    assert all(mtimes(job) == before for job, before in done.items())
    for job in sorted((tmp_path / "whole").glob("*_*/")):
        folders = (job, sweep / job.name)
        whole, killed = (json.loads((folder / "report.json").read_text()) for folder in folders)
        assert whole["valid"] == killed["valid"]
        assert whole["test"] == killed["test"]
        assert (whole["test"]["final"]["accuracy"] < 0.2) == ("zeros" in job.name)


def test_a_job_that_its_launcher_loses_is_recorded_and_the_others_go_on(tmp_path, monkeypatch):
    from cnntrain.signals import Signals
    from cnntrain.sweeps import launchers
    from cnntrain.sweeps.dashboard import Dashboard
    from cnntrain.sweeps.directory import Sweep
    from cnntrain.sweeps.scheduler import GridJobs, Scheduler

    def run_job(task, gpu=None):
        task.folder.mkdir()
        if task.folder.name.startswith("0"):
            raise OSError("no space is left")
        status = "running" if task.folder.name.startswith("1") else "finished"
        (task.folder / "job.json").write_text(json.dumps({"status": status}))

    monkeypatch.setattr(launchers, "run_job", run_job)
    settings = {"on_error": "continue", "retry_oom": False}
    plan = {"overrides": [], "varied": ["seed"], "flags": [], "cwd": "/", "sweep": settings}
    plan |= {"launcher": {"name": "local"}}
    sweep = Sweep.begin(tmp_path / "sweep", plan, [["seed=1"], ["seed=2"], ["seed=3"]])
    with Signals() as signals, Dashboard(sweep, 3, "valid.accuracy", Console()) as board:
        Scheduler(sweep, GridJobs(sweep), 2, None).run_jobs(signals, board)
    assert [job.status for job in sweep.jobs] == ["killed", "killed", "finished"]
    assert [job["reason"] for job in jobs_of(sweep.folder)] == [
        "lost by its launcher: OSError: no space is left",
        "lost by its launcher",
        None,
    ]
    assert "Traceback" in (sweep.jobs[0].folder / "console.log").read_text()


def test_a_gpu_that_is_not_here_is_refused(monkeypatch):
    """Otherwise its job would silently train on the CPU."""
    from cnntrain.sweeps.sweep import parse_sweep_settings

    settings = {"jobs": 2, "gpus": [0, 7], "on_error": "continue", "retry_oom": False}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(SpecError, match=r"sweep.gpus has 7"):
        parse_sweep_settings(settings)
    assert list(parse_sweep_settings(settings | {"gpus": [1]}).gpus) == [1]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(SpecError, match=r"(?s)sweep.gpus has 0.*name no GPU here"):
        parse_sweep_settings(settings)


def test_a_running_sweep_is_not_run_twice(tmp_path):
    from cnntrain.sweeps.directory import Sweep

    plan = {"overrides": [], "varied": ["seed"], "flags": [], "cwd": str(tmp_path),
            "sweep": {"jobs": 1}, "launcher": {"name": "local"}, "sweeper": {"name": "basic"},
            "monitor": "valid.accuracy"}  # fmt: skip
    begun = Sweep.begin(tmp_path / "sweep", plan, [["seed=1"]])
    with pytest.raises(SpecError, match="is being run by another process"):
        Sweep.reopen(begun.folder)
    begun.lock.release()
    assert [job.overrides for job in Sweep.reopen(begun.folder).jobs] == [("seed=1",)]
