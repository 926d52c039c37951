"""Images resized for the first part of a run, wherever they are kept."""

import numpy as np
import pytest

from cnntrain.data.image_sizes import (
    SizeSpan,
    compute_pixel_share,
    describe_image_sizes,
    plan_image_sizes,
    resize_examples,
    resize_images,
)
from cnntrain.data.photos.lazy_images import LazyImages, RandomCrops
from cnntrain.data.photos.photo import Frame, Photos, reframe_image
from cnntrain.data.source import Examples
from helpers.tiny import photo

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("before", "after"), [((32, 32), (24, 24)), ((30, 41), (20, 27))])
def test_images_have_the_bytes_that_each_would_have_alone(channels, before, after):
    images = RANDOM.integers(0, 256, (5, *before, channels), np.uint8)
    frame = Frame(after, channels, "stretch", None)
    expected = [reframe_image(image, frame) for image in images]
    assert np.array_equal(resize_images(images, after), expected)


def test_examples_keep_their_order_and_their_labels(tmp_path, monkeypatch):
    monkeypatch.setattr("cnntrain.data.source.CHUNK_BYTES", 500)  # two images at a time
    images = RANDOM.integers(0, 256, (9, 8, 10, 3), np.uint8)
    mapped = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, images.shape)
    mapped[:] = images
    rows, labels = np.array([7, 1, 4, 0, 8]), np.arange(5, dtype=np.int32)
    expected = resize_images(images[rows], (4, 5))
    for store in (images, mapped):
        small = resize_examples(Examples(store, labels, rows), (4, 5))
        assert np.array_equal(small.images, expected)
        assert np.array_equal(small.gather_images(np.array([3, 1])), expected[[3, 1]])
        assert np.array_equal(small.labels, labels)
        assert small.store.shape[1:] == (4, 5, 3)


def gather(examples):
    return examples.gather_images(np.arange(2), lambda: np.random.default_rng(1))


def test_photos_have_the_same_bytes_whether_they_are_kept_or_decoded_each_time():
    photos = Photos(["a", "b"], lambda row: photo(row, (40, 30)))
    lazy, labels = LazyImages(photos, Frame((20, 20), 3, "crop", None)), np.zeros(2, np.int32)
    kept = Examples(lazy[np.arange(2)], labels)
    small = resize_examples(Examples(lazy, labels), (10, 10))
    assert np.array_equal(gather(small), gather(resize_examples(kept, (10, 10))))


def test_random_crops_are_decoded_into_the_smaller_size():
    photos = Photos(["a", "b"], lambda row: photo(row, (40, 30)))
    frame, labels = Frame((20, 20), 3, "random_crop", None), np.zeros(2, np.int32)
    small = resize_examples(Examples(RandomCrops(photos, frame), labels), (10, 10))
    direct = Examples(RandomCrops(photos, Frame((10, 10), 3, "random_crop", None)), labels)
    assert gather(small).shape == (2, 10, 10, 3)
    assert np.array_equal(gather(small), gather(direct))


@pytest.mark.parametrize(
    ("asked", "epochs", "ends"),
    [
        ("[[16,50%]]", 10, [5, None]),
        ("[[16,1%]]", 10, [1, None]),
        ("[[10,3%],[16,4%]]", 10, [1, 2, None]),
        ("[[10,2],[16,34 steps]]", 10, [2, 3, None]),
        ("[[10,2.4 epochs],[16,94%]]", 20, [2, 19, None]),
    ],
)
def test_ends_are_those_of_the_nearest_epochs(spec, asked, epochs, ends):
    checked = spec(f"image_sizes={asked}", f"epochs={epochs}")
    examples = Examples(np.zeros((3, 20, 30, 1), np.uint8), np.zeros(3, np.int32))
    spans = plan_image_sizes(checked, examples, 10, 10 * epochs)
    assert [span.end for span in spans] == ends
    assert spans[-2].size == (16, 24)
    assert spans[-1].size == (20, 30)


def test_sizes_are_said_and_counted_in_pixels():
    spans = (SizeSpan((16, 16), 1), SizeSpan((24, 24), 5), SizeSpan((32, 32), None))
    said = "of 16x16 pixels for 1 epoch, of 24x24 pixels for 4 epochs, then of 32x32"
    assert describe_image_sizes(spans) == said
    assert describe_image_sizes(spans[-1:]) is None
    assert compute_pixel_share(spans, 10) == (16**2 + 4 * 24**2 + 5 * 32**2) / 10 / 32**2
    assert compute_pixel_share(spans, 2) == (16**2 + 24**2) / 2 / 32**2
    assert compute_pixel_share(spans[-1:], 3) == 1
