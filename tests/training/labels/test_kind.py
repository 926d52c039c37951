"""Runs on images with several labels, trained in this process."""

import json

import numpy as np
import pytest
from scipy.special import expit
from sklearn import metrics

from cnntrain.analysis.label_scores import LABEL_METRICS, choose_thresholds
from cnntrain.errors import SpecError
from cnntrain.runs.checkpoint import load_checkpoint
from cnntrain.spec.compose import compose_config
from cnntrain.training.labels.kind import ONE_LABEL, SEVERAL_LABELS, get_label_kind
from helpers.run_files import are_equal, load_weights, read_rows
from helpers.several import PROPERTIES, use_properties

SHORT = ("epochs=2", "dataset.limit=128", "batch_size=32")


@pytest.fixture(autouse=True)
def several():
    with use_properties():
        yield


def predict(run, spec, part, weights="best"):
    import keras

    network = keras.models.load_model(run.folder / f"{weights}.keras", compile=False)
    examples = dict(spec("epochs=1").load_splits().items())[part]
    return network.predict(examples.images, verbose=0).astype(np.float64), examples.labels


def test_kind_follows_from_the_shape_of_labels():
    assert get_label_kind(np.zeros(3, int)) is ONE_LABEL
    assert get_label_kind(np.zeros((3, 2), int)) is SEVERAL_LABELS


def test_a_run_learns_the_labels_and_reports_what_scikit_learn_says(train, spec):
    said = []
    run, report = train("epochs=8", said=said)
    log_odds, labels = predict(run, spec, "test")
    best = report["test"]["best"]
    assert best["mean_average_precision"] > 0.94
    assert best["mean_average_precision"] == pytest.approx(
        metrics.average_precision_score(labels, log_odds), abs=1e-6
    )
    assert best["exact_match"] == pytest.approx(metrics.accuracy_score(labels, log_odds >= 0))
    assert tuple(best) == LABEL_METRICS
    assert report["monitor"]["name"] == "valid.mean_average_precision"
    rows = read_rows(run)
    assert report["monitor"]["best"] == max(row["valid.mean_average_precision"] for row in rows)
    assert {f"valid.{name}" for name in LABEL_METRICS} <= rows[0].keys()
    assert "train.exact_match" in rows[0]
    assert not [key for row in rows for key in row if "accuracy" in key]
    assert run.read_run_json()["several_labels"] is True
    assert any("5 classes, several an image, of 32x32x1 images" in line for line in said)
    tuned = report["thresholds"]["best"]
    valid, valid_labels = predict(run, spec, "valid")
    assert tuned["classes"] == pytest.approx(
        choose_thresholds(expit(valid), valid_labels), abs=1e-3
    )
    guesses = expit(log_odds) >= tuned["classes"]
    assert tuned["test"]["macro_f1"] == pytest.approx(
        metrics.f1_score(labels, guesses, average="macro"), abs=1e-3
    )
    with np.load(run.folder / "predictions.npz") as arrays:
        assert arrays["probabilities"] == pytest.approx(expit(log_odds), abs=1e-5)
        assert np.array_equal(arrays["labels"], labels)
        assert arrays["thresholds"].tolist() == tuned["classes"]
    head, first, *others = (run.folder / "predictions.csv").read_text().splitlines()
    assert head == f"file,split,true classes,called,{','.join(PROPERTIES)}"
    assert len(first.split(",")) == 9
    assert len(others) + 1 == 144 + 359


VARIANTS = {
    "plain": (),
    "smooth": ("loss.label_smoothing=0.1", "loss.class_weights=balanced"),
    "focal": ("loss.focal_gamma=2", "loss.class_weights=[1,2,1,1,3]", "accumulate=2"),
    "mixup": ("augmentation=mixup", "ema_decay=0.9", "refit=true"),
    "cutmix": ("augmentation=cutmix", "pipeline=device", "test_views=mirrored"),
}


SLOW = ("plain", "smooth", "focal")  # what they vary is tested one by one in other files


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(words, id=name, marks=[pytest.mark.slow] * (name in SLOW))
        for name, words in VARIANTS.items()
    ],
)
def test_every_variation_trains_and_repeats_bit_for_bit(train, words):
    runs = [train(*SHORT, *words, name=name) for name in ("a", "b")]
    (first, report), (second, other) = runs
    assert are_equal(load_weights(first.final), load_weights(second.final))
    assert report["test"] == other["test"]
    for numbers in report["test"].values():
        assert np.isfinite([*numbers.values()]).all()
    if "refit=true" in words:
        assert report["test"].keys() == {"final", "ema", "best", "refit"}
        assert report["thresholds"].keys() == {"final", "ema", "best"}
    if "test_views=mirrored" in words:
        assert report["test_views"]["best"].keys() == set(LABEL_METRICS)


@pytest.mark.parametrize(
    "words", [(), pytest.param(("augmentation=mixup", "ema_decay=0.9"), marks=pytest.mark.slow)]
)
def test_a_run_that_is_stopped_ends_with_the_same_bits(train, tmp_path, spec, silent, words):
    from cnntrain.runs.directory import Run
    from cnntrain.training.trainer import train_run

    asked = (*SHORT, *words, "checkpoint.every_steps=3")
    whole, report = train(*asked, name="whole")

    class Stopping(silent):
        def epoch(self, row):
            raise KeyboardInterrupt

    run = Run.claim(tmp_path / "cut", compose_config(asked).config, asked)
    with pytest.raises(KeyboardInterrupt):
        train_run(spec(*asked), run, Stopping())
    again = train_run(spec(*asked), run, silent())
    assert again["test"] == report["test"]
    assert again["thresholds"] == report["thresholds"]
    ours, theirs = load_checkpoint(run.state), load_checkpoint(whole.state)
    assert [k for k, v in theirs.arrays.items() if not np.array_equal(v, ours.arrays[k])] == []


def test_without_validation_every_threshold_is_a_half(train):
    run, report = train(*SHORT, "dataset.valid=0")
    assert report["thresholds"]["best"] == {}
    assert report["monitor"] == {"name": "valid.mean_average_precision", "best": None}
    with np.load(run.folder / "predictions.npz") as arrays:
        assert arrays["thresholds"].tolist() == [0.5] * 5


def test_head_of_a_frozen_network_is_trained_on_features(train):
    run, _ = train(*SHORT, name="base")
    _, report = train(
        *SHORT, f"init_from={run.folder}", "finetune=head", "augmentation=none", name="head"
    )
    assert report["features_once"]
    assert report["test"]["best"].keys() == set(LABEL_METRICS)


REFUSED = {
    "monitor": ("monitor=valid.accuracy", "monitor=valid.mean_average_precision"),
    "balanced": ("monitor=valid.balanced_accuracy", "monitor=valid.mean_average_precision"),
    "rejection": ("loss.rejection=1", "loss.rejection=null"),
    "map": ("dataset.label_map=odd_even", "dataset.label_map=none"),
    "noise": ("dataset.label_noise=0.1", "dataset.label_noise=0"),
    "weights": ("loss.class_weights=[1,2]", "loss.class_weights=balanced"),
    "model": (
        "model=mobilenet model.one_logit=true dataset.classes=[even,loop]",
        "model.one_logit=false",
    ),
}


@pytest.mark.parametrize(("words", "hint"), REFUSED.values(), ids=REFUSED)
def test_what_needs_one_label_is_refused(train, words, hint):
    with pytest.raises(SpecError) as error:
        train(*SHORT, *words.split())
    assert error.value.hint == hint


def test_monitor_is_refused_before_tensorflow_loads(answer):
    done = answer("monitor=valid.accuracy")
    assert done.returncode == 2
    assert "images may have several labels" in done.stderr
    assert "try       monitor=valid.mean_average_precision" in done.stderr


def test_run_is_the_same_whether_its_monitor_is_named(spec):
    named, chosen = spec("monitor=valid.mean_average_precision"), spec()
    assert chosen.monitor == "valid.mean_average_precision"
    assert named.hash == chosen.hash


def test_report_holds_nothing_but_json(train):
    run, _ = train(*SHORT, "dataset.classes=[seven,even]")
    report = json.loads(run.report.read_text())
    assert len(report["thresholds"]["final"]["classes"]) == 2


def test_data_is_verified_and_drawn_and_the_run_is_planned(spec):
    from cnntrain.data.verify import verify_splits
    from cnntrain.planning.plan import plan_run
    from cnntrain.reports.preview import draw_preview

    splits = spec().load_splits()
    found = verify_splits(splits)
    assert found.images == {"train": 1294, "valid": 144, "test": 359}
    for part, examples in splits.items():
        assert [*found.classes[part].values()] == examples.labels.sum(axis=0).tolist()
    assert {place.label for places in found.repeated_images for place in places} <= {
        "|".join(name for name in PROPERTIES if digit in PROPERTIES[name]) or "none"
        for digit in range(10)
    }
    for word in ("augmentation=none", "augmentation=mixup"):
        assert draw_preview(spec(word, "batch_size=8"), splits, "cnntrain").size[0] > 100
    assert plan_run(spec(), None).totals["parameters"] == 61281
