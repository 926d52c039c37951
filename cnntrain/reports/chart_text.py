"""Names from outside in plotly's figures: shown letter by letter, and no longer than there is room.

plotly reads HTML in every label and %{…} in what is shown at hovering, and the script of our pages
takes a text such as $accent for a colour of the style sheet. Names of classes, folders and runs are
anyone's.
"""

import html
from collections.abc import Sequence

MAX_NAME_LENGTH = 24  # letters of a name on an axis


def escape_for_plotly(name: str) -> str:
    """A text that plotly shows as it is."""
    shown = html.escape(" ".join(name.split()), quote=False).replace("%{", "%&#123;")
    return f"&#36;{shown[1:]}" if shown.startswith("$") else shown


def make_axis_names(names: Sequence[str]) -> list[str]:
    """Names for an axis, each its own: those that are long lose their middle."""
    short = [shorten_name(name) for name in names]
    doubled = {name for name in short if short.count(name) > 1}
    numbered = (f"{s} #{n}" if s in doubled else s for n, s in enumerate(short))
    return [escape_for_plotly(name) for name in numbered]


def shorten_name(name: str, longest: int = MAX_NAME_LENGTH) -> str:
    """A name of at most so many letters, with its beginning and its end."""
    if len(name) <= longest:
        return name
    end = longest // 3
    return f"{name[: longest - end - 1]}…{name[-end:]}"
