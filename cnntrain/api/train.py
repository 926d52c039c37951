"""Train and resume runs from a Python program, each in a process of its own or in this one."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from cnntrain.api.process import check_training, run_worker
from cnntrain.api.python_values import collect_overrides
from cnntrain.api.run import Run
from cnntrain.api.views import choose_view


def train(
    *words: str,
    folder: "str | PathLike[str] | None" = None,
    config_dir: "str | PathLike[str] | None" = None,
    in_process: bool = False,
    verbose: bool = True,
    **settings: Any,
) -> Run:
    """Train what words and settings say, as the command `cnntrain` does, and return the run.

    `train("model=vgg16", dataset="cifar10", epochs=30, optimizer={"learning_rate": 0.1})`. A dict
    has the knobs of an option. `folder` is the directory of the run, by default a new one below
    `outputs/`; `config_dir` is a folder with options of your own. Progress is a live table in a
    notebook, and a line an epoch elsewhere, unless `verbose` is False.

    The run trains in a process of its own. With `in_process` it trains in this one, and is refused
    where this process would change its numbers.

    Raises SpecError for a mistake, Failure for a run that cannot go on, and Interrupted, which is a
    KeyboardInterrupt, after Ctrl-C or a notebook's interrupt button; then a checkpoint is saved.
    """
    own = {} if folder is None else {"hydra.run.dir": folder}
    overrides = collect_overrides(words, settings | own)
    view = choose_view(verbose)
    where = None if config_dir is None else str(config_dir)
    if in_process:
        from cnntrain.api.this_process import train_in_this_process

        return Run(train_in_this_process(overrides, where, view))
    flags = [] if where is None else ["--config-dir", where]
    return Run(check_training(run_worker(["train", *flags, *overrides], view)))


def resume_run(folder: Path, overrides: Sequence[str], *, in_process: bool, verbose: bool) -> None:
    """Go on with the run in a directory; raise what `train` raises."""
    view = choose_view(verbose)
    if in_process:
        from cnntrain.api.this_process import resume_in_this_process

        resume_in_this_process(folder, overrides, view)
        return
    check_training(run_worker(["resume", str(folder), *overrides], view, folder))
