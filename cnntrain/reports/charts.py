"""Charts as plotly's figures in plain dictionaries, which a page draws in the browser.

A colour is a word with a dollar sign, `$accent`: the page puts in what its style sheet says, so
that one figure serves light and dark.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cnntrain.reports.chart_text import LONGEST, as_text, axis_names, shortened
from cnntrain.reports.comparison import (
    NUMBERS,
    Comparison,
    Group,
    distinct,
    is_number,
    text,
)
from cnntrain.spec.metrics import rises

Figure = dict[str, Any]
COLOURS = 8  # how many `$c0` … the style sheet has
DASHES = ("solid", "dash", "dot")  # of the first eight lines, the next, …
HEIGHT = 320  # pixels
TICKS = 12  # more values of a setting are not named on an axis
MATRIX = 200  # classes; a larger confusion matrix is not drawn
COLUMNS, ROW = 40, 13  # of a large one: so many columns are named, and a row is so high


def figure(traces: Sequence[Mapping[str, Any]], **layout: Any) -> Figure:
    """A figure in the style of the pages."""
    margin = {"l": 56, "r": 16, "t": 12, "b": 48}
    layout = {"height": HEIGHT, "margin": margin} | layout
    return {"data": [*traces], "layout": layout}


def axis(title: str, **more: Any) -> dict[str, Any]:
    return {"title": {"text": title}} | more


def epoch_axis(last: float) -> dict[str, Any]:
    """An axis of epochs, of which few are named one by one: none is half."""
    return axis("epoch", **({"dtick": 1} if last <= TICKS else {}))


def line(
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
        "y": [drawable(row[key]) for row in known],
        "line": {"color": color, "width": 2},
        "marker": {"color": color},
        "hovertemplate": f"{name}<br>epoch %{{x}}: %{{y:.4f}}<extra></extra>",
    } | more


def drawable(number: float) -> float | None:
    return number if math.isfinite(number) else None


def curves(comparison: Comparison, key: str) -> Figure:
    """A number of all runs over their epochs; runs of a group have one colour and dash."""
    traces = []
    for place, group in enumerate(comparison.groups):
        for number, result in enumerate(group.results):
            label = as_text(shortened(name_of(group, comparison), 3 * LONGEST))
            seed = f"{as_text(str(group))}<br>seed {result.settings.get('seed')}"
            made = line(label, result.history, key, f"$c{place % COLOURS}")
            made["line"]["dash"] = DASHES[place // COLOURS % len(DASHES)]
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
    several = 1 < count <= TICKS  # more names than that say less than hovering does
    room = 20 * count if several else 0  # for the legend, on a phone
    last = max((result.last.get("epoch", 0) for result in comparison.results), default=0)
    return figure(
        traces,
        xaxis=epoch_axis(last),
        yaxis=axis(key.replace(".", " "), exponentformat="e", automargin=True),
        showlegend=several,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        height=HEIGHT + room,
        margin={"l": 56, "r": 16, "t": 12 + room, "b": 48},
        hovermode="closest",
    )


def name_of(group: Group, comparison: Comparison) -> str:
    """A group in a legend: the values of what is varied."""
    values = [text(value) for value in group.settings.values()]
    return " · ".join(values) if comparison.varied else group.results[0].name


def dots(comparison: Comparison) -> Figure:
    """One setting: the number of each run over its values, with the means."""
    key, number = comparison.varied[0], comparison.sorted_by
    names = axis_names([text(group.settings[key]) for group in comparison.groups])
    runs = [(n, v) for n, g in zip(names, comparison.groups, strict=True) for v in g.values(number)]
    known = [(n, g.mean(number)) for n, g in zip(names, comparison.groups, strict=True)]
    hover = f"{as_text(key)}=%{{y}}<br>{number} %{{x:.4f}}<extra></extra>"
    traces = [
        scatter(runs, hover, {"color": "$accent", "size": 9, "opacity": 0.55}),
        scatter(known, f"mean of {hover}", {"color": "$ink", "size": 16, "symbol": "line-ns-open"}),
    ]
    height = 110 + 34 * len(names)
    return figure(
        traces,
        xaxis=axis(number.replace(".", " ")),
        yaxis={"type": "category", "categoryarray": names[::-1], "automargin": True},
        showlegend=False,
        height=height,
    )


def scatter(pairs: Sequence[tuple[str, Any]], hover: str, marker: Mapping[str, Any]) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [value for _, value in pairs],
        "y": [name for name, _ in pairs],
        "marker": dict(marker),
        "hovertemplate": hover,
    }


def heat_map(comparison: Comparison) -> Figure:
    """Two settings: the mean over seeds at each pair of their values."""
    across, down = comparison.varied
    columns = distinct(group.settings[across] for group in comparison.groups)
    rows = distinct(group.settings[down] for group in comparison.groups)
    means = {
        (text(group.settings[down]), text(group.settings[across])): group.mean(comparison.sorted_by)
        for group in comparison.groups
    }
    values = [[means.get((row, column)) for column in columns] for row in rows]
    small = len(columns) <= TICKS
    place = f"{as_text(across)}=%{{x}}<br>{as_text(down)}=%{{y}}"
    return figure(
        [
            {
                "type": "heatmap",
                "x": axis_names(columns),
                "y": axis_names(rows),
                "z": values,
                "texttemplate": "%{z:.4f}" if small else "",
                "colorscale": scale(comparison.sorted_by),
                "hovertemplate": f"{place}<br>%{{z:.4f}}<extra></extra>",
                "colorbar": {"thickness": 12, "outlinewidth": 0},
                "xgap": 2,
                "ygap": 2,
            }
        ],
        xaxis=axis(across, type="category", automargin=True),
        yaxis=axis(down, type="category", automargin=True),
        height=140 + 44 * len(rows),
    )


def scale(number: str, weakest: str = "$low") -> list[list[Any]]:
    """From paper to accent, the best value the strongest."""
    ends = [weakest, "$accent"] if rises(number) else ["$accent", weakest]
    return [[0, ends[0]], [1, ends[1]]]


def parallel(comparison: Comparison) -> Figure:
    """More settings: a line for each group through its values, coloured by the number."""
    number = comparison.sorted_by
    groups = [group for group in comparison.groups if group.mean(number) is not None]
    means = [group.mean(number) for group in groups]
    dimensions = [dimension(key, groups) for key in comparison.varied]
    dimensions.append({"label": words(number), "values": means})
    return figure(
        [
            {
                "type": "parcoords",
                "dimensions": dimensions,
                "line": {"color": means, "colorscale": scale(number, "$rule")},
                "labelfont": {"size": 12},
                "labelangle": -20,  # beside each other on a phone, too
                "rangefont": {"size": 1, "color": "rgba(0,0,0,0)"},  # both ends, over the labels
            }
        ],
        margin={"l": 110, "r": 56, "t": 76, "b": 24},
        height=HEIGHT + 80,
    )


def words(key: str) -> str:
    """A short label: `learning rate` of optimizer.learning_rate, but `valid accuracy`."""
    return (key if key in NUMBERS else key.rpartition(".")[2]).replace(".", " ").replace("_", " ")


def dimension(key: str, groups: Sequence[Group]) -> dict[str, Any]:
    """One axis: a number's own scale, or the values as names in a row."""
    values = [group.settings[key] for group in groups]
    if all(is_number(value) for value in values) and len({*values}) > TICKS:
        return {"label": words(key), "values": values}
    names = distinct(values)
    return {
        "label": words(key),
        "values": [names.index(text(value)) for value in values],
        "tickvals": [*range(len(names))],
        "ticktext": [as_text(shortened(name, 16)) for name in names],
    }


def landscape(comparison: Comparison) -> Figure | None:
    """How the number depends on what was varied: by how many settings were."""
    if not any(group.values(comparison.sorted_by) for group in comparison.groups):
        return None
    drawn = {0: None, 1: dots, 2: heat_map}.get(len(comparison.varied), parallel)
    return drawn(comparison) if drawn else None


def over_epochs(
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
        made = line(label, rows, key, colors.get(part, "$accent"))
        traces.append(made | {"line": made["line"] | dash})
        if not part:
            traces[-1]["hovertemplate"] = f"{label}<br>epoch %{{x:.1f}}: %{{y:.3g}}<extra></extra>"
    falls = not title.startswith("accuracy")  # then there is room at the top
    marks = [mark(epoch, "dot", "phase", falls) for epoch in phases]
    if best is not None:
        marks.append(mark(best, "solid", "best", falls))
    return figure(
        traces,
        title={"text": title, "x": 0, "xref": "paper", "font": {"size": 15, "color": "$ink"}},
        xaxis=epoch_axis(rows[-1]["epoch"] if rows else 0),
        yaxis={"exponentformat": "e", "automargin": True},
        showlegend=len(traces) > 1,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 1, "xanchor": "right"},
        margin={"l": 48, "r": 12, "t": 44, "b": 48},
        height=290,
        hovermode="x",
        shapes=[shape for shape, _ in marks],
        annotations=[note for _, note in marks],
    )


def mark(epoch: float, dash: str, word: str, top: bool) -> tuple[dict[str, Any], dict[str, Any]]:
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


def confusion(matrix: Any, names: Sequence[str]) -> Figure | None:
    """Counts by true and predicted class, coloured by the share of the true class.

    Every row is named, however many there are; of many columns some are, and all at hovering.
    """
    count = len(names)
    if count > MATRIX:
        return None
    totals = [max(1, int(row.sum())) for row in matrix]
    shares = [
        [round(int(n) / total, 4) for n in row] for row, total in zip(matrix, totals, strict=True)
    ]
    counts = [[int(n) for n in row] for row in matrix]
    shown, few = axis_names(names), count <= 2 * TICKS
    small: dict[str, Any] = {} if few else {"tickfont": {"size": 9}}
    columns = {"dtick": math.ceil(count / COLUMNS)} | small
    return figure(
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
        xaxis=axis("predicted", type="category", automargin=True, constrain="domain", **columns),
        yaxis=axis(
            "true", type="category", automargin=True, autorange="reversed", dtick=1, **small
        ),
        height=min(760, 180 + 30 * count) if few else 180 + ROW * count,
        margin={"l": 56, "r": 8, "t": 12, "b": 60},
    )
