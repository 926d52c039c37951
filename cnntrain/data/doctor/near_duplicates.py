"""Find images that are nearly the same: resized, recompressed, brightened, or mirrored.

Perceptual hashes propose pairs and grey copies confirm them. No search compares all pairs.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree

HASH_SIDE = 8  # coefficients of a hash across, and down
MIRRORED_SIGNS = np.tile([1, -1], HASH_SIDE // 2).astype(np.float32)
AT_ONCE = 4096  # copies that are compared at once
HASHES_AT_ONCE = 2**24  # pairs of hashes that are compared at once: 150 MiB
MOST_PAIRS = 2_000_000  # more are no duplicates, but images that are alike by nature


@dataclass(frozen=True)
class NearPairs:
    """Pairs of images that are nearly the same, by their numbers.

    `first` and `second` (p,) are the numbers, `likeness` (p,) the correlations of their grey
    copies, and `mirrored` (p,) says where the second is the mirror image of the first.
    """

    first: np.ndarray
    second: np.ndarray
    likeness: np.ndarray
    mirrored: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, chosen: np.ndarray) -> "NearPairs":
        return NearPairs(
            self.first[chosen], self.second[chosen], self.likeness[chosen], self.mirrored[chosen]
        )


def hash_copies(copies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the perceptual hashes (n,) uint64 of grey copies (n, H, W), and of their mirrors.

    A bit says whether one of the 64 lowest coefficients of the cosine transform is greater than
    their median (Zauner 2010, section 3.2.1; `imagehash.phash` gives the same bits). The transform
    of a mirror image differs only by the sign of its odd columns.
    """
    hashes = np.empty((2, len(copies)), np.uint64)
    for start in range(0, len(copies), AT_ONCE):
        block = slice(start, start + AT_ONCE)
        transform = fft.dctn(copies[block].astype(np.float32), axes=(1, 2))
        low = transform[:, :HASH_SIDE, :HASH_SIDE]  # (b, 8, 8)
        for which, coefficients in enumerate((low, low * MIRRORED_SIGNS)):
            flat = coefficients.reshape(len(low), -1)
            bits = flat > np.median(flat, axis=1, keepdims=True)
            hashes[which, block] = np.packbits(bits, axis=1).view(">u8")[:, 0]
    return hashes[0], hashes[1]


def find_close_hashes(first: np.ndarray, second: np.ndarray, distance: int) -> np.ndarray | None:
    """Return the pairs (p, 2) i < j where first[i] and second[j] differ in at most `distance` bits.

    Of `distance` + 1 bands of bits, one at least is equal in such a pair, so that only hashes with
    an equal band are compared (Norouzi et al. 2012, multi-index hashing). Returns None if there are
    more than MOST_PAIRS.
    """
    edges = np.linspace(0, 64, distance + 2).astype(np.uint64)
    found = np.empty(0, np.int64)  # i * n + j
    for low, high in itertools.pairwise(edges):
        mask = np.uint64((1 << int(high - low)) - 1)
        bands = [(hashes >> low) & mask for hashes in (first, second)]
        orders = [np.argsort(band, kind="stable") for band in bands]
        values = np.intersect1d(*bands)
        spans = [
            np.searchsorted(band[order], values, side=side)
            for band, order in zip(bands, orders, strict=True)
            for side in ("left", "right")
        ]
        parts, count = [found], len(found)
        for left, right, other_left, other_right in zip(*spans, strict=True):
            other = orders[1][other_left:other_right]
            rows = max(1, HASHES_AT_ONCE // len(other))
            for start in range(left, right, rows):
                own = orders[0][start : min(start + rows, right)]
                parts.append(compare_hashes(first, second, own, other, distance))
                if (count := count + len(parts[-1])) > MOST_PAIRS:
                    return None
        found = np.unique(np.concatenate(parts))
    return np.stack(np.divmod(found, max(len(first), 1)), axis=1)


def compare_hashes(
    first: np.ndarray, second: np.ndarray, own: np.ndarray, other: np.ndarray, distance: int
) -> np.ndarray:
    """Return i * n + j for all i of `own`, j of `other`, i < j, whose hashes are close."""
    close = np.bitwise_count(first[own, np.newaxis] ^ second[other]) <= distance
    rows, columns = np.nonzero(close)
    pairs = own[rows], other[columns]
    ahead = pairs[0] < pairs[1]
    return pairs[0][ahead] * len(first) + pairs[1][ahead]


def measure_likeness(copies: np.ndarray, pairs: np.ndarray, mirrored: bool) -> np.ndarray:
    """Return the correlation (p,) of the grey copies of each pair, one of them `mirrored`."""
    likeness = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), AT_ONCE):
        block = slice(start, start + AT_ONCE)
        first, second = (
            copies[pairs[block, side]].astype(np.float32) for side in (0, 1)
        )  # (b, 32, 32)
        if mirrored:
            second = second[:, :, ::-1]
        first, second = (normalise_copies(part) for part in (first, second))
        likeness[block] = (first * second).sum(axis=1)
    return likeness


def normalise_copies(copies: np.ndarray) -> np.ndarray:
    """Return copies (b, H, W) as rows (b, H * W) of mean 0 and length 1; those of one grey as 0."""
    rows = copies.reshape(len(copies), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def find_near_pairs(
    copies: np.ndarray, usable: np.ndarray, distance: int, likeness: float
) -> NearPairs | None:
    """Return all pairs of images, or of an image and a mirror image, that are nearly the same.

    Their hashes differ in at most `distance` bits, and their grey copies (n, 32, 32) correlate by
    `likeness` at least. Only images that are `usable` (n,) are compared: of one colour, all would
    be alike. Returns None if images of this kind are alike by nature: see `find_close_hashes`.
    """
    numbers = np.flatnonzero(usable)
    hashes, mirrored_hashes = hash_copies(copies[numbers])
    found = []
    for mirrored, others in ((False, hashes), (True, mirrored_hashes)):
        pairs = find_close_hashes(hashes, others, distance)
        if pairs is None:
            return None
        pairs = numbers[pairs]
        found.append((pairs, measure_likeness(copies, pairs, mirrored)))
    pairs = np.concatenate([pairs for pairs, _ in found])
    near = NearPairs(
        pairs[:, 0],
        pairs[:, 1],
        np.concatenate([likeness for _, likeness in found]),
        np.repeat([False, True], [len(pairs) for pairs, _ in found]),
    )
    return near[near.likeness >= likeness]


def choose_tree(near: NearPairs, count: int, same: np.ndarray) -> NearPairs:
    """Return as few of the pairs as connect all of `count` images that the pairs connect.

    Of a hundred shots of one scene these are 99 pairs instead of 4,950, the likest of all. `same`
    (n,) numbers the contents of the images: those that are the same byte for byte count as
    connected, and are in no pair.
    """
    order = np.argsort(same, kind="stable")
    doubles = np.flatnonzero(same[order][1:] == same[order][:-1])
    first = np.concatenate([near.first, order[doubles]])
    second = np.concatenate([near.second, order[doubles + 1]])
    # Of an edge given twice, plain and mirrored, the likelier counts. A weight of 0 is no edge.
    weights = np.concatenate([2 - near.likeness.astype(np.float64), np.full(len(doubles), 1e-9)])
    best = np.lexsort((weights, np.maximum(first, second), np.minimum(first, second)))
    ends = np.minimum(first, second)[best], np.maximum(first, second)[best]
    is_first = np.ones(len(best), bool)
    is_first[1:] = (ends[0][1:] != ends[0][:-1]) | (ends[1][1:] != ends[1][:-1])
    best, ends = best[is_first], (ends[0][is_first], ends[1][is_first])
    tree = minimum_spanning_tree(coo_array((weights[best], ends), (count, count)).tocsr()).tocoo()
    edges = np.isin(ends[0] * count + ends[1], tree.row.astype(np.int64) * count + tree.col)
    chosen = best[edges]
    chosen = chosen[chosen < len(near)]
    return near[chosen[np.argsort(-near.likeness[chosen], kind="stable")]]
