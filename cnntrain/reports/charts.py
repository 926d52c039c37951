"""Build charts as plotly figures in plain dictionaries, which a page draws in the browser.

A colour is a word with a dollar sign, such as `$accent`. The page replaces it by the colour in its
style sheet, so that a figure fits light and dark pages.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cnntrain.analysis.calibration import ReliabilityBin
from cnntrain.reports.chart_text import escape_for_plotly, make_axis_names, shorten_name

if TYPE_CHECKING:
    from cnntrain.reports.label_page import PrecisionRecall

Figure = dict[str, Any]
HEIGHT = 320  # pixels
# The label and the line of metrics that are parts of the loss, not metrics of a split.
PARTS_OF_LOSS = {"objective": ("objective", {"dash": "dot"}), "l2_loss": ("L2", {"dash": "dash"})}
RISING = ("accuracy", "mean average precision", "exact match")  # titles of curves that rise
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
        if not any(key in row for row in rows):
            continue  # without validation
        part, _, name = key.rpartition(".")
        own_label, dash = PARTS_OF_LOSS.get(name, (None, {}))
        label = own_label or part or name.replace("_", " ")
        line = make_line(label, rows, key, colors.get(part, "$accent"))
        traces.append(line | {"line": line["line"] | dash})
        if not part:
            traces[-1]["hovertemplate"] = f"{label}<br>epoch %{{x:.1f}}: %{{y:.3g}}<extra></extra>"
    falls = not title.startswith(RISING)  # falling curves leave room for words at the top
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


def plot_precision_recall(curves: Sequence["PrecisionRecall"]) -> Figure:
    """Return a chart of precision over recall: all classes together, and some of them.

    A point on a curve is what the threshold of its class gives.
    """
    colors = ["$ink", *(f"$c{n % 8}" for n in range(len(curves)))]
    traces: list[dict[str, Any]] = []
    for curve, color in zip(curves, colors, strict=False):
        label = f"{escape_for_plotly(shorten_name(curve.name))} ({curve.average_precision:.3f})"
        line = {"color": color, "width": 3 if color == "$ink" else 1.5}
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": label,
                "legendgroup": curve.name,
                "x": curve.recall,
                "y": curve.precision,
                "line": line,
                "hovertemplate": f"{label}<br>recall %{{x:.3f}}, precision %{{y:.3f}}"
                "<extra></extra>",
            }
        )
        if curve.point is not None:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "showlegend": False,
                    "legendgroup": curve.name,
                    "x": [curve.point[0]],
                    "y": [curve.point[1]],
                    "marker": {"color": color, "size": 9},
                    "hovertemplate": f"{label} at its threshold<br>recall %{{x:.3f}}, "
                    "precision %{y:.3f}<extra></extra>",
                }
            )
    return make_figure(
        traces,
        xaxis=make_axis("recall", range=[-0.02, 1.02]),
        yaxis=make_axis("precision", range=[-0.03, 1.04]),
        height=460,
    )


def plot_reliability(
    bins: Sequence[ReliabilityBin], calibrated: Sequence[ReliabilityBin] = ()
) -> Figure:
    """Return a reliability diagram: the accuracy of each bin over its mean confidence.

    On the diagonal a network is as often right as it is sure. The area of a point is proportional
    to the number of images in its bin. The bins of `calibrated` probabilities are a second line.
    """
    diagonal = {
        "type": "scatter", "mode": "lines", "x": [0, 1], "y": [0, 1], "hoverinfo": "skip",
        "line": {"color": "$muted", "width": 1, "dash": "dot"}, "showlegend": False,
    }  # fmt: skip
    largest = max(b.images for b in [*bins, *calibrated])
    lines = [make_reliability_line("as trained", bins, "$accent", largest)]
    if calibrated:
        lines[0] = make_reliability_line("as trained", bins, "$c1", largest)
        lines.append(make_reliability_line("calibrated", calibrated, "$accent", largest))
    return make_figure(
        [diagonal, *lines],
        # The largest point, of 28 pixels, has room at the ends.
        xaxis=make_axis("probability of the predicted class", range=[-0.06, 1.06]),
        yaxis=make_axis("accuracy", range=[-0.1, 1.1]),
        showlegend=bool(calibrated),
        legend={"x": 0.02, "y": 0.98, "itemsizing": "constant"},
    )


def make_reliability_line(
    name: str, bins: Sequence[ReliabilityBin], color: str, largest: int
) -> dict[str, Any]:
    """Return a plotly trace of bins; `largest` is the number of images of the largest point."""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [round(b.confidence, 4) for b in bins],
        "y": [round(b.accuracy, 4) for b in bins],
        "customdata": [[b.images, round(b.low, 3), round(b.high, 3)] for b in bins],
        "line": {"color": color, "width": 1},
        "marker": {
            "color": color,
            "sizemode": "area",
            "size": [b.images for b in bins],
            "sizeref": largest / 400,
            "sizemin": 3,
        },
        "hovertemplate": "%{customdata[0]:,} images between %{customdata[1]} and %{customdata[2]}"
        "<br>confidence %{x:.3f}, accuracy %{y:.3f}<extra></extra>",
    }


def plot_class_coverage(rows: Sequence[Mapping[str, Any]], promised: float) -> Figure:
    """Return a chart of the share of each class that has its label in the set, and of refusals.

    `rows` have name, images, coverage and refused. A line marks the coverage that was promised for
    all classes together.
    """
    names = make_axis_names([row["name"] for row in rows])
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": [round(row.get(key, 0.0), 4) for row in rows],
            "y": names,
            "customdata": [row["images"] for row in rows],
            "marker": {"color": color, "size": 9, "symbol": symbol},
            "hovertemplate": f"%{{y}}: {name} %{{x:.1%}} of %{{customdata:,}}<extra></extra>",
        }
        for key, name, color, symbol in (
            ("coverage", "class in the set", "$accent", "circle"),
            ("refused", "none of these", "$c1", "diamond-open"),
        )
    ]
    line = {
        "type": "line", "x0": promised, "x1": promised, "y0": 0, "y1": 1, "yref": "paper",
        "line": {"color": "$muted", "width": 1, "dash": "dot"},
    }  # fmt: skip
    return make_figure(
        traces,
        xaxis=make_axis("share of the images of a class", range=[-0.02, 1.02], tickformat=".0%"),
        yaxis={
            "type": "category",
            "automargin": True,
            "autorange": "reversed",
            "dtick": 1,
        },
        shapes=[line],
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        margin={"l": 56, "r": 16, "t": 32, "b": 48},
        height=max(HEIGHT, 120 + 18 * len(rows)),
    )
