"""One job of a sweep: which command it becomes, and what is recorded of its end."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
import yaml

from cnntrain.runs.directory import Run
from cnntrain.sweeps.job_process import (
    Task,
    compute_half_batch_size,
    determine_outcome,
    run_job,
)

OUTCOMES = {
    "done": (0, {}, "", ("finished", None)),
    "terminated after its end": (-15, {"status": "finished"}, "", ("finished", None)),
    "Ctrl-C": (130, {"status": "interrupted"}, "", ("interrupted", None)),
    "SIGTERM": (143, {}, "", ("interrupted", None)),
    "SIGTERM before Python heard it": (-15, {}, "", ("interrupted", None)),
    "no memory": (-9, {"status": "running"}, "", ("killed", "killed by SIGKILL")),
    "a crash": (-11, {}, "", ("killed", "killed by SIGSEGV")),
    "refused": (2, {}, "note\nError: epochs is 0\n  expected  more\n", ("refused", "epochs is 0")),
    "refused without a word": (2, {}, "", ("refused", None)),
    "diverged": (1, {"status": "failed", "kind": "Diverged", "error": "not finite"}, "",
                 ("diverged", "not finite")),
    "out of memory": (1, {"status": "failed", "kind": "OutOfMemory", "error": "too much"}, "",
                      ("out of memory", "too much")),
    "failed": (1, {"status": "failed", "error": "OSError: no"}, "", ("failed", "OSError: no")),
    "failed before it had a record": (1, {}, "Traceback\nImportError: x\n\n",
                                      ("failed", "ImportError: x")),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcome_follows_from_the_exit_code_the_record_and_the_output(tmp_path, name):
    code, record, output, expected = OUTCOMES[name]
    if record:
        (tmp_path / "run.json").write_text(json.dumps(record))
    assert determine_outcome(Run(tmp_path), code, output) == expected


@pytest.mark.parametrize("batch_size", [1, 2, 96, 127, 128])
@pytest.mark.parametrize("accumulate", [1, 2, 3, 64])
def test_half_a_batch_is_a_half_and_has_whole_micro_batches(tmp_path, batch_size, accumulate):
    config = {"batch_size": batch_size, "accumulate": accumulate}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(config))
    half = compute_half_batch_size(tmp_path)
    possible = [n for n in range(1, batch_size) if 2 * n == batch_size and n % accumulate == 0]
    assert half == (possible[0] if possible else None)


CHILD = """
import json, os, sys
from pathlib import Path
if "cnntrain.cli.child" in sys.orig_argv:
    words = sys.orig_argv[sys.orig_argv.index("cnntrain.cli.child") + 1:]
    log = Path(os.environ["CHILD_LOG"])
    log.write_text(json.dumps([words, os.getcwd(), os.environ.get("CUDA_VISIBLE_DEVICES")]))
    print("said by the child", flush=True)
    exec(os.environ["CHILD_DOES"])
"""


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Let the process of a job do as told, and tell how it was called: child("…") -> a function."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("CHILD_LOG", str(tmp_path / "called.json"))

    def does(program):
        monkeypatch.setenv("CHILD_DOES", program)
        return lambda: json.loads((tmp_path / "called.json").read_text())

    return does


@pytest.fixture
def task(tmp_path):
    (tmp_path / "s").mkdir()
    job = tmp_path / "s" / "it's 0"
    return Task(job, ("seed=1",), ("--config-dir", "mine"), tmp_path, "continue", False)


def read_record(task):
    return json.loads(task.record_file.read_text())


def test_job_becomes_the_command_of_a_run_where_the_sweep_was_begun(child, task, tmp_path):
    called = child("os._exit(0)")
    run_job(task, "3")
    place = f"hydra.run.dir='{str(task.folder).replace(chr(39), chr(92) + chr(39))}'"
    assert called() == [["--config-dir", "mine", "seed=1", place], str(tmp_path), "3"]
    assert (read_record(task)["status"], read_record(task)["overrides"]) == ("finished", ["seed=1"])
    assert (task.folder / "console.log").read_text() == "said by the child\n"


def test_job_that_has_begun_is_resumed_and_one_that_has_finished_is_only_recorded(child, task):
    task.folder.mkdir()
    (task.folder / "spec.yaml").write_text("seed: 1\n")
    (task.folder / "run.json").write_text('{"status": "interrupted"}')
    called = child("os._exit(1)")
    run_job(task)
    assert called()[0] == ["resume", str(task.folder)]
    assert (read_record(task)["status"], read_record(task)["reason"]) == (
        "failed",
        "said by the child",
    )
    (task.folder / "run.json").write_text('{"status": "finished"}')
    Path(os.environ["CHILD_LOG"]).unlink()
    run_job(task)
    assert read_record(task)["status"] == "finished"
    assert not Path(os.environ["CHILD_LOG"]).exists()


def test_rest_of_an_attempt_that_never_began_is_removed_and_its_console_kept(child, task):
    (task.folder / "state").mkdir(parents=True)
    (task.folder / "train.log").write_text("half")
    (task.folder / "console.log").write_text("before\n")
    child("os._exit(0)")
    run_job(task)
    assert {path.name for path in task.folder.iterdir()} == {"job.json", "console.log"}
    assert (task.folder / "console.log").read_text() == "before\nsaid by the child\n"


WAIT = "import time; time.sleep(60)"
# What the process of a job does: it leaves after SIGTERM, and when its pipe is closed.
STOPPED = (
    "import signal, threading; signal.signal(signal.SIGTERM, lambda *_: os._exit(143)); "
    "threading.Thread(target=lambda: (os.read(0, 1), os._exit(143)), daemon=True).start(); "
)


@pytest.mark.parametrize(
    ("place", "text", "expected"),
    [
        ("stop", "leave", ("interrupted", None)),
        ("stop", "now", ("killed", "killed by SIGKILL")),
        ("prune", "worse than the median", ("pruned", "worse than the median")),
        (None, None, ("killed", "stopped from outside; its checkpoint is kept")),
    ],
)
def test_job_that_is_stopped_says_by_whom(child, task, place, text, expected):
    """A file is written as the job runs, by its own process here; or somebody terminates it."""
    folder = task.folder if place == "prune" else task.folder.parent
    record = f"Path({str(task.folder)!r}, 'run.json').write_text('{{}}'); "
    act = f"Path({str(folder)!r}, {place!r}).write_text({text!r}); "
    if place is None:
        act = f"os.kill(os.getpid(), {int(signal.SIGTERM)}); "
    child(STOPPED + record + act + WAIT)
    run_job(task)
    assert (read_record(task)["status"], read_record(task)["reason"]) == expected
    assert not task.prune_file.exists()


def test_nothing_begins_once_the_sweep_is_being_stopped(child, task):
    called = child("os._exit(1)")
    run_job(Task(task.folder, ("seed=1",), (), Path(sys.prefix), "stop", False))
    called()
    assert task.stop_file.read_text() == "begin no other"
    Path(os.environ["CHILD_LOG"]).unlink()
    run_job(task)
    assert not Path(os.environ["CHILD_LOG"]).exists()
