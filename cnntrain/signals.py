"""Ctrl-C and SIGTERM while training: finish the step, save a checkpoint, then leave.

Windows sends no SIGTERM from one process to another. There SIGBREAK, of Ctrl-Break and of a console
that is closed, does the same.
"""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

INTERRUPTED, TERMINATED = 130, 143  # exit codes: 128 + the signal's number

REPEAT_SECONDS = 1.0  # seconds in which SIGTERM counts once
STOP_SIGNALS = ("SIGINT", "SIGTERM", "SIGBREAK")  # the last one is there on Windows only


class Terminated(BaseException):
    """SIGTERM arrived and a checkpoint is saved: the end of a preempted job."""


def list_stop_signals() -> list[int]:
    """Return the numbers of STOP_SIGNALS, as far as the system has them."""
    return [getattr(signal, name) for name in STOP_SIGNALS if hasattr(signal, name)]


def raise_terminated(number: int, frame: FrameType | None) -> None:
    """Raise Terminated: the handler of SIGTERM outside of training, where no step must finish."""
    raise Terminated


@contextlib.contextmanager
def handle_interrupts(handler: Any) -> Iterator[None]:
    """Give Ctrl-C to `handler` in the block, where this thread gets it and does not ignore it."""
    usual = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or usual in (signal.SIG_IGN, None):  # None: a handler that is not Python's
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


class Signals:
    """A context in which the first signal is remembered and a second one acts at once.

    Two SIGTERM within a second count as one: `timeout` signals a process, and then its group.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.received_at = -math.inf  # time.monotonic() of the first signal
        self.usual_handlers: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        """Replace the usual handlers; only the main thread can set handlers."""
        if threading.current_thread() is threading.main_thread():
            for number in list_stop_signals():
                self.usual_handlers[number] = signal.signal(number, self.remember_signal)
        return self

    def __exit__(self, *error: object) -> None:
        self.restore_handlers()

    def restore_handlers(self) -> None:
        """Restore the usual handlers."""
        for number, handler in self.usual_handlers.items():
            signal.signal(number, handler)
        self.usual_handlers = {}

    def remember_signal(self, number: int, frame: FrameType | None) -> None:
        again = number == self.received == signal.SIGTERM
        if again and time.monotonic() - self.received_at < REPEAT_SECONDS:
            return
        if self.received is None:
            self.received, self.received_at = number, time.monotonic()
            return
        self.restore_handlers()
        signal.raise_signal(number)

    def leave(self, asked: bool = False) -> None:
        """Raise KeyboardInterrupt or Terminated if a signal was received; what must be is saved.

        `asked` says that another worker has received one, with which this one leaves.
        """
        if asked or self.received is not None:
            raise KeyboardInterrupt if self.received == signal.SIGINT else Terminated
