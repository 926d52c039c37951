"""Write the summary of a sweep: its comparison as CSV, JSON and a page."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from cnntrain.reports.comparisons.comparison import Comparison, compare_runs
from cnntrain.reports.comparisons.comparison_page import write_comparison
from cnntrain.runs.results import gather_results


def write_sweep_summary(
    sweep: Path, sort: str | None = None, output: Path | None = None
) -> Comparison:
    """Write sweep.csv, sweep.json and sweep.html of a sweep's jobs; return the comparison.

    The files go into the sweep's directory, or into `output`. Jobs are sorted by the number `sort`.
    A job without numbers has a row, too.
    """
    comparison = compare_runs(gather_results([sweep]), sort)
    title = sweep.resolve().name
    again = format_report_command("report", [str(sweep)], sort, output)
    write_comparison(comparison, output or sweep, "sweep", title, again)
    return comparison


def format_report_command(
    verb: str, paths: Sequence[str], sort: str | None, output: str | Path | None
) -> str:
    """Return the command, without the program's name, that writes the same page again."""
    flags = {"--sort": sort, "--output": output}
    words = [word for flag, value in flags.items() if value for word in (flag, str(value))]
    return shlex.join([verb, *paths, *words])
