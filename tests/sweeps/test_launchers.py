"""Launchers: joblib, submitit and Ray run the jobs of a sweep, and SLURM gets one array."""

import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from helpers.processes import SHORT, begin, statuses, wait_until

SBATCH = """\
#!{python}
# Keeps the script that it gets, and runs the tasks of the array one after another, silently.
import os, pathlib, subprocess, sys
script = pathlib.Path(sys.argv[-1])
pathlib.Path("sbatch.sh").write_text(script.read_text())
print("Submitted batch job 77", flush=True)
run = 'for n in 0 1; do '
run += 'SLURM_JOB_ID=$((77 + n)) SLURM_ARRAY_TASK_ID=$n bash "$0"; done'
many = os.environ | {{"SLURM_ARRAY_JOB_ID": "77", "SLURM_JOB_NUM_NODES": "1",
    "SLURM_NTASKS": "1", "SLURM_JOB_NODELIST": "here", "SLURM_LOCALID": "0",
    "SLURM_PROCID": "0", "SLURM_NODEID": "0"}}
with open("slurm.log", "w") as log:
    subprocess.Popen(["bash", "-c", "sleep 2; " + run, "sbatch.sh"], env=many, stdout=log,
                     stderr=log, start_new_session=True)
"""
SRUN = """\
#!/bin/bash
# Runs the command after srun's own options.
while [[ $1 == --* ]]; do [[ $1 == *=* || $1 == --unbuffered ]] && shift 1 || shift 2; done
exec "$@"
"""


def write_executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
@pytest.mark.slow
def test_a_launcher_runs_the_jobs_and_records_their_failures(command, tmp_path, launcher):
    pytest.importorskip(launcher.partition("_")[0])
    words = ["-m", "seed=1,2", "batch_size=128,5000", *SHORT, "sweep.jobs=2"]
    done = command(*words, f"hydra/launcher={launcher}", "hydra.sweep.dir=sweep")
    assert done.returncode == 1, done.stderr
    assert statuses(tmp_path / "sweep") == ["finished", "refused"] * 2
    done = command("resume", "sweep")
    assert done.returncode == 1, done.stderr
    assert statuses(tmp_path / "sweep") == ["finished", "refused"] * 2


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
@pytest.mark.slow
def test_an_interrupted_sweep_leaves_a_checkpoint_of_each_job_on_any_launcher(
    command, tmp_path, launcher
):
    words = ["-m", "seed=1,2,3", "epochs=10000", "model=mlp_256_128", "sweep.jobs=2"]
    words += [f"hydra/launcher={launcher}", "hydra.sweep.dir=sweep"]
    process, sweep = begin(*words, cwd=tmp_path), tmp_path / "sweep"
    wait_until(lambda: len(list(sweep.glob("*/best.keras"))) >= 2, process, 300)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 143
    assert set(statuses(sweep)) <= {"interrupted", "waiting"}
    runs = [json.loads(run.read_text())["status"] for run in sweep.glob("*/run.json")]
    assert set(runs) == {"interrupted"}
    assert len(runs) >= 2


@pytest.mark.slow
def test_slurm_gets_one_array_whose_tasks_are_the_jobs(command, tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    tools = tmp_path / "tools"
    tools.mkdir()
    write_executable(tools / "sbatch", SBATCH.format(python=sys.executable))
    write_executable(tools / "srun", SRUN)
    write_executable(tools / "sacct", "#!/bin/sh\necho 'JobID|State|NodeList'\n")
    write_executable(tools / "scancel", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    words = ["-m", "seed=1,2", *SHORT, "hydra/launcher=submitit_slurm"]
    words += ["hydra.launcher.slurm_partition=gpu", "+hydra.launcher.slurm_account=mine"]
    done = command(*words, "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr + (tmp_path / "slurm.log").read_text()
    assert statuses(tmp_path / "sweep") == ["finished"] * 2
    script = (tmp_path / "sbatch.sh").read_text()
    options = dict(re.findall(r"#SBATCH --([\w-]+)(?:=(\S+))?", script))
    assert options["array"] == "0-1%2"
    assert options["partition"] == "gpu"
    assert options["account"] == "mine"
    assert (options["gpus-per-node"], options["cpus-per-task"]) == ("1", "4")
    assert options["signal"] == "USR2@120"
    assert "requeue" not in options or options["open-mode"] == "append"
    record = json.loads(next((tmp_path / "sweep").glob("0_*/job.json")).read_text())
    assert record["status"] == "finished"
