"""Runs whose images grow: the sizes that a network trains on, and that exactness is unharmed."""

import shutil
import signal

import keras
import numpy as np
import pytest

from cnntrain.errors import SpecError
from cnntrain.runs.checkpoint import load_checkpoint
from cnntrain.runs.directory import Run
from cnntrain.spec.compose import compose_config
from cnntrain.training.fit import prepare_fit
from cnntrain.training.train_step import TrainStep
from cnntrain.training.trainer import train_run
from helpers.run_files import read_rows

# Digits of 32x32 pixels, four steps an epoch; a network that ends in global pooling, with all that
# a step can hold.
GROWING = (
    "model=cnn_relu", "model.filters=[4,8]", "model.batch_norm=true", "model.head=average",
    "dataset.limit=64", "batch_size=16", "epochs=4", "log_every=1", "ema_decay=0.9",
    "augmentation=flip_crop", "image_sizes=[[20,1],[24,50%]]",
)  # fmt: skip
SPANS = "images of 20x20 pixels for 1 epoch, of 24x24 pixels for 1 epoch, then of 32x32"


@pytest.fixture(scope="module")
def grown(train_in, tmp_path_factory):
    """The run of GROWING, with its state after each epoch, and what it says."""
    folder, said = tmp_path_factory.mktemp("grown"), []
    return train_in(folder)(*GROWING, said=said)[0], said


def assert_same(run, expected):
    """Assert that two runs end with the same state, and have the same losses all along."""
    ours, theirs = load_checkpoint(run.state).arrays, load_checkpoint(expected.state).arrays
    assert ours.keys() == theirs.keys()
    assert [name for name, value in theirs.items() if not np.array_equal(value, ours[name])] == []
    for table, column in (("history.csv", "valid.loss"), ("steps.csv", "train.loss")):
        ours, theirs = ([row[column] for row in read_rows(r, table)] for r in (run, expected))
        assert ours == theirs


def test_images_grow_at_the_ends_of_epochs(train, monkeypatch):
    seen, run_block = [], TrainStep.run_block

    def watch(step, block):
        seen.extend([tuple(block["images"].shape[2:4])] * len(block["images"]))
        return run_block(step, block)

    monkeypatch.setattr(TrainStep, "run_block", watch)
    said = []
    _, report = train(*GROWING, "refit=true", said=said)
    sides = [20] * 4 + [24] * 4 + [32] * 8
    assert seen[:16] == [(side, side) for side in sides]
    refitted = seen[16:]  # 8 steps an epoch: both splits are limited to 64
    sides = [20] * 8 + [24] * 8 + [32] * 16
    assert refitted == [(side, side) for side in sides][: 8 * report["best_epoch"]]
    assert SPANS in said


def test_network_that_is_kept_takes_images_of_the_full_size_only(grown):
    run, _ = grown
    network = keras.models.load_model(run.final)
    assert network.input_shape == (None, 32, 32, 1)
    assert network.layers[-1].input_shape == (None, 32, 32, 1)
    with pytest.raises(ValueError, match="expected shape"):
        network(np.zeros((1, 24, 24, 1), "uint8"))


def test_blocks_and_where_batches_are_made_change_no_bit(train, grown):
    run, _ = train(*GROWING, "steps_per_block=1", "pipeline=device")
    assert_same(run, grown[0])


def test_run_that_is_stopped_in_each_part_goes_on_exactly(tmp_path, spec, silent, grown):
    words = (*GROWING, "steps_per_block=1")
    run, checked = Run.claim(tmp_path / "run", compose_config(words).config, words), spec(*words)

    class Stopping(silent):
        def step(self, epoch, done, images_per_second, logs):
            if done == step:
                signal.raise_signal(signal.SIGINT)

    for step in (4, 6, 10):
        with pytest.raises(KeyboardInterrupt):
            train_run(checked, run, Stopping())
        assert step <= load_checkpoint(run.state).facts["loop"]["step"] <= step + 1
    train_run(checked, run, silent())
    assert_same(run, grown[0])


@pytest.mark.slow
def test_longer_run_keeps_its_ends_unless_they_are_planned_anew(train, tmp_path, spec, silent):
    train(*GROWING[:-1], "image_sizes=[[24,50%]]", "epochs=2")
    shutil.copytree(tmp_path / "run", tmp_path / "again")
    ends = {}
    for name, replan in (("run", False), ("again", True)):
        longer = spec(*GROWING[:-1], "image_sizes=[[24,50%]]", "epochs=6", f"replan={replan}")
        splits = longer.dataset(tmp_path, None)
        fit = prepare_fit(longer, Run(tmp_path / name), splits, silent())
        ends[name] = [span.end for span in fit.sizes]
    assert ends == {"run": [1, None], "again": [3, None]}


@pytest.mark.parametrize(
    ("words", "given", "hint"),
    [
        (("image_sizes=[[24,1],[24,2]]",), r"the sides \[24, 24\]", "image_sizes=null"),
        (("image_sizes=[[24,50%]]", "finetune=head"), "finetune is head", "finetune=none"),
        (("image_sizes=[[24,1]]", "normalisation=pixel_mean"), "pixel_mean", "normalisation=auto"),
        (("image_sizes=[[24,fast]]",), r"image_sizes is \[\[24, 'fast'\]\]", None),
    ],
)  # fmt: skip
def test_sizes_that_contradict_the_spec_are_refused(spec, words, given, hint):
    with pytest.raises(SpecError, match=given) as refusal:
        spec(*words)
    assert refusal.value.hint == hint


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (("image_sizes=[[32,50%]]",), "32 pixels and the images are 32x32"),
        (("image_sizes=[[20,3],[24,50%]]",), "24 pixels until 50%, which is step 8"),
        (("image_sizes=[[24,4]]",), "smaller images for 4 of 4 epochs"),
        (("image_sizes=[[24,50%]]", "epochs=1"), "smaller images for 1 of 1 epochs"),
        (("image_sizes=[[24,50%]]", "model.head=flatten"), "cnn_idea .* images of 24x24"),
        (("image_sizes=[[2,50%]]",), "cnn_idea .* images of 2x2"),
        (("image_sizes=[[24,50%]]", "model.activation=maxout"), "cnn_idea .* images of 24x24"),
    ],
)
def test_sizes_that_do_not_fit_the_images_or_the_network_are_refused(train, words, given):
    with pytest.raises(SpecError, match=given):
        train(*GROWING[:-1], *words)


def test_mean_image_of_a_warm_start_is_refused(train):
    source, _ = train(*GROWING[:-1], "normalisation=pixel_mean", "epochs=1", name="source")
    with pytest.raises(SpecError, match="its normalisation do not take images of 20x20"):
        train(*GROWING, f"init_from={source.folder}", name="target")


def test_spec_without_sizes_has_the_hash_that_it_had(spec):
    assert "image_sizes" not in spec().deciding_values
    assert spec("image_sizes=[[24,50%]]").hash != spec().hash
