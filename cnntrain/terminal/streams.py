"""Standard input, output and error, as a daemon, a pipe or a terminal without Unicode has them."""

import contextlib
import os
import sys
from collections.abc import Iterator

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_streams() -> None:
    """Open what is closed on the null device, and print ? for what an encoding lacks.

    Else the next file that is opened gets the number of a closed stream, and what libraries print
    is written into it.
    """
    for number, (name, mode) in enumerate(STREAMS):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, number)  # also if it is this number: then children inherit it
            os.set_inheritable(number, True)
            if null != number:
                os.close(null)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def discard_output() -> None:
    """Send what is still to be printed nowhere: Python would complain once more at its end."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


@contextlib.contextmanager
def ignore_closed_output() -> Iterator[None]:
    """Go on where the output is closed or full; rich ends the program where nobody reads."""
    try:
        yield
    except (OSError, SystemExit):
        discard_output()
