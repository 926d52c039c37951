"""How good a network is, as `cnntrain evaluate --json` tells it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnntrain.api.process import run_worker
from cnntrain.api.rendering import format_html_lines, render_table_as_html
from cnntrain.errors import Failure
from cnntrain.inference.evaluate_report import build_class_table, format_summary
from cnntrain.running.progress import RunView
from cnntrain.terminal.tables import render_as_text


class Evaluation(dict[str, Any]):
    """The numbers of a network on a split: `accuracy`, `interval`, `loss`, `ece`, `classes`, …

    They have the names that `cnntrain evaluate --json` gives them.
    """

    def __repr__(self) -> str:
        table = render_as_text(build_class_table(self["classes"])).strip("\n")
        return "\n".join([*format_summary(self), "", table])

    def _repr_html_(self) -> str:
        table = render_table_as_html(build_class_table(self["classes"]))
        return format_html_lines(format_summary(self)) + table


def evaluate_run(folder: Path, words: Sequence[str]) -> Evaluation:
    """Return the evaluation of the run in a directory, made by a process of its own."""
    worker = run_worker(["evaluate", str(folder), *words, "--json"], RunView())
    found = next((line for line in reversed(worker.lines) if line.startswith("{")), None)
    if worker.code != 0 or found is None:
        raise Failure("\n".join(["the evaluation failed", *worker.lines[-5:]]))
    return Evaluation(json.loads(found))
