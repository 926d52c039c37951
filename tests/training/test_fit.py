"""What a fit plans before it begins, and what it says when memory is gone."""

import numpy as np
import pytest

from cnntrain.errors import OutOfMemory, SpecError
from cnntrain.runs.checkpoint import Checkpoint
from cnntrain.runs.directory import Run
from cnntrain.training.checkpointing import check_resumable
from cnntrain.training.finetune import Phase
from cnntrain.training.fit import compute_chance_loss, explain_lack_of_memory
from cnntrain.training.networks.build import count_activations
from cnntrain.training.phases import count_phase_steps


def test_chance_loss_of_balanced_classes_is_the_log_of_their_number():
    assert compute_chance_loss(np.arange(50) % 5) == pytest.approx(np.log(5))
    assert compute_chance_loss(np.array([1, 1, 1, 4])) == pytest.approx(0.5623351)


def test_last_phase_takes_the_steps_that_are_left():
    first, second = Phase(frozenset(), epochs=2), Phase(frozenset())
    assert count_phase_steps([second], 10, 73) == [73]
    assert count_phase_steps([first, second], 10, 73) == [20, 53]
    assert count_phase_steps([first, second], 10, 15) == [15, 0]


def test_lack_of_memory_is_answered_with_the_batch_and_what_helps(spec):
    import tensorflow as tf

    checked = spec("batch_size=512", "accumulate=2")
    network = checked.model((28, 28, 1), 10)
    with pytest.raises(OutOfMemory) as answer, explain_lack_of_memory(checked, network):
        tf.zeros((2**44,)) + 1  # as real as it gets: more than any machine has
    assert "a batch of 256 images makes" in str(answer.value)
    assert "accumulate=4" in str(answer.value)
    assert "batch_size=256" in str(answer.value)


def test_activations_are_the_outputs_of_all_layers(spec):
    maps = [28 * 28, 24 * 24 * 6, 12 * 12 * 6, 8 * 8 * 16, 4 * 4 * 16, 256, 120, 84, 10]
    assert count_activations(spec().model((28, 28, 1), 10)) == sum(maps)


@pytest.mark.parametrize(
    "facts",
    [{}, {"loop": 5}, {"decides": {}, "loop": {}, "best": {}, "patience": {}, "plateau": {},
                       "tables": {"history.csv": -1}}],
)  # fmt: skip
def test_checkpoint_without_required_facts_is_refused(tmp_path, facts):
    run = Run(tmp_path)
    with pytest.raises(SpecError, match="state cannot be used"):
        check_resumable(None, run, None, Checkpoint({"a": np.zeros(1)}, facts), 10)
