"""The dashboard of a sweep: it shows the files of the jobs in a table, or in lines."""

import json
from dataclasses import replace

import pytest
from rich.console import Console

from cnntrain.sweeps.dashboard import Dashboard
from cnntrain.sweeps.directory import Sweep

KEYS = ["optimizer.learning_rate", "model", "seed"]


@pytest.fixture
def sweep(tmp_path):
    """Return a sweep of four jobs: one finished, one running, one diverged and one waiting."""
    plan = {"overrides": [], "varied": KEYS}
    words = [[f"optimizer.learning_rate=0.{n}", "model=lenet5", f"seed={n}"] for n in range(4)]
    sweep = Sweep.begin(tmp_path / "sweep", plan, words)
    for job, status in zip(sweep.jobs, ("finished", "running", "diverged"), strict=False):
        job.folder.mkdir()
        reason = "the loss is not finite at step 7" if status == "diverged" else None
        record = {"status": status, "reason": reason}
        (job.folder / "job.json").write_text(json.dumps(record))
        planned = {"steps": 1000, "steps_per_epoch": 100}
        (job.folder / "run.json").write_text(json.dumps({"planned": planned}))
        (job.folder / "history.csv").write_text(
            "epoch,step,valid.accuracy,seconds\n1,100,0.5,10\n2,200,nan,10\n3,300,0.6"
        )
    report = {"monitor": {"best": 0.75}}
    (sweep.jobs[0].folder / "report.json").write_text(json.dumps(report))
    return sweep


def test_table_shows_progress_best_value_and_time_left_in_a_hundred_columns(sweep):
    console = Console(width=100, height=40, force_terminal=True, color_system=None)
    dashboard = Dashboard(sweep, 6, "valid.accuracy", console)
    with console.capture() as drawn:
        dashboard.drawn_at = -1e9
        dashboard.update()
        console.print(dashboard.build_table())
    rows = [line.split() for line in drawn.get().splitlines()]
    assert ["1", "0.1", "lenet5", "1", "2/10", "0.5000", "1", "min", "20", "s", "running"] in rows
    assert ["0", "0.0", "lenet5", "0", "2/10", "0.7500", "finished"] in rows
    assert ["3", "0.3", "lenet5", "3", "waiting"] in rows
    assert "1 finished, 1 running, 1 diverged, 3 waiting" in drawn.get()
    assert max(map(len, drawn.get().splitlines())) <= 100


def test_without_a_terminal_there_is_a_line_when_a_job_begins_and_when_it_ends(sweep, capsys):
    with Dashboard(sweep, 4, "valid.accuracy", Console(width=100)) as dashboard:
        running = sweep.jobs[1]
        (running.folder / "job.json").write_text('{"status": "killed", "reason": "by SIGKILL"}')
        dashboard.drawn_at = -1e9
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "[2/4] optimizer.learning_rate=0.1 model=lenet5 seed=1 killed, valid.accuracy 0.5000: "
        "by SIGKILL"
    ]


def test_running_jobs_are_shown_first_where_not_all_fit(sweep):
    console = Console(width=100, height=12, force_terminal=True, color_system=None)
    sweep.jobs += [replace(sweep.jobs[3], number=n) for n in range(4, 60)]
    dashboard = Dashboard(sweep, 60, "valid.accuracy", console)
    dashboard.drawn_at = -1e9
    dashboard.update()
    with console.capture() as drawn:
        console.print(dashboard.build_table())
    assert "running" in drawn.get()
    assert len(drawn.get().splitlines()) <= 12


def test_a_job_that_is_run_again_waits_until_it_begins(sweep, capsys):
    """How its last attempt ended is not shown again; how this one goes is."""
    failed = sweep.jobs[1]
    record = failed.folder / "job.json"
    record.write_text('{"status": "killed", "reason": "by SIGKILL", "started": "then"}')
    with Dashboard(sweep, 4, "valid.accuracy", Console(width=100), [failed]) as dashboard:
        dashboard.update()
        assert dashboard.get_status(failed) == "waiting"
        for status in ("running", "finished"):
            record.write_text(f'{{"status": "{status}", "started": "now"}}')
            dashboard.drawn_at = -1e9
            dashboard.update()
    lines = [line.split()[4] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["begins", "finished"]
