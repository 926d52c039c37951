"""Runs on images with several labels: evaluated, used and exported by the command line."""

import csv
import io
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit, logit
from sklearn import metrics

from cnntrain.inference.ensemble import average_log_odds
from cnntrain.inference.export_formats import FORMATS
from helpers.several import PROPERTIES, load_digits, use_properties

NAMES = [*PROPERTIES]


@pytest.fixture(autouse=True)
def several():
    with use_properties():
        yield


@pytest.fixture
def probabilities(properties):
    logits = properties.network().predict(properties.images, verbose=0)
    return expit(logits.astype(np.float64))


@pytest.fixture
def thresholds(properties):
    return np.array(properties.report["thresholds"]["best"]["classes"])


@pytest.fixture
def photos(properties, tmp_path):
    """Write some test images as files, a broken one last."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, image in enumerate(properties.images[:40]):
        Image.fromarray(image[..., 0]).save(folder / f"{number:03}.png")
    (folder / "999.png").write_bytes(b"none")
    return folder


def evaluate(verb, *words):
    code, out, _ = verb("evaluate", *words, "--json")
    assert code == 0
    return json.loads(out)


def test_evaluation_is_that_of_the_report_and_of_scikit_learn(
    verb, properties, probabilities, thresholds
):
    found = evaluate(verb, properties.folder)
    reported = properties.report
    assert {key: found[key] for key in reported["test"]["best"]} == reported["test"]["best"]
    tuned = dict(found["at_thresholds"])
    low, high = tuned.pop("interval")
    assert tuned == reported["thresholds"]["best"]["test"]
    assert low < tuned["exact_match"] < high
    assert [row["name"] for row in found["classes"]] == NAMES
    labels = properties.labels
    each = metrics.average_precision_score(labels, probabilities, average=None)
    assert [row["average_precision"] for row in found["classes"]] == pytest.approx(each)
    table = metrics.precision_recall_fscore_support(labels, probabilities >= thresholds)
    for key, column in zip(("precision", "recall", "f1", "images"), table, strict=True):
        assert [row[key] for row in found["classes"]] == pytest.approx(column)
    assert not {"accuracy", "confusion", "top5", "ece"} & found.keys()


def test_evaluation_is_printed_without_a_confusion_matrix(verb, properties):
    code, out, _ = verb("evaluate", properties.folder)
    assert code == 0
    assert "mean average precision 0.9" in out
    assert "at the thresholds: exact match" in out
    assert "at 0.5: exact match" in out
    assert "accuracy" not in out
    assert max(map(len, out.splitlines()[1:])) <= 100


def test_runs_together_average_probabilities(verb, properties, tmp_path):
    other = shutil.copytree(properties.folder, tmp_path / "other")
    (other / "best.keras").unlink()
    shutil.copy(properties.folder / "final.keras", other / "best.keras")
    both = evaluate(verb, properties.folder, other)
    shown = [expit(properties.network(name).predict(properties.images, verbose=0).astype(float))
             for name in ("best", "final")]  # fmt: skip
    mean = np.mean(shown, axis=0)
    expected = metrics.average_precision_score(properties.labels, mean)
    assert both["mean_average_precision"] == pytest.approx(expected)
    assert average_log_odds([logit(p) for p in shown]) == pytest.approx(logit(mean))


@pytest.mark.parametrize(
    ("name", "words", "given"),
    [
        ("evaluate", ["--fgsm", "1"], "--fgsm needs one an image"),
        ("predict", ["--top", "2", "a.png"], "--top is 2"),
    ],
)
def test_what_needs_one_label_is_refused(refusal, properties, name, words, given):
    assert given in str(refusal(name, properties.folder, *words))


def test_look_shows_sigmoids_and_no_attack(verb, properties, probabilities, tmp_path):
    code, out, _ = verb(
        "look", properties.folder, "--test", "5", "--output", tmp_path / "look", "--json"
    )
    assert code == 0
    facts = json.loads(out)
    labels = np.array(NAMES)[properties.labels[5] > 0]
    assert facts["truth"] == ("|".join(labels) or "none")
    found = {row["name"]: row["probability"] for row in facts["classes"]}
    assert [found[name] for name in NAMES] == pytest.approx(probabilities[5], abs=1e-4)
    assert "adversarial" not in facts
    assert any("adversarial image" in line for line in facts["left_out"])


def test_data_with_one_label_is_no_test_of_several(refusal, properties, digits, monkeypatch):
    def load_one_label(*folders, margin):
        source = load_digits(*folders, margin=margin)
        return replace(source, labels=source.labels % 5, class_names=tuple(NAMES))

    monkeypatch.setattr("cnntrain.data.datasets.digits.digits", load_one_label)
    error = refusal("evaluate", properties.folder)
    assert error.given.startswith("the images have one label each, and those of")
    assert "some runs are on images with one label" in str(
        refusal("evaluate", digits.folder, properties.folder)
    )


def test_photos_get_all_labels_that_reach_their_thresholds(
    verb, properties, photos, probabilities, thresholds
):
    code, out, _ = verb("predict", properties.folder, photos, "--jsonl")
    assert code == 0
    *rows, broken = [json.loads(line) for line in out.splitlines()]
    assert broken["error"]
    for row, expected in zip(rows, probabilities, strict=False):
        assert [*row["probabilities"]] == NAMES
        assert [*row["probabilities"].values()] == pytest.approx(expected, abs=1e-5)
        found = {NAMES[n] for n in np.flatnonzero(expected >= thresholds)}
        assert {label["name"] for label in row["labels"]} == found
        for label in row["labels"]:
            assert label["probability"] >= label["threshold"]


def test_photos_are_rows_of_csv_and_of_a_table(verb, properties, photos, probabilities, thresholds):
    _, out, _ = verb("predict", properties.folder, photos, "--csv")
    rows = [*csv.reader(io.StringIO(out))]
    assert rows[0] == ["image", "error", "labels", *NAMES]
    found = [np.array(NAMES)[p >= thresholds] for p in probabilities]
    for row, names in zip(rows[1:-1], found, strict=False):
        assert set(filter(None, row[2].split("|"))) == set(names)
    assert rows[-1][1]
    assert rows[-1][2:] == [""] * 6
    _, out, _ = verb("predict", properties.folder, photos)
    assert "below its threshold" in out
    assert out.count("broken") == 1
    assert sum(" none " in line for line in out.splitlines()) == sum(not len(n) for n in found[:40])


def read_metadata(name, path):
    """Return the class names and the thresholds that an exported file contains."""
    if name == "onnx":
        import onnxruntime

        known = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
        return [json.loads(known[key]) for key in ("class_names", "thresholds")]
    if name == "savedmodel":
        texts = [(Path(path) / "assets.extra" / f"{stem}.txt").read_text() for stem in
                 ("labels", "thresholds")]  # fmt: skip
    else:
        with zipfile.ZipFile(path) as archive:
            texts = [archive.read(f"{stem}.txt").decode() for stem in ("labels", "thresholds")]
    return [texts[0].split(), [float(line) for line in texts[1].split()]]


@pytest.mark.parametrize("name", FORMATS)
def test_exported_file_gives_sigmoids_and_holds_the_thresholds(
    verb, properties, tmp_path, name, probabilities, thresholds
):
    pytest.importorskip({"onnx": "tf2onnx", "tflite": "ai_edge_litert"}.get(name, "keras"))
    target = tmp_path / f"properties{FORMATS[name].suffix}"
    code, out, _ = verb("export", properties.folder, "--format", name, "--output", target, "--json")
    assert code == 0
    about = json.loads(out.splitlines()[-1])
    assert about["changed"] == 0
    assert about["largest_difference"] < 1e-4
    found = FORMATS[name].run(Path(about["path"]))(properties.images)
    np.testing.assert_allclose(found, probabilities, atol=1e-5)
    assert read_metadata(name, about["path"]) == [NAMES, thresholds.tolist()]


def test_what_an_export_compared_is_said(verb, properties, tmp_path):
    words = ("--format", "keras", "--output", tmp_path / "x.keras")
    _, out, _ = verb("export", properties.folder, *words)
    assert "; all have the same labels at the thresholds" in out


def test_report_with_odd_thresholds_is_damaged(refusal, properties, tmp_path):
    other = shutil.copytree(properties.folder, tmp_path / "other")
    report = json.loads((other / "report.json").read_text())
    report["thresholds"]["best"]["classes"] = [0.5]
    (other / "report.json").write_text(json.dumps(report))
    assert "its thresholds are not those of classes" in str(refusal("evaluate", other))
