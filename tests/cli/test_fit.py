"""`cnntrain fit FOLDER`: from photos to a classifier, in one command that can be repeated."""

import json
import shlex
import shutil
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from cnntrain.planning import pretrained_choice
from helpers.archives import zipped
from helpers.run_files import are_equal, load_weights
from helpers.tiny import write_photos


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    monkeypatch.setattr(pretrained_choice, "can_fetch", lambda url: False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


@pytest.fixture
def forty(tmp_path):
    """Forty photos of two kinds that can be told apart: twenty reddish, twenty bluish."""
    random = np.random.default_rng(0)
    for channel, name in ((0, "red"), (2, "blue")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 120, (100, 120 + number, 3))
            pixels[..., channel] += 120
            image = Image.fromarray(pixels.astype(np.uint8))
            image.save(tmp_path / "photos" / name / f"{number:02}.png")
    return "photos"


def fit_json(answer, *words):
    ended = answer("fit", *words, "--json")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_forty_photos_give_a_classifier_that_the_shown_command_repeats(answer, forty, tmp_path):
    words = ("epochs=3", "model=lenet5", "data_dir=data", "tracking=none")
    found = fit_json(answer, forty, *words)
    assert found["splits"] == {"train": 30, "test": 10}
    run = tmp_path / found["run"]
    spec = yaml.safe_load((run / "spec.yaml").read_text())
    assert spec["dataset"]["test"] == 0.25
    assert spec["epochs"] == 3
    result = found["result"]
    assert result["images"] == 10
    assert all(own["taken_for"] is None for own in result["worst"])  # of two classes: the other
    assert result["interval"][0] < result["accuracy"] <= result["interval"][1] + 1e-12
    assert result["accuracy"] == pytest.approx(
        json.loads((run / "report.json").read_text())["test"]["final"]["accuracy"]
    )
    verb, *again = shlex.split(found["command"])
    assert verb == "cnntrain"
    ended = answer(*again, "hydra.run.dir=again")
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "again" / "spec.yaml").read_text().partition("\n")[2] == (
        run / "spec.yaml"
    ).read_text().partition("\n")[2]
    for name in ("final.keras", "best.keras"):
        assert are_equal(load_weights(tmp_path / "again" / name), load_weights(run / name))


def test_a_dry_run_says_what_would_be_done_and_what_to_expect(answer, forty, tmp_path):
    ended = answer("fit", forty, "--dry-run")
    assert ended.returncode == 0, ended.stderr
    assert "40 photos of 2 classes, 20 of each" in ended.stdout
    assert "each of the 10 test photos is 10 % of the accuracy" in ended.stdout
    assert "With 9 of 10 right, the accuracy on other photos is between 60% and 98%" in ended.stdout
    assert "cnntrain dataset=image_folder dataset.folder=photos dataset.test=0.25" in ended.stdout
    assert not (tmp_path / "outputs").exists()


def test_the_sweep_over_folds_can_be_pasted(answer, forty):
    found = fit_json(answer, forty, "--dry-run")
    shown = answer("fit", forty, "--dry-run").stdout
    assert f"every photo tested once:\n{found['fold_command']}\n" in shown
    verb, flag, *words, fold = shlex.split(found["fold_command"])
    assert (verb, flag, fold) == ("cnntrain", "-m", "dataset.fold=range(5)")
    cut = [word for word in words if word.startswith("dataset.")]
    assert answer("data", "verify", "image_folder", *cut, "dataset.fold=4").returncode == 0
    own = fit_json(answer, forty, "--dry-run", "dataset.folds=3", "dataset.fold=0")
    assert own["fold_command"] is None


def test_a_dry_run_loads_no_tensorflow(answer, forty, monkeypatch):
    heavy = ("tensorflow", "keras", "tensorflow_datasets")
    for name in [name for name in sys.modules if name.split(".")[0] in heavy]:
        monkeypatch.delitem(sys.modules, name)
    assert answer("fit", forty, "--dry-run").returncode == 0
    assert "tensorflow" not in sys.modules


def test_a_zip_is_taken_as_a_folder_is(answer, forty, tmp_path):
    photos = {
        file.relative_to(tmp_path / "photos").as_posix(): file.read_bytes()
        for file in (tmp_path / "photos").rglob("*.png")
    }
    zipped(tmp_path / "photos.zip", photos)
    from_zip, from_folder = (
        fit_json(answer, place, "--dry-run") for place in ("photos.zip", forty)
    )
    assert from_zip["photos"] == from_folder["photos"]
    assert from_zip["decisions"] == from_folder["decisions"]


def test_weights_are_taken_where_they_lie(answer, forty, weights_dir):
    found = fit_json(answer, forty, f"weights_dir={weights_dir}", "--dry-run")
    words = shlex.split(found["command"])
    assert {"model=mobilenet", "model.alpha=0.75", f"weights_dir={weights_dir}"} < set(words)
    assert "model.weights=imagenet" in words


def test_several_labels_end_with_their_scores_and_what_to_do_next(answer, forty, tmp_path):
    files = sorted((tmp_path / "photos").rglob("*.png"))
    labels = [("red", "blue", "red|blue", "none")[n % 4] for n in range(len(files))]
    rows = [f"{file.relative_to(tmp_path)},{own}" for file, own in zip(files, labels, strict=True)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows, ""]))
    words = ("model=lenet5", "epochs=1", "dataset.image_size=[32,32]", "tracking=none")
    ended = answer("fit", "labels.csv", *words, "hydra.run.dir=run")
    assert ended.returncode == 0, ended.stderr
    # Few photos leave none for validation, without which all thresholds are 0.5.
    scores = json.loads((tmp_path / "run/report.json").read_text())["test"]["final"]
    assert f"test photos have all labels right: exact match {scores['exact_match']:.4f}" in (
        ended.stdout
    )
    mean = scores["mean_average_precision"]
    assert f"Wilson); mean average precision {mean:.4f}\nworst classes: " in ended.stdout
    assert "  cnntrain predict run PHOTO_OR_FOLDER" in ended.stdout


def test_words_of_the_user_win(answer, forty):
    found = fit_json(answer, forty, "model=lenet5", "batch_size=5", "--dry-run")
    words = shlex.split(found["command"])
    assert [word for word in words if word.startswith(("model", "batch"))] == [
        "model=lenet5", "batch_size=5",
    ]  # fmt: skip
    assert words[-2:] == ["model=lenet5", "batch_size=5"]


def test_classes_that_are_left_out_do_not_count(answer, forty, tmp_path):
    write_photos(tmp_path / "more")
    (tmp_path / "more" / "cat").rename(tmp_path / "photos" / "cat")
    found = fit_json(answer, forty, "dataset.classes=[red,blue]", "--dry-run")
    assert found["photos"]["classes"] == {"red": 20, "blue": 20}
    assert sum(found["splits"].values()) == 40


def test_minutes_become_epochs_in_the_command(answer, forty):
    # The first photos, of which steps are measured, must not all be of one class.
    words = ("--minutes", "0.5", "--dry-run", "model=lenet5", "batch_size=2")
    found = fit_json(answer, forty, *words)
    words = shlex.split(found["command"])
    assert [word for word in words if word.startswith("epochs=")]
    assert not [word for word in words if word.startswith("minutes")]


def test_a_network_without_weights_can_be_asked_for(answer, forty):
    found = fit_json(answer, forty, "--dry-run", "model.weights=null")
    assert "model=resnet20_v1" in found["command"]
    assert "model.weights" not in found["command"]


def test_a_network_that_comes_with_weights_gets_a_head(answer, forty):
    found = fit_json(answer, forty, "--dry-run", "model=vgg16_imagenet")
    assert {"finetune=head", "augmentation=none"} < {*found["command"].split()}
    plain = fit_json(answer, forty, "--dry-run", "model=vgg16_imagenet", "model.weights=null")
    assert "finetune" not in plain["command"]


@pytest.mark.parametrize("label", ["label", "red|big"])
def test_a_table_with_tabs_of_a_fold_is_taken(answer, forty, tmp_path, label):
    """Also with several labels, which end without an accuracy."""
    files = sorted((tmp_path / "photos").rglob("*.png"))
    label = {True: label} if "|" in label else {}
    rows = [f"{f.relative_to(tmp_path)}\t{label.get(n % 3 == 0, f.parent.name)}" for n, f in
            enumerate(files)]  # fmt: skip
    (tmp_path / "labels.tsv").write_text("\n".join(["file\tlabel", *rows]))
    words = ("dataset.folds=5", "dataset.fold=0", "epochs=1", "model=lenet5")
    ended = answer("fit", "labels.tsv", *words)
    assert ended.returncode == 0, ended.stderr
    assert "photos: 32 train, 8 test" in ended.stdout
    assert ("test photos are recognised" in ended.stdout) == (not label)
    assert "Next:\n  cnntrain predict outputs/" in ended.stdout


def test_strange_names_of_folders_can_be_copied(answer, forty, tmp_path):
    strange = "My Photos (2), März's=best"
    (tmp_path / "photos").rename(tmp_path / strange)
    found = fit_json(answer, strange, "--dry-run")
    ended = answer(*shlex.split(found["command"])[1:], "--cfg", "job")
    assert ended.returncode == 0, ended.stderr
    assert yaml.safe_load(ended.stdout)["dataset"]["folder"] == strange


def test_doubles_in_several_splits_are_warned_of(answer, forty, tmp_path):
    for number in range(20):
        shutil.copy(tmp_path / "photos/red/00.png", tmp_path / f"photos/red/again{number}.png")
    ended = answer("fit", forty, "--dry-run")
    assert "20 files are exact doubles of others" in ended.stdout
    assert "Warning: 1 photo is in more than one split" in ended.stdout


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ([], "no folder is named"),
        (["nowhere"], "nowhere is not there"),
        (["cifar10"], "cifar10 is no folder but a data set"),
        (["a", "b"], "a and b are both given"),
        (["photos", "-m", "seed=1,2"], "-m is given, and fit trains one run"),
        (["photos", "epoch=3"], "epoch is not a setting"),
        (["photos", "model=vgg61"], "model is vgg61"),
        (["photos", "dataset=mnist"], "dataset=mnist is given, and fit takes a folder"),
        (["photos", "dataset.folder=b"], "dataset.folder=b is given, and fit takes a folder"),
        (["photos", "minutes=1", "epochs=2"], "minutes and epochs are both given"),
        (["photos", "init_from=run"], "weights are given and no model"),
        (["photos", "seed=1", "seed=2"], "seed is given twice"),
        (["photos", "weights_dir=nowhere"], "weights_dir is nowhere, which is no folder"),
        (["photos/red/00.png"], "photos/red/00.png is a file"),
        (["photos/red"], ""),
        (["empty"], ""),
    ],
)
def test_mistakes_are_answered(answer, forty, tmp_path, words, given):
    (tmp_path / "empty").mkdir()
    ended = answer("fit", *words)
    assert ended.returncode == 2
    assert f"Error: {given}" in ended.stderr
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["fotos"], "cnntrain fit photos"),
        (["./Photo/"], "cnntrain fit photos"),
        ([r"C:\Users\me\photos"], "cnntrain fit photos"),
        (["my", "photos"], "cnntrain fit 'my photos'"),
        (["photos", "epoch", "5"], "epochs=5"),
        (["photos", "--minute", "1"], "--minutes 1"),
    ],
)
def test_words_that_miss_get_what_was_meant(answer, forty, tmp_path, words, hint):
    (tmp_path / "my photos").mkdir()
    assert f"try       {hint}\n" in answer("fit", *words).stderr


def test_weights_that_cannot_be_had_are_named_with_their_address(answer, forty):
    found = fit_json(answer, forty, "--dry-run")
    assert "keras-applications/mobilenet/mobilenet_1_0_224_tf_no_top.h5" in found["advice"][1]
    shown = answer("fit", forty, "--dry-run").stdout
    assert "\n".join(found["advice"]) in shown
    assert shown.index("weights_dir=FOLDER") < shown.index("The same, as a command")
    assert fit_json(answer, forty, "--dry-run", "model=lenet5")["advice"] == []


def test_a_folder_alone_is_told_what_makes_a_classifier_of_it(answer, forty):
    assert "try       cnntrain fit photos" in answer(forty).stderr


def test_broken_photos_are_named_and_a_class_of_them_is_refused(answer, tmp_path):
    write_photos(tmp_path / "photos")
    (tmp_path / "photos/cat/text.png").write_text("no image")
    ended = answer("fit", "photos", "--dry-run")
    assert "left out, being no images: cat/text.png (no image of a known format)" in ended.stdout
    for file in (tmp_path / "photos" / "cat").iterdir():
        file.write_text("no image")
    ended = answer("fit", "photos", "--dry-run")
    assert ended.returncode == 2
    assert "none of the 13 files of cat in train is an image" in ended.stderr


def test_a_class_of_one_photo_is_refused_before_tensorflow_loads(answer, tmp_path):
    write_photos(tmp_path / "photos")
    (tmp_path / "photos/rare").mkdir()
    shutil.copy(tmp_path / "photos/cat/00.png", tmp_path / "photos/rare/1.png")
    ended = answer("fit", "photos", "--dry-run")
    assert ended.returncode == 2
    assert "rare has 1 of the images" in ended.stderr


@pytest.mark.slow
def test_cats_and_dogs_are_told_apart_in_one_command(command, archives, weights_dir):
    zip_file = archives / "cats_and_dogs_700.zip"
    ended = command("fit", str(zip_file), f"weights_dir={weights_dir}", "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["result"]["accuracy"] >= 0.97
