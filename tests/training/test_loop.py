"""What happens at the end of an epoch, and in which order: best, plateau, history, stop, refit."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from cnntrain.data.steps import Steps
from cnntrain.errors import Diverged
from cnntrain.runs.checkpoint import load_checkpoint
from cnntrain.runs.directory import Run
from cnntrain.spec.compose import compose_config
from cnntrain.training.evaluation import evaluate_network
from cnntrain.training.journal import Position
from cnntrain.training.loop import Loop
from cnntrain.training.metrics import METRICS
from cnntrain.training.trainer import train_run
from helpers.run_files import SHORT, are_equal, load_weights, read_rows


def test_epoch_is_shown_once_its_row_is_written_and_never_has_a_checkpoint_too_new(
    spec, tmp_path, silent
):
    words = ("epochs=9", *SHORT[1:], "early_stopping.patience=1", "optimizer.learning_rate=1e-12")
    run, seen = Run.claim(tmp_path / "run", compose_config(words).config, words), []

    class Watching(silent):
        def epoch(self, row):
            last = load_checkpoint(run.state) if any(run.state.glob("*.state")) else None
            step = last.facts["loop"]["step"] if last else 0  # it is written in the background
            seen.append((row["epoch"], len(read_rows(run)), step <= 4 * (row["epoch"] - 1)))

    report = train_run(spec(*words), run, Watching())
    assert seen == [(1, 1, True), (2, 2, True)]  # no third: patience ended it
    assert load_checkpoint(run.state).facts["loop"]["step"] == report["steps"] == 8
    assert run.best.exists()


def test_history_has_a_row_an_epoch_and_best_is_its_best(train):
    run, report = train("epochs=5", *SHORT[1:], "log_every=3")
    history = read_rows(run)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5]
    accuracies = [row["valid.accuracy"] for row in history]
    best = max(history, key=lambda row: (row["valid.accuracy"], -row["valid.loss"]))
    assert report["best_epoch"] == best["epoch"]
    assert report["valid"]["best"]["accuracy"] == max(accuracies)
    assert report["monitor"]["best"] == max(accuracies)
    # steps.csv has a row every three steps, and leaves out none of an epoch of four
    steps = sorted({*range(3, 21, 3), *range(4, 21, 4)})
    assert [row["step"] for row in read_rows(run, "steps.csv")] == steps


def test_short_run_is_warned_of_its_settings_at_the_start_and_of_guessing_at_its_half(train):
    said = []
    words = ("model=mlp_300_100", "initializer=zeros", "optimizer=sgd", "epochs=10", *SHORT[1:])
    train(*words, "optimizer.weight_decay=1e-4", said=said)
    warned = [line for line in said if line.startswith("Warning: ")]
    assert "optimizer.weight_decay is decoupled" in warned[0]
    assert "40 steps in all are few" in warned[1]
    assert "after 20 steps the loss is 2.3" in warned[2]
    assert len(warned) == 3


def test_max_steps_ends_the_run_within_an_epoch_and_steps_per_epoch_shortens_them(train):
    run, report = train("epochs=5", *SHORT[1:], "steps_per_epoch=2", "max_steps=5")
    assert (report["steps"], report["epochs"]) == (5, 3)
    assert [row["step"] for row in read_rows(run)] == [2, 4, 5]


def test_early_stopping_waits_for_patience_and_leaves_the_average_apart(train):
    run, report = train(
        "epochs=9", *SHORT[1:], "optimizer.learning_rate=1e-9", "early_stopping.patience=2",
        "ema_decay=0.9",
    )  # fmt: skip
    assert len(read_rows(run)) == report["epochs"] == 3
    assert not are_equal(load_weights(run.ema), load_weights(run.final))
    assert set(report["test"]) == {"best", "final", "ema"}


def test_average_is_validated_chosen_and_saved_as_its_own_file(train, short_run, spec, tmp_path):
    run, report = train(*SHORT, "ema_decay=0.8")
    plain, without = short_run
    trained = load_weights(run.final)
    assert are_equal(trained, load_weights(plain.final)), "the average does not touch training"
    assert not are_equal(load_weights(run.ema), trained)
    splits = spec(*SHORT).dataset(tmp_path, None)
    shown = evaluate_network(keras.models.load_model(run.ema), splits.valid, 128)
    assert read_rows(run)[-1]["valid.loss"] == pytest.approx(shown["loss"])
    assert report["test"]["final"] == without["test"]["final"]
    assert report["valid"]["ema"] == pytest.approx(shown)
    best = evaluate_network(keras.models.load_model(run.best), splits.valid, 128)
    assert best["accuracy"] == max(row["valid.accuracy"] for row in read_rows(run))


def test_batch_norm_evaluates_well_after_a_short_run_and_so_does_its_average(train):
    _, report = train("model=mlp_bn", "epochs=8", "dataset.limit=1000", "ema_decay=0.95")
    assert report["valid"]["final"]["accuracy"] > 0.8
    assert report["valid"]["ema"]["accuracy"] > 0.8


def test_plateau_lowers_the_rate_of_the_next_epoch_and_refit_does_the_same(train):
    """Refit trains on train and valid, as long as validation chose, at the rates of the run."""
    words = (
        "epochs=5", *SHORT[1:], "schedule=plateau", "schedule.plateau.patience=1",
        "schedule.plateau.factor=0.5", "schedule.plateau.min_delta=9", "schedule.plateau.min_lr=0",
        "refit=true", "monitor=valid.loss",
    )  # fmt: skip
    run, report = train(*words)
    rates = [row["learning_rate"] for row in read_rows(run)]
    assert rates == pytest.approx([1e-3, 1e-3, 5e-4, 2.5e-4, 1.25e-4])
    again = read_rows(run, "refit/history.csv")
    assert [row["learning_rate"] for row in again] == rates[: report["best_epoch"]]
    assert len({row["learning_rate"] for row in again}) > 2
    assert not [name for name in again[0] if name.startswith("valid")]
    assert again[0]["step"] == (128 + 128) // 32  # both are limited to 128
    assert set(report["test"]["refit"]) == set(METRICS)
    assert "refit" not in report["valid"]
    assert run.refit.is_file()


CONVNET = (
    "model=cnn_cifar", "model.filters=[8,16]", "model.hidden=32", "model.batch_norm=true",
    "ema_decay=0.9", "dataset.limit=160", "batch_size=16", "epochs=2", "log_every=7",
)  # fmt: skip


@pytest.mark.parametrize(
    "augmentation", ["flip_crop", pytest.param("mixup", marks=pytest.mark.slow)]
)
def test_blocks_and_where_batches_are_made_change_no_bit(train, augmentation):
    words = (*CONVNET, f"augmentation={augmentation}")
    one, _ = train(*words, "steps_per_block=1", "pipeline=host", name="one")
    many, _ = train(*words, "steps_per_block=16", "pipeline=device", name="many")
    expected, found = (load_checkpoint(run.state).arrays for run in (one, many))
    assert found.keys() == expected.keys()
    assert [k for k, v in expected.items() if not np.array_equal(v, found[k])] == []
    for table, column in (("history.csv", "valid.loss"), ("steps.csv", "train.loss")):
        ours, theirs = (read_rows(run, table) for run in (many, one))
        assert [row[column] for row in ours] == [row[column] for row in theirs]
    pipelines = [run.read_run_json()["device"]["pipeline"]["at"] for run in (one, many)]
    assert pipelines == ["host", "device"]


@pytest.mark.parametrize("length", [1, 4, 32])
def test_blocks_end_with_epochs_rows_checkpoints_and_phases(spec, length):
    checked = spec("log_every=5", "checkpoint.every_steps=9")
    loop = SimpleNamespace(
        spec=checked, steps=Steps(per_epoch=12, planned=40, total=40), block_length=length,
        position=Position(step=7),
    )  # fmt: skip
    blocks = list(Loop.plan_blocks(loop, SimpleNamespace(until=31, longest_block=8)))
    assert [step for step, _ in blocks] == [7, *(step + n for step, n in blocks[:-1])]
    ends = {step + count for step, count in blocks}
    assert {9, 10, 12, 15, 18, 20, 24, 25, 27, 30, 31} <= ends
    assert max(count for _, count in blocks) == min(length, 4)  # from 20 to 24


def test_loss_that_is_not_finite_is_found_at_its_very_step(train):
    said = []
    for length in (1, 16):
        with pytest.raises(Diverged) as failure:
            train(
                "optimizer=sgd", "optimizer.learning_rate=1e18", "log_every=50", "epochs=9",
                f"steps_per_block={length}", name=f"run{length}",
            )  # fmt: skip
        said.append(str(failure.value))
    assert "not finite at step" in said[0]
    assert said[0] == said[1]


# What is said.


def test_network_that_only_guesses_stays_at_chance_and_is_warned_of(train):
    assert is_said_to_guess(train, "initializer=zeros", "model=mlp_300_100")


@pytest.mark.slow
@pytest.mark.parametrize(("initializer", "guesses"), [("zeros", True), ("he_normal", False)])
def test_mixed_images_do_not_change_what_guessing_costs(train, initializer, guesses):
    said = is_said_to_guess(train, f"initializer={initializer}", "augmentation=mixup")
    assert said == guesses


def is_said_to_guess(train, *words):
    """Whether the mean loss is said to be that of guessing by class frequency."""
    from cnntrain.training.loop import LEARNT_BY

    progress = []
    epochs = LEARNT_BY // (640 // 16) + 1
    run, _ = train("dataset.limit=640", "batch_size=16", f"epochs={epochs}", *words, said=progress)
    said = any("as if the network guessed (2.3" in line for line in progress)
    if said:
        assert read_rows(run)[-1]["train.loss"] == pytest.approx(np.log(10), abs=0.02)
    return said


def test_statistics_that_lag_are_warned_of(train):
    progress = []
    train(
        "model=resnet20_v1", "model.depth=8", "epochs=2", "dataset.limit=640", "batch_size=32",
        "batch_norm_momentum=0.9999", "optimizer.learning_rate=3e-3", "normalisation=none",
        said=progress,
    )  # fmt: skip
    assert any("statistics of batch norm may lag" in line for line in progress)


def test_rare_class_that_is_never_found_is_said_and_may_be_watched(train):
    said = []
    rare = ("dataset.label_map={rare: [0], common: [1, 2, 3, 4, 5, 6, 7, 8, 9]}",)
    words = ("epochs=1", "batch_size=32", "dataset.limit=300", "optimizer.learning_rate=1e-5")
    run, report = train(*words, *rare, "monitor=valid.macro_f1", said=said)
    assert report["monitor"]["best"] == read_rows(run)[0]["valid.macro_f1"]
    warnings = [line for line in said if line.startswith("Warning: ")]
    assert "always predicting common would have an accuracy of 0.9" in warnings[0]
    assert "loss.class_weights=balanced" in warnings[0]
    test = report["test"]["best"]
    assert ("always predicting common" in warnings[-1]) == (test["accuracy"] <= 0.9)


@pytest.mark.slow
def test_grey_images_in_a_network_for_colour_are_said(train):
    progress = []
    train(*SHORT, "model=mobilenet", "model.alpha=0.25", "max_steps=1", said=progress)
    assert "mobilenet is made for colour: grey images go in as three equal channels" in progress
