"""Train a run from its overrides: load TensorFlow, train the spec, and record how it ended."""

import contextlib
import importlib.util
import shlex
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import yaml
from rich.console import Console as RichConsole

from cnntrain.data.load import load_source
from cnntrain.errors import DiskFailure, Failure, SpecError
from cnntrain.files.writing import UNFINISHED_PREFIX, find_disk_failure
from cnntrain.planning.auto_settings import resolve_auto_settings
from cnntrain.running.resume import (
    ResumedRun,
    is_other_worker,
    read_resumed_run,
    reopen_run,
)
from cnntrain.runs.directory import Run, claim_temporary_run
from cnntrain.runs.strangers import find_trained_weights
from cnntrain.signals import (
    INTERRUPTED,
    TERMINATED,
    Terminated,
    handle_interrupts,
    raise_terminated,
)
from cnntrain.spec.build import build_provisional_spec
from cnntrain.spec.compose import ComposedConfig, compose_config
from cnntrain.spec.contradictions import check_label_kind, check_replica_batches
from cnntrain.spec.places import check_data_paths, peek_several_labels
from cnntrain.spec.signatures import build_component
from cnntrain.spec.spec import Spec
from cnntrain.terminal.units import format_duration
from cnntrain.training.devices.backend import check_backend_support
from cnntrain.training.devices.cluster import find_cluster

if TYPE_CHECKING:
    from cnntrain.running.progress import RunView

NOT_COPIED = shutil.ignore_patterns("lock", f"{UNFINISHED_PREFIX}*")


def train_from_overrides(
    overrides: Sequence[str],
    config_dir: str | None,
    show_only: str | None = None,
    view: "RunView | None" = None,
) -> int:
    """Train a run: check its spec, claim its directory, train, and show results in a view.

    Returns the exit code. With `show_only`, the composed settings are printed instead. Raises
    SpecError for a mistake, and then leaves no directory.
    """
    composed = compose_config(overrides, config_dir)
    if show_only:
        build_provisional_spec(composed.config)
        print(yaml.safe_dump(composed.config, sort_keys=False), end="")
        return 0
    return train_composed(composed, overrides, config_dir, view)


def train_composed(
    composed: ComposedConfig,
    overrides: Sequence[str],
    config_dir: str | None,
    view: "RunView | None" = None,
) -> int:
    """Do what `train_from_overrides` does, with a configuration that its overrides composed."""
    spec = build_provisional_spec(composed.config)
    check_machine(spec)
    config, spec, notes = resolve_auto_settings(composed.config, spec, config_dir)
    workers = find_cluster(spec.distribution)
    if workers is not None:
        check_replica_batches(spec, len(workers.workers))
        if not workers.is_chief:
            return train_as_worker(spec, None)
    with claim_run(composed, config, overrides, notes) as run:
        return train_and_record_end(spec, run, view=view)


@contextlib.contextmanager
def claim_run(
    composed: ComposedConfig,
    config: Mapping[str, Any],
    overrides: Sequence[str],
    notes: Sequence[str],
    show: Callable[[str], None] = print,
) -> Iterator[Run]:
    """Claim the directory of a run with the configuration `config`, log and show notes on it.

    It stays locked during the block. If that raises SpecError, the directory is given back.
    """
    run = Run.claim(composed.run_dir, config, overrides, composed.choices)
    for note in notes:
        run.log_line(note)
        show(note)
    try:
        yield run
    except SpecError:
        run.discard()
        raise
    finally:
        run.lock.release()


def check_machine(spec: Spec) -> None:
    """Raise SpecError if this machine lacks what a spec needs: weights, data, backend, tracker."""
    if spec.init_from is not None:
        find_trained_weights(spec.init_from)
    check_data_paths(spec.config)
    if spec.dataset.name == "table":  # a mistake in a row is answered before TensorFlow loads
        load_source(spec)
    if (several := peek_several_labels(spec.config)) is not None:
        check_label_kind(spec, several)
    check_backend_support(spec)
    check_tracker(spec)


def check_tracker(spec: Spec) -> None:
    """Raise SpecError if the package of the tracker, which has its name, is not installed."""
    name = spec.tracking.name
    if name not in ("auto", "none") and importlib.util.find_spec(name) is None:
        raise SpecError(
            f"tracking is {name}, which is not installed",
            f"the package {name}",
            f"pip install 'cnntrain[{name}]'",
        )


def train_as_worker(spec: Spec, run: Path | None) -> int:
    """Train as a worker that is not the chief; return the exit code.

    It writes into a temporary directory. To resume, it copies the checkpoints of `run`, the
    directory of the chief.
    """
    untracked = replace(spec, tracking=build_component("tracking", {"name": "none"}))
    with claim_temporary_run(spec.config) as own:
        if run is not None:
            shutil.copytree(run / "state", own.state, dirs_exist_ok=True, ignore=NOT_COPIED)
            for table in run.glob("*.csv"):
                shutil.copy(table, own.folder)
            if (run / "refit").is_dir():
                shutil.copytree(run / "refit", own.folder / "refit", ignore=NOT_COPIED)
        return train_and_record_end(untracked, own, "RUN")


def resume_from_overrides(
    path: str, overrides: Sequence[str], view: "RunView | None" = None
) -> int:
    """Go on with the run in the directory `path`, and show it in a view; return the exit code.

    Raises SpecError if it cannot be resumed, or not with these settings.
    """
    resumed = read_resumed_run(path, overrides)
    if is_other_worker(resumed):
        record = resumed.run.read_run_json()
        if record.get("status") == "finished" and not resumed.has_more_to_train:
            print(f"{resumed.run.folder} is finished; epochs=N goes on beyond")
            return 0
        return train_as_worker(resumed.spec, resumed.run.folder)
    with restore_refused_run(resumed) as run:
        if run is None:
            return 0
        return train_and_record_end(resumed.spec, run, view=view)


@contextlib.contextmanager
def restore_refused_run(
    resumed: ResumedRun, show: Callable[[str], None] = print
) -> Iterator[Run | None]:
    """Reopen a run, and show notes on it; None if nothing is left to train.

    It stays locked during the block. If that raises SpecError, run.json and spec.yaml are restored.
    """
    run, notes = reopen_run(resumed)
    try:
        for note in notes:
            show(note)
        yield None if run.read_run_json()["status"] == "finished" else run
    except SpecError:
        run.restore_files()
        raise
    finally:
        run.lock.release()


def train_and_record_end(
    spec: Spec, run: Run, shown: str | None = None, view: "RunView | None" = None
) -> int:
    """Train, record how the run ended, and say so; return the exit code.

    Messages name the directory `shown` if it is given: that of a worker is temporary. Raises
    SpecError for a mistake that only training finds.
    """
    signal.signal(signal.SIGTERM, raise_terminated)
    try:
        with record_end(run):
            train_and_show(spec, run, view)
        return 0
    except SpecError:
        raise
    except (KeyboardInterrupt, Terminated) as error:
        print(f"Interrupted; {format_resume_command(run, shown)}.", file=sys.stderr)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else TERMINATED
    except DiskFailure as error:
        print(f"Failed: {error}; {format_resume_command(run, shown)}.", file=sys.stderr)
        return 1
    except Failure as error:
        print(f"Failed: {error}", file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        if shown is None:
            print(f"\nFailed; the traceback is also in {run.log}", file=sys.stderr)
        return 1


@contextlib.contextmanager
def record_end(run: Run) -> Iterator[None]:
    """Record in run.json and train.log how the training in the block ends, and let it raise.

    A disk that is full, or gone, raises DiskFailure. A refused spec is not recorded.
    """
    try:
        yield
    except SpecError:
        raise
    except (KeyboardInterrupt, Terminated):
        with handle_interrupts(signal.SIG_IGN):  # a second Ctrl-C must not stop the record
            record_run_end(run, "interrupted", "interrupted")
        raise
    except Failure as error:
        kind = type(error).__name__
        first = str(error).partition("\n")[0]
        record_run_end(run, f"failed: {error}", "failed", error=first, kind=kind)
        write_run_page(run)
        raise
    except BaseException as error:
        if (reason := find_disk_failure(error)) is not None:
            line = f"{reason} below {run.folder}"
            record_run_end(run, f"failed: {line}", "failed", error=line)
            raise DiskFailure(line) from error
        summary = f"{type(error).__name__}: {error}"
        record_run_end(run, traceback.format_exc(), "failed", error=summary)
        raise


def record_run_end(run: Run, line: str, status: str, **values: Any) -> None:
    """Record how a run ended in run.json and train.log, as far as a full disk allows."""
    try:
        run.record_end(status, **values)
    except OSError:
        run.record_end_in_place(status, **values)
    with contextlib.suppress(OSError):
        run.log_line(line)


def format_resume_command(run: Run, shown: str | None) -> str:
    """Return the command that resumes a run, and what it will do, as part of a sentence."""
    on = "goes on" if any(run.state.glob("*.state")) else "begins it again"
    on = "goes on, started for every worker" if shown else on
    return f"{shlex.join(['cnntrain', 'resume', str(shown or run.folder)])} {on}"


def write_run_page(run: Run) -> None:
    """Write the page of a run that has ended; an error is printed and logged, not raised."""
    try:
        from cnntrain.reports.run_page import write_run_report

        write_run_report(run.folder)
    except (Exception, KeyboardInterrupt, Terminated) as error:
        line = f"report.html is missing: {error!r}; cnntrain report {run.folder} makes it again"
        run.log_line(f"{line}\n{traceback.format_exc()}")
        print(line, file=sys.stderr)


def train_and_show(
    spec: Spec, run: Run, view: "RunView | None" = None, began: float | None = None
) -> None:
    """Load TensorFlow without its chatter, and train; the chief also shows the results.

    Without a `view` the terminal shows the run. `began` is the time in seconds since the epoch that
    the run is timed from; without it that is the begin of this process.
    """
    from cnntrain.data.decoders import start_decoders
    from cnntrain.running.progress import RunConsole, TerminalView
    from cnntrain.terminal.stderr import silence_stderr

    began = began or psutil.Process().create_time()
    view = view or TerminalView(RichConsole())
    view.begin_run(run.folder)
    start_decoders(spec)
    with silence_stderr():
        from cnntrain.running.tracking import TrackedProgress
        from cnntrain.training.trainer import train_run as train_spec

    with view:
        console = RunConsole(run, spec, view)
        tracked = TrackedProgress(console, run, spec)
        try:
            report = train_spec(spec, run, tracked, began)
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
        console.note(describe_speed(report, run))


def describe_speed(report: Mapping[str, Any], run: Run) -> str:
    """Return the last line of a run: its seconds, its rate, and where the results are."""
    total = format_duration(report["seconds"]["total"])
    speed = report["images_per_second"]
    above = " above features that were computed once" if report["features_once"] else ""
    return f"{total} in all, {speed:,.0f} images/s in training{above}; results in {run.folder}"
