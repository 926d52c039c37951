"""No cut and no fold divides a group, and classes keep their shares."""

import itertools

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from cnntrain.data.fetch.folders import open_tree, read_tree_source
from cnntrain.data.groups import assign_groups, find_groups
from cnntrain.data.source import Source
from cnntrain.data.splits import ROW_KNOBS, choose_rows
from cnntrain.errors import SpecError
from helpers.tiny import write_photos

KNOBS = dict.fromkeys(ROW_KNOBS) | {
    "label_map": "none", "label_noise": 0, "valid": 0.2, "test": 0.2, "cut": "stratified",
    "split_seed": 0, "groups": "scene",
}  # fmt: skip


def make_source(labels, scenes, parts=None):
    """Return a source without pixels, whose images belong to `scenes`."""
    names = tuple(f"c{number}" for number in range(np.max(labels) + 1))
    parts = {part: np.array(rows) for part, rows in (parts or {}).items()}
    parts = parts or {"train": np.arange(len(labels))}
    groups = {"scene": np.array(scenes, object)}
    return Source(np.zeros(0), np.array(labels, np.int32), names, parts, groups=groups)


def draw_source(seed):
    """Return a random source, of 2 to 5 classes in 20 to 80 groups of very different sizes."""
    random = np.random.default_rng(seed)
    classes, count = random.integers(2, 6), random.integers(20, 80)
    sizes = np.minimum(1 + random.geometric(0.15, count), 40)
    pure = random.random() < 0.5  # folders within class folders are of one class
    shares = random.dirichlet(np.ones(classes))
    labels, scenes = [], []
    for scene, size in enumerate(sizes):
        own = np.full(size, scene % classes) if pure else random.choice(classes, size, p=shares)
        labels += [*own, *range(classes)] if not pure and scene < 12 else [*own]
        scenes += [f"s{scene}"] * (len(labels) - len(scenes))
    alone = random.integers(0, 10)  # images without a group
    labels, scenes = [*labels, *random.integers(0, classes, alone)], [*scenes, *[""] * alone]
    order = random.permutation(len(labels))
    return make_source(np.array(labels)[order], np.array(scenes)[order])


def cut(source, **knobs):
    return choose_rows(source, **KNOBS | knobs)


@pytest.mark.parametrize("knobs", [{}, {"valid": 0}, {"folds": 4, "fold": 1}])
@pytest.mark.parametrize("seed", range(40))
def test_a_group_is_on_one_side_and_no_split_lacks_a_class(seed, knobs):
    source = draw_source(seed)
    chosen, groups = cut(source, split_seed=seed, **knobs), find_groups(source, "scene")
    every = np.concatenate([*chosen.rows.values()])
    assert np.array_equal(np.sort(every), np.arange(len(source.labels)))
    for one, other in itertools.combinations(chosen.rows.values(), 2):
        assert not np.intersect1d(groups.numbers[one], groups.numbers[other]).size
    for part in chosen.rows:
        assert len(np.unique(chosen.labels[part])) == len(source.class_names), part


@pytest.mark.parametrize("seed", range(20))
def test_shares_are_as_near_as_the_largest_group_allows(seed):
    source = draw_source(seed)
    total, chosen = len(source.labels), cut(source, split_seed=seed)
    largest = np.unique(find_groups(source, "scene").numbers, return_counts=True)[1].max()
    assert abs(len(chosen.rows["test"]) - 0.2 * total) <= largest
    assert abs(len(chosen.rows["valid"]) - 0.16 * total) <= largest


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("folds", [2, 5])
def test_equal_sides_are_those_of_scikit_learn(seed, folds):
    random = np.random.default_rng(seed)
    groups = random.integers(0, 60, 500)
    labels = random.choice(3, 500, p=[0.6, 0.3, 0.1])
    found = assign_groups(labels, groups, [1 / folds] * folds, [1] * folds, seed)
    division = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    expected = np.empty(500, int)
    for number, (_, held_out) in enumerate(division.split(labels, labels, groups)):
        expected[held_out] = number
    assert np.array_equal(found, expected)


def test_images_with_several_labels_are_divided_in_the_shares_of_each():
    random = np.random.default_rng(0)
    labels = (random.random((400, 4)) < [0.6, 0.3, 0.1, 0.03]).astype(np.uint8)
    sides = assign_groups(labels, np.arange(400), [0.2] * 5, [1] * 5, 0)
    counts = np.array([labels[sides == side].sum(axis=0) for side in range(5)])
    assert abs(counts - labels.sum(axis=0) / 5).max() <= 1.5
    assert counts.min() >= 1


def test_a_class_in_as_few_groups_as_there_are_splits_is_in_each():
    labels = np.repeat([0, 0, 0, 1, 1, 1], [50, 2, 1, 30, 30, 30])
    scenes = np.repeat([*"abcdef"], [50, 2, 1, 30, 30, 30])
    for seed in range(10):
        chosen = cut(make_source(labels, scenes), split_seed=seed)
        assert all(len(np.unique(own)) == 2 for own in chosen.labels.values())


def test_a_class_in_too_few_groups_is_refused_with_the_largest():
    source = make_source([0] * 10 + [1] * 9, [*"aaaaaaaabb", *"cdefghijk"])
    with pytest.raises(SpecError, match=r"c0 are in 2 groups \(a has 8 of its 10 images\)"):
        cut(source)
    with pytest.raises(SpecError, match="the images are divided into 3") as refused:
        cut(source, folds=3, fold=0)
    assert refused.value.expected == "each class in 3 groups or more (dataset.groups=scene)"
    assert len(cut(source, valid=0).rows["test"])


def test_groups_that_cannot_give_each_split_every_class_are_refused():
    # One of p, q, r is alone on its side, and one class is in the two others only.
    labels = [0] * 30 + [1, 3, 1, 2, 2, 3]
    scenes = [f"a{number}" for number in range(30)] + [*"ppqqrr"]
    with pytest.raises(SpecError, match=r"a split would have no image of c[123]: . has 1 of its 2"):
        cut(make_source(labels, scenes), valid=0)


def test_a_split_that_misses_its_size_says_so():
    source = make_source([0, 1] * 30, np.repeat([*"abcd"], 15))
    chosen = cut(source, valid=0, test=0.1)
    assert chosen.origin["test"] == (
        "cut from train, stratified, by scene, split_seed=0; 15 images instead of 6"
    )
    assert chosen.notes == [
        "Groups (dataset.groups=scene): 4 of 15 images each; no cut divides a group"
    ]


def test_a_group_in_two_official_parts_is_warned_of():
    source = make_source(
        [0, 1] * 20, np.repeat([*"abcde"], 8), {"train": [*range(20)], "test": [*range(20, 40)]}
    )
    warning = cut(source, valid=0).notes[-1]
    assert warning == (
        "Warning: 1 group is in more than one of the parts that the data set has "
        "(dataset.groups=scene): c"
    )


@pytest.mark.parametrize(("kind", "hint"), [("scne", "scene"), ("patient", "scene")])
def test_unknown_groups_are_refused(kind, hint):
    with pytest.raises(SpecError, match=f"dataset.groups is {kind}") as refused:
        find_groups(make_source([0, 1], ["a", "b"]), kind)
    assert refused.value.hint == f"dataset.groups={hint}"


def test_numbers_are_groups_and_texts_without_a_letter_are_not():
    groups = find_groups(make_source([0, 1, 0, 1], [3, "", "", 3]), "scene")
    assert groups.numbers[0] == groups.numbers[3]
    assert len(np.unique(groups.numbers)) == 3


@pytest.fixture
def scenes(tmp_path):
    """Photos of cats and dogs in three scenes each, of which two have the same name."""
    names = {"cat": ("yard", "sofa", "café"), "dog": ("yard", "park", "beach/early")}
    for label, folders in names.items():
        for number, folder in enumerate(folders):
            write_photos(tmp_path / "made" / f"{label}{number}", count=4)
            home = tmp_path / "photos" / label / folder
            home.parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "made" / f"{label}{number}" / label).rename(home)
    (tmp_path / "photos" / "cat" / "yard" / "00.png").rename(tmp_path / "photos/cat/lone.png")
    return tmp_path / "photos"


def test_folders_within_class_folders_are_groups_by_their_names(scenes):
    source = read_tree_source(open_tree(scenes))
    found = dict(zip(source.images.names, source.groups["folder"], strict=True))
    assert found["cat/lone.png"] == ""
    assert found["cat/yard/01.png"] == found["dog/yard/01.png"] == "yard"
    assert found["dog/beach/early/01.png"] == "beach"
    assert {*found.values()} == {"", "yard", "sofa", "café", "park", "beach"}


def test_parts_are_no_groups(tmp_path, scenes):
    (tmp_path / "above" / "train").mkdir(parents=True)
    (tmp_path / "above" / "train" / "wrapped").symlink_to(scenes)
    write_photos(tmp_path / "above" / "test")
    source = read_tree_source(open_tree(tmp_path / "above"))
    assert {*source.groups["folder"]} == {"", "yard", "sofa", "café", "park", "beach"}
    assert {*source.groups["folder"][source.parts["test"]]} == {""}


def test_class_folders_may_have_the_same_scenes(spec, tmp_path):
    for label in ("cat", "dog"):
        for number in range(6):
            home = tmp_path / "photos" / label / f"scene_{number}"
            write_photos(tmp_path / f"{label}{number}", count=2)
            home.parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / f"{label}{number}" / label).rename(home)
    words = ["dataset=image_folder", f"dataset.folder={tmp_path / 'photos'}"]
    with pytest.raises(SpecError, match="most likely these are the classes") as refused:
        spec(*words).dataset(tmp_path, None)
    assert refused.value.hint.endswith("dataset.groups=folder")
    splits = spec(*words, "dataset.groups=folder").dataset(tmp_path, None)
    scenes = [{splits.names[row].split("/")[1] for row in part.rows} for _, part in splits.items()]
    assert sum(map(len, scenes)) == len(set.union(*scenes)) == 6


def test_class_folders_without_folders_have_no_groups(tmp_path):
    source = read_tree_source(open_tree(write_photos(tmp_path / "photos")))
    assert source.groups == {}
    with pytest.raises(SpecError, match="does not say which images belong together") as refused:
        find_groups(source, "folder")
    assert refused.value.hint == "dataset.groups=null"


def test_a_folder_is_trained_on_with_scenes_kept_together(spec, tmp_path, scenes):
    words = ["dataset=image_folder", f"dataset.folder={scenes}", "dataset.image_size=[16,16]"]
    splits = spec(*words, "dataset.groups=folder", "dataset.test=6", "dataset.valid=0").dataset(
        tmp_path, None
    )
    places = {
        part: {splits.names[row].split("/")[1] for row in own.rows} for part, own in splits.items()
    }
    assert not places["train"] & places["test"]
    assert "no cut divides a group" in splits.notes[-1]
