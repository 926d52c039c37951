"""Draws of the learnt and random policies: which operations, how often and how strong."""

import numpy as np
import pytest

from cnntrain.data.augmentations import autoaugment_cifar, randaugment, trivialaugment
from cnntrain.data.augmentations.ops.operations import FILTERS, MAPS, TONES

COUNT = 20_000
SHAPE = (COUNT, 32, 32, 3)
TABLES = [
    randaugment.make_magnitude_ranges(32, 32),
    trivialaugment.MAGNITUDE_RANGES,
    autoaugment_cifar.make_magnitude_ranges(32, 32),
]
DEFAULTS = {"fill": 128, "interpolation": "nearest"}


def random(seed=3):
    return np.random.default_rng(seed)


def drawn(names, magnitudes, name):
    """Return the magnitudes with which an operation was drawn."""
    found = magnitudes[names == name]
    assert len(found) > 100
    return found


def even(values, choices):
    """Return whether these values, and no others, are about equally frequent."""
    found, counts = np.unique(values, return_counts=True)
    assert np.allclose(found, sorted(choices))
    expected = len(values) / len(choices)
    assert abs(counts - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize("table", TABLES)
def test_every_operation_that_is_drawn_exists(table):
    assert set(table) <= {"identity", *TONES, *MAPS, *FILTERS}


@pytest.mark.parametrize("n", [1, 3])
def test_randaugment_draws_each_of_14_operations_as_often(n):
    names, _ = randaugment.draw(SHAPE, random(), n, 9)
    assert names.shape == (n, COUNT)
    for step in names:
        index = np.searchsorted(sorted(TABLES[0]), step)
        even(index, range(14))


def test_randaugment_draws_its_operations_independently():
    names, magnitudes = randaugment.draw(SHAPE, random(), 2, 9)
    assert (names[0] == names[1]).mean() == pytest.approx(1 / 14, abs=0.01)
    both = (names == "rotate").all(axis=0) | (names == "shear_x").all(axis=0)
    assert (np.sign(magnitudes[0, both]) == np.sign(magnitudes[1, both])).mean() < 0.7


# Operation -> its magnitude, or its two magnitudes of either sign, at m = 10 and at m = 30.
@pytest.mark.parametrize(
    ("name", "third", "full"),
    [
        ("rotate", (-10, 10), (-30, 30)),
        ("solarize", (171,), (0,)),
        ("color", (0.7, 1.3), (0.1, 1.9)),
        ("posterize", (7,), (4,)),
        ("contrast", (0.7, 1.3), (0.1, 1.9)),
        ("brightness", (0.7, 1.3), (0.1, 1.9)),
        ("sharpness", (0.7, 1.3), (0.1, 1.9)),
        ("shear_x", (-0.1, 0.1), (-0.3, 0.3)),
        ("shear_y", (-0.1, 0.1), (-0.3, 0.3)),
        ("translate_x", (-4, 4), (-14, 14)),
        ("translate_y", (-4, 4), (-14, 14)),
    ],
)
def test_randaugment_has_one_strength_and_even_signs(name, third, full):
    for m, expected in ((10, third), (30, full)):
        even(drawn(*randaugment.draw(SHAPE, random(), 1, m), name), expected)


def test_randaugment_does_nothing_at_strength_0_but_what_has_none():
    names, magnitudes = randaugment.draw(SHAPE, random(), 1, 0)
    for name in set(TABLES[0]) - {"autocontrast", "equalize"}:
        low = TABLES[0][name].low
        assert set(drawn(names, magnitudes, name)) == {low}, name


def test_translation_is_a_share_of_each_side():
    names, magnitudes = randaugment.draw((COUNT, 96, 64, 3), random(), 1, 30)
    assert abs(drawn(names, magnitudes, "translate_y")).max() == int(96 * 150 / 331)
    assert abs(drawn(names, magnitudes, "translate_x")).max() == int(64 * 150 / 331)


def test_trivialaugment_draws_each_of_14_operations_as_often():
    names, _ = trivialaugment.draw(COUNT, random())
    assert names.shape == (1, COUNT)
    even(np.searchsorted(sorted(trivialaugment.MAGNITUDE_RANGES), names[0]), range(14))


LEVELS = np.arange(31)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("solarize", 256 - LEVELS * 256 // 30),
        ("color", 0.01 + 1.99 * LEVELS / 30),
        ("contrast", 0.01 + 1.99 * LEVELS / 30),
        ("brightness", 0.01 + 1.99 * LEVELS / 30),
        ("sharpness", 0.01 + 1.99 * LEVELS / 30),
    ],
)
def test_trivialaugment_draws_each_level_as_often(name, expected):
    even(drawn(*trivialaugment.draw(3 * COUNT, random()), name), expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rotate", LEVELS * 135 // 30),
        ("shear_x", 0.99 * LEVELS / 30),
        ("shear_y", 0.99 * LEVELS / 30),
        ("translate_x", np.unique(LEVELS * 32 // 30)),
        ("translate_y", np.unique(LEVELS * 32 // 30)),
    ],
)
def test_trivialaugment_draws_either_sign_as_often(name, expected):
    found = drawn(*trivialaugment.draw(COUNT, random()), name)
    assert np.allclose(np.unique(abs(found).round(6)), expected)
    assert (found[found != 0] > 0).mean() == pytest.approx(0.5, abs=0.06)


def test_trivialaugment_posterizes_to_8_to_2_bits():
    found = drawn(*trivialaugment.draw(COUNT, random()), "posterize")
    bits, counts = np.unique(found, return_counts=True)
    assert bits.tolist() == [2, 3, 4, 5, 6, 7, 8]
    assert counts[0] < counts[1:].min() / 2  # the last level alone of 31; five of each other


@pytest.fixture(scope="module")
def cifar():
    """Return names and magnitudes (2, B) of many draws of AutoAugment's policy."""
    return autoaugment_cifar.draw((10 * COUNT, 32, 32, 3), random())


# Table 7 read downwards: the probabilities of the first and the second operations, in tenths.
TENTHS = "1785524366734952298149987", "2397936756542206662797819"
LEVELS_OF_TABLE_7 = "7218873957773620894359289", "6939277915886830468039331"


def test_autoaugment_is_table_7():
    for column, (tenths, levels) in enumerate(zip(TENTHS, LEVELS_OF_TABLE_7, strict=True)):
        operations = [pair[column] for pair in autoaugment_cifar.POLICY]
        assert "".join(f"{10 * p:.0f}" for _, p, _ in operations) == tenths
        assert "".join(str(level) for *_, level in operations) == levels
    operations = {name for pair in autoaugment_cifar.POLICY for name, _, _ in pair}
    assert operations | {"identity"} == set(TABLES[2])


def test_autoaugment_draws_pairs_with_their_probabilities(cifar):
    """Count how often both operations of a sub-policy, one or none are done.

    Only sub-policies whose two names no other has can be counted.
    """
    names, _ = cifar
    pairs = [(first, second) for (first, *_), (second, *_) in autoaugment_cifar.POLICY]
    for (first, p, _), (second, q, _) in autoaugment_cifar.POLICY:
        if pairs.count((first, second)) == 1:
            both = ((names[0] == first) & (names[1] == second)).mean()
            assert both == pytest.approx(p * q / 25, abs=0.0012), (first, second)
    neither = (names == "identity").all(axis=0).mean()
    expected = np.mean([(1 - p) * (1 - q) for (_, p, _), (_, q, _) in autoaugment_cifar.POLICY])
    assert neither == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(
    ("name", "expected"),
    [  # of levels of table 7, at the ranges of table 6, on CIFAR's 32 pixels
        ("rotate", {-6, 6}),
        ("translate_x", {-9, -8, 8, 9}),
        ("translate_y", {-9, -3, 3, 9}),
        ("shear_y", {-0.24, -0.21, 0.21, 0.24}),
        ("solarize", {52, 128, 180, 205}),
        ("posterize", {6}),
        ("contrast", {1.18, 1.36}),
        ("color", {0.1, 0.64, 1.36, 1.54, 1.72}),
        ("brightness", {0.64, 1.18, 1.36, 1.72}),
        ("sharpness", {0.28, 0.64, 1, 1.18, 1.72}),
    ],
)
def test_autoaugment_has_the_magnitudes_of_its_levels(cifar, name, expected):
    found = drawn(*cifar, name)
    assert set(found.round(6)) == expected
    if min(expected) < 0:
        assert (found > 0).mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    "augment",
    [
        lambda *batch: randaugment.randaugment(*batch, n=2, m=9, **DEFAULTS),
        lambda *batch: trivialaugment.trivialaugment(*batch, **DEFAULTS),
        lambda *batch: autoaugment_cifar.autoaugment_cifar(*batch, **DEFAULTS),
    ],
    ids=["randaugment", "trivialaugment", "autoaugment_cifar"],
)
@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1), (3, 8, 3), (1, 1, 1)], ids=str)
def test_type_shape_and_labels_stay_and_the_seed_decides(augment, shape):
    images = random(0).integers(0, 256, (64, *shape), np.uint8)
    given, labels = images.copy(), np.arange(64, dtype=np.int32)
    out, same_labels = augment(images, labels, 64, random())
    assert out.dtype == np.uint8
    assert out.shape == images.shape
    assert np.array_equal(same_labels, labels)
    assert np.array_equal(images, given)
    assert np.array_equal(out, augment(images, labels, 64, random())[0])
    assert not np.array_equal(out, augment(images, labels, 64, random(4))[0])
