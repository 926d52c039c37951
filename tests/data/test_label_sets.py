"""Images with several labels are cut so that each class keeps its share on both sides."""

from dataclasses import replace

import numpy as np
import pytest

from cnntrain.data.label_sets import (
    choose_by_rarest_label,
    number_label_sets,
    sample_label_sets,
    split_label_sets,
)
from cnntrain.data.labels import (
    count_labels,
    describe_rare_classes,
    format_label,
    iterate_classes,
    select_classes,
)
from cnntrain.data.listing import find_followers
from cnntrain.data.sampling import split_stratified
from cnntrain.data.source import Source
from cnntrain.data.splits import choose_rows, split_source
from cnntrain.errors import SpecError

NAMES = ("ant", "bee", "cat", "dog")
KNOBS = {
    "classes": None, "label_map": "none", "label_noise": 0, "valid": 0.1, "test": 0.2,
    "cut": "stratified", "split_seed": 0, "fraction": None, "limit": None,
    "folds": None, "fold": None, "groups": None,
}  # fmt: skip


def draw_labels(seed, count=400, shares=(0.5, 0.2, 0.1, 0.02)):
    random = np.random.default_rng(seed)
    return (random.random((count, len(shares))) < shares).astype(np.uint8)


def make_source(labels):
    rows = np.arange(len(labels))
    return Source(np.empty((len(labels), 0)), labels, NAMES[: labels.shape[1]], {"train": rows})


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("count", "keep"), [(40, 1), (133, 2), (399, 1), (1, 1)])
def test_every_class_keeps_its_share_by_the_rarest_label(seed, count, keep):
    labels = draw_labels(seed)
    chosen = choose_by_rarest_label(labels, count, keep, seed)
    assert chosen.sum() == count
    assert np.array_equal(chosen, choose_by_rarest_label(labels, count, keep, seed))
    if count in (40, 133):
        expected = labels.sum(0) * count / len(labels)
        assert abs(labels[chosen].sum(0) - expected).max() <= 2 + 0.1 * expected.max()
        enough = labels.sum(0) > keep  # fewer are refused before
        assert labels[chosen].any(0)[enough].all()
        assert labels[~chosen].any(0)[enough].all()


def test_rarest_label_keeps_shares_better_than_chance():
    """The rarest class is cut exactly, however the others fall."""
    labels = draw_labels(3, 1000, (0.3,) * 20 + (0.008,))
    ours, chance = [], []
    for seed in range(10):
        mask = choose_by_rarest_label(labels, 500, 1, seed)
        drawn = np.random.default_rng(seed).permutation(1000)[:500]
        for own, errors in ((labels[mask], ours), (labels[drawn], chance)):
            errors.append(abs(own.sum(0) - labels.sum(0) / 2).mean())
        assert labels[mask, -1].sum() == round(labels[:, -1].sum() / 2)
    assert np.mean(ours) < 0.6 * np.mean(chance)


def test_label_sets_are_divided_like_classes_where_each_is_large_enough():
    """scikit-learn's stratified cut of the sets' numbers is the reference."""
    labels = np.repeat([[0, 0], [1, 0], [0, 1], [1, 1]], (30, 40, 10, 20), axis=0).astype(np.uint8)
    rows = np.random.default_rng(0).permutation(1000)[:100]
    rest, taken, how = split_label_sets(rows, labels, 0.3, 5, 1)
    expected = split_stratified(rows, number_label_sets(labels), 0.3, 5, 1)
    assert how == "label sets"
    assert np.array_equal(rest, expected[0])
    assert np.array_equal(taken, expected[1])
    own = labels[np.isin(rows, taken)]
    assert np.unique(own, axis=0, return_counts=True)[1].tolist() == [9, 3, 12, 6]


def test_splits_say_how_they_were_cut_and_never_overlap():
    for labels, how in (
        (draw_labels(0), "the rarest label"),
        (draw_labels(0)[:, :2], "label sets"),
    ):
        parts, origin = split_source(make_source(labels), 0.1, 0.2, "stratified", 3)
        assert origin["test"] == f"cut from train, stratified by {how}, split_seed=3"
        assert [len(parts[part]) for part in ("test", "valid", "train")] == [80, 32, 288]
        assert len(np.unique(np.concatenate([*parts.values()]))) == 400
        for rows in parts.values():
            assert labels[rows].any(axis=0).all()


def test_a_class_with_too_few_images_is_refused():
    labels = draw_labels(0)
    labels[:, 3] = 0
    labels[:2, 3] = 1
    with pytest.raises(SpecError, match="dog has 2 of the images that test and valid") as error:
        split_source(make_source(labels), 0.1, 0.2, "stratified", 0)
    assert error.value.hint == "dataset.classes=[ant,bee,cat]"


def test_first_images_need_every_class():
    labels = np.sort(draw_labels(0), axis=0)
    with pytest.raises(SpecError, match=r"have 0 of 4 classes, the others 4"):
        split_source(make_source(labels), 0.1, 0.2, "first", 0)


@pytest.mark.parametrize(
    ("knob", "value"),
    [("label_map", "odd_even"), ("label_map", {"a": ["ant"]}), ("label_noise", 0.1)],
)
def test_knobs_that_need_one_label_are_refused(knob, value):
    with pytest.raises(SpecError, match=f"dataset.{knob} is .* and images may have several"):
        choose_rows(make_source(draw_labels(0)), **KNOBS | {knob: value})


def test_images_without_any_label_are_refused():
    with pytest.raises(SpecError, match="no image of train has a label"):
        choose_rows(make_source(np.zeros((9, 2), np.uint8)), **KNOBS)


def test_limit_and_fraction_keep_the_shares():
    labels = draw_labels(1)
    chosen = choose_rows(make_source(labels), **KNOBS | {"limit": 50, "fraction": 0.5})
    assert {part: len(rows) for part, rows in chosen.rows.items()} == {
        "test": 50, "valid": 32, "train": 50
    }  # fmt: skip
    for part, rows in chosen.rows.items():
        assert np.array_equal(chosen.labels[part], labels[rows])
        assert chosen.labels[part].any(axis=0)[:3].all()
    with pytest.raises(SpecError, match="leaves no image"):
        sample_label_sets(np.arange(400), labels, 0, 0, "fraction")


def test_every_image_is_in_one_fold_and_every_class_in_each():
    source = make_source(draw_labels(2))
    folds = [choose_rows(source, **KNOBS | {"folds": 4, "fold": fold}) for fold in range(4)]
    held_out = [chosen.rows["test"] for chosen in folds]
    assert np.array_equal(np.sort(np.concatenate(held_out)), np.arange(400))
    for chosen, rows in zip(folds, held_out, strict=True):
        assert abs(len(rows) - 100) <= 1
        assert not set(rows) & {*chosen.rows["train"], *chosen.rows["valid"]}
        expected = source.labels.sum(axis=0) / 4
        assert abs(chosen.labels["test"].sum(axis=0) - expected).max() <= 1
    rare = source.labels.copy()
    rare[:, 3] = np.arange(400) < 3
    with pytest.raises(SpecError, match="folds is 4, and dog has 3 of the images"):
        choose_rows(replace(source, labels=rare), **KNOBS | {"folds": 4, "fold": 0})


def test_no_cut_divides_a_group_of_images_with_several_labels():
    scenes = np.arange(400) // 5
    source = replace(
        make_source(draw_labels(3, shares=(0.5, 0.2, 0.1, 0.1))), groups={"scene": scenes}
    )
    chosen = choose_rows(source, **KNOBS | {"groups": "scene"})
    parts = [set(scenes[rows]) for rows in chosen.rows.values()]
    assert sum(map(len, parts)) == 80
    assert all(chosen.labels[part].any(axis=0).all() for part in chosen.rows)


def test_images_only_lose_the_labels_of_other_classes():
    source = make_source(draw_labels(0))
    few = select_classes(source, ("dog", "ant"))
    assert np.array_equal(few.labels, source.labels[:, [3, 0]])
    assert len(few.parts["train"]) == 400


def test_labels_are_counted_named_and_gone_through():
    labels = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]], np.uint8)
    assert count_labels(labels, 4).tolist() == [2, 0, 1, 0]
    assert count_labels(np.array([1, 1, 3]), 4).tolist() == [0, 2, 0, 1]
    assert [format_label(label, NAMES) for label in labels] == ["ant|cat", "none", "ant"]
    assert format_label(np.int32(2), NAMES) == "cat"
    rows = np.array([2, 0])
    found = {label: members.tolist() for label, members in iterate_classes(labels, rows)}
    assert found == {0: [2, 0], 2: [0]}


def test_an_image_is_followed_by_one_with_the_same_labels():
    labels = draw_labels(0, 60, (0.5, 0.5))
    rows = {"train": np.arange(40), "test": np.arange(40, 60)}
    followers = find_followers(60, rows, {part: labels[own] for part, own in rows.items()})
    assert np.array_equal(labels[followers], labels)
    for own in rows.values():
        assert np.array_equal(np.sort(followers[own]), own)


def test_a_class_that_is_hardly_there_is_warned_of():
    assert describe_rare_classes([100, 5], 120, NAMES) is None
    line = describe_rare_classes([100, 4], 120, NAMES)
    assert "ant is in 100 of 120 training images and bee in 4" in line
    assert "loss.class_weights=balanced" in line


def test_one_class_is_refused():
    source = make_source(draw_labels(0)[:, :1])
    with pytest.raises(SpecError, match="there is one class, ant"):
        choose_rows(replace(source, class_names=NAMES[:1]), **KNOBS)
