"""Escape and shorten names of classes, folders and runs for plotly's figures.

Such names may contain anything, and must be shown letter by letter. But plotly reads HTML in every
label and %{…} in hover texts, and the script of our pages takes a text such as $accent for a colour
of the style sheet.
"""

import html
from collections.abc import Sequence

MAX_NAME_LENGTH = 24  # letters of a name on an axis


def escape_for_plotly(name: str) -> str:
    """Return a text that plotly shows as `name`, letter by letter."""
    text = html.escape(" ".join(name.split()), quote=False).replace("%{", "%&#123;")
    return f"&#36;{text[1:]}" if text.startswith("$") else text


def make_axis_names(names: Sequence[str]) -> list[str]:
    """Return names for an axis, escaped, shortened, and numbered where two would be the same."""
    short = [shorten_name(name) for name in names]
    repeated = {name for name in short if short.count(name) > 1}
    numbered = (f"{name} #{n}" if name in repeated else name for n, name in enumerate(short))
    return [escape_for_plotly(name) for name in numbered]


def shorten_name(name: str, longest: int = MAX_NAME_LENGTH) -> str:
    """Return a name of at most `longest` letters; a longer one loses its middle."""
    if len(name) <= longest:
        return name
    end = longest // 3
    return f"{name[: longest - end - 1]}…{name[-end:]}"
