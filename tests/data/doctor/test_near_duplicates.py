"""Near-duplicates: hashes as imagehash has them, and a search that finds what all pairs would."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from cnntrain.data.doctor import near_duplicates
from cnntrain.data.doctor.near_duplicates import (
    NearPairs,
    choose_tree,
    find_close_hashes,
    find_near_pairs,
    hash_copies,
    measure_likeness,
)


def make_copies(count, seed=0):
    """Grey copies (count, 32, 32) as smooth as photos are."""
    noise = np.random.default_rng(seed).normal(size=(count, 32, 32))
    smooth = ndimage.gaussian_filter(noise, (0, 3, 3))
    low, high = smooth.min(axis=(1, 2), keepdims=True), smooth.max(axis=(1, 2), keepdims=True)
    return ((smooth - low) / (high - low) * 255).astype(np.uint8)


def count_bits(first, second):
    return np.array([bin(int(a) ^ int(b)).count("1") for a, b in zip(first, second, strict=True)])


def test_hashes_are_those_of_imagehash():
    """`str(imagehash.phash(Image.fromarray(copy)))` of imagehash 4.3.2 gave these."""
    down, across = np.mgrid[:32, :32]
    copies = np.stack([(across * across * k + 7 * down + down * across) % 256 for k in (1, 2, 3)])
    assert [f"{value:016x}" for value in hash_copies(copies.astype(np.uint8))[0]] == [
        "8f00071e3c9c79fe",
        "8300071f4f5f2f4f",
        "8100033fb6afae3f",
    ]


def test_hash_of_a_mirror_image_needs_no_mirror_image():
    copies = make_copies(50)
    plain, mirrored = hash_copies(copies)
    own, other = hash_copies(copies[:, :, ::-1])
    # A coefficient may be the median itself, and rounding decides then.
    assert count_bits(mirrored, own).max() <= 1
    assert count_bits(plain, other).max() <= 1


@pytest.mark.parametrize("distance", [0, 1, 3, 8, 10, 20])
def test_search_by_bands_finds_what_comparing_all_pairs_finds(distance):
    random = np.random.default_rng(distance)
    first = random.integers(0, 2**64, 300, np.uint64)
    for number in range(150, 300):  # others differ from an earlier one in 0 to 22 bits
        bits = random.choice(64, number % 23, replace=False).astype(np.uint64)
        first[number] = first[number - 150] ^ np.bitwise_or.reduce(
            np.uint64(1) << bits, initial=np.uint64(0)
        )
    second = np.roll(first, 7)
    differing = np.bitwise_count(first[:, np.newaxis] ^ second)
    expected = {(i, j) for i, j in np.argwhere(differing <= distance).tolist() if i < j}
    found = find_close_hashes(first, second, distance)
    assert set(map(tuple, found.tolist())) == expected
    assert len(found) == len(expected)


def test_likeness_is_the_correlation():
    copies = make_copies(4)
    (plain,) = measure_likeness(copies, np.array([[0, 3]]), False)
    (mirrored,) = measure_likeness(copies, np.array([[0, 3]]), True)
    assert plain == pytest.approx(np.corrcoef(copies[0].ravel(), copies[3].ravel())[0, 1], abs=1e-5)
    flat = copies[3, :, ::-1].ravel()
    assert mirrored == pytest.approx(np.corrcoef(copies[0].ravel(), flat)[0, 1], abs=1e-5)


def test_copies_recompressed_brightened_and_mirrored_are_found_and_no_others():
    copies = make_copies(200)
    content = io.BytesIO()
    Image.fromarray(copies[3]).save(content, "JPEG", quality=30)
    copies[150] = np.asarray(Image.open(content))
    copies[151] = copies[40, :, ::-1]
    copies[152] = copies[9] // 2 + 60
    near = find_near_pairs(copies, np.ones(200, bool), 10, 0.95)
    found = zip(near.first.tolist(), near.second.tolist(), near.mirrored.tolist(), strict=True)
    assert sorted(found) == [(3, 150, False), (9, 152, False), (40, 151, True)]


def test_unusable_images_are_compared_with_none():
    copies = np.concatenate([make_copies(5), np.zeros((5, 32, 32), np.uint8)])
    near = find_near_pairs(copies, np.arange(10) < 5, 10, 0.95)
    assert len(near) == 0


def test_images_that_are_all_alike_are_given_up(monkeypatch):
    monkeypatch.setattr(near_duplicates, "MOST_PAIRS", 1000)
    copies = make_copies(1).repeat(100, axis=0)
    assert find_near_pairs(copies, np.ones(100, bool), 10, 0.95) is None


def test_a_tree_connects_what_pairs_connect_with_the_likest():
    ends = [(0, 1, 0.99), (1, 2, 0.98), (0, 2, 0.96), (0, 2, 0.97), (4, 5, 1.0), (3, 4, 0.96)]
    first, second, likeness = map(np.array, zip(*ends, strict=True))
    near = NearPairs(first, second, likeness, np.array([False, False, False, True, False, False]))
    same = np.array([0, 1, 2, 3, 4, 4])  # the last two have the same bytes
    tree = choose_tree(near, 6, same)
    assert list(zip(tree.first.tolist(), tree.second.tolist(), strict=True)) == [
        (0, 1),
        (1, 2),
        (3, 4),
    ]


def test_without_pairs_there_is_no_tree():
    none = np.empty(0, np.int64)
    near = NearPairs(none, none, np.empty(0, np.float32), np.empty(0, bool))
    assert len(choose_tree(near, 4, np.array([0, 0, 1, 2]))) == 0
