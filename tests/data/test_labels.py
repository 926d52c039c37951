"""Classes are selected, grouped and mislabelled by pure functions of a source."""

import numpy as np
import pytest

from cnntrain.data.labels import add_label_noise, describe_imbalance, group_classes, select_classes
from cnntrain.data.source import Source
from cnntrain.errors import SpecError

NAMES = ("ant", "bee", "cat", "dog")


@pytest.fixture
def source():
    labels = np.tile(np.arange(4, dtype=np.int32), 5)
    images = labels.astype(np.uint8).reshape(20, 1, 1, 1)
    return Source(images, labels, NAMES, {"train": np.arange(12), "test": np.arange(12, 20)})


def test_only_the_wanted_classes_are_kept_in_the_wanted_order(source):
    few = select_classes(source, ("dog", "bee"))
    assert few.class_names == ("dog", "bee")
    for rows in few.parts.values():
        assert set(source.labels[rows]) == {1, 3}
        assert np.array_equal(few.labels[rows], np.where(source.labels[rows] == 3, 0, 1))
    assert {part: len(rows) for part, rows in few.parts.items()} == {"train": 6, "test": 4}


def test_classes_are_grouped_by_name():
    groups, names = group_classes(NAMES, {"insect": ("bee", "ant"), "mammal": ("cat", "dog")})
    assert names == ("insect", "mammal")
    assert groups.tolist() == [0, 0, 1, 1]


def test_without_a_map_classes_stay():
    groups, names = group_classes(NAMES, "none")
    assert names == NAMES
    assert groups.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("label_map", "given", "expected"),
    [
        ({"a": ("ant", "bee"), "b": ("cat",)}, "no group for dog", "every class"),
        ({"a": ("ant", "bee"), "b": ("cat", "dog", "bee")}, "bee twice", "once"),
        ({"a": NAMES}, "1 group", "two groups"),
        ({"a": ("ant", "bee"), "b": ("cat", "dig")}, "has dig", "ant, bee, cat, dog"),
        ("odd_even", "odd_even", "numbers"),
    ],
)
def test_label_map_that_does_not_fit_the_classes_is_refused(label_map, given, expected):
    with pytest.raises(SpecError) as refused:
        group_classes(NAMES, label_map)
    assert given in refused.value.given
    assert expected in refused.value.expected


@pytest.mark.parametrize(
    ("classes", "given"),
    [(("cat",), "dataset.classes is"), (("cat", "cow"), "cow"), (("cat", "cat"), "twice")],
)
def test_classes_that_cannot_be_told_apart_are_refused(source, classes, given):
    with pytest.raises(SpecError, match=given):
        select_classes(source, classes)


def test_label_noise_changes_exactly_its_share_to_all_other_classes_alike():
    labels = np.repeat(np.arange(4, dtype=np.int32), 3000)
    wrong = add_label_noise(labels, 4, 0.3, seed=1)
    assert (wrong != labels).sum() == 3600
    assert wrong.dtype == np.int32
    moves = np.bincount((wrong - labels)[wrong != labels] % 4, minlength=4)
    assert moves[0] == 0
    assert abs(moves[1:] - 1200).max() < 120
    assert np.array_equal(wrong, add_label_noise(labels, 4, 0.3, seed=1))
    assert not np.array_equal(wrong, add_label_noise(labels, 4, 0.3, seed=2))


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([2000, 10], ["ant has 2,000 of 2,010", "bee 10", "accuracy of 0.995"]),
        ([30, 270], ["bee has 270 of 300", "ant 30", "accuracy of 0.900"]),
        ([2000, 2000, 10], ["ant has 2,000 of 4,010", "cat 10", "never saying cat", "0.002"]),
        ([5, 0], ["bee 0"]),
    ],
)
def test_unbalanced_classes_give_a_warning_with_a_remedy(counts, said):
    warning = describe_imbalance(counts, NAMES)
    for part in [*said, "loss.class_weights=balanced"]:
        assert part in warning


@pytest.mark.parametrize("counts", [[50, 50], [100, 40], [800, 100], [5000] * 4, [100, 40, 12]])
def test_classes_of_similar_size_give_no_warning(counts):
    assert describe_imbalance(counts, NAMES) is None
