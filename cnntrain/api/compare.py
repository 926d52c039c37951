"""Runs side by side, and sweeps, from a Python program."""

import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from cnntrain.api.process import run_worker
from cnntrain.api.python_values import collect_overrides
from cnntrain.api.rendering import (
    format_html_lines,
    make_table,
    render_table_as_html,
)
from cnntrain.api.run import Run
from cnntrain.api.views import choose_view
from cnntrain.errors import Failure, SpecError
from cnntrain.reports.comparisons.comparison import Comparison, compare_runs
from cnntrain.reports.comparisons.comparison_tables import build_group_table, render_comparison
from cnntrain.runs.results import RunResult, gather_results
from cnntrain.spec.metrics import rank_by
from cnntrain.terminal.tables import PIPE_WIDTH, render_as_text


def compare(*runs: "Run | str | PathLike[str]", sort: str | None = None) -> "RunComparison":
    """Return runs, and the jobs of sweeps, side by side, the best first.

    `runs` are runs, or directories of runs and sweeps. `sort` is a number such as `test.accuracy`;
    by default what most runs monitor. Raises SpecError for fewer than two runs.
    """
    paths = [Path(run) for run in runs]
    if not paths:
        raise SpecError("no run is given", "runs, or directories of runs and sweeps")
    results = gather_results(paths)
    if len(results) < 2:
        raise SpecError(f"{paths[0]} is one run", "two runs or more, or a sweep")
    return RunComparison(compare_runs(results, sort))


def sweep(
    *words: str,
    axes: Mapping[str, Sequence[Any]] | None = None,
    folder: "str | PathLike[str] | None" = None,
    config_dir: "str | PathLike[str] | None" = None,
    verbose: bool = True,
    **settings: Any,
) -> "RunComparison":
    """Train every combination of the values of `axes`, as `cnntrain -m` does; return the runs.

    `sweep(model="mlp_256_128", axes={"seed": range(3), "initializer": ["zeros", "he_normal"]})`.
    Words may name several values, too: `sweep("seed=0,1,2")`. `folder` is the directory of the
    sweep. A job that fails harms no other; the table says why. Raises SpecError for a mistake in
    any job, before the first begins, and Interrupted after Ctrl-C.
    """
    own = {} if folder is None else {"hydra.sweep.dir": folder}
    overrides = collect_overrides(words, settings | own, axes or {})
    flags = [] if config_dir is None else ["--config-dir", str(config_dir)]
    worker = run_worker(["train", "-m", *flags, *overrides], choose_view(verbose))
    if worker.folder is None:
        raise Failure("\n".join(["no sweep came of it", *worker.lines[-5:]]))
    return RunComparison(compare_runs(gather_results([worker.folder]), None), worker.folder)


class RunComparison:
    """Runs side by side, sorted by a number, the best first. `folder` is that of a sweep."""

    def __init__(self, comparison: Comparison, folder: Path | None = None):
        self.comparison, self.folder = comparison, folder

    @property
    def table(self) -> Any:
        """A DataFrame with a row a run: status, settings that differ, and numbers.

        Without pandas it is a list of dicts.
        """
        return make_table(self.comparison.list_rows())

    @property
    def runs(self) -> list[Run]:
        """The runs that have begun, in the order of the table."""
        folders = [result.folder for group in self.comparison.groups for result in group.results]
        return [Run(folder) for folder in folders if (folder / "run.json").is_file()]

    @property
    def best(self) -> Run:
        """The best finished run of the best settings that have one; SpecError if there is none."""
        metric = self.comparison.sorted_by

        def rank_run(result: RunResult) -> tuple[float, float]:
            numbers = result.numbers
            return rank_by(metric, numbers) if metric in numbers else (math.inf, 0)

        for group in self.comparison.groups:
            if finished := [run for run in group.results if run.status == "finished"]:
                return Run(min(finished, key=rank_run).folder)
        raise SpecError("no run has finished", "one that has")

    @property
    def sentences(self) -> list[str]:
        """What a test says of the best runs and each of the others: better, or tied."""
        return self.comparison.describe_contrasts()

    def __len__(self) -> int:
        return len(self.comparison.results)

    def __repr__(self) -> str:
        shown = render_comparison(self.comparison, PIPE_WIDTH, differences=True)
        return render_as_text(shown).strip("\n")

    def _repr_html_(self) -> str:
        table = render_table_as_html(build_group_table(self.comparison, PIPE_WIDTH))
        return table + format_html_lines(self.sentences)
