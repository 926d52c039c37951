"""The background writer writes all, in order, whatever happens; a kill leaves a whole state."""

import errno
import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from cnntrain.runs import checkpoint
from cnntrain.runs.writer import BackgroundWriter
from cnntrain.signals import Signals

# Writes states as fast as it can: all numbers of a state are its step.
WRITE_FOR_EVER = """
import functools, itertools, sys
from pathlib import Path
import numpy as np
from cnntrain.runs.checkpoint import save_checkpoint
from cnntrain.runs.writer import BackgroundWriter
folder = Path(sys.argv[1])
with BackgroundWriter() as writer:
    for step in itertools.count(1):
        arrays = {"a": np.full(300_000, step), "b": np.full(3, step)}
        writer.submit(functools.partial(save_checkpoint, folder, arrays, {"step": step}))
"""


@pytest.fixture
def writer():
    with BackgroundWriter() as writer:
        yield writer


def test_tasks_run_in_order_in_one_other_thread(writer):
    done, threads = [], set()
    for number in range(5):
        writer.submit(lambda number=number: done.append(number))
        writer.submit(lambda: threads.add(threading.current_thread()))
    writer.wait()
    assert done == [*range(5)]
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_submit_waits_while_one_task_runs_and_one_is_queued(writer):
    may_end, submitted = threading.Event(), []

    def submit_three():
        for number in range(3):
            writer.submit(may_end.wait)
            submitted.append(number)

    other = threading.Thread(target=submit_three)
    other.start()
    other.join(0.1)
    assert submitted == [0, 1]
    may_end.set()
    other.join()
    assert submitted == [0, 1, 2]


def test_time_in_tasks_is_measured(writer):
    writer.submit(lambda: time.sleep(0.02))
    writer.wait()
    assert writer.seconds >= 0.02


@pytest.mark.parametrize("report", ["submit", "wait", "close"])
def test_error_of_a_task_reaches_the_main_thread_once(report):
    writer, failed = BackgroundWriter(), threading.Event()
    writer.submit(lambda: fail_and_tell(failed))
    failed.wait()
    while writer.error is None:
        time.sleep(0.001)
    with pytest.raises(ValueError, match="on purpose"):
        writer.submit(failed.wait) if report == "submit" else getattr(writer, report)()
    writer.close()


def fail_and_tell(failed):
    failed.set()
    raise ValueError("on purpose")


def test_tasks_behind_one_that_failed_are_dropped(writer):
    may_fail, done = threading.Event(), []

    def fail():
        may_fail.wait()
        raise ValueError("on purpose")

    writer.submit(fail)
    writer.submit(lambda: done.append("relies on the first"))
    may_fail.set()
    with pytest.raises(ValueError, match="on purpose"):
        writer.wait()
    writer.submit(lambda: done.append("later"))
    writer.wait()
    assert done == ["later"]


@pytest.mark.parametrize("report", ["submit", "wait"])
def test_full_disk_reaches_the_main_thread_and_the_state_before_stays(
    tmp_path, monkeypatch, writer, report
):
    writer.submit(lambda: checkpoint.save_checkpoint(tmp_path, {}, {"step": 1}))
    writer.wait()

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    writer.submit(lambda: checkpoint.save_checkpoint(tmp_path, {}, {"step": 2}))
    if report == "submit":
        writer.tasks.join()
    with pytest.raises(OSError, match="No space"):
        writer.submit(time.time) if report == "submit" else writer.wait()
    assert checkpoint.load_checkpoint(tmp_path).facts == {"step": 1}


def test_what_is_queued_is_written_when_an_exception_is_under_way():
    done = []

    def submit_and_raise():
        with BackgroundWriter() as writer:
            writer.submit(lambda: time.sleep(0.02))
            writer.submit(lambda: done.append(1))
            raise KeyError("the first")

    with pytest.raises(KeyError, match="the first"):
        submit_and_raise()
    assert done == [1]


def test_exception_under_way_is_not_hidden_by_that_of_a_task():
    def submit_and_raise():
        with BackgroundWriter() as writer:
            writer.submit(lambda: fail_and_tell(threading.Event()))
            raise KeyError("the first")

    with pytest.raises(KeyError, match="the first") as raised:
        submit_and_raise()
    assert "on purpose" in raised.value.__notes__[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_loses_no_task(number):
    done = []
    with Signals() as signals, BackgroundWriter() as writer:
        for task in range(2):
            writer.submit(lambda task=task: (time.sleep(0.02), done.append(task)))
        signal.raise_signal(number)
        writer.wait()
        assert signals.received == number
    assert done == [0, 1]


def test_second_interrupt_ends_the_waiting_at_once(writer):
    may_end = threading.Event()
    writer.submit(may_end.wait)
    with Signals():
        signal.raise_signal(signal.SIGINT)
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            writer.wait()
    may_end.set()


def test_kill_at_any_moment_leaves_a_whole_state(tmp_path):
    folders = [tmp_path / str(number) for number in range(5)]
    for folder in folders:
        command = [sys.executable, "-c", WRITE_FOR_EVER, str(folder)]
        with subprocess.Popen(command) as process:
            while not (folder / checkpoint.LAST).exists():
                assert process.poll() is None
                time.sleep(0.005)
            time.sleep(random.uniform(0, 0.1))
            process.kill()
        loaded = checkpoint.load_checkpoint(folder)
        assert loaded.damaged_files == ()
        assert {*loaded.arrays["a"], *loaded.arrays["b"]} == {loaded.facts["step"]}
