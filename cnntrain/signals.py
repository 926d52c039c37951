"""Ctrl-C and SIGTERM while training: finish the step, write a state, then leave."""

import math
import signal
import threading
import time
from types import FrameType
from typing import Any

INTERRUPTED, TERMINATED = 130, 143  # exit codes: 128 + the signal's number

SAME = 1.0  # seconds in which SIGTERM counts once


class Terminated(BaseException):
    """SIGTERM arrived and the state is written; a preempted job ends so."""


def terminate(number: int, frame: FrameType | None) -> None:
    """SIGTERM outside of training: there is no step to finish."""
    raise Terminated


class Signals:
    """Within `with`, remembers the first signal; a second one acts at once.

    But SIGTERM twice within a second is one wish: `timeout` tells a process, and then its group.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.at = -math.inf  # when it was
        self.shared = False  # whether others must be told first, who then leave at the same step
        self.agreed: int | None = None
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        """Take over from the usual handlers, which only the main thread can set."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self.remember)
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def release(self) -> None:
        """Give back the usual handlers."""
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}

    def remember(self, number: int, frame: FrameType | None) -> None:
        again = number == self.received == signal.SIGTERM
        if again and time.monotonic() - self.at < SAME:
            return
        if self.received is None:
            self.received, self.at = number, time.monotonic()
            return
        self.release()
        signal.raise_signal(number)

    @property
    def due(self) -> int | None:
        """The signal with which to leave now, if any."""
        return self.agreed if self.shared else self.received

    def agree(self) -> None:
        """Leave with the others, one of which has received a signal."""
        self.agreed = self.received or signal.SIGTERM

    def leave(self) -> None:
        """Raise KeyboardInterrupt or Terminated if a signal came; a state has been written."""
        if self.due is not None:
            raise KeyboardInterrupt if self.due == signal.SIGINT else Terminated
