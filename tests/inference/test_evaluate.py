"""`cnntrain evaluate`: its metrics equal those of the run's report and of other programs."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax
from sklearn import metrics

from cnntrain.inference.scores import score_predictions


def evaluate(verb, *words):
    """Return what `cnntrain evaluate --json` prints."""
    code, out, _ = verb("evaluate", *words, "--json")
    assert code == 0
    return json.loads(out)


@pytest.mark.parametrize("weights", ["best", "final"])
@pytest.mark.parametrize("split", ["test", "valid"])
def test_metrics_are_those_of_the_runs_report(verb, digits, weights, split):
    result = evaluate(verb, digits.folder, "--weights", weights, "--split", split)
    reported = digits.report[split][weights]
    assert {"loss", "accuracy", "balanced_accuracy", "macro_f1"} == set(reported)
    assert {key: result[key] for key in reported} == reported


def test_nothing_is_written_but_the_output_file(verb, digits, tmp_path):
    before = sorted((path, path.stat().st_mtime_ns) for path in digits.folder.rglob("*"))
    code, out, _ = verb("evaluate", digits.folder, "--output", tmp_path / "found.json")
    assert code == 0
    assert sorted((path, path.stat().st_mtime_ns) for path in digits.folder.rglob("*")) == before
    result = json.loads((tmp_path / "found.json").read_text())
    assert f"accuracy {result['accuracy']:.4f}" in out
    assert max(map(len, out.splitlines()[1:])) <= 100
    assert "\x1b" not in out


def test_metrics_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    p = random.dirichlet(np.ones(7), 400)
    labels = np.array([random.choice(7, p=row) for row in p], np.int32)
    labels[labels == 5] = 4  # a class without images
    result = score_predictions(np.log(p), labels, list("abcdefg"))
    guesses = p.argmax(axis=1)
    table = metrics.classification_report(
        labels, guesses, labels=range(7), output_dict=True, zero_division=0
    )
    assert result["loss"] == pytest.approx(metrics.log_loss(labels, p, labels=range(7)))
    assert result["accuracy"] == pytest.approx(metrics.accuracy_score(labels, guesses))
    top5 = metrics.top_k_accuracy_score(labels, p, k=5, labels=range(7))
    assert result["top5"] == pytest.approx(top5)
    expected = metrics.confusion_matrix(labels, guesses, labels=range(7))
    assert result["confusion"] == expected.tolist()
    assert result["macro_f1"] == pytest.approx(
        metrics.f1_score(labels, guesses, labels=np.unique(labels), average="macro")
    )
    with pytest.warns(UserWarning, match="classes not in y_true"):
        balanced = metrics.balanced_accuracy_score(labels, guesses)
    assert result["balanced_accuracy"] == pytest.approx(balanced)
    for number, row in enumerate(result["classes"]):
        expected = table[str(number)]
        assert row["precision"] == pytest.approx(expected["precision"])
        if number == 5:
            assert (row["recall"], row["f1"], row["images"]) == (None, None, 0)
            continue
        assert row["recall"] == pytest.approx(expected["recall"])
        assert row["f1"] == pytest.approx(expected["f1-score"])
        assert row["images"] == expected["support"]


def test_flips_average_the_probabilities_of_an_image_and_its_mirror_image(verb, digits):
    result = evaluate(verb, digits.folder, "--flips")
    mirrored = digits.probabilities(images=digits.images[:, :, ::-1])
    mean = (digits.probabilities().astype(float) + mirrored) / 2
    chosen = mean[range(len(mean)), digits.labels]
    assert result["loss"] == pytest.approx(-np.log(chosen).mean(), rel=1e-5)
    assert result["accuracy"] == (mean.argmax(axis=1) == digits.labels).mean()


@pytest.fixture(scope="module")
def seen_in_views(training):
    return training(
        "epochs=2", "dataset.limit=100", "batch_size=50", "ema_decay=0.9", "refit=true",
        "test_views=mirrored_shifted",
    )  # fmt: skip


def test_views_give_the_numbers_of_the_runs_report(verb, seen_in_views):
    report = seen_in_views.report
    assert report["views"] == "mirrored_shifted"
    assert set(report["test_views"]) == {"best", "final", "ema", "refit"}
    for weights, reported in report["test_views"].items():
        result = evaluate(
            verb, seen_in_views.folder, "--weights", weights, "--views", "mirrored_shifted"
        )
        assert {key: result[key] for key in reported} == reported
        assert result["views"] == "mirrored_shifted"
        assert reported["loss"] != report["test"][weights]["loss"]


def test_page_and_log_of_a_run_say_what_its_views_gave(seen_in_views):
    accuracy = seen_in_views.report["test_views"]["final"]["accuracy"]
    log = (seen_in_views.folder / "train.log").read_text()
    last = next(line for line in log.splitlines() if line.strip().startswith("last epoch"))
    assert "mirrored and" in log  # the heading has two lines
    assert last.split()[-1] == f"{accuracy:.4f}"
    page = (seen_in_views.folder / "report.html").read_text()
    assert '<th class="n">mirrored and shifted</th>' in page
    assert f'<td class="n">{accuracy:.4f}</td></tr>' in page


def test_an_ensemble_averages_the_probabilities_of_its_views(verb, digits, seen_in_views):
    runs = (digits, seen_in_views)
    result = evaluate(
        verb, *(run.folder for run in runs), "dataset=digits", "dataset.limit=100",
        "--views", "mirrored",
    )  # fmt: skip
    images, labels = seen_in_views.images, seen_in_views.labels
    mean = 0
    for run in runs:
        network = run.network()
        logits = [network.predict(x, verbose=0) for x in (images, images[:, :, ::-1])]
        mean = mean + softmax(np.mean(logits, axis=0), axis=-1) / 2
    assert result["accuracy"] == np.mean(mean.argmax(axis=1) == labels)
    chosen = mean[range(len(labels)), labels]
    assert result["loss"] == pytest.approx(-np.log(chosen).mean(), rel=1e-5)


@pytest.mark.parametrize("other", [("--flips",), ("--fgsm", "1")])
def test_views_are_refused_beside_another_way_of_looking(refusal, digits, other):
    answer = refusal("evaluate", digits.folder, "--views", "mirrored", *other)
    assert answer.given == f"--views and {other[0]} are both given"
    assert refusal("evaluate", digits.folder, "--views", "shifted").given == "--views is shifted"


def test_views_are_named_before_the_numbers(verb, digits):
    code, out, _ = verb("evaluate", digits.folder, "--views", "mirrored_shifted")
    assert code == 0
    assert out.splitlines()[0].endswith("test, mirrored and shifted")


@pytest.mark.slow
def test_an_ensemble_with_flips_averages_all_probabilities(verb, digits, training):
    # A run on the same images whose classes are in the opposite order.
    reversed_run = training(
        "epochs=1", "dataset.limit=300", "batch_size=50", "dataset.classes=[9,8,7,6,5,4,3,2,1,0]"
    )
    both = evaluate(
        verb, digits.folder, reversed_run.folder, "dataset=digits", "dataset.limit=300", "--flips"
    )
    mean = np.zeros((300, 10))
    for run, columns in ((digits, slice(None)), (reversed_run, slice(None, None, -1))):
        for images in (digits.images, digits.images[:, :, ::-1]):
            mean += run.probabilities(images=images)[:, columns] / 4
    assert both["accuracy"] == pytest.approx((mean.argmax(axis=1) == digits.labels).mean())
    assert both["loss"] == pytest.approx(-np.log(mean[range(300), digits.labels]).mean(), rel=1e-5)


def test_a_run_is_evaluated_on_other_data_with_the_same_classes(verb, digits, pngs):
    result = evaluate(
        verb, digits.folder, "dataset=image_folder", f"dataset.folder={pngs}",
        "dataset.valid=10", "dataset.test=200", f"data_dir={pngs.parent}", "--split", "test",
    )  # fmt: skip
    assert result["images"] == 200
    assert result["accuracy"] == pytest.approx(digits.report["test"]["best"]["accuracy"], abs=0.06)


def test_another_folder_without_parts_is_evaluated_whole_with_a_note(verb, digits, pngs):
    words = ("dataset=image_folder", f"dataset.folder={pngs}", f"data_dir={pngs.parent}")
    result = evaluate(verb, digits.folder, *words)
    assert result["images"] == 300
    assert result["accuracy"] == digits.report["test"]["best"]["accuracy"]
    assert result["notes"] == ["300 images; test: not divided into parts: all of it"]


def test_another_folder_with_a_test_part_is_evaluated_on_that_part(verb, refusal, digits, pngs):
    whole = pngs.parent / "parts"
    whole.mkdir()
    pngs.rename(whole / "test_set")
    for label in range(10):
        (whole / "training_set" / str(label)).mkdir(parents=True)
        Image.new("L", (32, 32)).save(whole / "training_set" / str(label) / "black.png")
    Image.new("L", (32, 32)).save(whole / "stray.png")
    words = ("dataset=image_folder", f"dataset.folder={whole}", f"data_dir={whole}")
    result = evaluate(verb, digits.folder, *words)
    assert result["images"] == 300
    assert result["accuracy"] == digits.report["test"]["best"]["accuracy"]
    assert result["notes"][0] == "300 images; test: official"
    assert "files in no class folder have no label and are left out: 1 in ." in result["notes"][1]
    answer = refusal("evaluate", digits.folder, *words, "--split", "valid")
    assert "has no valid part, only train and test" in str(answer)


def test_photos_that_have_moved_are_divided_as_in_training(digits, pngs, monkeypatch, spec):
    """Only a fifth of the photos is the run's test part; the network has learnt the others."""
    from cnntrain.data.fingerprint import compute_fingerprint
    from cnntrain.inference import examples
    from cnntrain.inference.classifier import open_classifier

    words = ["dataset=image_folder", f"dataset.folder={pngs}", "dataset.image_size=[32,32]"]
    own = spec(*words, f"data_dir={pngs.parent}")
    splits = own.load_splits()
    sizes = {part: len(rows) for part, rows in splits.items()}
    record = {"data": {"fingerprint": compute_fingerprint(splits), "sizes": sizes}}
    run = replace(open_classifier(str(digits.folder)), record=record, spec=own, config=own.config)
    moved = pngs.rename(pngs.parent / "moved")
    moved_spec = examples.build_evaluation_spec(run, [f"dataset.folder={moved}"])
    assert len(examples.load_evaluation_splits(run, moved_spec).test) == sizes["test"] == 60
    (moved / "0" / "more.png").write_bytes(next(moved.rglob("*.png")).read_bytes())
    assert len(examples.load_evaluation_splits(run, moved_spec).test) == 301


def test_other_data_is_labelled_by_the_names_of_its_classes(verb, digits, pngs):
    own = evaluate(verb, digits.folder)
    other = evaluate(
        verb, digits.folder, "dataset=digits", "dataset.limit=300",
        "dataset.classes=[9,8,7,6,5,4,3,2,1,0]",
    )  # fmt: skip
    assert [row["name"] for row in other["classes"]] == [str(n) for n in range(10)]
    assert other["accuracy"] == pytest.approx(own["accuracy"], abs=0.05)


def test_a_larger_fgsm_epsilon_lowers_the_accuracy(verb, digits):
    result = evaluate(verb, digits.folder, "--fgsm", "0,1,4,8,16")
    accuracies = [row["accuracy"] for row in result["fgsm"]]
    assert accuracies[0] == result["accuracy"]
    assert all(after <= max(before, 0.15) for before, after in pairwise(accuracies)), accuracies
    assert accuracies[-1] < accuracies[0] - 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet", "cats", "one_logit"])
def test_trained_networks_score_as_in_training_and_lose_accuracy_to_fgsm(verb, request, name):
    """Accuracy falls up to epsilon 8; beyond, a step overshoots and may misread fewer images."""
    run = request.getfixturevalue(name)
    result = evaluate(verb, run.folder, "--fgsm", "0,1,2,4,8")
    reported = run.report["test"]["best"]
    assert {key: result[key] for key in reported} == reported
    accuracies = [row["accuracy"] for row in result["fgsm"]]
    assert accuracies[0] == result["accuracy"]
    assert accuracies == sorted(accuracies, reverse=True)


def test_the_fgsm_gradient_is_that_of_the_loss_at_the_pixels():
    import keras

    from cnntrain.inference.fgsm import build_gradient_function, rebuild_with_float_input

    images = keras.Input((4, 4, 1), dtype="uint8")
    x = keras.layers.Rescaling(0.02, -1.5, dtype="float32")(images)
    network = keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
    kernel = network.layers[-1].kernel.numpy()
    shown = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), np.uint8)
    labels = np.array([0, 1, 2, 0, 1], np.int32)
    p = keras.ops.softmax(network(shown)).numpy()
    expected = 0.02 * (p - np.eye(3)[labels]) @ kernel.T
    result = build_gradient_function(rebuild_with_float_input(network))(
        shown.astype(np.float32), labels
    )
    np.testing.assert_allclose(result.reshape(5, 16), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_a_note_says_that_images_have_changed_since_training(verb, training, tmp_path, pngs):
    words = (
        "dataset=image_folder", f"dataset.folder={pngs}", "dataset.image_size=[32,32]",
        f"data_dir={tmp_path}", "epochs=1", "batch_size=50", "dataset.channels=1",
    )  # fmt: skip
    run = training(*words)
    assert evaluate(verb, run.folder)["notes"] == []
    first = next(pngs.rglob("*.png"))
    first.write_bytes(sorted(pngs.rglob("*.png"))[-1].read_bytes())
    assert "not the images" in evaluate(verb, run.folder)["notes"][0]


MISTAKES = [
    ((), "no run is named"),
    (("RUN", "epochs=3"), "epochs cannot be set for a trained network"),
    (("RUN", "--weights", "ema"), "has no ema.keras: it is finished"),
    (("RUN", "--fgsm", "much"), "--fgsm is much"),
    (("RUN", "RUN", "--fgsm", "1"), "several runs"),
    (("RUN", "--output", "RUN/nowhere/x.json"), "no folder to lie in"),
    (("RUN", "dataset.test=0.4", "dataset.tset=3"), "dataset.tset is not a setting"),
    (("RUN/best.keras",), "is a file"),
]


@pytest.mark.parametrize(("words", "given"), MISTAKES)
def test_mistakes_are_answered(refusal, digits, words, given):
    words = [word.replace("RUN", str(digits.folder)) for word in words]
    assert given in str(refusal("evaluate", *words))


def test_other_classes_are_refused(refusal, digits):
    answer = refusal("evaluate", digits.folder, "dataset.label_map=odd_even")
    assert "they lack 0, 1" in str(answer)
    assert "have even, odd" in str(answer)


def test_of_many_classes_only_those_with_the_lowest_f1_are_printed(capsys):
    from cnntrain.inference.evaluate_report import print_evaluation

    random = np.random.default_rng(0)
    p = random.dirichlet(np.ones(100), 2000)
    names = [f"class number {n}" for n in range(100)]
    labels = random.integers(0, 100, 2000).astype(np.int32)
    result = score_predictions(np.log(p), labels, names)
    about = {"runs": ["r"], "weights": ["best"], "dataset": "d", "split": "test", "notes": []}
    print_evaluation(result | about | {"flips": False, "views": "none"})
    out = capsys.readouterr().out
    assert len(out.splitlines()) < 60
    assert "the 20 of 100 classes with the lowest F1; --json has all\n" in out


def test_shortened_class_names_stay_different():
    from cnntrain.inference.evaluate_report import shorten_names

    assert shorten_names(["cat", "dog"]) == ["cat", "dog"]
    assert shorten_names(["american_bulldog", "american_pit_bull_terrier"])[0] == "american_bulldog"
    twelve = [f"class_{n:03d}" for n in range(12)]
    assert shorten_names(twelve)[:2] == ["cl…000", "cl…001"]
    for names in (twelve, twelve[:10], ["pineapple", *twelve[:7]]):
        assert len(set(shorten_names(names))) == len(names)
        assert sum(len(name) + 1 for name in shorten_names(names)) <= 84
