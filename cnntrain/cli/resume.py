"""`cnntrain resume RUN`: go on exactly where a run, or a sweep, stopped."""

import shlex
from collections.abc import Sequence

from cnntrain.cli.parser import arguments
from cnntrain.errors import SpecError
from cnntrain.files.paths import user_path
from cnntrain.running.resume import assistant, longer, reopened
from cnntrain.running.run import assist, bring_to_an_end
from cnntrain.runs.directory import Run
from cnntrain.runs.strangers import found as find_run
from cnntrain.sweeps.directory import Sweep


def main(words: Sequence[str]) -> int:
    """`cnntrain resume RUN [epochs=N ...]`: go on exactly where a run, or a sweep, stopped."""
    parser = arguments("resume")
    parser.add_argument("run", nargs="?")
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_intermixed_args(words)
    if given.help:
        print("usage: cnntrain resume RUN [epochs=N] [max_steps=N] [schedule.stretch=true]")
        print("       cnntrain resume SWEEP [sweep.jobs=N] [hydra.sweeper.n_trials=N]")
        return 0
    if given.run is None:
        raise SpecError("no run is named", "the directory of a run", "cnntrain resume outputs/…")
    if more := [word for word in given.overrides if "=" not in word]:
        again = shlex.join(["cnntrain", "resume", more[0]])
        raise SpecError(f"{more[0]!r} follows a run and is no setting", "key=value", again)
    folder = user_path(given.run)
    if Sweep(folder).file.is_file():
        from cnntrain.sweeps.sweep import resume

        return resume(folder, given.overrides)
    folder = find_run(given.run)
    if (checked := assistant(folder, given.overrides)) is not None:
        if Run(folder).read().get("status") == "finished" and not longer(given.overrides):
            print(f"{folder} is finished; epochs=N goes on beyond")
            return 0
        return assist(checked, folder)
    checked, run, notes = reopened(folder, given.overrides)
    for note in notes:
        print(note)
    if run.read()["status"] == "finished":
        return 0
    try:
        return bring_to_an_end(checked, run)
    except SpecError:
        run.put_back()
        raise
