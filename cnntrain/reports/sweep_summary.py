"""What came out of a sweep: its table, its files and its page."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from cnntrain.reports.comparison import Comparison, compared
from cnntrain.reports.comparison_page import write_all
from cnntrain.runs.results import gathered


def summarise(sweep: Path, sort: str | None = None, output: Path | None = None) -> Comparison:
    """Write sweep.csv, sweep.json and sweep.html of a sweep's jobs; return the comparison.

    They go into the sweep's directory, or into `output`. A job without numbers is a row too.
    """
    comparison = compared(gathered([sweep]), sort)
    title = sweep.resolve().name
    again = made_by("report", [str(sweep)], sort, output)
    write_all(comparison, output or sweep, "sweep", title, again)
    return comparison


def made_by(verb: str, paths: Sequence[str], sort: str | None, output: str | Path | None) -> str:
    """The command, without the program's name, that writes the same page again."""
    flags = {"--sort": sort, "--output": output}
    given = [word for flag, value in flags.items() if value for word in (flag, str(value))]
    return shlex.join([verb, *paths, *given])
