"""Many photos at once are each what one of them alone is, in their order, wherever chunks end."""

import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cnntrain.data.photos import decode, lazy_images
from cnntrain.data.photos.findings import Findings
from cnntrain.data.photos.photo import Frame, Photos
from cnntrain.errors import SpecError

COUNT = decode.PHOTOS_AT_ONCE + 6
FRAME = Frame((9, 12), 3, "stretch", None)
BROKEN = (3, decode.PHOTOS_AT_ONCE)  # one in each chunk


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def pixels():
    """Images of noise (N, 9, 12, 3), which are of the size that they are decoded to."""
    return np.random.default_rng(0).integers(0, 256, (COUNT, 9, 12, 3), np.uint8)


@pytest.fixture
def contents(pixels):
    found = [png(image) for image in pixels]
    for row in BROKEN:
        found[row] = b"no image"
    return found


@pytest.fixture
def photos(contents):
    return Photos([f"{row}.png" for row in range(COUNT)], lambda row: contents[row])


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000])
def test_ranges_of_rows_follow_each_other_to_the_end(count):
    ranges = list(decode.iterate_row_ranges(count))
    assert [row for rows in ranges for row in rows] == list(range(count))
    assert all(0 < len(rows) <= decode.PHOTOS_AT_ONCE for rows in ranges)


def test_scan_has_the_digest_of_every_file_and_the_reason_of_every_broken_one(photos, contents):
    scan = decode.scan_photos(photos)
    digests = [hashlib.sha256(content).digest() for content in contents]
    assert [digest.tobytes() for digest in scan.digests] == digests
    assert scan.broken == dict.fromkeys(BROKEN, "no image of a known format")
    assert scan.deep == []


def test_all_photos_are_decoded_in_order_and_broken_ones_are_black(photos, pixels):
    findings = Findings()
    scan = decode.scan_photos(photos)
    parts = list(decode.decode_all_photos(photos, scan, FRAME, findings))
    expected = pixels.copy()
    expected[list(BROKEN)] = 0
    assert [len(part) for part in parts] == [decode.PHOTOS_AT_ONCE, 6]
    assert np.array_equal(np.concatenate(parts), expected)
    assert findings.broken == scan.broken


def test_photo_that_changes_after_the_scan_is_named(photos, contents, pixels):
    scan = decode.scan_photos(photos)
    contents[COUNT - 1] = png(pixels[0])
    with pytest.raises(SpecError, match=f"{COUNT - 1}.png has changed"):
        list(decode.decode_all_photos(photos, scan, FRAME, Findings()))


def test_common_shape_is_that_of_all_or_none(photos, contents):
    assert decode.find_common_shape(photos, None) == (9, 12, 3)
    assert decode.find_common_shape(photos, 12) == (9, 12, 3)
    assert decode.find_common_shape(photos, 11) is None
    contents[-1] = png(np.zeros((9, 12), np.uint8))  # a grey one among them
    assert decode.find_common_shape(photos, None) == (9, 12, 3)
    grey = Photos(["a"], lambda row: contents[-1])
    assert decode.find_common_shape(grey, None) == (9, 12, 1)
    contents[-1] = png(np.zeros((12, 9, 3), np.uint8))
    assert decode.find_common_shape(photos, None) is None
    assert decode.find_common_shape(Photos(["a"], lambda row: b""), None) is None


def test_images_are_decoded_by_any_rows_as_an_array_is_indexed(photos, contents, pixels):
    images = lazy_images.LazyImages(photos, FRAME)
    assert images.shape == pixels.shape
    rows = np.array([COUNT - 1, 0, 7, 7, 1])
    assert np.array_equal(images[rows], pixels[rows])
    with pytest.raises(OSError, match=r"3\.png is no image any more: no image of a known format"):
        images[np.array([2, 3])]


def test_random_crops_are_those_of_their_generator(photos, pixels):
    crops = lazy_images.RandomCrops(photos, replace(FRAME, size=(5, 5), resize="random_crop"))
    rows = np.array([0, 1, 0])
    first, again, other = (crops.draw_crops(rows, np.random.default_rng(s)) for s in (0, 0, 1))
    assert first.shape == (3, 5, 5, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[2])  # one photo, two windows


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(2, "No such file or directory"), "No such file or directory"),
        (ValueError("first\nsecond"), "first"),
        (ValueError(), "ValueError"),
    ],
)
def test_reason_is_a_line(error, reason):
    assert decode.explain_broken_photo(error) == reason
