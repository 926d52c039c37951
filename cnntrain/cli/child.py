"""The process of a sweep's job: it trains one run, and ends cleanly when its sweep is gone.

Its standard input is a pipe that the sweep holds open. If the sweep closes it, or dies by whatever
signal, the run saves a checkpoint and leaves: on every system, and so also on Windows, where no
process can send SIGTERM to another.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

from cnntrain.cli.main import main
from cnntrain.errors import SpecError
from cnntrain.signals import TERMINATED, Terminated, raise_terminated


def stop_with_parent() -> None:
    """Wait for the end of the pipe, to which nobody writes; then send this process SIGTERM."""
    os.read(0, 1)  # not sys.stdin: Python cannot end while another thread holds its lock
    send_sigterm()


def send_sigterm() -> None:
    """Send this process SIGTERM; on Windows `os.kill` would end it at once, without its handler."""
    if os.name == "nt":
        signal.raise_signal(signal.SIGTERM)
    else:  # to the main thread, too, while it waits for the system
        os.kill(os.getpid(), signal.SIGTERM)


def run_child(
    run: Callable[[list[str]], int] | None = None,
    answer: Callable[[SpecError], None] | None = None,
) -> NoReturn:
    """Run the command line, as `cli/main.py:main` does, until the parent closes the pipe."""
    try:
        signal.signal(signal.SIGTERM, raise_terminated)  # until the run has a handler of its own
        threading.Thread(target=stop_with_parent, daemon=True).start()
        main(run=run, answer=answer)
    except Terminated:
        sys.exit(TERMINATED)


if __name__ == "__main__":
    run_child()
