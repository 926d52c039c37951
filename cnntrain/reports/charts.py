"""Build charts as plotly figures in plain dictionaries, which a page draws in the browser.

A colour is a word with a dollar sign, such as `$accent`. The page replaces it by the colour in its
style sheet, so that a figure fits light and dark pages.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cnntrain.reports.chart_text import (
    MAX_NAME_LENGTH,
    escape_for_plotly,
    make_axis_names,
    shorten_name,
)
from cnntrain.reports.comparison import (
    METRICS,
    Comparison,
    RunGroup,
    format_setting_value,
    is_number,
    list_distinct,
)
from cnntrain.spec.metrics import higher_is_better

Figure = dict[str, Any]
COLOUR_COUNT = 8  # the style sheet has $c0 to $c7
DASHES = ("solid", "dash", "dot")  # of the first eight lines, the next eight, and so on
HEIGHT = 320  # pixels
MAX_TICKS = 12  # more values are not all named on an axis
MAX_MATRIX_CLASSES = 200  # a larger confusion matrix is not drawn
NAMED_COLUMNS, ROW_HEIGHT = 40, 13  # of a large matrix: named columns, and pixels for each row


def make_figure(traces: Sequence[Mapping[str, Any]], **layout: Any) -> Figure:
    """Return a figure of plotly traces in the style of the pages; `layout` adds to its layout."""
    margin = {"l": 56, "r": 16, "t": 12, "b": 48}
    layout = {"height": HEIGHT, "margin": margin} | layout
    return {"data": [*traces], "layout": layout}


def make_axis(title: str, **more: Any) -> dict[str, Any]:
    """Return a plotly axis with a title; `more` are other settings of it."""
    return {"title": {"text": title}} | more


def make_epoch_axis(last: float) -> dict[str, Any]:
    """Return an axis of epochs up to `last`. Few epochs are all named, and no halves."""
    return make_axis("epoch", **({"dtick": 1} if last <= MAX_TICKS else {}))


def make_line(
    name: str, rows: Sequence[Mapping[str, float]], key: str, color: str, **more: Any
) -> dict[str, Any]:
    """Return a plotly trace of the metric `key` over the epochs in rows of a history."""
    points = [row for row in rows if key in row]
    return {
        "type": "scatter",
        "mode": "markers" if len(points) < 2 else "lines",
        "name": name,
        "x": [row["epoch"] for row in points],
        "y": [drop_non_finite(row[key]) for row in points],
        "line": {"color": color, "width": 2},
        "marker": {"color": color},
        "hovertemplate": f"{name}<br>epoch %{{x}}: %{{y:.4f}}<extra></extra>",
    } | more


def drop_non_finite(number: float) -> float | None:
    """Return a number, or None, which leaves a gap in a line, for one that is not finite."""
    return number if math.isfinite(number) else None


def plot_curves(comparison: Comparison, key: str) -> Figure:
    """Return a chart of the metric `key` of all runs over the epochs.

    The runs of a group have the same colour and dash.
    """
    traces = []
    for place, group in enumerate(comparison.groups):
        for index, result in enumerate(group.results):
            label = escape_for_plotly(
                shorten_name(name_group(group, comparison), 3 * MAX_NAME_LENGTH)
            )
            seed = f"{escape_for_plotly(str(group))}<br>seed {result.settings.get('seed')}"
            line = make_line(label, result.history, key, f"$c{place % COLOUR_COUNT}")
            line["line"]["dash"] = DASHES[place // COLOUR_COUNT % len(DASHES)]
            traces.append(
                line
                | {
                    "legendgroup": str(place),
                    "showlegend": index == 0,
                    "opacity": 0.85,
                    "hovertemplate": f"{seed}<br>epoch %{{x}}: %{{y:.4f}}<extra></extra>",
                }
            )
    count = sum(any(result.history for result in group.results) for group in comparison.groups)
    has_legend = 1 < count <= MAX_TICKS  # a longer one says less than the names on hover
    room = 20 * count if has_legend else 0  # on a phone each name has a line of its own
    last = max((result.last.get("epoch", 0) for result in comparison.results), default=0)
    return make_figure(
        traces,
        xaxis=make_epoch_axis(last),
        yaxis=make_axis(key.replace(".", " "), exponentformat="e", automargin=True),
        showlegend=has_legend,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        height=HEIGHT + room,
        margin={"l": 56, "r": 16, "t": 12 + room, "b": 48},
        hovermode="closest",
    )


def name_group(group: RunGroup, comparison: Comparison) -> str:
    """Return a group's name for a legend: the values of its varied settings."""
    values = [format_setting_value(value) for value in group.settings.values()]
    return " · ".join(values) if comparison.varied_settings else group.results[0].name


def plot_dots(comparison: Comparison) -> Figure:
    """Return a chart for one varied setting: each run's metric and the mean at each value."""
    key, metric = comparison.varied_settings[0], comparison.sorted_by
    names = make_axis_names(
        [format_setting_value(group.settings[key]) for group in comparison.groups]
    )
    runs = [
        (name, value)
        for name, group in zip(names, comparison.groups, strict=True)
        for value in group.collect_values(metric)
    ]
    means = [
        (name, group.compute_mean(metric))
        for name, group in zip(names, comparison.groups, strict=True)
    ]
    hover = f"{escape_for_plotly(key)}=%{{y}}<br>{metric} %{{x:.4f}}<extra></extra>"
    traces = [
        make_scatter(runs, hover, {"color": "$accent", "size": 9, "opacity": 0.55}),
        make_scatter(
            means, f"mean of {hover}", {"color": "$ink", "size": 16, "symbol": "line-ns-open"}
        ),
    ]
    height = 110 + 34 * len(names)
    return make_figure(
        traces,
        xaxis=make_axis(metric.replace(".", " ")),
        yaxis={"type": "category", "categoryarray": names[::-1], "automargin": True},
        showlegend=False,
        height=height,
    )


def make_scatter(
    pairs: Sequence[tuple[str, Any]], hover: str, marker: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a plotly trace of markers for pairs of a name (y) and a value (x)."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [value for _, value in pairs],
        "y": [name for name, _ in pairs],
        "marker": dict(marker),
        "hovertemplate": hover,
    }


def plot_heat_map(comparison: Comparison) -> Figure:
    """Return a chart for two varied settings: the mean metric at each pair of their values."""
    across, down = comparison.varied_settings
    columns = list_distinct(group.settings[across] for group in comparison.groups)
    rows = list_distinct(group.settings[down] for group in comparison.groups)
    means = {
        (
            format_setting_value(group.settings[down]),
            format_setting_value(group.settings[across]),
        ): group.compute_mean(comparison.sorted_by)
        for group in comparison.groups
    }
    values = [[means.get((row, column)) for column in columns] for row in rows]
    small = len(columns) <= MAX_TICKS
    place = f"{escape_for_plotly(across)}=%{{x}}<br>{escape_for_plotly(down)}=%{{y}}"
    return make_figure(
        [
            {
                "type": "heatmap",
                "x": make_axis_names(columns),
                "y": make_axis_names(rows),
                "z": values,
                "texttemplate": "%{z:.4f}" if small else "",
                "colorscale": make_color_scale(comparison.sorted_by),
                "hovertemplate": f"{place}<br>%{{z:.4f}}<extra></extra>",
                "colorbar": {"thickness": 12, "outlinewidth": 0},
                "xgap": 2,
                "ygap": 2,
            }
        ],
        xaxis=make_axis(across, type="category", automargin=True),
        yaxis=make_axis(down, type="category", automargin=True),
        height=140 + 44 * len(rows),
    )


def make_color_scale(metric: str, weakest: str = "$low") -> list[list[Any]]:
    """Return a colour scale in which the best value of a metric has the strongest colour."""
    ends = [weakest, "$accent"] if higher_is_better(metric) else ["$accent", weakest]
    return [[0, ends[0]], [1, ends[1]]]


def plot_parallel_coordinates(comparison: Comparison) -> Figure:
    """Return a chart for more settings: each group is a line, coloured by its mean metric."""
    metric = comparison.sorted_by
    groups = [group for group in comparison.groups if group.compute_mean(metric) is not None]
    means = [group.compute_mean(metric) for group in groups]
    dimensions = [make_dimension(key, groups) for key in comparison.varied_settings]
    dimensions.append({"label": make_short_label(metric), "values": means})
    return make_figure(
        [
            {
                "type": "parcoords",
                "dimensions": dimensions,
                "line": {"color": means, "colorscale": make_color_scale(metric, "$rule")},
                "labelfont": {"size": 12},
                "labelangle": -20,  # level labels would overlap on a phone
                # plotly writes the ends of each axis over its label: they are hidden.
                "rangefont": {"size": 1, "color": "rgba(0,0,0,0)"},
            }
        ],
        margin={"l": 110, "r": 56, "t": 76, "b": 24},
        height=HEIGHT + 80,
    )


def make_short_label(key: str) -> str:
    """Return "learning rate" for optimizer.learning_rate, but "valid accuracy" for a metric."""
    return (key if key in METRICS else key.rpartition(".")[2]).replace(".", " ").replace("_", " ")


def make_dimension(key: str, groups: Sequence[RunGroup]) -> dict[str, Any]:
    """Return one axis of parallel coordinates: a numeric scale, or equally spaced names."""
    values = [group.settings[key] for group in groups]
    if all(is_number(value) for value in values) and len({*values}) > MAX_TICKS:
        return {"label": make_short_label(key), "values": values}
    names = list_distinct(values)
    return {
        "label": make_short_label(key),
        "values": [names.index(format_setting_value(value)) for value in values],
        "tickvals": [*range(len(names))],
        "ticktext": [escape_for_plotly(shorten_name(name, 16)) for name in names],
    }


def plot_settings_effect(comparison: Comparison) -> Figure | None:
    """Return a chart of how the metric depends on the varied settings.

    The kind of chart depends on how many settings are varied. Returns None if none is, or no run
    has the metric.
    """
    if not any(group.collect_values(comparison.sorted_by) for group in comparison.groups):
        return None
    plot = {0: None, 1: plot_dots, 2: plot_heat_map}.get(
        len(comparison.varied_settings), plot_parallel_coordinates
    )
    return plot(comparison) if plot else None


def plot_over_epochs(
    title: str,
    rows: Sequence[Mapping[str, float]],
    keys: Sequence[str],
    phases: Sequence[int],
    best: float | None,
) -> Figure:
    """Return a chart of metrics of one run over its epochs.

    `rows` are its history and `keys` the metrics. Dotted lines mark the epochs in `phases`, where a
    phase of training began, and a solid line marks the epoch `best`.
    """
    colors = {"train": "$c1", "valid": "$accent"}
    traces = []
    for key in keys:
        part, _, name = key.rpartition(".")
        dash = {"dash": "dot"} if name == "objective" else {}
        label = "objective" if dash else part or name.replace("_", " ")
        line = make_line(label, rows, key, colors.get(part, "$accent"))
        traces.append(line | {"line": line["line"] | dash})
        if not part:
            traces[-1]["hovertemplate"] = f"{label}<br>epoch %{{x:.1f}}: %{{y:.3g}}<extra></extra>"
    falls = not title.startswith("accuracy")  # falling curves leave room for words at the top
    marks = [mark_epoch(epoch, "dot", "phase", falls) for epoch in phases]
    if best is not None:
        marks.append(mark_epoch(best, "solid", "best", falls))
    return make_figure(
        traces,
        title={"text": title, "x": 0, "xref": "paper", "font": {"size": 15, "color": "$ink"}},
        xaxis=make_epoch_axis(rows[-1]["epoch"] if rows else 0),
        yaxis={"exponentformat": "e", "automargin": True},
        showlegend=len(traces) > 1,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 1, "xanchor": "right"},
        margin={"l": 48, "r": 12, "t": 44, "b": 48},
        height=290,
        hovermode="x",
        shapes=[shape for shape, _ in marks],
        annotations=[note for _, note in marks],
    )


def mark_epoch(
    epoch: float, dash: str, word: str, top: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a plotly shape, a vertical line at an epoch, and the annotation `word` beside it."""
    line = {"color": "$muted", "width": 1, "dash": dash}
    shape = {
        "type": "line", "x0": epoch, "x1": epoch, "y0": 0, "y1": 1, "yref": "paper",
        "line": line, "opacity": 0.5,
    }  # fmt: skip
    note = {
        "x": epoch, "y": int(top), "yref": "paper", "text": word, "showarrow": False,
        "xanchor": "right", "yanchor": "top" if top else "bottom", "textangle": -90,
        "font": {"size": 11, "color": "$muted"},
    }  # fmt: skip
    return shape, note


def plot_confusion(matrix: Any, names: Sequence[str]) -> Figure | None:
    """Return a chart of a confusion matrix (classes, classes), with the counts of each cell.

    Colours show the share of the true class. All rows are named. Of many columns only some are, and
    the others on hover. Returns None for more than 200 classes.
    """
    count = len(names)
    if count > MAX_MATRIX_CLASSES:
        return None
    totals = [max(1, int(row.sum())) for row in matrix]
    shares = [
        [round(int(n) / total, 4) for n in row] for row, total in zip(matrix, totals, strict=True)
    ]
    counts = [[int(n) for n in row] for row in matrix]
    labels, few = make_axis_names(names), count <= 2 * MAX_TICKS
    small: dict[str, Any] = {} if few else {"tickfont": {"size": 9}}
    columns = {"dtick": math.ceil(count / NAMED_COLUMNS)} | small
    return make_figure(
        [
            {
                "type": "heatmap",
                "x": labels,
                "y": labels,
                "z": shares,
                "text": [[str(n) if n else "" for n in row] for row in counts],
                "customdata": counts,
                "texttemplate": "%{text}" if few else "",
                "colorscale": [[0, "$low"], [1, "$accent"]],
                "zmin": 0,
                "zmax": 1,
                "showscale": False,
                "xgap": 1,
                "ygap": 1,
                "hovertemplate": "%{y} predicted as %{x}: %{customdata} (%{z:.1%})<extra></extra>",
            }
        ],
        xaxis=make_axis(
            "predicted", type="category", automargin=True, constrain="domain", **columns
        ),
        yaxis=make_axis(
            "true", type="category", automargin=True, autorange="reversed", dtick=1, **small
        ),
        height=min(760, 180 + 30 * count) if few else 180 + ROW_HEIGHT * count,
        margin={"l": 56, "r": 8, "t": 12, "b": 60},
    )
