"""`cnntrain compare`: any runs and sweeps side by side, and where their specs differ."""

import json
from collections.abc import Sequence
from pathlib import Path

from cnntrain.cli.parser import folder_for, parser_of, written_to
from cnntrain.errors import SpecError
from cnntrain.files.documents import finite
from cnntrain.reports import comparison_tables as tables
from cnntrain.reports.comparison import compared
from cnntrain.reports.comparison_page import write_all
from cnntrain.reports.sweep_summary import made_by
from cnntrain.runs.results import gathered

USAGE = (
    "usage: cnntrain compare RUN... [--sort NUMBER] [--output FOLDER] [--json]",
    "         runs, and the jobs of sweeps, side by side; FOLDER gets comparison.csv, .json, .html",
)


def main(words: Sequence[str]) -> int:
    """`cnntrain compare RUN...`: a table of their numbers, and where their specs differ."""
    parser = parser_of("compare")
    parser.add_argument("paths", nargs="*")
    given = parser.parse_intermixed_args(words)
    if given.help:
        print("\n".join(USAGE))
        return 0
    if not given.paths:
        raise SpecError("no run is named", "directories of runs or sweeps", USAGE[0][7:])
    results = gathered([Path(path) for path in given.paths])
    if len(results) < 2:
        raise SpecError(
            f"{given.paths[0]} is one run",
            "two runs or more, or a sweep",
            f"cnntrain report {given.paths[0]}",
        )
    comparison, output = compared(results, given.sort), folder_for(given.output)
    if output is not None:
        again = made_by("compare", given.paths, given.sort, given.output)
        with written_to(output):
            write_all(comparison, output, "comparison", "Comparison", again)
    if given.json:
        print(json.dumps(finite(comparison.as_json()), indent=2))
        return 0
    console = tables.terminal()
    console.print(tables.show(comparison, console.width, differences=True))
    if output is not None:
        print(output / "comparison.html")
    return 0
