"""A comparison as people read it in a terminal: a table of groups, reasons, differences."""

from collections.abc import Sequence

from rich import box
from rich.console import Group as Stack
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cnntrain.reports.comparison import Comparison, RunGroup, format_setting_value, list_distinct
from cnntrain.runs.results import RunResult
from cnntrain.terminal.units import NO_VALUE, format_duration

HUGE_LOSS = 1e5  # a loss from which on only its magnitude says anything
MAX_RUN_COLUMNS = 5  # beside each other in the table of differences
SHOWN_NUMBERS = {
    "valid.accuracy": "valid accuracy",
    "valid.loss": "valid loss",
    "test.accuracy": "test accuracy",
}
GOOD_ENDS = ("finished", "pruned")  # ends that need no reason
# What a narrow terminal is not shown, the first first.
OPTIONAL_COLUMNS = ("last epoch", "valid loss", "time", "runs")


def render_comparison(comparison: Comparison, width: int, differences: bool) -> Stack:
    """All there is to print; `differences` adds where the specs differ."""
    parts: list[Table | Text] = [
        build_group_table(comparison, width),
        Text(describe_order(comparison)),
    ]
    unfinished = [r for r in comparison.results if r.status not in GOOD_ENDS]
    if unfinished:
        lines = "\n".join(["", *map(format_unfinished_run, unfinished)])
        parts.append(Text(lines, overflow="fold"))
    if differences:
        parts += [Text(), build_difference_table(comparison)]
    return Stack(*parts)


def choose_numbers(comparison: Comparison) -> dict[str, str]:
    """The accuracies and losses in the table, with their headings: what it is sorted by first."""
    number = comparison.sorted_by
    first = {number: number.replace(".", " ").replace("_", " ")} if "." in number else {}
    return {**first, **SHOWN_NUMBERS} if number not in SHOWN_NUMBERS else SHOWN_NUMBERS


def describe_order(comparison: Comparison) -> str:
    several = any(len(group.results) > 1 for group in comparison.groups)
    line = f"The best first, by {comparison.sorted_by} of the best epoch"
    if not comparison.sorted_by.startswith("valid."):
        line = f"Sorted by {comparison.sorted_by}"
    line += "; mean ± standard deviation over seeds." if several else "."
    if len(comparison.judging_image_sets) > 1:
        count = len(comparison.judging_image_sets)
        line += f" The runs were judged by {count} different sets of images: only those with the "
        line += "same images are ranked together."
    return line


def format_unfinished_run(result: RunResult) -> str:
    return f"{result.name}: {result.status}" + (f": {result.reason}" if result.reason else "")


def build_group_table(comparison: Comparison, width: int) -> Table:
    """A row a group: what tells it apart, and the numbers that `width` columns have room for."""
    headings, rows = build_group_cells(comparison)
    names = len(comparison.varied_settings or ["run"])
    for heading in OPTIONAL_COLUMNS:
        if compute_table_width(headings, rows) > width:
            place = headings.index(heading)
            headings, *rows = ([*row[:place], *row[place + 1 :]] for row in (headings, *rows))
    if (
        compute_table_width(headings, rows) > width
    ):  # so many settings that one column must fold them
        rows = [[str(g), *row[names:]] for g, row in zip(comparison.groups, rows, strict=True)]
        headings, names = ["settings", *headings[names:]], 1
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place, heading in enumerate(headings):
        left = place < names
        table.add_column(escape(heading), justify="left" if left else "right", no_wrap=not left)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def compute_table_width(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """The columns of a terminal that a table takes."""
    return sum(max(map(len, column)) + 2 for column in zip(headings, *rows, strict=True))


def build_group_cells(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: what is varied, then the numbers; runs are named where nothing is."""
    numbers = choose_numbers(comparison)
    rows = [
        [
            *(
                [format_setting_value(value) for value in group.settings.values()]
                or [name_only_group(group)]
            ),
            format_run_count(group),
            *(format_mean_and_deviation(group, number) for number in numbers),
            format_whole_number(group.compute_mean("last_epoch")),
            format_duration(group.compute_mean("seconds")),
        ]
        for group in comparison.groups
    ]
    names = comparison.varied_settings or ["run"]
    return [*names, "runs", *numbers.values(), "last epoch", "time"], rows


def name_only_group(group: RunGroup) -> str:
    """The name of a group that nothing but seeds is varied in."""
    return group.results[0].name if len(group.results) == 1 else "all"


def format_run_count(group: RunGroup) -> str:
    """How many runs a group has, and how many of them finished, if not all did."""
    done = sum(result.status == "finished" for result in group.results)
    return str(done) if done == len(group.results) else f"{done} of {len(group.results)}"


def format_mean_and_deviation(group: RunGroup, number: str) -> str:
    """0.9375, or 0.9375 ± 0.0120 over seeds."""
    mean, deviation = group.compute_mean(number), group.compute_deviation(number)
    if mean is None:
        return NO_VALUE
    return format_decimals(mean) + (
        f" ± {format_decimals(deviation)}" if deviation is not None else ""
    )


def format_decimals(number: float) -> str:
    """Four decimals, or four digits of a loss that has run away."""
    return f"{number:.4f}" if abs(number) < HUGE_LOSS else f"{number:.3e}"


def format_whole_number(number: float | None) -> str:
    return NO_VALUE if number is None else f"{number:.0f}" if number % 1 == 0 else f"{number:.1f}"


def build_difference_table(comparison: Comparison) -> Table:
    """Where the specs differ, as a table."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("setting", no_wrap=True)
    headings, rows = build_difference_cells(comparison)
    for heading in headings:
        table.add_column(escape(heading), overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def build_difference_cells(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: a column a run, or for many runs one with the values that there are."""
    side_by_side = len(comparison.results) <= MAX_RUN_COLUMNS
    headings = name_runs(comparison.results) if side_by_side else ["values"]
    rows = []
    for key, values in comparison.differences.items():
        shown = (
            [format_setting_value(value) for value in values]
            if side_by_side
            else [", ".join(list_distinct(values))]
        )
        rows.append([key, *shown])
    return headings, rows


def name_runs(results: Sequence[RunResult]) -> list[str]:
    """The names of runs, with their parent where that is needed to tell them apart."""
    short = [result.name for result in results]
    if len(set(short)) == len(short):
        return short
    return [f"{result.folder.parent.name}/{result.name}" for result in results]
