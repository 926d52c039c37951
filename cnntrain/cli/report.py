"""`cnntrain report` and `cnntrain compare`: what came out, read from the directories of runs."""

import json
from collections.abc import Sequence
from pathlib import Path

from cnntrain.cli.parser import folder_for, parser_of, written_to
from cnntrain.errors import SpecError
from cnntrain.files.documents import finite
from cnntrain.reports import comparison_tables as tables
from cnntrain.reports.comparison import text
from cnntrain.reports.sweep_summary import summarise
from cnntrain.runs.results import ending, is_sweep, read

REPORT = (
    "usage: cnntrain report RUN [--output FOLDER] [--json]",
    "         report.html and figures/ of a run, as far as it is",
    "       cnntrain report SWEEP [--sort NUMBER] [--output FOLDER] [--json]",
    "         a table, sweep.csv, sweep.json and sweep.html of its jobs",
)


def main(words: Sequence[str]) -> int:
    """`cnntrain report RUN | SWEEP`: make its page again, and print what it says."""
    parser = parser_of("report")
    parser.add_argument("path", nargs="?")
    given = parser.parse_intermixed_args(words)
    if given.help:
        print("\n".join(REPORT))
        return 0
    if given.path is None:
        raise SpecError("no run is named", "the directory of a run or a sweep", REPORT[0][7:])
    path, output = Path(given.path), folder_for(given.output)
    if is_sweep(path):
        return report_sweep(path, given.sort, output, given.json)
    if given.sort is not None:
        raise SpecError("--sort is given for a run", "a sweep, whose jobs are sorted")
    return report_run(path, output, given.json)


def report_sweep(path: Path, sort: str | None, output: Path | None, as_json: bool) -> int:
    """Write and print what came out of a sweep."""
    with written_to(output or path):
        comparison = summarise(path, sort, output)
    if as_json:
        print(json.dumps(finite(comparison.as_json()), indent=2))
        return 0
    console = tables.terminal()
    console.print(tables.show(comparison, console.width, differences=False))
    print((output or path) / "sweep.html")
    return 0


def report_run(path: Path, output: Path | None, as_json: bool) -> int:
    """Write the page and the figures of a run, and print its numbers."""
    from cnntrain.reports.run_page import write

    result = read(path)
    with written_to(output or path):
        page = write(path, output)
    if as_json:
        facts = {"run": str(path), "status": result.status, "reason": result.reason}
        print(json.dumps(finite(facts | {"numbers": result.numbers, "page": str(page)}), indent=2))
        return 0
    numbers = ", ".join(f"{key} {text(value)}" for key, value in result.numbers.items())
    print(f"{path} {ending(result.status)}" + (f": {result.reason}" if result.reason else ""))
    print("\n".join(line for line in (numbers, str(page)) if line))
    return 0
