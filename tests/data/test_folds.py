"""Folds: every image is held out once, in class proportions, whatever fold is asked for."""

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from cnntrain.data.folds import divide_into_folds
from cnntrain.data.source import Source
from cnntrain.data.splits import ROW_KNOBS, choose_rows
from cnntrain.errors import SpecError

KNOBS = dict.fromkeys(ROW_KNOBS) | {
    "label_map": "none", "label_noise": 0, "valid": 0.1, "test": 0.2, "cut": "stratified",
    "split_seed": 0, "folds": 5,
}  # fmt: skip
OFFICIAL = {
    "nothing": {"train": range(300)},
    "valid": {"train": range(200), "valid": range(200, 300)},
    "test": {"train": range(200), "test": range(200, 300)},
    "both": {"train": range(150), "valid": range(150, 200), "test": range(200, 300)},
}


def make_source(parts="nothing", labels=None):
    labels = np.random.default_rng(0).permutation(300) % 3 if labels is None else labels
    rows = {part: np.array(own) for part, own in OFFICIAL[parts].items()}
    rows = rows if len(labels) == 300 else {"train": np.arange(len(labels))}
    names = tuple(f"c{number}" for number in range(max(labels) + 1))
    return Source(np.zeros(0), np.array(labels, np.int32), names, rows)


@pytest.mark.parametrize("parts", OFFICIAL)
def test_every_image_outside_of_an_official_test_part_is_held_out_once(parts):
    source = make_source(parts)
    part = "valid" if "test" in source.parts else "test"
    runs = [choose_rows(source, **KNOBS | {"fold": fold}) for fold in range(5)]
    outside = np.concatenate([own for name, own in source.parts.items() if name != "test"])
    assert np.array_equal(np.sort(np.concatenate([run.rows[part] for run in runs])), outside)
    for fold, run in enumerate(runs):
        if part == "valid":
            assert np.array_equal(run.rows["test"], source.parts["test"])
            assert run.origin["test"] == "official"
        every = np.concatenate([run.rows[name] for name in run.rows if name != "test"])
        held_out = np.setdiff1d(outside, every) if part == "test" else run.rows["valid"]
        assert np.array_equal(held_out, np.sort(run.rows[part]))
        counts = np.bincount(source.labels[run.rows[part]])
        assert counts.max() - counts.min() <= 2
        whole = "train and valid" if parts in ("valid", "both") else "train"
        assert run.origin[part] == (
            f"cut from {whole}, fold {fold} of 0 to 4, stratified, split_seed=0"
        )
        assert run.notes == [f"Fold {fold} of 5, counted from 0, is the {part} split"]


def test_validation_is_cut_from_the_other_folds_where_the_fold_is_the_test_split():
    run = choose_rows(make_source(), **KNOBS | {"fold": 3, "valid": 0.25})
    assert [len(run.rows[part]) for part in ("train", "valid", "test")] == [180, 60, 60]
    assert run.origin["valid"] == "cut from train, stratified, split_seed=0"
    whole = choose_rows(make_source(), **KNOBS | {"fold": 3, "valid": 0})
    assert np.array_equal(whole.rows["test"], run.rows["test"])
    assert len(whole.rows["train"]) == 240


def test_folds_are_those_of_scikit_learn():
    labels = np.random.default_rng(1).choice(4, 203, p=[0.5, 0.3, 0.15, 0.05])
    found = divide_into_folds(labels, None, 4, 7)
    division = StratifiedKFold(4, shuffle=True, random_state=7).split(labels, labels)
    for number, (_, held_out) in enumerate(division):
        assert np.array_equal(np.flatnonzero(found == number), held_out)


def test_another_split_seed_gives_other_folds_and_several_labels_are_divided():
    labels = np.arange(60) % 2
    assert not np.array_equal(*(divide_into_folds(labels, None, 3, seed) for seed in (0, 1)))
    several = (np.random.default_rng(0).random((90, 3)) < 0.4).astype(np.uint8)
    sizes = np.bincount(divide_into_folds(several, None, 3, 0))
    assert sizes.max() - sizes.min() <= 6


def test_a_class_with_fewer_images_than_folds_is_refused_with_what_works():
    source = make_source(labels=[0] * 20 + [1] * 4)
    with pytest.raises(SpecError, match=r"dataset\.folds is 5, and c1 has 4 of the") as refused:
        choose_rows(source, **KNOBS | {"fold": 0})
    assert refused.value.hint == "dataset.folds=4"
    choose_rows(source, **KNOBS | {"fold": 0, "folds": 4})


def test_a_fold_for_validation_that_is_switched_off_is_refused():
    with pytest.raises(SpecError, match=r"dataset\.valid is 0, and the data set has an official"):
        choose_rows(make_source("test"), **KNOBS | {"fold": 0, "valid": 0})


def test_folds_of_the_digits_through_the_spec(spec, tmp_path):
    words = ["dataset.folds=4", "dataset.valid=100"]
    runs = [spec(*words, f"dataset.fold={fold}").dataset(tmp_path, None) for fold in range(4)]
    every = sorted(image.tobytes() for _, part in runs[0].items() for image in part.images)
    assert sorted(image.tobytes() for run in runs for image in run.test.images) == every
    assert all(len(run.valid) == 100 for run in runs)
    assert runs[2].notes == ["Fold 2 of 4, counted from 0, is the test split"]
    assert len({spec(*words, f"dataset.fold={fold}").hash for fold in range(4)}) == 4
