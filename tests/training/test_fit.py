"""What a fit plans before it begins, and what it says when memory is gone."""

import numpy as np
import pytest

from cnntrain.data.source import Examples
from cnntrain.errors import OutOfMemory, SpecError
from cnntrain.runs.checkpoint import Checkpoint
from cnntrain.runs.directory import Run
from cnntrain.training.checkpointing import check_resumable
from cnntrain.training.devices.one_device import Devices
from cnntrain.training.devices.setup import choose_pipeline
from cnntrain.training.finetune import Phase
from cnntrain.training.fit import explain_lack_of_memory, prepare_fit
from cnntrain.training.losses import compute_chance_loss
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


@pytest.mark.slow  # TensorFlow tries for ten seconds
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


def choose(spec, *words, **devices):
    """Choose where batches of images in memory are made, by devices with these attributes."""
    images = np.zeros((10, 4, 4, 1), np.uint8)
    known = Devices(**devices)
    return choose_pipeline(spec(*words), Examples(images, np.zeros(10, np.int32)), known)


def test_images_live_on_a_gpu_where_they_fit_and_the_augmentation_can_run_there(spec, monkeypatch):
    assert choose(spec) == ("host", "on a CPU that is faster")
    assert choose(spec, is_gpu=True) == ("device", "the images fit on the GPU")
    assert choose(spec, "pipeline=host", is_gpu=True) == ("host", "as asked for")
    assert choose(spec, "pipeline=device") == ("device", "as asked for")
    assert "noise" in choose(spec, "augmentation=noise", is_gpu=True)[1]
    assert choose(spec, is_gpu=True, replicas=2)[0] == "host"
    mirrored = ("distribution=mirrored", "distribution.logical_cpus=1")
    assert choose(spec, *mirrored)[1] == "several devices share each batch"
    monkeypatch.setattr("cnntrain.training.devices.setup.MAX_RESIDENT_BYTES", 100)
    assert "take more than" in choose(spec, is_gpu=True)[1]


def test_device_that_cannot_make_the_batches_is_refused(spec):
    with pytest.raises(SpecError, match="augmentation=noise") as refusal:
        choose(spec, "pipeline=device", "augmentation=noise")
    assert "pipeline=auto" in str(refusal.value)


def test_two_damaged_checkpoints_are_answered(spec, tmp_path, silent):
    run = Run(tmp_path)
    run.state.mkdir()
    for name in ("last.state", "previous.state"):
        (run.state / name).write_bytes(b"damaged")
    checked = spec("dataset.limit=64")
    splits = checked.dataset(tmp_path, None)
    with pytest.raises(SpecError, match="is whole"):
        prepare_fit(checked, run, splits, silent())
