"""One life of a run: TensorFlow is loaded, the spec trained, and how it ended written down."""

import contextlib
import importlib.util
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import yaml
from rich.console import Console as RichConsole

from cnntrain.errors import Failure, SpecError
from cnntrain.files.writing import UNFINISHED_PREFIX, find_disk_failure
from cnntrain.planning.batch_size import build_provisional_spec, resolve_batch_size
from cnntrain.runs.directory import Run
from cnntrain.runs.strangers import find_trained_weights
from cnntrain.signals import INTERRUPTED, TERMINATED, Terminated, raise_terminated
from cnntrain.spec.compose import compose_config
from cnntrain.spec.contradictions import check_replica_batches
from cnntrain.spec.places import check_data_paths
from cnntrain.spec.signatures import build_component
from cnntrain.spec.spec import Spec
from cnntrain.terminal.units import format_duration
from cnntrain.training.devices.backend import check_backend_support
from cnntrain.training.devices.cluster import find_cluster

NOT_COPIED = shutil.ignore_patterns("lock", f"{UNFINISHED_PREFIX}*")


def train_from_overrides(
    overrides: Sequence[str], config_dir: str | None, show_only: str | None = None
) -> int:
    """Check the request, claim a directory, train, and say what came out."""
    composed = compose_config(overrides, config_dir)
    checked = build_provisional_spec(composed.config)
    if show_only:
        print(yaml.safe_dump(composed.config, sort_keys=False), end="")
        return 0
    check_machine(checked)
    config, checked, note = resolve_batch_size(composed.config, checked, config_dir)
    workers = find_cluster(checked.distribution)
    if workers is not None:
        check_replica_batches(checked, len(workers.workers))
        if not workers.is_chief:
            return train_as_worker(checked, None)
    run = Run.claim(composed.run_dir, config, overrides, composed.choices)
    if note:
        run.log_line(note)
        print(note)
    try:
        return train_and_record_end(checked, run)
    except SpecError:
        run.discard()
        raise


def check_machine(checked: Spec) -> None:
    """Refuse what a spec needs and this machine lacks: weights, a backend, a tracker's package."""
    if checked.init_from is not None:
        find_trained_weights(checked.init_from)
    check_data_paths(checked.config)
    check_backend_support(checked)
    check_tracker(checked)


def check_tracker(checked: Spec) -> None:
    """Refuse a tracker whose package, which has its name, is not installed."""
    name = checked.tracking.name
    if name not in ("auto", "none") and importlib.util.find_spec(name) is None:
        raise SpecError(
            f"tracking is {name}, which is not installed",
            f"the package {name}",
            f"pip install 'cnntrain[{name}]'",
        )


def train_as_worker(checked: Spec, run: Path | None) -> int:
    """Train as a worker that is not the chief; return the exit code.

    What it writes goes into a directory that nobody keeps; it goes on from a copy of the last
    checkpoint in `run`, the chief's.
    """
    untracked = replace(checked, tracking=build_component("tracking", {"name": "none"}))
    with tempfile.TemporaryDirectory() as folder:
        own = Run.claim(Path(folder) / "run", checked.config, [])
        if run is not None:
            shutil.copytree(run / "state", own.state, dirs_exist_ok=True, ignore=NOT_COPIED)
            for table in run.glob("*.csv"):
                shutil.copy(table, own.folder)
            if (run / "refit").is_dir():
                shutil.copytree(run / "refit", own.folder / "refit", ignore=NOT_COPIED)
        try:
            return train_and_record_end(untracked, own, "RUN")
        finally:
            own.lock.release()


def train_and_record_end(checked: Spec, run: Run, shown: str | None = None) -> int:
    """Train, and record how it ended; return the exit code. `shown` stands for the directory."""
    signal.signal(signal.SIGTERM, raise_terminated)
    try:
        train_and_show(checked, run)
        return 0
    except SpecError:
        raise
    except (KeyboardInterrupt, Terminated) as error:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # let it be written down
        record_run_end(run, "interrupted", "interrupted")
        print(f"Interrupted; {format_resume_command(run, shown)}.", file=sys.stderr)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else TERMINATED
    except Failure as error:
        kind = type(error).__name__
        first = str(error).partition("\n")[0]
        record_run_end(run, f"failed: {error}", "failed", error=first, kind=kind)
        write_run_page(run)
        print(f"Failed: {error}", file=sys.stderr)
        return 1
    except BaseException as error:
        if (why := find_disk_failure(error)) is not None:
            line = f"{why} below {run.folder}"
            record_run_end(run, f"failed: {line}", "failed", error=line)
            print(f"Failed: {line}; {format_resume_command(run, shown)}.", file=sys.stderr)
            return 1
        said = f"{type(error).__name__}: {error}"
        record_run_end(run, traceback.format_exc(), "failed", error=said)
        traceback.print_exc()
        if shown is None:
            print(f"\nFailed; the traceback is also in {run.log}", file=sys.stderr)
        return 1


def record_run_end(run: Run, line: str, status: str, **values: Any) -> None:
    """Record how a run ended, as far as the disk lets it: one that is full may be the reason."""
    try:
        run.record_end(status, **values)
    except OSError:
        run.record_end_in_place(status, **values)
    with contextlib.suppress(OSError):
        run.log_line(line)


def format_resume_command(run: Run, shown: str | None) -> str:
    """The command that goes on with a run, and what it will do."""
    on = "goes on" if any(run.state.glob("*.state")) else "begins it again"
    on = "goes on, started for every worker" if shown else on
    return f"{shlex.join(['cnntrain', 'resume', str(shown or run.folder)])} {on}"


def write_run_page(run: Run) -> None:
    """Write the page of a run that has ended; what goes wrong with it is said and logged."""
    try:
        from cnntrain.reports.run_page import write_run_report

        write_run_report(run.folder)
    except (Exception, KeyboardInterrupt, Terminated) as error:
        line = f"report.html is missing: {error!r}; cnntrain report {run.folder} makes it again"
        run.log_line(f"{line}\n{traceback.format_exc()}")
        print(line, file=sys.stderr)


def train_and_show(checked: Spec, run: Run) -> None:
    """Load TensorFlow, without its chatter, train, and show what came out: a chief does."""
    from cnntrain.running.progress import RunConsole
    from cnntrain.terminal.stderr import silence_stderr

    with silence_stderr():
        from cnntrain.training.tracking import TrackedProgress
        from cnntrain.training.trainer import train_run as train_spec

    terminal = RichConsole()
    with RunConsole(run, checked, terminal) as console:
        tracked = TrackedProgress(console, run, checked)
        try:
            report = train_spec(checked, run, tracked)
        except (KeyboardInterrupt, Terminated):
            tracked.end_tracking("interrupted")
            raise
        except BaseException:
            tracked.end_tracking("failed")
            raise
        if report is None:
            return
        run.record_end("finished", seconds=report["seconds"])
        write_run_page(run)
        tracked.end_tracking("finished", report)
    console.show_results(report)
    total = format_duration(time.time() - psutil.Process().create_time())
    speed = report["images_per_second"]
    above = " above features that were computed once" if report["features_once"] else ""
    console.note(
        f"{total} in all, {speed:,.0f} images/s in training{above}; results in {run.folder}"
    )
