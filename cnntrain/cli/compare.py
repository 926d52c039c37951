"""`cnntrain compare`: show runs and sweeps side by side, and where their specs differ."""

import json
from collections.abc import Sequence
from pathlib import Path

from cnntrain.cli.parser import explain_unwritable_folder, make_output_folder, make_report_parser
from cnntrain.errors import SpecError
from cnntrain.files.documents import replace_nonfinite
from cnntrain.reports.comparisons import comparison_tables as tables
from cnntrain.reports.comparisons.comparison import compare_runs
from cnntrain.reports.comparisons.comparison_page import write_comparison
from cnntrain.reports.comparisons.sweep_summary import format_report_command
from cnntrain.runs.results import gather_results
from cnntrain.terminal.tables import make_console

USAGE = (
    "usage: cnntrain compare RUN... [--sort NUMBER] [--output FOLDER] [--json]",
    "         runs, and the jobs of sweeps, side by side; FOLDER gets comparison.csv, .json, .html",
)


def main(words: Sequence[str]) -> int:
    """`cnntrain compare RUN...`: print a table of the numbers of runs, and where specs differ."""
    parser = make_report_parser("compare")
    parser.add_argument("paths", nargs="*")
    arguments = parser.parse_intermixed_args(words)
    if arguments.help:
        print("\n".join(USAGE))
        return 0
    if not arguments.paths:
        raise SpecError("no run is named", "directories of runs or sweeps", USAGE[0][7:])
    results = gather_results([Path(path) for path in arguments.paths])
    if len(results) < 2:
        raise SpecError(
            f"{arguments.paths[0]} is one run",
            "two runs or more, or a sweep",
            f"cnntrain report {arguments.paths[0]}",
        )
    comparison, output = compare_runs(results, arguments.sort), make_output_folder(arguments.output)
    if output is not None:
        again = format_report_command("compare", arguments.paths, arguments.sort, arguments.output)
        with explain_unwritable_folder(output):
            write_comparison(comparison, output, "comparison", "Comparison", again)
    if arguments.json:
        print(json.dumps(replace_nonfinite(comparison.to_json()), indent=2))
        return 0
    console = make_console()
    console.print(tables.render_comparison(comparison, console.width, differences=True))
    if output is not None:
        print(output / "comparison.html")
    return 0
