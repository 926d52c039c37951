"""Draw a curve as a few lines of text, for a terminal.

This needs only one filled curve, for which a package such as plotext would be one dependency more.
"""

from collections.abc import Sequence

BLOCKS = " ▁▂▃▄▅▆▇█"
WIDTH, HEIGHT = 60, 5  # characters


def draw_text_chart(
    points: Sequence[tuple[int, float]], end: int, axis: tuple[str, str, str] | None = None
) -> str:
    """Return the curve through points (step, value) up to the step `end`, filled, with its scales.

    Values are 0 or more. `axis` has the name of the lower scale and what stands at its two ends,
    for a curve over something else than steps.
    """
    top = max(value for _, value in points)
    columns = [value / top if top else 0.0 for value in sample_columns(points, end)]
    lines = []
    for row in reversed(range(HEIGHT)):
        cells = [BLOCKS[round(8 * min(1.0, max(0.0, HEIGHT * c - row)))] for c in columns]
        scale = f"{top:.2g}" if row == HEIGHT - 1 else "0" if row == 0 else ""
        lines.append(f"{scale:>9} │{''.join(cells).rstrip()}")
    name, first, last = axis or ("step", "0", f"{end:,}")
    lines.append(f"{name:>9} └{first}{last:─>{WIDTH - len(first)}}")
    return "\n".join(lines)


def sample_columns(points: Sequence[tuple[int, float]], end: int) -> list[float]:
    """Return the value at the middle of each column: that of the last point before it."""
    values, last = [], 0
    for column in range(WIDTH):
        step = (column + 0.5) * end / WIDTH
        while last + 1 < len(points) and points[last + 1][0] <= step:
            last += 1
        values.append(points[last][1])
    return values
