"""Standard input, output and error, as a daemon, a pipe or a terminal without Unicode has them."""

import contextlib
import os
import sys
from collections.abc import Iterator

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_streams() -> None:
    """Open closed streams on the null device, and print ? for characters an encoding lacks.

    Otherwise the next opened file would get the number of a closed stream, and libraries would
    print into it.
    """
    for number, (name, mode) in enumerate(STREAMS):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, number)  # also if the two are equal: child processes inherit it
            os.set_inheritable(number, True)
            if null != number:
                os.close(null)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def discard_output() -> None:
    """Redirect standard output to the null device, so that Python's exit raises no error again."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


@contextlib.contextmanager
def ignore_closed_output() -> Iterator[None]:
    """Go on if the output is closed or full; rich raises SystemExit for a closed one."""
    try:
        yield
    except (OSError, SystemExit):
        discard_output()
