"""Sweeps: Hydra says which jobs there are, and each runs as a process of its own.

A job is the same command as a run alone, so it has the same weights bit for bit, and a job that
fails takes nothing with it.
"""

import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich import box
from rich.console import Console as RichConsole
from rich.markup import escape
from rich.table import Table

from cnntrain.batch_size import provisional
from cnntrain.catalogue import CONF
from cnntrain.compose import compose, jobs, swept
from cnntrain.errors import SpecError
from cnntrain.runs import Run
from cnntrain.signals import Signals


def sweep(overrides: Sequence[str], config_dir: str | None) -> int:
    """Check every job, run them one after the other, and show what came out.

    Returns 0, or 1 if a job failed. A mistake in any job is answered before the first begins.
    """
    planned = jobs(overrides, config_dir)
    for asked in planned:
        provisional(compose(asked, config_dir).config)
    folder = compose(planned[0], config_dir).sweep_dir
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SpecError(
            f"{folder} is not empty",
            "a directory of its own for every sweep",
            "leave hydra.sweep.dir out, or name a new one",
        )
    varied = swept(overrides)
    fixed = [word.partition("=")[0] for word in overrides if word.partition("=")[0] not in varied]
    search = ["--config-dir", str(Path(config_dir).absolute())] if config_dir else []
    codes: list[int] = []

    def job(_: DictConfig) -> float:
        """Run one job; return its best monitored value, for Hydra's optimising sweepers."""
        this = HydraConfig.get()
        asked, out = list(this.overrides.task), Path(this.runtime.output_dir)
        print(f"\n[{len(codes) + 1}/{len(planned)}] {' '.join(asked)}", flush=True)
        words = [*search, *asked, f"hydra.run.dir='{out}'"]
        codes.append(wait([sys.executable, "-m", "cnntrain", *words]))
        report = results(out)
        return report["monitor"]["best"] if report else math.nan

    sys.argv = ["cnntrain", "--multirun", *search, *overrides]
    sys.argv += [f"hydra.sweep.dir='{folder}'"]
    sys.argv += [f"hydra.job.config.override_dirname.exclude_keys=[{','.join(fixed)}]"]
    hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")(job)()
    RichConsole().print(table(folder, planned, varied))
    print(f"results in {folder}")
    return 1 if any(codes) else 0


def wait(command: list[str]) -> int:
    """Run a job to its end; Ctrl-C and SIGTERM are passed on, it stops cleanly, and so do we."""
    with Signals() as signals:
        process = subprocess.Popen(command, process_group=0)  # signals reach it through us, once
        forwarded = False
        try:
            while process.poll() is None:
                if signals.received is not None and not forwarded:
                    process.send_signal(signals.received)
                    forwarded = True
                time.sleep(0.1)
        finally:
            process.kill()  # a second Ctrl-C; otherwise it has ended
    signals.leave()
    return process.wait()


def results(folder: Path) -> dict[str, Any] | None:
    """The report of a job, or None if it has none."""
    report = Run(folder).report
    return json.loads(report.read_text(encoding="utf-8")) if report.is_file() else None


def table(folder: Path, planned: list[list[str]], varied: list[str]) -> Table:
    """A row a job: what was varied in it, how it ended, and its accuracies."""
    shown = Table(box=box.SIMPLE_HEAD)
    shown.add_column("job", justify="right")
    for key in varied:
        shown.add_column(escape(key))
    for heading in ("status", "valid accuracy", "test accuracy"):
        shown.add_column(heading, justify="left" if heading == "status" else "right")
    for number, asked in enumerate(planned):
        values = dict(word.partition("=")[::2] for word in asked)
        out = next(folder.glob(f"{number}_*"), folder)
        run = Run(out)
        status = run.read().get("status", "refused") if run.record.is_file() else "refused"
        report = results(out)
        scores = ["", ""]
        if report:
            weights = "best" if "best" in report["valid"] else "final"
            scores = [f"{report[part][weights]['accuracy']:.4f}" for part in ("valid", "test")]
        shown.add_row(str(number), *(escape(values[key]) for key in varied), status, *scores)
    return shown
