"""One life of a run: TensorFlow is loaded, the spec trained, and how it ended written down."""

import signal
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Any

import psutil
import yaml
from rich.console import Console as RichConsole

from cnntrain.compose import compose
from cnntrain.errors import Failure, SpecError
from cnntrain.runs import Run, trained
from cnntrain.signals import INTERRUPTED, TERMINATED, Terminated, terminate
from cnntrain.spec import Spec, spec


def train(overrides: Sequence[str], config_dir: str | None, show_only: str | None = None) -> int:
    """Check the request, claim a directory, train, and say what came out."""
    composed = compose(overrides, config_dir)
    checked = spec(composed.config)
    if show_only:
        print(yaml.safe_dump(composed.config, sort_keys=False), end="")
        return 0
    if (init_from := checked.model["init_from"]) is not None:
        trained(init_from)
    run = Run.claim(composed.run_dir, composed.config, overrides)
    try:
        return bring_to_an_end(checked, run)
    except SpecError:
        run.discard()
        raise


def bring_to_an_end(checked: Spec, run: Run) -> int:
    """Train, and record how it ended; return the exit code."""
    signal.signal(signal.SIGTERM, terminate)
    try:
        report = start(checked, run)
        run.finish("finished", seconds=report["seconds"])
        draw(run)
        return 0
    except SpecError:
        raise
    except (KeyboardInterrupt, Terminated) as error:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # let it be written down
        run.say("interrupted")
        run.finish("interrupted")
        on = "goes on" if any(run.state.glob("*.state")) else "begins it again"
        print(f"Interrupted; cnntrain resume {run.folder} {on}.", file=sys.stderr)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else TERMINATED
    except Failure as error:
        run.say(f"failed: {error}")
        run.finish("failed", error=str(error).partition("\n")[0])
        draw(run)
        print(f"Failed: {error}", file=sys.stderr)
        return 1
    except BaseException as error:
        run.say(traceback.format_exc())
        run.finish("failed", error=f"{type(error).__name__}: {error}")
        traceback.print_exc()
        print(f"\nFailed; the traceback is also in {run.log}", file=sys.stderr)
        return 1


def draw(run: Run) -> None:
    """Write the page of a run that has ended; what goes wrong with it is said, and no more."""
    try:
        from cnntrain.run_page import write

        write(run.folder)
    except (Exception, KeyboardInterrupt, Terminated) as error:
        line = f"report.html is missing: {error!r}; cnntrain report {run.folder} makes it again"
        run.say(line)
        print(line, file=sys.stderr)


def start(checked: Spec, run: Run) -> dict[str, Any]:
    """Load TensorFlow, without its chatter, train and show the result."""
    from cnntrain.console import Console
    from cnntrain.quiet import quiet

    with quiet():
        from cnntrain.trainer import train as train_spec

    terminal = RichConsole()
    with Console(run, checked, terminal) as console:
        report = train_spec(checked, run, console)
    console.results(report)
    total = time.time() - psutil.Process().create_time()
    speed = report["images_per_second"]
    console.note(
        f"{total:.1f} s in all, {speed:,.0f} images/s in training; results in {run.folder}"
    )
    return report
