"""A checkpoint is what was known when it was asked for, whatever training does meanwhile."""

import threading

from cnntrain.runs.checkpoint import load_checkpoint
from cnntrain.runs.directory import Run
from cnntrain.training.checkpointing import Checkpoints


def test_facts_are_those_of_the_moment_of_saving(spec, tmp_path):
    run, phases, go_on = Run(tmp_path), [0], threading.Event()
    checkpoints = Checkpoints(run, spec().checkpoint, print, writes=True)
    with checkpoints.write_in_background():
        checkpoints.writer.submit(go_on.wait)  # as if best.keras took long
        checkpoints.save({}, {"scale": 1.0, "offset": 0.0}, {"decided": {"phases": phases}})
        phases.append(5)  # the next phase begins
        go_on.set()
    assert load_checkpoint(run.state).facts["decided"]["phases"] == [0]
