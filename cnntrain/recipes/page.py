"""The page of a reproduction: the published number, ours, and the curves of these runs."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cnntrain.recipes.verdict import SeedRun, Verdict
from cnntrain.reports import charts, webpage
from cnntrain.terminal.units import NO_VALUE, format_duration, format_percent

WORDS = {
    "agrees": "This machine agrees", "differs": "This machine differs",
    "cannot be compared": "This cannot be compared",
}  # fmt: skip


def write_reproduction_page(verdict: Verdict, folder: Path) -> None:
    """Write reproduce.html into a folder."""
    recipe = verdict.recipe
    context = {
        "title": f"{recipe.name}, reproduced",
        "lead": format_lead(verdict),
        "verdict": verdict,
        "summary": recipe.summary.replace("`", ""),
        "caption": format_caption(verdict),
        "rows": build_number_rows(verdict),
        "figure": plot_reproduction(verdict),
        "metric": recipe.metric_name,
        "runs": [
            {
                "seed": run.seed,
                "link": quote(os.path.relpath(run.result.folder / "report.html", folder)),
                "cells": [
                    run.result.status,
                    str(len(run.result.history)),
                    format_value(run.value),
                    format_duration(run.result.seconds),
                ],
            }
            for run in verdict.runs
        ],
    }
    webpage.write_page(folder / "reproduce.html", "reproduce.html.j2", context)


def format_lead(verdict: Verdict) -> str:
    """Return the verdict as a sentence, with the settings that are not the recipe's."""
    overrides = f", with {' '.join(verdict.overrides)}" if verdict.overrides else ""
    return f"{WORDS[verdict.kind]}{overrides}."


def format_caption(verdict: Verdict) -> str:
    """Return the caption of the chart: what its lines are."""
    parts = ["The accuracy of each run over its epochs, without the steep beginning"]
    if verdict.interval is not None:
        parts.append("the band is where the number must lie")
    if verdict.recipe.expected.published_value is not None:
        parts.append("the dashed line is what was published")
    return "; ".join(parts) + "."


def build_number_rows(verdict: Verdict) -> list[tuple[str, str, str]]:
    """Return rows of what is compared: whose number, the number, and where it is from."""
    expected, interval = verdict.recipe.expected, verdict.interval
    split = expected.metric.partition("_")[0]
    note = f"; {expected.published_note}" if expected.published_note else ""
    rows = []
    if (value := expected.published_value) is not None or note:
        rows.append(("published", format_value(value), f"{expected.source}{note}"))
    for other, value in (expected.published or {}).items():
        if other != split:
            rows.append((f"published, {other}", format_percent(value), expected.source))
    if (measured := expected.measured) is not None and interval is not None:
        seeds, place = format_seeds(measured.seeds), f"{measured.machine}, {measured.date}"
        where = f"{seeds}; {measured.epochs} epochs; {place}"
        rows.append(("ours, mean", format_percent(interval.mean), where))
        between = f"{format_percent(interval.low)} to {format_percent(interval.high)}"
        rows.append(("expected", between, interval.reason))
    here = format_seeds([run.seed for run in verdict.runs])
    with_what = f" with {' '.join(verdict.overrides)}" if verdict.overrides else ""
    rows.append(("here", format_value(verdict.mean), f"{here}{with_what}"))
    return rows


def format_seeds(seeds: Sequence[int]) -> str:
    """Return `seed 0`, `seeds 0, 1, 2`, or `no run`."""
    word = "seed" if len(seeds) == 1 else "seeds"
    return f"{word} {', '.join(map(str, seeds))}" if seeds else "no run"


def format_value(value: float | None) -> str:
    return NO_VALUE if value is None else format_percent(value)


def plot_reproduction(verdict: Verdict) -> charts.Figure | None:
    """Return the curve of accuracy of each run, with the published number and our interval."""
    runs = [run for run in verdict.runs if run.result.history]
    if not runs:
        return None
    lines = [
        charts.make_line(
            f"seed {run.seed}, {choose_part(run)}", run.result.history,
            f"{choose_part(run)}.accuracy", "$accent", opacity=1 if number == 0 else 0.5,
        )
        for number, run in enumerate(runs)
    ]  # fmt: skip
    last = max(run.result.history[-1]["epoch"] for run in runs)
    split = verdict.recipe.expected.metric.partition("_")[0]
    for run in runs:
        if run.value is not None and split == "test":
            point = [{"epoch": last, "value": run.value}]
            lines.append(charts.make_line(f"seed {run.seed}, test", point, "value", "$c1"))
    shapes, notes = [], []
    if (interval := verdict.interval) is not None:
        shapes.append(
            {"type": "rect", "x0": 0, "x1": 1, "xref": "paper", "y0": interval.low,
             "y1": interval.high, "fillcolor": "$c2", "opacity": 0.25, "line": {"width": 0}}
        )  # fmt: skip
        notes.append(make_note(interval.high, f"expected here ({split})", "bottom"))
    if (published := verdict.recipe.expected.published_value) is not None:
        shapes.append(
            {"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": published, "y1": published,
             "line": {"color": "$muted", "width": 2, "dash": "dash"}}
        )  # fmt: skip
        notes.append(make_note(published, f"published ({split})", "top"))
    return charts.make_figure(
        lines,
        xaxis=charts.make_epoch_axis(last),
        yaxis=charts.make_axis(
            "accuracy", tickformat=".1%", range=find_range(verdict), automargin=True
        ),
        shapes=shapes,
        annotations=notes,
        showlegend=True,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 1, "xanchor": "right"},
        margin={"l": 64, "r": 16, "t": 40, "b": 48},
    )


def choose_part(run: SeedRun) -> str:
    """Return the split whose accuracy is drawn over the epochs: train if there is no validation."""
    return "valid" if run.result.is_validated else "train"


def find_range(verdict: Verdict) -> list[float]:
    """Return the ends of the axis of accuracies: the steep beginning of curves is cut off."""
    values = [
        row[key]
        for run in verdict.runs
        for row in run.result.history[len(run.result.history) // 5 :]
        if (key := f"{choose_part(run)}.accuracy") in row
    ]
    values += [run.value for run in verdict.runs if run.value is not None]
    if verdict.interval is not None:
        values += [verdict.interval.low, verdict.interval.high]
    if (published := verdict.recipe.expected.published_value) is not None:
        values.append(published)
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = max(0.1 * (high - low), 0.005)
    return [low - room, high + room]


def make_note(y: float, text: str, anchor: str) -> dict[str, Any]:
    """Return a plotly annotation at the left end of a horizontal line."""
    return {
        "x": 0.01, "xref": "paper", "y": y, "text": text, "showarrow": False, "xanchor": "left",
        "yanchor": anchor, "font": {"size": 11, "color": "$muted"},
    }  # fmt: skip
