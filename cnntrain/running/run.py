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
from cnntrain.files.writing import UNFINISHED, disk_failure
from cnntrain.planning.batch_size import provisional, settled
from cnntrain.runs.directory import Run
from cnntrain.runs.strangers import trained
from cnntrain.signals import INTERRUPTED, TERMINATED, Terminated, terminate
from cnntrain.spec.compose import compose
from cnntrain.spec.contradictions import parts_of_one_size
from cnntrain.spec.places import check_places
from cnntrain.spec.signatures import component
from cnntrain.spec.spec import Spec
from cnntrain.training.devices.backend import check_backend
from cnntrain.training.devices.cluster import cluster_of

NOT_COPIED = shutil.ignore_patterns("lock", f"{UNFINISHED}*")


def train(overrides: Sequence[str], config_dir: str | None, show_only: str | None = None) -> int:
    """Check the request, claim a directory, train, and say what came out."""
    composed = compose(overrides, config_dir)
    checked = provisional(composed.config)
    if show_only:
        print(yaml.safe_dump(composed.config, sort_keys=False), end="")
        return 0
    check_here(checked)
    config, checked, note = settled(composed.config, config_dir)
    workers = cluster_of(checked.distribution)
    if workers is not None:
        parts_of_one_size(checked, len(workers.workers))
        if not workers.is_chief:
            return assist(checked, None)
    run = Run.claim(composed.run_dir, config, overrides)
    if note:
        run.say(note)
        print(note)
    try:
        return bring_to_an_end(checked, run)
    except SpecError:
        run.discard()
        raise


def check_here(checked: Spec) -> None:
    """Refuse what a spec needs and this machine lacks: weights, a backend, a tracker's package."""
    if (init_from := checked.model["init_from"]) is not None:
        trained(init_from)
    check_places(checked.config)
    check_backend(checked)
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


def assist(checked: Spec, run: Path | None) -> int:
    """Train as a worker that is not the chief; return the exit code.

    What it writes goes into a directory that nobody keeps; it goes on from a copy of the last state
    in `run`, the chief's.
    """
    untracked = replace(checked, tracking=component("tracking", {"name": "none"}))
    with tempfile.TemporaryDirectory() as folder:
        own = Run.claim(Path(folder) / "run", checked.config, [])
        if run is not None:
            shutil.copytree(run / "state", own.state, dirs_exist_ok=True, ignore=NOT_COPIED)
            for table in run.glob("*.csv"):
                shutil.copy(table, own.folder)
            if (run / "refit").is_dir():
                shutil.copytree(run / "refit", own.folder / "refit", ignore=NOT_COPIED)
        try:
            return bring_to_an_end(untracked, own, "RUN")
        finally:
            own.lock.release()


def bring_to_an_end(checked: Spec, run: Run, shown: str | None = None) -> int:
    """Train, and record how it ended; return the exit code. `shown` stands for the directory."""
    signal.signal(signal.SIGTERM, terminate)
    try:
        start(checked, run)
        return 0
    except SpecError:
        raise
    except (KeyboardInterrupt, Terminated) as error:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # let it be written down
        write_down(run, "interrupted", "interrupted")
        print(f"Interrupted; {going_on(run, shown)}.", file=sys.stderr)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else TERMINATED
    except Failure as error:
        kind = type(error).__name__
        first = str(error).partition("\n")[0]
        write_down(run, f"failed: {error}", "failed", error=first, kind=kind)
        draw(run)
        print(f"Failed: {error}", file=sys.stderr)
        return 1
    except BaseException as error:
        if (why := disk_failure(error)) is not None:
            line = f"{why} below {run.folder}"
            write_down(run, f"failed: {line}", "failed", error=line)
            print(f"Failed: {line}; {going_on(run, shown)}.", file=sys.stderr)
            return 1
        said = f"{type(error).__name__}: {error}"
        write_down(run, traceback.format_exc(), "failed", error=said)
        traceback.print_exc()
        if shown is None:
            print(f"\nFailed; the traceback is also in {run.log}", file=sys.stderr)
        return 1


def write_down(run: Run, line: str, status: str, **values: Any) -> None:
    """Record how a run ended, as far as the disk lets it: one that is full may be the reason."""
    try:
        run.finish(status, **values)
    except OSError:
        run.finish_in_place(status, **values)
    with contextlib.suppress(OSError):
        run.say(line)


def going_on(run: Run, shown: str | None) -> str:
    """The command that goes on with a run, and what it will do."""
    on = "goes on" if any(run.state.glob("*.state")) else "begins it again"
    on = "goes on, started for every worker" if shown else on
    return f"{shlex.join(['cnntrain', 'resume', str(shown or run.folder)])} {on}"


def draw(run: Run) -> None:
    """Write the page of a run that has ended; what goes wrong with it is said, and no more."""
    try:
        from cnntrain.reports.run_page import write

        write(run.folder)
    except (Exception, KeyboardInterrupt, Terminated) as error:
        line = f"report.html is missing: {error!r}; cnntrain report {run.folder} makes it again"
        run.say(line)
        print(line, file=sys.stderr)


def start(checked: Spec, run: Run) -> None:
    """Load TensorFlow, without its chatter, train, and show what came out: a chief does."""
    from cnntrain.running.progress import Console
    from cnntrain.terminal.stderr import quiet

    with quiet():
        from cnntrain.training.tracking import Tracked
        from cnntrain.training.trainer import train as train_spec

    terminal = RichConsole()
    with Console(run, checked, terminal) as console:
        tracked = Tracked(console, run, checked)
        try:
            report = train_spec(checked, run, tracked)
        except (KeyboardInterrupt, Terminated):
            tracked.ended("interrupted")
            raise
        except BaseException:
            tracked.ended("failed")
            raise
        if report is None:
            return
        run.finish("finished", seconds=report["seconds"])
        draw(run)
        tracked.ended("finished", report)
    console.results(report)
    total = time.time() - psutil.Process().create_time()
    speed = report["images_per_second"]
    above = " above features that were computed once" if report["features_once"] else ""
    console.note(
        f"{total:.1f} s in all, {speed:,.0f} images/s in training{above}; results in {run.folder}"
    )
