"""Write a comparison as a page for people, and as CSV and JSON for scripts."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cnntrain.files.documents import write_json
from cnntrain.files.writing import write_whole
from cnntrain.reports import charts, webpage
from cnntrain.reports.comparisons import comparison_charts
from cnntrain.reports.comparisons import comparison_tables as tables
from cnntrain.reports.comparisons.comparison import Comparison, format_setting_value
from cnntrain.reports.comparisons.contrasts import FOLD
from cnntrain.runs.results import RunResult
from cnntrain.terminal.units import NO_VALUE, format_duration


def write_comparison(
    comparison: Comparison, folder: Path, stem: str, title: str, again: str
) -> None:
    """Write STEM.csv, STEM.json and STEM.html into a folder.

    `again` is the command, without the program's name, that writes the page again.
    """
    write_whole(folder / f"{stem}.csv", comparison.to_csv())
    write_json(folder / f"{stem}.json", comparison.to_json())
    context = build_comparison_context(comparison, folder, title, again)
    webpage.write_page(folder / f"{stem}.html", "comparison.html.j2", context)


def build_comparison_context(
    comparison: Comparison, folder: Path, title: str, again: str
) -> dict[str, Any]:
    """Return the variables of the template comparison.html.j2."""
    headings, rows = tables.build_group_cells(comparison)
    names, differences = tables.build_difference_cells(comparison)
    shown = tables.name_shown_metrics(comparison)
    keys = headings[: len(comparison.varied_settings or ["run"])]
    return {
        "title": title,
        "again": again,
        "eyebrow": format_comparison_eyebrow(comparison),
        "lead": format_comparison_lead(comparison),
        "order": tables.describe_order(comparison),
        "summary": tables.summarize_contrasts(comparison) or tables.describe_repeats(comparison),
        "contrasts": comparison.describe_contrasts(),
        "fold_scores": comparison.describe_fold_scores() if comparison.varied_settings else [],
        "repeats": comparison.repeats,
        "has_folds": comparison.has_folds,
        "keys": keys,
        "headings": headings[len(keys) :],
        "rows": [{"names": row[: len(keys)], "cells": row[len(keys) :]} for row in rows],
        "unfinished": [r for r in comparison.results if r.status not in tables.GOOD_ENDS],
        "metric": comparison.sorted_by,
        "effect": comparison_charts.plot_settings_effect(comparison),
        "effect_caption": format_effect_caption(comparison),
        "curves": plot_comparison_curves(comparison),
        "difference_headings": names,
        "differences": differences,
        "runs": [
            build_run_row(result, folder, shown, comparison.has_folds)
            for group in comparison.groups
            for result in group.results
        ],
        "run_metrics": [*shown.values()],
    }


def format_comparison_eyebrow(comparison: Comparison) -> str:
    """Return a line that says how many runs and groups there are."""
    results, groups = comparison.results, comparison.groups
    line = f"{len(results)} runs" if len(results) != 1 else "1 run"
    if comparison.are_repeats:
        line += " of the same spec and seed"
    elif len(groups) == 1 and len(results) > 1:
        line += f" that differ in the {comparison.repeats} alone"
    elif len(groups) < len(results):
        line += f" in {len(groups)} groups that differ in more than the {comparison.repeats}"
    return line


def format_comparison_lead(comparison: Comparison) -> str:
    """Return the result of a comparison in one sentence.

    A group is called the best only if a test says so of each other one.
    """
    if len(comparison.evaluation_image_sets) > 1:
        return "The runs were evaluated on different images, so that none is the best of all."
    best = comparison.groups[0]
    mean = best.compute_mean(comparison.sorted_by)
    if mean is None:
        return f"No run has a {comparison.sorted_by} yet."
    number = (
        f"{comparison.sorted_by} {tables.format_mean_and_deviation(best, comparison.sorted_by)}"
    )
    if not comparison.varied_settings and (sentences := comparison.describe_fold_scores()):
        return sentences[0]
    if not comparison.varied_settings and len(best.results) > 1:
        return f"{number}, over {len(best.collect_values(comparison.sorted_by))} runs of one spec."
    verdicts = [getattr(contrast, "verdict", None) for contrast in comparison.contrasts]
    name, others = comparison.name_group(best), len(comparison.groups) - 1
    if ties := verdicts.count("tied"):
        word = "the other" if others == 1 else f"{tables.format_part(ties, others)} others"
        return f"{name} is tied with {word}: {number}."
    is_best = all(verdict == "better" for verdict in verdicts)
    return f"{name} {'is the best' if is_best else 'comes first'}: {number}."


def format_effect_caption(comparison: Comparison) -> str:
    """Return the caption of the chart that `plot_settings_effect` draws."""
    metric = comparison.sorted_by
    match len(comparison.varied_settings):
        case 1:
            return f"{metric} of every run, and the mean of each value."
        case 2:
            several = any(len(group.results) > 1 for group in comparison.groups)
            over = comparison.repeats.replace("fold", "folds").replace("seed", "seeds")
            return f"The mean {metric} over {over}." if several else f"{metric} of each run."
    return (
        f"A line for each combination, coloured by its mean {metric}. Drag along an axis to choose."
    )


def plot_comparison_curves(comparison: Comparison) -> list[charts.Figure]:
    """Return curves over the epochs for at most two metrics, beginning with the one sorted by."""
    headlines = [f"valid.{headline}" for headline in comparison.headlines]
    wanted = [comparison.sorted_by, *headlines, "valid.loss", "train.loss"]
    available = {key for result in comparison.results for row in result.history[:1] for key in row}
    keys = [key for key in dict.fromkeys(wanted) if key in available][:2]
    return [comparison_charts.plot_curves(comparison, key) for key in keys]


def build_run_row(
    result: RunResult, folder: Path, metrics: Iterable[str], with_fold: bool
) -> dict[str, Any]:
    """Return the table row of a run with some metrics.

    It has a link from `folder` to the run's own page if there is one. Its fold comes first if rows
    have it, `with_fold`.
    """
    page, numbers = result.folder / "report.html", result.numbers
    link = quote(os.path.relpath(page, folder)) if page.is_file() else None
    values = [numbers.get(key) for key in metrics]
    cells = [
        *([format_setting_value(result.settings.get(FOLD, NO_VALUE))] if with_fold else []),
        format_setting_value(result.settings.get("seed", NO_VALUE)),
        tables.format_whole_number(numbers.get("best_epoch")),
        *(NO_VALUE if value is None else tables.format_decimals(value) for value in values),
        format_duration(result.seconds),
    ]
    return {"name": result.name, "link": link, "status": result.status, "cells": cells}
