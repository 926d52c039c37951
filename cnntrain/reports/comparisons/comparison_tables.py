"""Render a comparison for a terminal: groups in a table, reasons of failures, and differences."""

from collections.abc import Sequence

from rich import box
from rich.console import Group as Stack
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cnntrain.analysis.significance import Contrast, format_p_value
from cnntrain.reports.comparisons.comparison import (
    Comparison,
    RunGroup,
    format_setting_value,
    list_distinct,
)
from cnntrain.runs.results import RunResult
from cnntrain.spec.metrics import abbreviate_metric
from cnntrain.terminal.units import NO_VALUE, format_duration

HUGE_LOSS = 1e5  # larger losses are shown by their magnitude
MAX_RUN_COLUMNS = 5  # more runs have no columns of their own in the table of differences
GOOD_ENDS = ("finished", "pruned")  # statuses that need no reason
# Columns that are left out of a narrow terminal, in this order.
OPTIONAL_COLUMNS = ("last epoch", "valid loss", "time", "runs", "against the best")
MAX_FOLD_LINES = 5  # settings whose scores over folds a terminal shows
MAX_NAMED_TIES = 5  # more settings that are tied with the best are only counted in the summary


def render_comparison(comparison: Comparison, width: int, differences: bool) -> Stack:
    """Return what to print: the table of groups, and the reasons of failures.

    With `differences`, a table of the settings that differ follows. `width` is that of the terminal
    in characters.
    """
    parts: list[Table | Text] = [
        build_group_table(comparison, width),
        Text(describe_order(comparison)),
    ]
    if summary := summarize_contrasts(comparison) or describe_repeats(comparison):
        parts.append(Text(summary))
    parts += map(Text, list_fold_lines(comparison))
    unfinished = [r for r in comparison.results if r.status not in GOOD_ENDS]
    if unfinished:
        lines = "\n".join(["", *map(format_unfinished_run, unfinished)])
        parts.append(Text(lines, overflow="fold"))
    if differences and comparison.differences:
        parts += [Text(), build_difference_table(comparison)]
    return Stack(*parts)


def list_fold_lines(comparison: Comparison) -> list[str]:
    """Return a line on the scores over folds of each group; of many groups only the first."""
    lines = comparison.describe_fold_scores()
    left = len(lines) - MAX_FOLD_LINES
    return lines if left <= 0 else [*lines[:MAX_FOLD_LINES], f"… and {left} more on the page"]


def choose_metrics(comparison: Comparison) -> dict[str, str]:
    """Return the metrics to show with their headings, the one that is sorted by first.

    Those of validation are left out if no run has it.
    """
    metric, shown = comparison.sorted_by, name_shown_metrics(comparison)
    if not any(result.is_validated for result in comparison.results):
        shown = {name: heading for name, heading in shown.items() if name.startswith("test.")}
    first = {metric: abbreviate_metric(metric.replace(".", " "))} if "." in metric else {}
    return {**first, **shown} if metric not in shown else shown


def name_shown_metrics(comparison: Comparison) -> dict[str, str]:
    """Return the metrics that every table shows, with their headings."""
    keys = [f"valid.{headline}" for headline in comparison.headlines]
    keys += ["valid.loss", *(f"test.{headline}" for headline in comparison.headlines)]
    return {key: abbreviate_metric(key.replace(".", " ")) for key in keys}


def describe_order(comparison: Comparison) -> str:
    """Return a sentence on how the groups are sorted."""
    several = any(len(group.results) > 1 for group in comparison.groups)
    line = f"The best first, by {comparison.sorted_by} of the best epoch"
    if not comparison.sorted_by.startswith("valid."):
        line = f"Sorted by {comparison.sorted_by}"
    over = comparison.repeats.replace("fold", "folds").replace("seed", "seeds")
    over = "the runs" if comparison.are_repeats else over
    line += f"; mean ± standard deviation over {over}." if several else "."
    if len(comparison.evaluation_image_sets) > 1:
        count = len(comparison.evaluation_image_sets)
        line += f" The runs were evaluated on {count} different sets of images: only those with "
        line += "the same images are ranked together."
    return line


def format_unfinished_run(result: RunResult) -> str:
    """Return a line with a run's name, its status, and the reason of a failure."""
    return f"{result.name}: {result.status}" + (f": {result.reason}" if result.reason else "")


def build_group_table(comparison: Comparison, width: int) -> Table:
    """Return a table with a row for each group: its varied settings and its metrics.

    Columns that do not fit into `width` characters are left out.
    """
    headings, rows = build_group_cells(comparison)
    names = len(comparison.varied_settings or ["run"])
    for heading in OPTIONAL_COLUMNS:
        if heading in headings and compute_table_width(headings, rows) > width:
            place = headings.index(heading)
            headings, *rows = ([*row[:place], *row[place + 1 :]] for row in (headings, *rows))
    if compute_table_width(headings, rows) > width:
        # There are too many settings for columns of their own: they share one, in which they fold.
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
    """Return the width of a table in characters."""
    return 1 + sum(max(map(len, column)) + 2 for column in zip(headings, *rows, strict=True))


def build_group_cells(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows: the varied settings, or the name of the run, then the metrics.

    Where groups are tested against the best, the last column says how the test ended.
    """
    metrics = choose_metrics(comparison)
    verdicts = ["the best", *map(format_verdict, comparison.contrasts)]
    rows = [
        [
            *(
                [format_setting_value(value) for value in group.settings.values()]
                or [name_unvaried_group(group)]
            ),
            format_run_count(group),
            *(format_mean_and_deviation(group, metric) for metric in metrics),
            format_whole_number(group.compute_mean("last_epoch")),
            format_duration(group.compute_mean("seconds")),
        ]
        for group in comparison.groups
    ]
    names = comparison.varied_settings or ["run"]
    headings = [*names, "runs", *metrics.values(), "last epoch", "time"]
    if comparison.contrasts:
        headings.append("against the best")
        rows = [[*row, verdict] for row, verdict in zip(rows, verdicts, strict=True)]
    return headings, rows


def format_verdict(contrast: Contrast | str) -> str:
    """Return how a group stands against the best: `tied, p = 0.41`, or a dash without a test."""
    if isinstance(contrast, str):
        return NO_VALUE
    turned = {"better": "worse", "worse": "better", "tied": "tied"}[contrast.verdict]
    return f"{turned}, {format_p_value(contrast.p_value)}"


def summarize_contrasts(comparison: Comparison) -> str:
    """Return what the tests say of the best group in a few sentences; "" without contrasts."""
    contrasts = comparison.contrasts
    if len(contrasts) < 2:
        return "".join(comparison.describe_contrasts())
    best, *names = map(comparison.name_group, comparison.groups)
    tests = [contrast for contrast in contrasts if isinstance(contrast, Contrast)]
    ties = [
        name
        for name, c in zip(names, contrasts, strict=True)
        if isinstance(c, Contrast) and c.verdict == "tied"
    ]
    sentences = []
    if ties:
        shown = "" if len(ties) > MAX_NAMED_TIES else f" ({'; '.join(ties)})"
        are = "is" if len(ties) == 1 else "are"
        number = format_part(len(ties), len(names))
        sentences.append(f"{number[0].upper()}{number[1:]} others {are} tied with {best}{shown}.")
    for verdict in ("better", "worse"):
        if count := sum(test.verdict == verdict for test in tests):
            sentences.append(f"{best} is {verdict} than {format_part(count, len(names))} others.")
    if len(tests) < len(names):
        reason = next(contrast for contrast in contrasts if isinstance(contrast, str))
        sentences.append(f"No test tells of {len(names) - len(tests)}: {reason}.")
    if tests:
        kinds = " and ".join(sorted({test.test for test in tests}))
        sentences.append(
            f"Tested by {kinds}, with Holm's correction for {tests[0].comparisons} comparisons: "
            "from p = 0.05 on it is a tie."
        )
        sentences.append(next((test.caveat for test in tests if test.caveat), "").strip())
    return " ".join(filter(None, sentences))


def describe_repeats(comparison: Comparison) -> str:
    """Return a sentence on runs of the same spec, seed included; "" for others."""
    numbers = [dict(result.numbers) for result in comparison.results]
    for own in numbers:
        own.pop("seconds", None)
    if not comparison.are_repeats or not all(numbers):
        return ""
    text = "and" if all(own == numbers[0] for own in numbers) else "but not"
    return f"The runs have the same spec, seed included, {text} the same numbers."


def format_part(part: int, whole: int) -> str:
    """Return how many of how many: `2 of 3`, `all 3`, or `both`."""
    every = "both" if whole == 2 else f"all {whole}"
    return every if part == whole else f"{part} of {whole}"


def name_unvaried_group(group: RunGroup) -> str:
    """Return the name of a group without varied settings: that of its only run, or "all"."""
    return group.results[0].name if len(group.results) == 1 else "all"


def format_run_count(group: RunGroup) -> str:
    """Return how many runs a group has, such as "3", or "2 of 3" if not all have finished."""
    done = sum(result.status == "finished" for result in group.results)
    return str(done) if done == len(group.results) else f"{done} of {len(group.results)}"


def format_mean_and_deviation(group: RunGroup, metric: str) -> str:
    """Return a group's mean of a metric, such as 0.9375, or 0.9375 ± 0.0120 over seeds."""
    mean, deviation = group.compute_mean(metric), group.compute_deviation(metric)
    if mean is None:
        return NO_VALUE
    return format_decimals(mean) + (
        f" ± {format_decimals(deviation)}" if deviation is not None else ""
    )


def format_decimals(number: float) -> str:
    """Return a number with four decimals, or with four digits if it is a huge loss."""
    return f"{number:.4f}" if abs(number) < HUGE_LOSS else f"{number:.3e}"


def format_whole_number(number: float | None) -> str:
    return NO_VALUE if number is None else f"{number:.0f}" if number % 1 == 0 else f"{number:.1f}"


def build_difference_table(comparison: Comparison) -> Table:
    """Return a table of the settings that differ between runs."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("setting", no_wrap=True)
    headings, rows = build_difference_cells(comparison)
    for heading in headings:
        table.add_column(escape(heading), overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def build_difference_cells(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of the differences: a column for each run.

    Many runs share one column, with all values that a setting has.
    """
    side_by_side = len(comparison.results) <= MAX_RUN_COLUMNS
    headings = name_runs(comparison.results) if side_by_side else ["values"]
    rows = []
    for key, values in comparison.differences.items():
        cells = (
            [format_setting_value(value) for value in values]
            if side_by_side
            else [", ".join(list_distinct(values))]
        )
        rows.append([key, *cells])
    return headings, rows


def name_runs(results: Sequence[RunResult]) -> list[str]:
    """Return the names of runs, with their parent folders if two names are the same."""
    short = [result.name for result in results]
    if len(set(short)) == len(short):
        return short
    return [f"{result.folder.parent.name}/{result.name}" for result in results]
