"""`cnntrain resume RUN`: continue a run or a sweep exactly where it stopped."""

import shlex
from collections.abc import Sequence

from cnntrain.cli.parser import make_parser
from cnntrain.errors import SpecError
from cnntrain.files.paths import expand_user_path
from cnntrain.running.run import resume_from_overrides
from cnntrain.sweeps.directory import Sweep


def main(words: Sequence[str]) -> int:
    """`cnntrain resume RUN [epochs=N ...]`: continue a run or a sweep; return the exit code."""
    parser = make_parser("resume")
    parser.add_argument("run", nargs="?")
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_intermixed_args(words)
    if arguments.help:
        print("usage: cnntrain resume RUN [epochs=N] [max_steps=N] [replan=true]")
        print("       cnntrain resume SWEEP [sweep.jobs=N] [hydra.sweeper.n_trials=N]")
        return 0
    if arguments.run is None:
        raise SpecError("no run is named", "the directory of a run", "cnntrain resume outputs/…")
    if more := [word for word in arguments.overrides if "=" not in word]:
        again = shlex.join(["cnntrain", "resume", more[0]])
        raise SpecError(f"{more[0]!r} follows a run and is no setting", "key=value", again)
    folder = expand_user_path(arguments.run)
    if Sweep(folder).plan_file.is_file():
        from cnntrain.sweeps.sweep import resume_sweep

        return resume_sweep(folder, arguments.overrides)
    return resume_from_overrides(arguments.run, arguments.overrides)
