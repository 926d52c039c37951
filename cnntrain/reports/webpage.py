"""Write pages that need no other file: template, style and plotly are in one, nothing is fetched.

plotly's script is 4.8 MB. The page contains it compressed to 2.0 MB, and the browser unpacks it.
"""

import base64
import functools
import gzip
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from plotly.offline import get_plotlyjs

from cnntrain import __version__
from cnntrain.files.writing import write_whole

PAGES = files("cnntrain.reports") / "pages"


def write_page(file: Path, template: str, context: dict[str, Any]) -> None:
    """Fill a template of `pages/` with the variables in `context`, and write it whole."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cnntrain.reports", "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template).render(
        version=__version__,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        style=(PAGES / "style.css").read_text(encoding="utf-8"),
        script=(PAGES / "charts.js").read_text(encoding="utf-8"),
        plotly=pack_plotly,  # a function, so that pages without charts do not compress it
        **context,
    )
    write_whole(file, page)


@functools.cache
def pack_plotly() -> str:
    """Return plotly's script, compressed with gzip, as base64 text."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()
