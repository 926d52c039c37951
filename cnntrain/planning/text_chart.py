"""A curve as a few lines of text, for a terminal.

By hand: one filled curve is all that is drawn, and plotext would be one more compiled package.
"""

from collections.abc import Sequence

BLOCKS = " ▁▂▃▄▅▆▇█"
WIDTH, HEIGHT = 60, 5  # characters


def draw_text_chart(points: Sequence[tuple[int, float]], end: int) -> str:
    """Return the curve through points (step, value from 0 up), filled below, with its scales."""
    top = max(value for _, value in points)
    columns = [value / top if top else 0.0 for value in sample_columns(points, end)]
    lines = []
    for row in reversed(range(HEIGHT)):
        cells = [BLOCKS[round(8 * min(1.0, max(0.0, HEIGHT * c - row)))] for c in columns]
        scale = f"{top:.2g}" if row == HEIGHT - 1 else "0" if row == 0 else ""
        lines.append(f"{scale:>9} │{''.join(cells).rstrip()}")
    lines.append(f"{'step':>9} └0{end:─>{WIDTH - 1},}")
    return "\n".join(lines)


def sample_columns(points: Sequence[tuple[int, float]], end: int) -> list[float]:
    """The value at the middle of each column: that of the last point before it."""
    values, at = [], 0
    for column in range(WIDTH):
        step = (column + 0.5) * end / WIDTH
        while at + 1 < len(points) and points[at + 1][0] <= step:
            at += 1
        values.append(points[at][1])
    return values
