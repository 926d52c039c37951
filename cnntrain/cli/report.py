"""`cnntrain report`: write the page of a run or a sweep again, and print its numbers."""

import json
from collections.abc import Sequence
from pathlib import Path

from cnntrain.cli.parser import explain_unwritable_folder, make_output_folder, make_report_parser
from cnntrain.errors import SpecError
from cnntrain.files.documents import replace_nonfinite
from cnntrain.reports.comparisons import comparison_tables as tables
from cnntrain.reports.comparisons.comparison import format_setting_value
from cnntrain.reports.comparisons.sweep_summary import write_sweep_summary
from cnntrain.running.progress import build_result_table
from cnntrain.runs.directory import Run
from cnntrain.runs.results import describe_status, is_sweep, read_run
from cnntrain.runs.strangers import read_report
from cnntrain.terminal.tables import make_console

USAGE = (
    "usage: cnntrain report RUN [--output FOLDER] [--json]",
    "         report.html and figures/ of a run, as far as it is",
    "       cnntrain report SWEEP [--sort NUMBER] [--output FOLDER] [--json]",
    "         a table, sweep.csv, sweep.json and sweep.html of its jobs",
)


def main(words: Sequence[str]) -> int:
    """`cnntrain report RUN | SWEEP`: write its page again, and print its numbers."""
    parser = make_report_parser("report")
    parser.add_argument("path", nargs="?")
    arguments = parser.parse_intermixed_args(words)
    if arguments.help:
        print("\n".join(USAGE))
        return 0
    if arguments.path is None:
        raise SpecError("no run is named", "the directory of a run or a sweep", USAGE[0][7:])
    path, output = Path(arguments.path), make_output_folder(arguments.output)
    if is_sweep(path):
        return report_sweep(path, arguments.sort, output, arguments.json)
    if arguments.sort is not None:
        raise SpecError("--sort is given for a run", "a sweep, whose jobs are sorted")
    return report_run(path, output, arguments.json)


def report_sweep(path: Path, sort: str | None, output: Path | None, as_json: bool) -> int:
    """Write and print the results of a sweep; return the exit code 0."""
    with explain_unwritable_folder(output or path):
        comparison = write_sweep_summary(path, sort, output)
    if as_json:
        print(json.dumps(replace_nonfinite(comparison.to_json()), indent=2))
        return 0
    console = make_console()
    console.print(tables.render_comparison(comparison, console.width, differences=False))
    print((output or path) / "sweep.html")
    return 0


def report_run(path: Path, output: Path | None, as_json: bool) -> int:
    """Write the page and the figures of a run, and print its numbers; return the exit code 0.

    Those of a finished run are the table that its training ended with.
    """
    from cnntrain.reports.run_page import write_run_report

    result = read_run(path)
    with explain_unwritable_folder(output or path):
        page = write_run_report(path, output)
    if as_json:
        facts = {"run": str(path), "status": result.status, "reason": result.reason}
        print(
            json.dumps(
                replace_nonfinite(facts | {"numbers": result.numbers, "page": str(page)}), indent=2
            )
        )
        return 0
    print(
        f"{path} {describe_status(result.status)}" + (f": {result.reason}" if result.reason else "")
    )
    report = read_report(Run(path))
    if result.status == "finished" and report.get("test"):
        make_console().print(build_result_table(report))
    elif result.numbers:
        pairs = result.numbers.items()
        print(", ".join(f"{key} {format_setting_value(value)}" for key, value in pairs))
    print(page)
    return 0
