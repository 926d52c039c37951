"""A process of the command line, and Ctrl-C on its way there."""

import ast
import asyncio
import signal
import subprocess
import sys

import pytest

import cnntrain
from cnntrain.api import process
from cnntrain.api.process import Worker, check_training, explain_interrupt, run_worker
from cnntrain.running.progress import RunView

PATIENT = """
import sys, time
try:
    print("begun", flush=True)
    time.sleep(5)
except KeyboardInterrupt:
    sys.exit(130)
"""
TALKATIVE = 'print("begun\\n" * 100_000, flush=True); input()'


@pytest.fixture(autouse=True)
def heed_ctrl_c():
    """Let Ctrl-C count, which a shell lets what it runs in the background ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def start(monkeypatch):
    """Let a worker run some code in place of the command line: start(code)."""

    def start(code):
        begun = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            process_group=0,
        )  # fmt: skip
        monkeypatch.setattr(process, "start_worker", lambda words: Worker(begun))
        return begun

    return start


class ActingView(RunView):
    """A view that does something at each line."""

    def __init__(self, act):
        self.act = act

    def show_line(self, line):
        self.act()


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_reaches_the_process_although_asyncio_handles_it(start):
    async def train():
        run_worker([], ActingView(press_ctrl_c))

    start(PATIENT)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(cnntrain.Interrupted):
        asyncio.run(train())
    assert signal.getsignal(signal.SIGINT) is before


def test_run_that_goes_on_is_named_although_it_had_not_begun_again(start, left_behind):
    start(PATIENT)
    folder = left_behind("a", status="running")
    with pytest.raises(cnntrain.Interrupted, match=r"a was stopped .*\n.*cnntrain\.load"):
        run_worker([], ActingView(press_ctrl_c), folder)


def test_ctrl_c_at_the_end_of_a_run_is_not_lost(start, left_behind):
    """A loop over runs would begin the next one."""
    start(PATIENT.replace("130", "0"))
    with pytest.raises(cnntrain.Interrupted, match="a had finished"):
        run_worker([], ActingView(press_ctrl_c), left_behind("a"))


def test_process_ends_although_its_output_cannot_be_shown(start):
    begun = start(TALKATIVE)
    with pytest.raises(ZeroDivisionError):
        run_worker([], ActingView(lambda: 1 / 0))
    assert begun.returncode is not None


def test_failure_has_the_words_of_the_command(left_behind):
    failed = Worker(None, left_behind("a"), code=1)
    failed.lines = ["epoch 1/2", "Failed: the loss is not finite", "  try       less", "the end"]
    with pytest.raises(cnntrain.Failure, match=r"^the loss is not finite\n  try       less$"):
        check_training(failed)


@pytest.mark.parametrize("name", ["größe", "a\\Users", 'say "no"'])
def test_hint_is_python_whatever_the_directory_is_called(left_behind, name):
    hint = explain_interrupt(left_behind(name)).hint
    assert ast.literal_eval(hint.removeprefix("run = cnntrain.load")).endswith(f"/{name}")
