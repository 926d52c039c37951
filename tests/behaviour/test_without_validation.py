"""A run with dataset.valid=0 trains on all images, and whatever reads runs copes with it."""

import json

import pytest

from helpers.run_files import are_equal, load_weights, read_rows

WORDS = ("model=mlp_300_100", "dataset.valid=0", "batch_size=719", "schedule=constant")


@pytest.fixture(scope="module")
def unvalidated(training):
    """A run of two epochs of two steps: 1,438 images, which are all but those of test."""
    return training(*WORDS, "epochs=2")


def test_all_images_train_and_the_last_epoch_is_the_result(unvalidated):
    folder, report = unvalidated.folder, unvalidated.report
    log = (folder / "train.log").read_text()
    assert "1,438 train, 359 test (test cut from train)" in log
    assert (
        "Validation is off: all 1,438 images train, and the weights of the last epoch are the "
        "result" in log
    )
    assert "best epoch" not in log, "the table at the end has one row of the same weights"
    assert report["valid"] == {}
    assert report["monitor"] == {"name": "valid.accuracy", "best": None}
    assert (report["best_epoch"], report["steps"]) == (2, 4)
    assert report["test"]["best"] == report["test"]["final"]
    assert are_equal(*(load_weights(folder / f"{name}.keras") for name in ("best", "final")))
    sizes = json.loads((folder / "run.json").read_text())["data"]["sizes"]
    assert sizes == {"train": 1438, "test": 359}


def test_page_says_that_validation_was_off_and_shows_no_empty_columns(unvalidated):
    page = (unvalidated.folder / "report.html").read_text()
    assert "Validation was off: all its images were trained on" in page
    assert "valid loss" not in page
    assert "has all images of the test split." in page


def test_run_without_validation_is_evaluated_on_what_it_has(unvalidated, verb, refusal):
    _, out, _ = verb("evaluate", unvalidated.folder, "--json")
    assert json.loads(out)["accuracy"] == unvalidated.report["test"]["best"]["accuracy"]
    answer = refusal("evaluate", unvalidated.folder, "--split", "valid")
    assert "dataset.valid is 0: the data set has no valid part, only train and test" in str(answer)
    assert answer.hint == "--split test"


def test_resumed_run_without_validation_is_the_unbroken_one(train, answer):
    words = (*WORDS, "ema_decay=0.5")
    whole, _ = train(*words, "epochs=2", name="whole")
    broken, _ = train(*words, "epochs=1", name="broken")
    broken.lock.release()
    assert answer("resume", "broken", "epochs=2").returncode == 0
    for name in ("best", "final", "ema"):
        expected = load_weights(whole.folder / f"{name}.keras")
        assert are_equal(load_weights(broken.folder / f"{name}.keras"), expected), name
    assert are_equal(load_weights(whole.best), load_weights(whole.ema)), "the average is the result"
    losses = [[row["train.loss"] for row in read_rows(run)] for run in (whole, broken)]
    assert losses[0] == losses[1]
