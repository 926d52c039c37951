"""A run as a program sees it says what its files, Keras and the command line say."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnntrain
from cnntrain.api.compare import RunComparison
from cnntrain.api.python_values import collect_overrides


@pytest.fixture(scope="module")
def run(digits):
    return cnntrain.load(digits.folder)


def test_numbers_are_those_of_the_files(run, digits):
    rows = (digits.folder / "history.csv").read_text().splitlines()
    assert list(run.history.columns) == rows[0].split(",")
    assert len(run.history) == len(rows) - 1 == run.spec.epochs
    assert run.report["test"] == digits.report["test"]
    assert run.class_names == tuple("0123456789")
    assert (run.status, run.page.is_file(), run.name) == ("finished", True, "run")
    assert (run.spec.model.name, run.spec.optimizer["learning_rate"]) == ("lenet5", 0.001)


def test_history_is_a_list_without_pandas(run, monkeypatch):
    monkeypatch.setattr("cnntrain.api.rendering.find_spec", lambda name: None)
    assert [row["epoch"] for row in run.history] == [*range(1, run.spec.epochs + 1)]


def test_predict_gives_the_probabilities_of_keras(run, digits):
    predictions = run.predict(digits.images)
    assert np.abs(predictions.probabilities - digits.probabilities()).max() < 1e-6
    assert predictions.labels == [str(n) for n in digits.probabilities().argmax(axis=1)]
    assert list(predictions.table["label"]) == predictions.labels
    assert np.array_equal(predictions.table["3"], predictions.probabilities[:, 3])
    assert (len(predictions), predictions[0].name) == (len(digits.images), "image 0")
    assert "… and" in repr(predictions)
    assert predictions._repr_html_().count("<tr>") == 21


@pytest.mark.slow
def test_threads_may_predict_before_keras_is_loaded(digits):
    program = (
        "import cnntrain, numpy\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        f"run = cnntrain.load({str(digits.folder)!r})\n"
        "images = numpy.zeros((1, 32, 32, 1), numpy.uint8)\n"
        "with ThreadPoolExecutor(4) as pool:\n"
        "    print(len({*pool.map(lambda _: run.predict(images).labels[0], range(4))}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("1\n", 0), done.stderr


def test_predict_says_of_photos_what_the_command_says(run, digits, answer, tmp_path):
    for number, image in enumerate(digits.images[:3]):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"no image")
    said = answer("predict", str(run.folder), str(tmp_path), "--jsonl").stdout.splitlines()
    predictions = run.predict(tmp_path)
    for line, prediction, label in zip(said, predictions, predictions.labels, strict=True):
        row = json.loads(line)
        assert (row["image"], row.get("error")) == (prediction.name, prediction.broken)
        if prediction.broken is None:
            assert row["classes"][0]["name"] == label
            assert row["classes"][0]["probability"] == prediction.probabilities.max()
    assert np.isnan(predictions.probabilities[3]).all()
    assert predictions.labels[3] is None


def test_weights_are_those_that_were_asked_for(digits):
    final = cnntrain.load(digits.folder, "final").predict(digits.images[:5]).probabilities
    assert np.abs(final - digits.probabilities("final", digits.images[:5])).max() < 1e-6


def test_photo_is_what_the_network_gets(run, digits, tmp_path):
    Image.fromarray(digits.images[0, ..., 0]).save(tmp_path / "photo.png")
    photo = cnntrain.load_photo(tmp_path / "photo.png", run)
    assert np.array_equal(photo, digits.images[0])
    assert run.network.predict(photo[None], verbose=0).shape == (1, 10)


def test_network_is_read_again_when_training_has_written_another(digits, tmp_path):
    folder = shutil.copytree(digits.folder, tmp_path / "run")
    run = cnntrain.load(folder)
    before, network = run.predict(digits.images[:5]).probabilities, run.network
    assert run.network is network
    shutil.copyfile(folder / "final.keras", folder / "new")
    (folder / "new").rename(folder / "best.keras")
    final = digits.probabilities("final", digits.images[:5])
    after = run.predict(digits.images[:5]).probabilities
    assert np.abs(after - final).max() < 1e-6 < np.abs(after - before).max()


@pytest.mark.parametrize(("content", "given"), [(b"no image", "is broken"), (None, "is not there")])
def test_photo_that_cannot_be_read_is_refused(run, tmp_path, content, given):
    if content is not None:
        (tmp_path / "photo.png").write_bytes(content)
    with pytest.raises(cnntrain.SpecError, match=given):
        cnntrain.load_photo(tmp_path / "photo.png", run)


def test_calibrated_run_gives_sets_and_builds_its_network_once(digits, answer, tmp_path):
    folder = shutil.copytree(digits.folder, tmp_path / "run")
    run = cnntrain.load(folder)
    assert run.predict(digits.images[:5]).sets is None
    assert answer("evaluate", str(folder), "--calibrate").returncode == 0
    predictions, scoring = run.predict(digits.images[:5]), run.network_files.scoring_network
    likely = predictions.probabilities >= predictions.calibration.threshold
    refused = np.array([p.unfamiliarity > 1 for p in predictions])
    names = np.array(run.class_names)
    found = [{*names[row]} for row in likely & ~refused[:, None]]
    assert [{*labels} for labels in predictions.sets] == found
    assert run.predict(digits.images[:5], calibrated=False).sets is None
    assert run.network_files.scoring_network is scoring


def test_several_labels_are_lists(properties):
    predictions = cnntrain.load(properties.folder).predict(properties.images[:20])
    found = predictions.probabilities >= np.array(predictions.thresholds)
    names = np.array(predictions.class_names)
    assert [{*labels} for labels in predictions.labels] == [{*names[row]} for row in found]
    assert "below its threshold" in repr(predictions)


def test_evaluate_is_that_of_the_command(run, answer):
    evaluation = run.evaluate()
    said = json.loads(answer("evaluate", str(run.folder), "--json").stdout)
    assert evaluation == said
    assert f"accuracy {said['accuracy']:.4f}" in repr(evaluation)
    assert "<table" in evaluation._repr_html_()


def test_run_shows_itself(run, digits):
    accuracy = digits.report["test"]["best"]["accuracy"]
    assert f"test accuracy {accuracy:.4f}" in repr(run)
    page = run._repr_html_()
    assert "model=lenet5" in page
    assert "data:image/png;base64," in page


def test_run_is_sent_to_another_process(run):
    _ = run.network
    again = pickle.loads(pickle.dumps(run))
    assert (again.folder, again.weights) == (run.folder, run.weights)


def test_run_whose_directory_was_moved_says_nothing_wrong(left_behind):
    run = cnntrain.load(left_behind("a"))
    run.folder.rename(run.folder.with_name("b"))
    for name in ("report", "history", "status", "spec", "class_names", "network"):
        with pytest.raises(cnntrain.SpecError, match="is not there"):
            getattr(run, name)


def test_unfinished_run_is_opened_and_shown(left_behind):
    run = cnntrain.load(left_behind("a", status="interrupted"))
    assert (run.status, run.report, len(run.history)) == ("interrupted", {}, 2)
    assert "interrupted, 2 epochs, valid accuracy 0.7500" in repr(run)
    assert run._repr_html_()
    with pytest.raises(cnntrain.SpecError, match="has no weights yet"):
        _ = run.network


@pytest.mark.parametrize(
    ("path", "weights", "given"),
    [("nowhere", None, "nowhere is not there"), (".", "newest", "weights is 'newest'")],
)
def test_what_is_no_run_is_refused(tmp_path, monkeypatch, path, weights, given):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(cnntrain.SpecError) as answer:
        cnntrain.load(path, weights)
    assert answer.value.given == given


def test_runs_are_compared_the_best_first(left_behind):
    worse = left_behind("worse", "optimizer=sgd", accuracies=[0.5])
    better = left_behind("better", accuracies=[0.9])
    comparison = cnntrain.compare(cnntrain.load(worse), better)
    assert [run.folder for run in comparison.runs] == [better, worse]
    assert comparison.best.folder == better
    assert list(comparison.table["optimizer"]) == ["adam", "sgd"]
    assert "optimizer" in repr(comparison)
    assert "<table" in comparison._repr_html_()
    assert isinstance(comparison, RunComparison)


def test_run_stands_for_its_directory(left_behind):
    run = cnntrain.load(left_behind("a"))
    assert cnntrain.load(run, "final").folder == Path(run) == run.folder
    assert collect_overrides([], {"init_from": run}) == [f"init_from='{run.folder}'"]


def test_best_of_several_seeds_is_the_best_one(left_behind):
    runs = [left_behind("worse", "optimizer=sgd", accuracies=[0.1])]
    for seed, accuracy in enumerate([0.5, 0.9, 0.7]):
        runs.append(left_behind(f"run_{seed}", f"seed={seed}", accuracies=[accuracy]))
    assert cnntrain.compare(*runs).best.name == "run_1"


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_runs_are_refused(left_behind, count):
    with pytest.raises(cnntrain.SpecError):
        cnntrain.compare(*[left_behind("a")][:count])
