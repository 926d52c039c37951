"""The scheduler: as many jobs at once as were asked for, in their order, until one says stop."""

import json
import threading
import time

import pytest
from rich.console import Console

from cnntrain.signals import Signals
from cnntrain.sweeps import launchers, scheduler
from cnntrain.sweeps.dashboard import Dashboard
from cnntrain.sweeps.directory import Sweep
from cnntrain.sweeps.scheduler import GridJobs, Scheduler
from helpers.processes import PLAN, jobs_of


@pytest.fixture
def run_sweep(tmp_path, monkeypatch):
    """Run a sweep whose jobs are `work(number, folder)` in threads: run_sweep(5, work) -> Sweep."""
    monkeypatch.setattr(scheduler, "POLL_SECONDS", 0.01)

    def run(count, work, jobs=2, received=()):
        def run_job(task, gpu=None):
            task.folder.mkdir()
            work(int(task.folder.name.split("_")[0]), task)
            (task.folder / "job.json").write_text(json.dumps({"status": "finished"}))

        monkeypatch.setattr(launchers, "run_job", run_job)
        sweep = Sweep.begin(
            tmp_path / "s", PLAN | {"cwd": "/"}, [[f"seed={n}"] for n in range(count)]
        )
        with Signals() as signals, Dashboard(sweep, jobs, "valid.accuracy", Console()) as board:
            for number in received:
                signals.received = number
            Scheduler(sweep, GridJobs(sweep), jobs, None).run_jobs(signals, board)
        return sweep

    return run


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_jobs_run_in_their_order_and_as_many_at_once_as_asked(run_sweep, jobs):
    begun, at_once, most, lock = [], [0], [0], threading.Lock()

    def work(number, task):
        with lock:
            begun.append(number)
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.05)
        with lock:
            at_once[0] -= 1

    sweep = run_sweep(6, work, jobs)
    assert most == [jobs]
    assert all(abs(number - place) < jobs for place, number in enumerate(begun))
    assert [job["status"] for job in jobs_of(sweep.folder)] == ["finished"] * 6


def test_no_job_begins_after_one_has_said_stop(run_sweep):
    def work(number, task):
        if number == 2:
            task.stop_file.write_text("begin no other")

    sweep = run_sweep(6, work, jobs=1)
    assert [job.status for job in sweep.jobs] == ["finished"] * 3 + ["waiting"] * 3


def test_jobs_are_told_of_a_signal_and_no_other_begins(run_sweep):
    sweep = run_sweep(3, lambda number, task: None, received=[15])
    assert sweep.stop_file.read_text() == "leave"
    assert [job.status for job in sweep.jobs] == ["waiting"] * 3
