"""Layouts of other people's folders: which are parts, which are classes, what is refused."""

import unicodedata
import zipfile

import pytest

from cnntrain.data.fetch.folders import open_tree, read_tree_source
from cnntrain.data.fetch.layouts import recognise_part
from cnntrain.errors import SpecError


@pytest.fixture
def tree(tmp_path):
    """Make folders of images and read them as a tree; "cat/2" is two images in the folder cat."""

    def make(*folders: str):
        for text in folders:
            folder, _, count = text.rpartition("/")
            path = tmp_path / "set" / folder
            path.mkdir(parents=True, exist_ok=True)
            for number in range(int(count)):
                (path / f"{number:03}.jpg").write_bytes(f"{text} {number}".encode())
        return read_tree_source(open_tree(tmp_path / "set"))

    return make


def sizes(found):
    """Return the number of images of each part and class."""
    return {
        part: {
            name: int((found.labels[rows] == label).sum())
            for label, name in enumerate(found.class_names)
        }
        for part, rows in found.parts.items()
    }


NAMES = {
    "train": ["train", "Training", "TRAIN", "train_set", "training_set", "Training-Set", "trainset",
              "train data", "training_data", "seg_train", "train_images", "data_train", "trn",
              "train1", "train (1)", "training_set_2", "train2017"],
    "valid": ["valid", "val", "Validation", "validation_set", "valset", "VAL-DATA", "eval",
              "evaluation", "dev", "devset", "validate", "dataset_val",
              "val2017"],
    "test": ["test", "Testing", "test_set", "TestSet", "test-data", "testing_images",
             "seg_test", "tst", "test1"],
    None: ["cat", "latest", "contest", "trains", "devil", "invalid", "set", "data", "images",
           "retrieval", "train_val", "trainval", "Mediaeval", "test_tubes", "image", "",
           "2", "set 2", "data_2", "trainer 1"],
}  # fmt: skip


@pytest.mark.parametrize(("part", "name"), [(p, n) for p, names in NAMES.items() for n in names])
def test_parts_are_recognised_by_the_names_that_people_use(part, name):
    assert recognise_part(name) == part


@pytest.mark.parametrize(
    ("train", "valid", "test"),
    [
        ("training_set", "validation_set", "test_set"),
        ("Train", "Eval", "Testing"),
        ("seg_train/seg_train", "dev/images", "seg_test/seg_test"),
    ],
)
def test_parts_of_any_name_are_kept_apart(tree, train, valid, test):
    found = tree(*(f"{part}/{name}/{count}" for part, count in [(train, 3), (valid, 2), (test, 1)]
                   for name in ("cats", "dogs")))  # fmt: skip
    assert sizes(found) == {
        "train": {"cats": 3, "dogs": 3}, "valid": {"cats": 2, "dogs": 2},
        "test": {"cats": 1, "dogs": 1},
    }  # fmt: skip
    assert not found.notes


def test_parts_below_the_classes_are_kept_apart_and_noted(tree):
    found = tree("cats/train/3", "cats/test/2", "dogs/Training/4", "dogs/test/1")
    assert sizes(found) == {"train": {"cats": 3, "dogs": 4}, "test": {"cats": 2, "dogs": 1}}
    assert "parts are below each class" in found.notes[0]


# Layouts that were once misunderstood, or lost images silently.
REFUSED = {
    "parts under unknown names": (
        ["fold_a/cats/2", "fold_a/dogs/2", "fold_b/cats/2", "fold_b/dogs/2"],
        "fold_a, fold_b in", "all have the folders cats, dogs: most likely these are the classes",
    ),
    "unknown names, other capitals": (
        ["a/Cats/2", "a/Dogs/2", "b/cats/2", "b/dogs/2"], "most likely these are the classes", "",
    ),
    "an unknown name beside a part": (
        ["trainval/a/2", "trainval/b/2", "test/a/2", "test/b/2"],
        "has test, which looks like the test part, beside trainval", "call trainval train",
    ),
    "parts of masks": (
        ["images/train/a/1", "images/train/b/1", "images/val/a/1", "images/val/b/1",
         "masks/train/a/1", "masks/train/b/1", "masks/val/a/1", "masks/val/b/1"],
        "most likely these are the classes", "",
    ),
    "two names for a part": (
        ["train/a/2", "train/b/2", "val/a/1", "val/b/1", "validation/a/1", "validation/b/1"],
        "val, validation in", "both mean the valid part",
    ),
    "capitals": (
        ["train/a/2", "train/b/2", "Train/a/1", "Train/b/1"], "Train, train", "train part",
    ),
    "two names for a part below a class": (
        ["a/train/2", "a/training/2", "a/test/1", "b/train/2", "b/test/1"],
        "train, training in", "both mean the train part",
    ),
    "a part beside classes": (
        ["cats/2", "dogs/2", "test/cats/1", "test/dogs/1"],
        "has test, which looks like the test part, beside cats, dogs", "into a folder train",
    ),
    "classes beside the training part": (
        ["bus/2", "ship/2", "train/freight/2", "train/metro/2"],
        "has train, which looks like the train part, beside bus, ship", "/set/train",
    ),
    "no class folders": (["train/5", "test/5"], "train has images and no class folders", ""),
    "Kaggle's dogs and cats": (["train/5", "test1/5"], "has images and no class folders", ""),
    "no class folders in train": (
        ["train/5", "test/a/2", "test/b/2"], "train has images and no class folders", "",
    ),
    "a class without a part": (
        ["cats/train/2", "cats/test/1", "dogs/train/2"], "dogs has no part test", "",
    ),
    "parts one folder down": (
        ["data/train/a/2", "data/train/b/2", "data/test/a/2", "data/test/b/2", "plots/3"],
        "plots has no part train and no part test", "try       dataset.folder=",
    ),
    "images beside the parts of a class": (
        ["cats/train/2", "cats/test/1", "cats/3", "dogs/train/2", "dogs/test/1"],
        "cats has images beside its parts", "",
    ),
    "training images beside a part of the class": (
        ["cats/9", "cats/test/1", "dogs/9", "dogs/test/1"],
        "cats has images beside its parts", "",
    ),
    "no labels in the test part": (
        ["train/a/2", "train/b/2", "test/unknown/2"],
        "test has other classes", "/set/train, if these have no label",
    ),
    "a part of an unknown name": (
        ["Training/a/2", "Training/b/2", "Testdaten/a/2", "Testdaten/b/2"],
        "beside Testdaten", "call Testdaten valid or test, if it is a part",
    ),
    "other classes": (
        ["train/a/2", "train/b/2", "test/a/2", "test/c/2"],
        "test has other classes than the training part: b, c", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_ambiguous_layout_is_refused_with_the_likely_meaning(tree, case):
    folders, given, more = REFUSED[case]
    with pytest.raises(SpecError) as refused:
        tree(*folders)
    assert given in str(refused.value)
    assert more in str(refused.value)


NOTED = {
    "Kaggle's unlabelled test": (
        ["train/a/2", "train/b/2", "test/7"],
        "files in no class folder have no label and are left out: 7 in test",
    ),
    "a picture to try": (
        ["training_set/a/2", "training_set/b/2", "test_set/a/1", "test_set/b/1",
         "single_prediction/2"],
        "2 in single_prediction",
    ),
    "stray images at the top": (["a/2", "b/2", "/3"], "3 in ."),
    "stray images beside classes": (["train/a/2", "train/b/2", "train/4"], "4 in train"),
    "stray images above": (["x/y/a/2", "x/y/b/2", "x/1"], "1 in x"),
    "a class called train": (["bus/2", "ship/2", "train/2"], "train is taken for a class"),
    "folders in classes": (["a/in/2", "a/2", "b/out/2"], "belong to that class: in, out"),
    "only a test part": (["test/a/2", "test/b/2"], "test is the only part"),
}  # fmt: skip


@pytest.mark.parametrize("case", NOTED)
def test_omissions_and_guesses_are_noted(tree, case):
    folders, note = NOTED[case]
    assert note in "\n".join(tree(*folders).notes)


def test_parts_without_training_images_are_refused_for_training(tree, spec, tmp_path):
    tree("valid/a/2", "valid/b/2", "test/a/2", "test/b/2")
    from cnntrain.data.splits import split_source

    with pytest.raises(SpecError, match="no training images, only the part valid and test"):
        split_source(read_tree_source(open_tree(tmp_path / "set")), 0.1, 0.2, "stratified", 0)


def test_tiny_imagenet_keeps_its_folder_below_each_class(tree):
    assert sizes(tree("n1/images/3", "n2/images/2")) == {"train": {"n1": 3, "n2": 2}}


SYSTEM = (
    "@eaDir", "eadir", "#recycle", "#Recycle", "$RECYCLE.BIN", "System Volume Information",
    "lost+found", ".Trashes", ".AppleDouble", "__MACOSX", ".ipynb_checkpoints", "@Recycle",
)  # fmt: skip


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_files_of_systems_and_network_drives_are_ignored_at_any_depth(tree, tmp_path, packed):
    places = ("", "train/", "train/a/", "train/a/deep/", "test/b/")
    litter = [f"{place}{name}/{name}/2" for place in places for name in SYSTEM]
    tree("train/a/3", "train/a/deep/1", "train/b/3", "test/a/2", "test/b/2")
    before = sizes(read_tree_source(open_tree(tmp_path / "set")))
    found = tree(*litter)
    for place in places:
        for name in ("Thumbs.db", "THUMBS.DB", ".DS_Store", "Desktop.ini", "ehthumbs.db"):
            (tmp_path / "set" / place / name).write_bytes(b"litter")
    if packed:
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
            for path in sorted((tmp_path / "set").rglob("*")):
                archive.write(path, path.relative_to(tmp_path))
        found = read_tree_source(open_tree(tmp_path / "set.zip"))
    assert sizes(found) == before == {"train": {"a": 4, "b": 3}, "test": {"a": 2, "b": 2}}


def forms(name):
    return [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]


def test_names_of_classes_are_compared_in_one_unicode_form(tree):
    composed, apart = forms("café")
    found = tree(f"train/{apart}/2", "train/thé/2", f"val/{composed}/1", "val/thé/1")
    assert found.class_names == ("café", "thé")
    assert sizes(found)["valid"] == {"café": 1, "thé": 1}


def test_one_name_in_two_unicode_forms_is_one_class(tree):
    composed, apart = forms("café")
    assert sizes(tree(f"{apart}/2", f"{composed}/3", "tea/1")) == {"train": {"café": 5, "tea": 1}}


def test_order_of_images_does_not_depend_on_the_unicode_form(tmp_path):
    found = []
    for form in ("NFC", "NFD"):
        for folder in ("été", "zoo"):
            path = tmp_path / form / unicodedata.normalize(form, folder)
            path.mkdir(parents=True)
            for name in ("eb", "éa", "f"):
                (path / f"{unicodedata.normalize(form, name)}.jpg").write_bytes(name.encode())
        one = read_tree_source(open_tree(tmp_path / form))
        found.append((one.class_names, [one.images.read(n) for n in range(len(one.images))]))
    assert found[0] == found[1]


def test_labels_in_another_unicode_form_are_the_same():
    from cnntrain.data.labels import group_classes

    composed, apart = forms("café")
    groups, names = group_classes((composed, "tea"), {apart: (apart,), "b": ("tea",)})
    assert (groups.tolist(), names) == ([0, 1], (composed, "b"))


def test_runs_in_a_working_folder_are_no_classes(tree, tmp_path):
    """Nor are their pictures; a run within a class folder is none of its images either."""
    runs = ("outputs/1", "outputs/sweep/0_seed=1", "photos/cat/run")
    tree("photos/cat/2", "photos/dog/3", *(f"{run}/figures/1" for run in runs))
    for run in runs:
        for name in ("run.json", "spec.yaml"):
            (tmp_path / "set" / run / name).touch()
    found = tree("photos/cat/2")
    assert sizes(found) == {"train": {"cat": 2, "dog": 3}}
    assert found.notes[0].endswith("runs of cnntrain are left out: outputs, photos/cat/run")


def test_a_flat_folder_is_told_to_have_folders(tree):
    with pytest.raises(SpecError, match="has 0 class folders and 2 images") as refused:
        tree("2")
    assert "a folder for each class in " in refused.value.hint
