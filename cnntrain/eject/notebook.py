"""A script as a Jupyter notebook: a cell of text and one of code for each part."""

import json
from typing import Any

from cnntrain.eject.script import Script


def format_notebook(script: Script) -> str:
    """Return the text of a notebook (nbformat 4.5) with the parts of a script."""
    cells = [make_cell("markdown", "\n\n".join(script.introduction))]
    for title, lines in script.parts:
        if title:
            cells.append(make_cell("markdown", f"## {title}"))
        cells.append(make_cell("code", "\n".join(lines).strip("\n")))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def make_cell(kind: str, text: str) -> dict[str, Any]:
    outputs: dict[str, Any] = {"outputs": [], "execution_count": None} if kind == "code" else {}
    return {"cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True), **outputs}
