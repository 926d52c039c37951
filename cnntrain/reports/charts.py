"""Charts as plotly's figures in plain dictionaries, which a page draws in the browser.

A colour is a word with a dollar sign, `$accent`: the page puts in what its style sheet says, so
that one figure serves light and dark.
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
    NUMBERS,
    Comparison,
    RunGroup,
    format_setting_value,
    is_number,
    list_distinct,
)
from cnntrain.spec.metrics import higher_is_better

Figure = dict[str, Any]
COLOUR_COUNT = 8  # how many `$c0` … the style sheet has
DASHES = ("solid", "dash", "dot")  # of the first eight lines, the next, …
HEIGHT = 320  # pixels
MAX_TICKS = 12  # more values of a setting are not named on an axis
MAX_MATRIX_CLASSES = 200  # classes; a larger confusion matrix is not drawn
NAMED_COLUMNS, ROW_HEIGHT = (
    40,
    13,
)  # of a large one: so many columns are named, and a row is so high


def make_figure(traces: Sequence[Mapping[str, Any]], **layout: Any) -> Figure:
    """A figure in the style of the pages."""
    margin = {"l": 56, "r": 16, "t": 12, "b": 48}
    layout = {"height": HEIGHT, "margin": margin} | layout
    return {"data": [*traces], "layout": layout}


def make_axis(title: str, **more: Any) -> dict[str, Any]:
    return {"title": {"text": title}} | more


def make_epoch_axis(last: float) -> dict[str, Any]:
    """An axis of epochs, of which few are named one by one: none is half."""
    return make_axis("epoch", **({"dtick": 1} if last <= MAX_TICKS else {}))


def make_line(
    name: str, rows: Sequence[Mapping[str, float]], key: str, color: str, **more: Any
) -> dict[str, Any]:
    """A number over the epochs."""
    known = [row for row in rows if key in row]
    few = len(known) < 2
    return {
        "type": "scatter",
        "mode": "markers" if few else "lines",
        "name": name,
        "x": [row["epoch"] for row in known],
        "y": [drop_non_finite(row[key]) for row in known],
        "line": {"color": color, "width": 2},
        "marker": {"color": color},
        "hovertemplate": f"{name}<br>epoch %{{x}}: %{{y:.4f}}<extra></extra>",
    } | more


def drop_non_finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def plot_curves(comparison: Comparison, key: str) -> Figure:
    """A number of all runs over their epochs; runs of a group have one colour and dash."""
    traces = []
    for place, group in enumerate(comparison.groups):
        for number, result in enumerate(group.results):
            label = escape_for_plotly(
                shorten_name(name_group(group, comparison), 3 * MAX_NAME_LENGTH)
            )
            seed = f"{escape_for_plotly(str(group))}<br>seed {result.settings.get('seed')}"
            made = make_line(label, result.history, key, f"$c{place % COLOUR_COUNT}")
            made["line"]["dash"] = DASHES[place // COLOUR_COUNT % len(DASHES)]
            traces.append(
                made
                | {
                    "legendgroup": str(place),
                    "showlegend": number == 0,
                    "opacity": 0.85,
                    "hovertemplate": f"{seed}<br>epoch %{{x}}: %{{y:.4f}}<extra></extra>",
                }
            )
    count = sum(any(result.history for result in group.results) for group in comparison.groups)
    several = 1 < count <= MAX_TICKS  # more names than that say less than hovering does
    room = 20 * count if several else 0  # for the legend, on a phone
    last = max((result.last.get("epoch", 0) for result in comparison.results), default=0)
    return make_figure(
        traces,
        xaxis=make_epoch_axis(last),
        yaxis=make_axis(key.replace(".", " "), exponentformat="e", automargin=True),
        showlegend=several,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        height=HEIGHT + room,
        margin={"l": 56, "r": 16, "t": 12 + room, "b": 48},
        hovermode="closest",
    )


def name_group(group: RunGroup, comparison: Comparison) -> str:
    """A group in a legend: the values of what is varied."""
    values = [format_setting_value(value) for value in group.settings.values()]
    return " · ".join(values) if comparison.varied_settings else group.results[0].name


def plot_dots(comparison: Comparison) -> Figure:
    """One setting: the number of each run over its values, with the means."""
    key, number = comparison.varied_settings[0], comparison.sorted_by
    names = make_axis_names(
        [format_setting_value(group.settings[key]) for group in comparison.groups]
    )
    runs = [
        (n, v)
        for n, g in zip(names, comparison.groups, strict=True)
        for v in g.collect_values(number)
    ]
    known = [(n, g.compute_mean(number)) for n, g in zip(names, comparison.groups, strict=True)]
    hover = f"{escape_for_plotly(key)}=%{{y}}<br>{number} %{{x:.4f}}<extra></extra>"
    traces = [
        make_scatter(runs, hover, {"color": "$accent", "size": 9, "opacity": 0.55}),
        make_scatter(
            known, f"mean of {hover}", {"color": "$ink", "size": 16, "symbol": "line-ns-open"}
        ),
    ]
    height = 110 + 34 * len(names)
    return make_figure(
        traces,
        xaxis=make_axis(number.replace(".", " ")),
        yaxis={"type": "category", "categoryarray": names[::-1], "automargin": True},
        showlegend=False,
        height=height,
    )


def make_scatter(pairs: Sequence[tuple[str, Any]], hover: str, marker: Mapping[str, Any]) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [value for _, value in pairs],
        "y": [name for name, _ in pairs],
        "marker": dict(marker),
        "hovertemplate": hover,
    }


def plot_heat_map(comparison: Comparison) -> Figure:
    """Two settings: the mean over seeds at each pair of their values."""
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


def make_color_scale(number: str, weakest: str = "$low") -> list[list[Any]]:
    """From paper to accent, the best value the strongest."""
    ends = [weakest, "$accent"] if higher_is_better(number) else ["$accent", weakest]
    return [[0, ends[0]], [1, ends[1]]]


def plot_parallel_coordinates(comparison: Comparison) -> Figure:
    """More settings: a line for each group through its values, coloured by the number."""
    number = comparison.sorted_by
    groups = [group for group in comparison.groups if group.compute_mean(number) is not None]
    means = [group.compute_mean(number) for group in groups]
    dimensions = [make_dimension(key, groups) for key in comparison.varied_settings]
    dimensions.append({"label": make_short_label(number), "values": means})
    return make_figure(
        [
            {
                "type": "parcoords",
                "dimensions": dimensions,
                "line": {"color": means, "colorscale": make_color_scale(number, "$rule")},
                "labelfont": {"size": 12},
                "labelangle": -20,  # beside each other on a phone, too
                "rangefont": {"size": 1, "color": "rgba(0,0,0,0)"},  # both ends, over the labels
            }
        ],
        margin={"l": 110, "r": 56, "t": 76, "b": 24},
        height=HEIGHT + 80,
    )


def make_short_label(key: str) -> str:
    """A short label: `learning rate` of optimizer.learning_rate, but `valid accuracy`."""
    return (key if key in NUMBERS else key.rpartition(".")[2]).replace(".", " ").replace("_", " ")


def make_dimension(key: str, groups: Sequence[RunGroup]) -> dict[str, Any]:
    """One axis: a number's own scale, or the values as names in a row."""
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


def plot_landscape(comparison: Comparison) -> Figure | None:
    """How the number depends on what was varied: by how many settings were."""
    if not any(group.collect_values(comparison.sorted_by) for group in comparison.groups):
        return None
    drawn = {0: None, 1: plot_dots, 2: plot_heat_map}.get(
        len(comparison.varied_settings), plot_parallel_coordinates
    )
    return drawn(comparison) if drawn else None


def plot_over_epochs(
    title: str,
    rows: Sequence[Mapping[str, float]],
    keys: Sequence[str],
    phases: Sequence[int],
    best: float | None,
) -> Figure:
    """Numbers of one run over its epochs; dotted lines where a phase began, a solid one at best."""
    colors = {"train": "$c1", "valid": "$accent"}
    traces = []
    for key in keys:
        part, _, name = key.rpartition(".")
        dash = {"dash": "dot"} if name == "objective" else {}
        label = "objective" if dash else part or name.replace("_", " ")
        made = make_line(label, rows, key, colors.get(part, "$accent"))
        traces.append(made | {"line": made["line"] | dash})
        if not part:
            traces[-1]["hovertemplate"] = f"{label}<br>epoch %{{x:.1f}}: %{{y:.3g}}<extra></extra>"
    falls = not title.startswith("accuracy")  # then there is room at the top
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
    """A line down a chart at an epoch, and what it says."""
    dashed = {"color": "$muted", "width": 1, "dash": dash}
    shape = {
        "type": "line", "x0": epoch, "x1": epoch, "y0": 0, "y1": 1, "yref": "paper",
        "line": dashed, "opacity": 0.5,
    }  # fmt: skip
    note = {
        "x": epoch, "y": int(top), "yref": "paper", "text": word, "showarrow": False,
        "xanchor": "right", "yanchor": "top" if top else "bottom", "textangle": -90,
        "font": {"size": 11, "color": "$muted"},
    }  # fmt: skip
    return shape, note


def plot_confusion(matrix: Any, names: Sequence[str]) -> Figure | None:
    """Counts by true and predicted class, coloured by the share of the true class.

    Every row is named, however many there are; of many columns some are, and all at hovering.
    """
    count = len(names)
    if count > MAX_MATRIX_CLASSES:
        return None
    totals = [max(1, int(row.sum())) for row in matrix]
    shares = [
        [round(int(n) / total, 4) for n in row] for row, total in zip(matrix, totals, strict=True)
    ]
    counts = [[int(n) for n in row] for row in matrix]
    shown, few = make_axis_names(names), count <= 2 * MAX_TICKS
    small: dict[str, Any] = {} if few else {"tickfont": {"size": 9}}
    columns = {"dtick": math.ceil(count / NAMED_COLUMNS)} | small
    return make_figure(
        [
            {
                "type": "heatmap",
                "x": shown,
                "y": shown,
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
                "hovertemplate": "%{y} taken for %{x}: %{customdata} (%{z:.1%})<extra></extra>",
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
