"""Chart runs side by side: their curves, and a number over the settings that were varied."""

from collections.abc import Mapping, Sequence
from typing import Any

from cnntrain.reports.chart_text import (
    MAX_NAME_LENGTH,
    escape_for_plotly,
    make_axis_names,
    shorten_name,
)
from cnntrain.reports.charts import (
    HEIGHT,
    MAX_TICKS,
    Figure,
    make_axis,
    make_epoch_axis,
    make_figure,
    make_line,
)
from cnntrain.reports.comparisons.comparison import (
    METRICS,
    Comparison,
    RunGroup,
    format_setting_value,
    is_number,
    list_distinct,
)
from cnntrain.reports.comparisons.contrasts import FOLD
from cnntrain.spec.metrics import SEVERAL_LABELS_COLUMNS, higher_is_better

COLOUR_COUNT = 8  # the style sheet has $c0 to $c7
DASHES = ("solid", "dash", "dot")  # of the first eight lines, the next eight, and so on


def plot_curves(comparison: Comparison, key: str) -> Figure:
    """Return a chart of the number `key` of all runs over the epochs.

    The runs of a group have the same colour and dash.
    """
    traces = []
    for place, group in enumerate(comparison.groups):
        for number, result in enumerate(group.results):
            label = escape_for_plotly(
                shorten_name(name_group(group, comparison), 3 * MAX_NAME_LENGTH)
            )
            seed = f"{escape_for_plotly(str(group))}<br>seed {result.settings.get('seed')}"
            if (fold := result.settings.get(FOLD)) is not None:
                seed += f", fold {fold}"
            line = make_line(label, result.history, key, f"$c{place % COLOUR_COUNT}")
            line["line"]["dash"] = DASHES[place // COLOUR_COUNT % len(DASHES)]
            traces.append(
                line
                | {
                    "legendgroup": str(place),
                    "showlegend": number == 0,
                    "opacity": 0.85,
                    "hovertemplate": f"{seed}<br>epoch %{{x}}: %{{y:.4f}}<extra></extra>",
                }
            )
    count = sum(any(result.history for result in group.results) for group in comparison.groups)
    has_legend = 1 < count <= MAX_TICKS  # a longer one says less than the names at hovering
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
    """Return a chart for one varied setting: each run's number and the mean at each value."""
    key, number = comparison.varied_settings[0], comparison.sorted_by
    names = make_axis_names(
        [format_setting_value(group.settings[key]) for group in comparison.groups]
    )
    runs = [
        (name, value)
        for name, group in zip(names, comparison.groups, strict=True)
        for value in group.collect_values(number)
    ]
    means = [
        (name, group.compute_mean(number))
        for name, group in zip(names, comparison.groups, strict=True)
    ]
    hover = f"{escape_for_plotly(key)}=%{{y}}<br>{number} %{{x:.4f}}<extra></extra>"
    traces = [
        make_scatter(runs, hover, {"color": "$accent", "size": 9, "opacity": 0.55}),
        make_scatter(
            means, f"mean of {hover}", {"color": "$ink", "size": 16, "symbol": "line-ns-open"}
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
    """Return a chart for two varied settings: the mean number at each pair of their values."""
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
    """Return a colour scale in which the best value of a number has the strongest colour."""
    ends = [weakest, "$accent"] if higher_is_better(number) else ["$accent", weakest]
    return [[0, ends[0]], [1, ends[1]]]


def plot_parallel_coordinates(comparison: Comparison) -> Figure:
    """Return a chart for more settings: each group is a line, coloured by its mean number."""
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
                "labelangle": -20,  # level labels would overlap on a phone
                # plotly writes the ends of each axis over its label: they are hidden.
                "rangefont": {"size": 1, "color": "rgba(0,0,0,0)"},
            }
        ],
        margin={"l": 110, "r": 56, "t": 76, "b": 24},
        height=HEIGHT + 80,
    )


def make_short_label(key: str) -> str:
    """Return "learning rate" for optimizer.learning_rate, but "valid accuracy" for a number."""
    is_metric = key in (*METRICS, *SEVERAL_LABELS_COLUMNS)
    return (key if is_metric else key.rpartition(".")[2]).replace(".", " ").replace("_", " ")


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
    """Return a chart of how the number depends on the varied settings.

    The kind of chart depends on how many settings are varied. Returns None if none is, or no run
    has the number.
    """
    if not any(group.collect_values(comparison.sorted_by) for group in comparison.groups):
        return None
    plot = {0: None, 1: plot_dots, 2: plot_heat_map}.get(
        len(comparison.varied_settings), plot_parallel_coordinates
    )
    return plot(comparison) if plot else None
