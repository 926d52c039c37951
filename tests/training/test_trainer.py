"""Training: the same spec gives the same weights, and every setting does what it says."""

import csv

import keras
import numpy as np
import pytest

from cnntrain.errors import SpecError
from cnntrain.training.evaluation import METRICS

SHORT = ("epochs=2", "dataset.limit=128", "batch_size=32")


def weights(path):
    return [w.numpy() for w in keras.models.load_model(path).weights]


def rows(run, name="history.csv"):
    with (run.folder / name).open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def equal(ours, theirs):
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    "words",
    [
        (),
        pytest.param(("model=cnn_cifar", "augmentation=flip_crop"), marks=pytest.mark.slow),
        pytest.param(
            ("model=resnet20_v1", "model.depth=8", "augmentation=shift_flip", "optimizer=sgd"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_same_spec_gives_the_same_weights_and_another_seed_does_not(train, words):
    first, report = train(*SHORT, *words, name="first")
    second, again = train(*SHORT, *words, name="second")
    other, _ = train(*SHORT, *words, "seed=1", name="other")
    assert equal(weights(first.final), weights(second.final))
    assert report["test"] == again["test"]
    assert not equal(weights(first.final), weights(other.final))


def test_report_has_the_promised_keys(train):
    run, report = train(*SHORT)
    for weights_of in ("final", "best"):
        for split in ("test", "valid"):
            assert set(report[split][weights_of]) == set(METRICS)
    assert report["parameters"] == {"total": 61_706, "trainable": 61_706}
    assert {"data", "build", "train", "test", "total"} <= set(report["seconds"])
    assert report["images_per_second"] > 0
    assert (report["epochs"], report["steps"]) == (2, 8)
    assert run.report.is_file()


def test_saved_network_takes_raw_pixels_and_gives_the_reported_accuracy(train, spec, tmp_path):
    from cnntrain.training.evaluation import evaluate_network

    run, report = train(*SHORT)
    test = spec(*SHORT).dataset(tmp_path, None).test
    for name, path in [("final", run.final), ("best", run.best)]:
        network = keras.models.load_model(path)
        assert network.input.dtype == "uint8"
        assert evaluate_network(network, test, 50) == pytest.approx(report["test"][name])


def test_evaluation_agrees_with_keras(train, spec, tmp_path):
    run, report = train(*SHORT)
    test = spec(*SHORT).dataset(tmp_path, None).test
    network = keras.models.load_model(run.final)
    network.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    loss, accuracy = network.evaluate(test.images, test.labels, verbose=0)
    assert report["test"]["final"]["loss"] == pytest.approx(loss, rel=1e-5)
    assert report["test"]["final"]["accuracy"] == pytest.approx(accuracy)


def test_history_has_a_row_an_epoch_and_best_is_its_best(train):
    run, report = train("epochs=5", *SHORT[1:])
    history = rows(run)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5]
    accuracies = [row["valid.accuracy"] for row in history]
    best = max(history, key=lambda row: (row["valid.accuracy"], -row["valid.loss"]))
    assert report["best_epoch"] == best["epoch"]
    assert report["valid"]["best"]["accuracy"] == max(accuracies)
    assert report["monitor"]["best"] == max(accuracies)


def test_steps_hold_the_mean_loss_of_each_window(train):
    run, _ = train(*SHORT, "log_every=2")
    every, epochs = rows(run, "steps.csv"), rows(run)
    assert [row["step"] for row in every] == [2, 4, 6, 8]
    for epoch, pair in zip(epochs, (every[:2], every[2:]), strict=True):
        mean = sum(row["train.loss"] for row in pair) / 2
        assert mean == pytest.approx(epoch["train.loss"], rel=1e-5)


def test_steps_leave_out_no_step_of_an_epoch(train):
    run, _ = train(*SHORT, "log_every=3")
    assert [row["step"] for row in rows(run, "steps.csv")] == [3, 4, 6, 8]


def test_network_is_the_same_whatever_was_drawn_before(spec, tmp_path):
    import random

    from cnntrain.training.network import build_network

    checked = spec("model=cnn_cifar", *SHORT)
    splits = checked.dataset(tmp_path, None)
    first = [v.numpy() for v in build_network(checked, splits, 10).variables]
    random.random()  # preparing a data set draws numbers too
    second = [v.numpy() for v in build_network(checked, splits, 10).variables]
    assert equal(first, second)


def test_max_steps_ends_the_run_within_an_epoch(train):
    run, report = train(*SHORT, "max_steps=6")
    assert (report["steps"], report["epochs"]) == (6, 2)
    assert rows(run)[-1]["step"] == 6


def test_steps_per_epoch_shortens_the_epochs(train):
    _, report = train(*SHORT, "steps_per_epoch=1")
    assert (report["steps"], report["epochs"]) == (2, 2)


def test_early_stopping_waits_for_patience(train):
    run, report = train(
        "epochs=9", *SHORT[1:], "optimizer.learning_rate=1e-12", "early_stopping.patience=2"
    )
    assert len(rows(run)) == report["epochs"] == 3


def test_plateau_lowers_the_rate_of_the_next_epoch(train):
    run, _ = train(
        "epochs=4", *SHORT[1:], "schedule=plateau", "schedule.plateau.patience=1",
        "optimizer.learning_rate=1e-12", "schedule.plateau.factor=0.5", "schedule.plateau.min_lr=0",
    )  # fmt: skip
    found = [row["learning_rate"] for row in rows(run)]
    assert found == pytest.approx([1e-12, 1e-12, 0.5e-12, 0.25e-12], rel=1e-5)


def test_l2_is_in_the_objective_and_not_in_the_reported_losses(train):
    run, report = train(*SHORT, "optimizer.l2=0.01", "log_every=4")
    plain, _ = train(*SHORT, name="plain")
    history = rows(run)
    assert all(row["train.objective"] > row["train.loss"] + 0.1 for row in history)
    assert report["valid"]["final"]["loss"] == pytest.approx(history[-1]["valid.loss"])
    assert all(r["train.objective"] == pytest.approx(r["train.loss"]) for r in rows(plain))


def test_zeros_stay_at_chance(train):
    run, _ = train("initializer=zeros", *SHORT)
    assert rows(run)[-1]["train.loss"] == pytest.approx(np.log(10), abs=0.01)


@pytest.mark.parametrize(("steps", "momentum"), [(10, 0.5), (100, 0.9), (10_000, 0.99)])
def test_batch_norm_remembers_as_long_as_fits_the_run(spec, steps, momentum):
    from cnntrain.training.network import set_batch_norm_momentum

    model = spec("model=mlp_bn").model((8, 8, 1), 10)
    set_batch_norm_momentum(model, "auto", steps)
    norms = [la for la in model.layers if isinstance(la, keras.layers.BatchNormalization)]
    assert [norm.momentum for norm in norms] == [pytest.approx(momentum)] * 3
    set_batch_norm_momentum(model, 0.7, steps)
    assert norms[0].momentum == 0.7


def test_batch_norm_evaluates_well_after_a_short_run(train):
    _, report = train("model=mlp_bn", "epochs=8", "dataset.limit=1000")
    assert report["valid"]["final"]["accuracy"] > 0.8


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


def test_average_is_validated_chosen_and_saved_as_its_own_file(train, spec, tmp_path):
    from cnntrain.training.evaluation import evaluate_network

    words = ("epochs=4", *SHORT[1:], "ema_decay=0.8")
    run, report = train(*words)
    plain, without = train("epochs=4", *SHORT[1:], name="plain")
    assert equal(weights(run.final), weights(plain.final)), "the average does not touch training"
    assert not equal(weights(run.ema), weights(run.final))
    splits = spec(*words).dataset(tmp_path, None)
    shown = evaluate_network(keras.models.load_model(run.ema), splits.valid, 128)
    assert rows(run)[-1]["valid.loss"] == pytest.approx(shown["loss"])
    assert report["test"]["final"] == without["test"]["final"]
    assert report["valid"]["ema"] == pytest.approx(shown)
    best = evaluate_network(keras.models.load_model(run.best), splits.valid, 128)
    assert best["accuracy"] == max(row["valid.accuracy"] for row in rows(run))


def test_early_stopping_leaves_the_last_and_the_averaged_weights_apart(train):
    run, report = train(
        "epochs=9", *SHORT[1:], "optimizer.learning_rate=1e-9", "early_stopping.patience=1",
        "ema_decay=0.9",
    )  # fmt: skip
    assert report["epochs"] == 2
    assert not equal(weights(run.ema), weights(run.final))
    assert set(report["test"]) == {"best", "final", "ema"}


def test_average_of_batch_norm_statistics_evaluates_as_well_as_the_weights(train):
    _, report = train("model=mlp_bn", "epochs=8", "dataset.limit=1000", "ema_decay=0.95")
    assert report["valid"]["ema"]["accuracy"] > 0.8


def test_micro_batches_change_no_numbers_beyond_rounding(train):
    whole, _ = train(*SHORT, name="whole")
    accumulated, _ = train(*SHORT, "accumulate=4")
    pairs = zip(weights(whole.final), weights(accumulated.final), strict=True)
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
    pairs = zip(weights(numbered.final), weights(shared.final), strict=True)
    assert all(np.allclose(a, b, atol=1e-5) for a, b in pairs)
    for ours, theirs in zip(rows(numbered), rows(shared), strict=True):
        for name in ("train.loss", "train.accuracy", "train.objective", "valid.loss"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4)


def test_refit_trains_on_all_images_as_long_as_validation_chose(train):
    run, report = train("epochs=4", *SHORT[1:], "refit=true")
    history = (run.folder / "refit" / "history.csv").read_text().splitlines()
    assert len(history) - 1 == report["best_epoch"]
    assert "valid" not in history[0]
    steps = (128 + 128) // 32  # train + valid, both limited to 128
    assert history[1].split(",")[1] == str(steps)
    assert set(report["test"]["refit"]) == set(METRICS)
    assert "refit" not in report["valid"]
    assert run.refit.is_file()


def test_refit_lowers_the_rate_when_the_plateau_did(train):
    words = (
        "epochs=5", *SHORT[1:], "schedule=plateau", "schedule.plateau.patience=1",
        "schedule.plateau.factor=0.5", "schedule.plateau.min_delta=9", "refit=true",
        "monitor=valid.loss",
    )  # fmt: skip
    run, report = train(*words)
    found = [row["learning_rate"] for row in rows(run)]
    again = [row["learning_rate"] for row in rows(run, "refit/history.csv")]
    assert again == found[: report["best_epoch"]]
    assert len(set(again)) > 2


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_computes_in_half_and_keeps_weights_and_logits_whole(train, precision):
    run, report = train(*SHORT, f"precision={precision}")
    network = keras.models.load_model(run.final)
    body = network.layers[-1]
    assert body.get_layer("conv2d").compute_dtype == precision.removeprefix("mixed_")
    assert {v.dtype for v in body.trainable_variables} == {"float32"}
    assert network.output.dtype == "float32"
    assert np.isfinite(report["test"]["final"]["loss"])


def test_network_of_one_unit_learns_odd_and_even(train):
    words = ("model=cnn_cifar", "model.one_logit=true", "dataset.label_map=odd_even", "epochs=6")
    run, report = train(*words, "dataset.limit=1000", "batch_size=32")
    assert keras.models.load_model(run.final).output_shape == (None, 1)
    assert report["valid"]["best"]["accuracy"] > 0.8


@pytest.mark.parametrize(
    ("initializer", "augmentation", "said"),
    [
        ("zeros", "none", True),
        pytest.param("zeros", "mixup", True, marks=pytest.mark.slow),
        pytest.param("he_normal", "mixup", False, marks=pytest.mark.slow),
    ],
)
def test_network_that_only_guesses_is_warned_of(train, initializer, augmentation, said):
    """The chance loss is the same for augmentations that mix images."""
    from cnntrain.training.loop import LEARNT_BY

    progress = []
    words = ("dataset.limit=128", "batch_size=16", f"epochs={LEARNT_BY // 8 + 1}")
    words += (f"initializer={initializer}", f"augmentation={augmentation}")
    train(*words, said=progress)
    assert any("as if the network guessed (2.3" in line for line in progress) == said


def test_statistics_that_lag_are_warned_of(train):
    progress = []
    train(
        "model=resnet20_v1", "model.depth=8", "epochs=2", "dataset.limit=640", "batch_size=32",
        "batch_norm_momentum=0.9999", "optimizer.learning_rate=3e-3", "normalisation=none",
        said=progress,
    )  # fmt: skip
    assert any("statistics of batch norm may lag" in line for line in progress)


def test_class_weights_shift_what_the_network_prefers(train):
    zero = ",".join(["20", *["1"] * 9])
    run, report = train(*SHORT, f"loss.class_weights=[{zero}]")
    history = rows(run)
    assert history[0]["train.objective"] > history[0]["train.loss"]
    assert report["parameters"]["trainable"] == 61_706


def test_rare_class_that_is_never_found_is_said_and_may_be_watched(train, tmp_path):
    said = []
    rare = ("dataset.label_map={rare: [0], common: [1, 2, 3, 4, 5, 6, 7, 8, 9]}",)
    words = ("epochs=1", "batch_size=32", "dataset.limit=300", "optimizer.learning_rate=1e-5")
    run, report = train(*words, *rare, "monitor=valid.macro_f1", said=said)
    assert report["monitor"]["best"] == rows(run)[0]["valid.macro_f1"]
    warnings = [line for line in said if line.startswith("Warning: ")]
    assert "always saying common would have an accuracy of 0.9" in warnings[0]
    assert "loss.class_weights=balanced" in warnings[0]
    test = report["test"]["best"]
    assert ("always saying common" in warnings[-1]) == (test["accuracy"] <= 0.9)


def test_predictions_are_a_row_for_each_image_that_was_held_out(train):
    run, report = train(*SHORT)
    with (run.folder / "predictions.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["file", "split", "true class", "called", "probability"]
    for split in ("valid", "test"):
        own = [row for row in found if row["split"] == split]
        assert [row["file"] for row in own] == [str(n) for n in range(len(own))]
        hits = np.mean([row["true class"] == row["called"] for row in own])
        assert hits == pytest.approx(report[split]["best"]["accuracy"])
        assert all(0.1 <= float(row["probability"]) <= 1 for row in own)


def test_refusal_of_the_second_phase_comes_before_the_first(train, tmp_path):
    words = ("finetune=two_phase", "finetune.head_epochs=3", "epochs=4", "schedule.warmup=2")
    with pytest.raises(SpecError, match="warmup"):
        train(*words, *SHORT[1:])
    assert not (tmp_path / "run" / "history.csv").exists()


def test_frozen_layers_without_learnt_weights_are_warned_of(train):
    progress = []
    train(*SHORT, "finetune=head", said=progress)
    assert any("freezes layers with random weights" in line for line in progress)


def test_steps_that_float16_skips_are_counted_and_said(train):
    progress = []
    weights = ",".join(["99999"] * 10)
    run, _ = train(
        *SHORT, "precision=mixed_float16", f"loss.class_weights=[{weights}]", said=progress
    )
    assert any("steps were skipped" in line for line in progress)
    assert rows(run)[-1]["learning_rate"] == rows(run)[0]["learning_rate"]


@pytest.mark.slow
def test_grey_images_in_a_network_for_colour_are_said(train):
    progress = []
    train(*SHORT, "model=mobilenet", "model.alpha=0.25", "max_steps=1", said=progress)
    assert "mobilenet is made for colour: grey images go in as three equal channels" in progress


def test_pictures_that_fail_leave_the_results_and_their_traceback(train, monkeypatch):
    from cnntrain.training import artifacts

    monkeypatch.setattr(artifacts, "find_best_guesses", None)
    progress = []
    run, report = train(*SHORT, "max_steps=1", said=progress)
    assert "final" in report["test"]
    assert any("pictures of the report are missing: TypeError" in line for line in progress)
    assert "in write_gallery" in run.log.read_text()
