"""Ctrl-C and SIGTERM while training: finish the step, write a state, then leave."""

import signal
import threading
from types import FrameType
from typing import Any

INTERRUPTED, TERMINATED = 130, 143  # exit codes: 128 + the signal's number


class Terminated(BaseException):
    """SIGTERM arrived and the state is written; a preempted job ends so."""


def terminate(number: int, frame: FrameType | None) -> None:
    """SIGTERM outside of training: there is no step to finish."""
    raise Terminated


class Signals:
    """Within `with`, remembers the first signal; a second one acts at once."""

    def __init__(self) -> None:
        self.received: int | None = None
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
        self.received = number
        self.release()

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
