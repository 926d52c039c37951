"""A training: the same spec gives the same weights, and what it leaves says what happened."""

import csv

import keras
import numpy as np
import pytest

from cnntrain.errors import SpecError
from cnntrain.training.evaluation import evaluate_network
from cnntrain.training.metrics import METRICS
from helpers.run_files import SHORT, are_equal, load_weights, read_rows


def test_same_spec_gives_the_same_weights_and_another_seed_does_not(train, short_run):
    first, report = short_run
    second, again = train(*SHORT, name="second")
    other, _ = train(*SHORT, "seed=1", name="other")
    assert are_equal(load_weights(first.final), load_weights(second.final))
    assert report["test"] == again["test"]
    assert not are_equal(load_weights(first.final), load_weights(other.final))


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("model=cnn_cifar", "augmentation=flip_crop"),
        pytest.param(
            ("model=resnet20_v1", "model.depth=8", "augmentation=shift_flip", "optimizer=sgd"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_same_spec_gives_the_same_weights_of_other_networks(train, words):
    (first, report), (second, again) = (train(*SHORT, *words, name=name) for name in "ab")
    assert are_equal(load_weights(first.final), load_weights(second.final))
    assert report["test"] == again["test"]


def test_report_has_the_promised_keys(short_run):
    run, report = short_run
    for weights_of in ("final", "best"):
        for split in ("test", "valid"):
            assert set(report[split][weights_of]) == set(METRICS)
    assert report["parameters"] == {"total": 61_706, "trainable": 61_706}
    assert {"data", "build", "train", "test", "total"} <= set(report["seconds"])
    assert report["images_per_second"] > 0
    assert (report["epochs"], report["steps"]) == (2, 8)
    assert run.report.is_file()


def test_saved_network_takes_raw_pixels_and_gives_the_reported_accuracy(short_run, spec, tmp_path):
    run, report = short_run
    test = spec(*SHORT).dataset(tmp_path, None).test
    for name, path in [("final", run.final), ("best", run.best)]:
        network = keras.models.load_model(path)
        assert network.input.dtype == "uint8"
        assert evaluate_network(network, test, 50) == pytest.approx(report["test"][name])


def test_evaluation_agrees_with_keras(short_run, spec, tmp_path):
    run, report = short_run
    test = spec(*SHORT).dataset(tmp_path, None).test
    network = keras.models.load_model(run.final)
    network.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    loss, accuracy = network.evaluate(test.images, test.labels, verbose=0)
    assert report["test"]["final"]["loss"] == pytest.approx(loss, rel=1e-5)
    assert report["test"]["final"]["accuracy"] == pytest.approx(accuracy)


def test_steps_hold_the_mean_loss_of_each_window(short_run):
    run, _ = short_run
    every, epochs = read_rows(run, "steps.csv"), read_rows(run)
    assert [row["step"] for row in every] == [2, 4, 6, 8]
    for epoch, pair in zip(epochs, (every[:2], every[2:]), strict=True):
        mean = sum(row["train.loss"] for row in pair) / 2
        assert mean == pytest.approx(epoch["train.loss"], rel=1e-5)


def test_predictions_are_a_row_for_each_image_that_was_held_out(short_run):
    run, report = short_run
    with (run.folder / "predictions.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["file", "split", "true class", "called", "probability"]
    for split in ("valid", "test"):
        own = [row for row in found if row["split"] == split]
        assert [row["file"] for row in own] == [str(n) for n in range(len(own))]
        hits = np.mean([row["true class"] == row["called"] for row in own])
        assert hits == pytest.approx(report[split]["best"]["accuracy"])
        assert all(0.1 <= float(row["probability"]) <= 1 for row in own)


def test_l2_is_in_the_objective_and_not_in_the_reported_losses(train, short_run):
    run, report = train(*SHORT, "optimizer.l2=0.01")
    history = read_rows(run)
    assert all(row["train.objective"] > row["train.loss"] + 0.1 for row in history)
    assert report["valid"]["final"]["loss"] == pytest.approx(history[-1]["valid.loss"])
    kernels = [array for array in load_weights(run.final) if array.ndim > 1]
    expected = 0.01 * sum((kernel**2).sum() for kernel in kernels)
    assert history[-1]["train.l2_loss"] == pytest.approx(expected, rel=1e-5)
    plain = read_rows(short_run[0])
    assert "train.l2_loss" not in plain[0]
    assert all(row["train.objective"] == pytest.approx(row["train.loss"]) for row in plain)


def test_micro_batches_change_no_numbers_beyond_rounding(train, short_run):
    accumulated, _ = train(*SHORT, "accumulate=4")
    pairs = zip(load_weights(short_run[0].final), load_weights(accumulated.final), strict=True)
    assert all(np.allclose(a, b, atol=1e-4) for a, b in pairs)


@pytest.mark.parametrize(
    "words",
    [
        "accumulate=4 loss.label_smoothing=0.1 loss.focal_gamma=1 loss.class_weights=balanced",
        "model=cnn_cifar model.one_logit=true dataset.label_map=odd_even "
        "finetune=head finetune.cache=false",
    ],
)
def test_one_hot_labels_train_like_class_numbers(train, words):
    shares = ("augmentation=cutmix", "augmentation.probability=0")  # no image is mixed
    (numbered, _), (shared, _) = (
        train("epochs=1", *SHORT[1:], *words.split(), *more, name=name)
        for name, more in (("a", ()), ("b", shares))
    )
    pairs = zip(load_weights(numbered.final), load_weights(shared.final), strict=True)
    assert all(np.allclose(a, b, atol=1e-5) for a, b in pairs)
    for ours, theirs in zip(read_rows(numbered), read_rows(shared), strict=True):
        for name in ("train.loss", "train.accuracy", "train.objective", "valid.loss"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4)


def test_mixed_precision_computes_in_half_and_keeps_weights_and_logits_whole(train):
    run, report = train(*SHORT, "precision=mixed_bfloat16")
    assert_mixed(keras.models.load_model(run.final), "bfloat16")
    assert np.isfinite(report["test"]["final"]["loss"])


def assert_mixed(network, half):
    body = network.layers[-1]
    assert body.get_layer("conv2d").compute_dtype == half
    assert {v.dtype for v in body.trainable_variables} == {"float32"}
    assert network.output.dtype == "float32"


def test_steps_that_float16_skips_are_counted_and_said(train):
    progress = []
    weights = ",".join(["99999"] * 10)
    run, _ = train(
        *SHORT, "precision=mixed_float16", f"loss.class_weights=[{weights}]", said=progress
    )
    assert any("steps were skipped" in line for line in progress)
    assert read_rows(run)[-1]["learning_rate"] == read_rows(run)[0]["learning_rate"]
    assert_mixed(keras.models.load_model(run.final), "float16")


def test_network_of_one_unit_learns_odd_and_even(train):
    words = ("model=cnn_cifar", "model.one_logit=true", "dataset.label_map=odd_even", "epochs=4")
    small = ("model.filters=[8,16]", "model.hidden=32", "optimizer.learning_rate=3e-3")
    run, report = train(*words, *small, "dataset.limit=1000", "batch_size=32")
    assert keras.models.load_model(run.final).output_shape == (None, 1)
    assert report["valid"]["best"]["accuracy"] > 0.8


def test_class_weights_shift_what_the_network_prefers(train):
    zero = ",".join(["20", *["1"] * 9])
    run, report = train(*SHORT, f"loss.class_weights=[{zero}]")
    history = read_rows(run)
    assert history[0]["train.objective"] > history[0]["train.loss"]
    assert report["parameters"]["trainable"] == 61_706


@pytest.mark.parametrize(
    "words",
    [
        ("accumulate=128", "dataset.limit=100"),
        ("steps_per_epoch=5",),
        ("dataset.image_size=[8,8]",),
    ],
)
def test_settings_that_the_data_contradicts_are_refused_before_the_first_step(train, words):
    with pytest.raises(SpecError):
        train(*SHORT[:2], *words)


def test_refusal_of_the_second_phase_comes_before_the_first(train, tmp_path):
    words = ("finetune=two_phase", "finetune.head_epochs=3", "epochs=4", "schedule.warmup=2")
    with pytest.raises(SpecError, match="warmup"):
        train(*words, *SHORT[1:])
    assert not (tmp_path / "run" / "history.csv").exists()


def test_pictures_that_fail_leave_the_results_and_their_traceback(train, monkeypatch):
    from cnntrain.training import artifacts

    monkeypatch.setattr(artifacts, "select_top_classes", None)
    progress = []
    run, report = train(*SHORT, "max_steps=1", said=progress)
    assert "final" in report["test"]
    assert any("could not be written: TypeError" in line for line in progress)
    assert "in write_artifacts" in run.log.read_text()
