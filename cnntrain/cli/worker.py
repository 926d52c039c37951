"""The process in which a Python program trains: the command line, with events for a terminal.

`api/process.py` starts it. As in a sweep's job, its standard input is a pipe that the program holds
open. If the program dies, the run saves a checkpoint and leaves.
"""

import sys
from collections.abc import Sequence

from cnntrain.cli.child import run_child
from cnntrain.cli.main import run_verb
from cnntrain.errors import SpecError
from cnntrain.running.events import EventView, write_refusal


def run_words(words: Sequence[str]) -> int:
    """Run a command line; trainings are shown by events. Return the exit code."""
    view = EventView(sys.stdout)
    if words[0] == "resume":
        from cnntrain.running.run import resume_from_overrides

        return resume_from_overrides(words[1], words[2:], view)
    return run_verb(list(words), view)


def answer_mistake(error: SpecError) -> None:
    """Tell the program of a mistake, which it raises again."""
    write_refusal(sys.stdout, error)


if __name__ == "__main__":
    run_child(run_words, answer_mistake)
