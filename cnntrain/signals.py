"""Ctrl-C and SIGTERM while training: finish the step, write a checkpoint, then leave."""

import math
import signal
import threading
import time
from types import FrameType
from typing import Any

INTERRUPTED, TERMINATED = 130, 143  # exit codes: 128 + the signal's number

REPEAT_SECONDS = 1.0  # seconds in which SIGTERM counts once


class Terminated(BaseException):
    """SIGTERM arrived and the checkpoint is written; a preempted job ends so."""


def raise_terminated(number: int, frame: FrameType | None) -> None:
    """SIGTERM outside of training: there is no step to finish."""
    raise Terminated


class Signals:
    """Within `with`, remembers the first signal; a second one acts at once.

    But SIGTERM twice within a second is one wish: `timeout` tells a process, and then its group.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.received_at = -math.inf  # when it was
        self.is_shared = False  # whether others must be told first, who then leave at the same step
        self.agreed_signal: int | None = None
        self.usual_handlers: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        """Take over from the usual handlers, which only the main thread can set."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.usual_handlers[number] = signal.signal(number, self.remember_signal)
        return self

    def __exit__(self, *error: object) -> None:
        self.restore_handlers()

    def restore_handlers(self) -> None:
        """Give back the usual handlers."""
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

    @property
    def due_signal(self) -> int | None:
        """The signal with which to leave now, if any."""
        return self.agreed_signal if self.is_shared else self.received

    def agree_to_leave(self) -> None:
        """Leave with the others, one of which has received a signal."""
        self.agreed_signal = self.received or signal.SIGTERM

    def leave(self) -> None:
        """Raise KeyboardInterrupt or Terminated if a signal came; a checkpoint has been written."""
        if self.due_signal is not None:
            raise KeyboardInterrupt if self.due_signal == signal.SIGINT else Terminated
