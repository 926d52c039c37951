"""Draw a network's graph as an SVG: a box for each layer from top to bottom, and who reads whom."""

import html
import itertools
from collections.abc import Sequence
from typing import Any

from cnntrain.reports.network_diagram import classify_layer

BOX_WIDTH, BOX_HEIGHT, ACROSS, DOWN = 200, 34, 224, 52  # units of the SVG; from box to box
MARGIN, TITLE_HEIGHT, LETTERS = 20, 34, 34  # letters that a box has room for
STYLE = """\
rect { stroke: #1d2126; stroke-opacity: .25; } path { fill: none; stroke: #656d76; }
text { font: 11px system-ui, sans-serif; fill: #1d2126; text-anchor: middle; }
.small { font-size: 9px; fill: #656d76; } .title { font-size: 13px; text-anchor: start; }
.conv { fill: #cfe0f3; } .dense { fill: #f6dcc3; } .pool { fill: #dcdfe4; }
.norm { fill: #d3e9ee; } .other { fill: #ffffff; }"""


def draw_graph(rows: Sequence[Any], title: str) -> str:
    """Return the text of an SVG of the graph of rows (see `LayerRow`), each behind its inputs.

    A layer stands below those that it reads, in a lane of its own branch. What a shortcut goes past
    has another lane.
    """
    ranks, lanes, routes = place_rows(rows)
    width = 2 * MARGIN + (max([*lanes, *routes.values()], default=0) + 1) * ACROSS
    height = 2 * MARGIN + TITLE_HEIGHT + (max(ranks, default=0) + 1) * DOWN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">',
        f"<style>{STYLE}</style>",
        f'<rect class="other" width="{width}" height="{height}" stroke="none"/>',
        f'<text class="title" x="{MARGIN}" y="{MARGIN + 12}">{html.escape(title)}</text>',
    ]
    for number, row in enumerate(rows):
        for source in row.inputs:
            lane = routes.get((source, number), lanes[source])
            parts.append(draw_edge(ranks, lanes, source, number, lane))
    parts += [draw_box(row, *corner) for row, *corner in zip(rows, lanes, ranks, strict=True)]
    return "\n".join([*parts, "</svg>\n"])


def place_rows(
    rows: Sequence[Any],
) -> tuple[list[int], list[int], dict[tuple[int, int], int]]:
    """Return the rank of each row, from the top; its lane; and the lanes of edges past others.

    A row takes the lane of the first of its inputs that leaves one free, else the first free one.
    """
    ranks, lanes = list[int](), list[int]()
    routes, taken = dict[tuple[int, int], int](), set[tuple[int, int]]()

    def choose_lane(wanted: Sequence[int], between: range) -> int:
        candidates = [*wanted, *range(len(rows) + 1)]
        lane = next(n for n in candidates if not any((rank, n) in taken for rank in between))
        taken.update((rank, lane) for rank in between)
        return lane

    for number, row in enumerate(rows):
        rank = 1 + max((ranks[source] for source in row.inputs), default=-1)
        wanted = sorted(lanes[source] for source in row.inputs)
        ranks.append(rank)
        lanes.append(choose_lane(wanted, range(rank, rank + 1)))
        for source in row.inputs:
            if between := range(ranks[source] + 1, rank):
                routes[source, number] = choose_lane([lanes[source]], between)
    return ranks, lanes, routes


def locate_box(lane: int, rank: int) -> tuple[int, int]:
    """Return the middle (x) and the top (y) of the box in a lane at a rank."""
    return MARGIN + lane * ACROSS + ACROSS // 2, MARGIN + TITLE_HEIGHT + rank * DOWN


def draw_edge(
    ranks: Sequence[int], lanes: Sequence[int], source: int, reader: int, lane: int
) -> str:
    """Return the path from a box down to one that reads it, past the ranks between in `lane`."""
    x, y = locate_box(lanes[source], ranks[source])
    end_x, end_y = locate_box(lanes[reader], ranks[reader])
    points = [(x, y + BOX_HEIGHT)]
    if ranks[reader] - ranks[source] > 1:
        middle, top = locate_box(lane, ranks[source] + 1)
        points += [(middle, top), (middle, end_y - DOWN + BOX_HEIGHT)]
    points.append((end_x, end_y))
    path = f"M{points[0][0]} {points[0][1]}"
    for (left, upper), (right, lower) in itertools.pairwise(points):
        half = (upper + lower) / 2
        path += f" V{lower}" if left == right else f" C{left} {half} {right} {half} {right} {lower}"
    return f'<path d="{path}"/>'


def draw_box(row: Any, lane: int, rank: int) -> str:
    """Return the box of a row: what it does, what it puts out, and its parameters."""
    x, y = locate_box(lane, rank)
    what = row.what if len(row.what) <= LETTERS else f"{row.what[: LETTERS - 1]}…"
    size = "×".join(map(str, row.output))
    small = f"{size}, {row.parameters:,} parameters" if row.parameters else size
    name = html.escape(f"{row.layer}: {row.what}")
    return (
        f'<g><title>{name}</title><rect class="{classify_layer(row.kind)}" x="{x - BOX_WIDTH // 2}"'
        f' y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="4"/>'
        f'<text x="{x}" y="{y + 15}">{html.escape(what)}</text>'
        f'<text class="small" x="{x}" y="{y + 27}">{small}</text></g>'
    )
