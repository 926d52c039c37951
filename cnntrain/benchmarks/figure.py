"""The results of a benchmark as a picture: a panel for each comparison, a bar for each way."""

import statistics
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cnntrain.benchmarks.benchmark import Results
from cnntrain.benchmarks.report import RATES, describe_conditions, format_median
from cnntrain.benchmarks.turns import Comparison
from cnntrain.files.writing import replace_by_file
from cnntrain.reports.figures import ACCENT, DPI, INK, use_default_style

GREY = "#b8bec6"
PANEL_WIDTH, BAR_HEIGHT = 4.2, 0.42  # inches
LABEL_ROOM = 1.7  # the width of a panel over that of its longest bar


@use_default_style()
def write_figure(results: Results, path: Path) -> None:
    """Draw the medians of the rates, with the ranges as whiskers, into a PNG or SVG file."""
    rows = [row for row in (results.training, results.inference) if row]
    columns = max(map(len, rows))
    heights = [1.4 + BAR_HEIGHT * max(len(one.timings) for one in row) for row in rows]
    figure = Figure(figsize=(PANEL_WIDTH * columns, sum(heights) + 0.6), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    for axes in grid.flat:
        axes.set_axis_off()
    for panels, row in zip(grid, rows, strict=True):
        for axes, comparison in zip(panels, row, strict=False):
            draw_bars(axes, comparison, results.clock)
            axes.set_title(comparison.title, fontsize=11, color=INK, loc="left")
    figure.supxlabel(describe_conditions(results), fontsize=7, color=INK)
    with replace_by_file(path) as file:
        figure.savefig(file, dpi=DPI, format=path.suffix[1:])


def draw_bars(axes: Axes, comparison: Comparison, clock: str) -> None:
    """Draw a bar for each way; ours is in colour, and beside each other stands ours over it."""
    axes.set_axis_on()
    names = [*comparison.timings]
    for place, name in enumerate(names):
        rates = comparison.list_rates(name, clock)
        median = statistics.median(rates)
        whiskers = [[median - min(rates)], [max(rates) - median]]
        is_ours = name == comparison.ours
        axes.barh(place, median, color=ACCENT if is_ours else GREY, height=0.7)
        axes.errorbar(median, place, xerr=whiskers, color=INK, linewidth=1, capsize=2)
        ratios = [] if is_ours else comparison.list_ratios(name, clock)
        label = format_median(rates, ",.0f")
        if ratios:
            label += f"  (ours ×{format_median(ratios, '.2f')})"
        axes.annotate(label, (max(rates), place), (5, 0), textcoords="offset points", va="center",
                      fontsize=8, color=INK)  # fmt: skip
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.invert_yaxis()
    fastest = max(max(comparison.list_rates(name, clock)) for name in names)
    axes.set_xlim(0, LABEL_ROOM * fastest)
    axes.set_xlabel(f"{RATES[clock]}  (ours: {comparison.ours} over it)", fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
