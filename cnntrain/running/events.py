"""Events: what a run in one process tells a program in another, which shows it.

An event is a line of JSON behind the control character RS (RFC 7464): a name and its arguments. All
else that the process prints is text for people. So one pipe carries both, in their order.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from cnntrain.errors import SpecError
from cnntrain.running.progress import RunView
from cnntrain.terminal.streams import ignore_closed_output

MARK = "\x1e"  # RS, record separator
REFUSAL = "refuse"  # the event of a mistake: given, expected, hint
VIEW_EVENTS = ("begin_run", "begin_phase", "show_step", "show_epoch", "show_results")


def write_event(stream: IO[str], name: str, *arguments: Any) -> None:
    """Write an event, unless nobody reads any more."""
    print_text(stream, f"{MARK}{json.dumps([name, *arguments])}\n")


def print_text(stream: IO[str], text: str) -> None:
    """Write a text in one piece, unless nobody reads any more.

    The program that did has gone, and the run is to stop by a signal, and not by an error.
    """
    with ignore_closed_output():
        stream.write(text)
        stream.flush()


def parse_line(line: str) -> tuple[str, list[Any] | None]:
    """Return the text of a line, which may be empty, and the event that follows it, or None."""
    text, mark, event = line.partition(MARK)
    if not mark:
        return text, None
    try:
        name, *arguments = json.loads(event)
    except (ValueError, TypeError):  # cut off, because the process was killed
        return text, None
    return text, [name, *arguments]


def replay_event(name: str, arguments: list[Any], view: RunView) -> None:
    """Call the method of a view that an event is named after; others are for the program."""
    if name == "begin_run":
        view.begin_run(Path(arguments[0]))
    elif name in VIEW_EVENTS:
        getattr(view, name)(*arguments)


def write_refusal(stream: IO[str], error: SpecError) -> None:
    """Write a mistake as an event, of which `read_refusal` makes it again."""
    write_event(stream, REFUSAL, error.given, error.expected, error.hint)


def read_refusal(arguments: list[Any]) -> SpecError:
    """Return the mistake that the arguments of its event describe."""
    given, expected, hint = arguments
    return SpecError(given, expected, hint)


class EventView(RunView):
    """Writes events, and notes as text."""

    def __init__(self, stream: IO[str]):
        self.stream = stream

    def begin_run(self, folder: Path) -> None:
        # The program may be in another directory by the time it reads this.
        write_event(self.stream, "begin_run", str(folder.absolute()))

    def begin_phase(self, done: int, total_steps: int, epochs: int) -> None:
        write_event(self.stream, "begin_phase", done, total_steps, epochs)

    def show_line(self, line: str) -> None:
        print_text(self.stream, f"{line}\n")

    def show_step(self, epoch: int, step: int, loss: float, images_per_second: float) -> None:
        write_event(self.stream, "show_step", epoch, step, loss, images_per_second)

    def show_epoch(self, row: Mapping[str, float], line: str) -> None:
        write_event(self.stream, "show_epoch", dict(row), line)

    def show_results(self, report: Mapping[str, Any]) -> None:
        write_event(self.stream, "show_results", dict(report))
