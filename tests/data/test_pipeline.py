"""Batch k is a function of (spec, k), and every example is seen as often as promised."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cnntrain.data import pipeline
from cnntrain.data.source import Examples
from cnntrain.errors import SpecError
from helpers.batches import (
    CROP,
    MIX,
    NOISE,
    NONE,
    STEPS,
    TURNS,
    build,
    list_batches,
    make_batches,
    make_examples,
    same,
)


@pytest.mark.parametrize(
    "augmentation", [NONE, CROP, TURNS, MIX], ids=["none", "crop", "turns", "mixup"]
)
@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize(("start", "block"), [(0, 25), (0, 4), (1, 3), (9, 16), (13, 1), (20, 5)])
def test_batch_k_is_the_same_however_the_steps_are_cut(start, block, on_device, augmentation):
    """A block may even cross the end of an epoch."""
    rows = np.random.default_rng(0).permutation(150)[:103]
    some = Examples(make_examples(150).store, np.arange(103, dtype=np.int32), rows)
    found = list_batches(
        start, 25 - start, block, augmentation=augmentation, on_device=on_device, examples=some
    )
    for step, batch in enumerate(found, start):
        epoch, place = divmod(step, STEPS)
        chosen = pipeline.shuffle_examples(103, 0, epoch)[10 * place : 10 * place + 10]
        own = pipeline.make_training_batch(some, 103, augmentation, 0, step, epoch, chosen)
        expected = own["images"], own["labels"]
        assert same([batch], [expected])


@pytest.mark.parametrize("on_device", [False, True])
def test_each_image_is_mirrored_in_every_second_epoch(on_device):
    """Whatever the others of its batch are, and if an epoch leaves it out."""
    examples, seen = make_examples(), {}
    options = {"augmentation": TURNS, "on_device": on_device, "examples": examples}
    for step, (images, labels) in enumerate(list_batches(count=6 * STEPS, **options)):
        for image, label in zip(images, labels, strict=True):
            assert_is_either(image, original := examples.store[label])
            mirrored = not np.array_equal(image, original)
            seen.setdefault(label, set()).add(mirrored ^ (step // STEPS % 2 == 1))
    assert len(seen) == 103
    assert all(len(halves) == 1 for halves in seen.values())
    assert 35 <= sum(half == {True} for half in seen.values()) <= 68


def assert_is_either(image, original):
    assert np.array_equal(image, original) or np.array_equal(image, original[:, ::-1])


def test_halves_of_another_seed_are_others_and_never_change():
    """A run of an older version resumes with the images that come next."""
    assert pipeline.draw_half(0, 12).astype(int).tolist() == [1, 0, 1, 1, 1, 1, 1, 0, 0, 0, 1, 0]
    assert pipeline.draw_half(0, 200)[:12].tolist() == pipeline.draw_half(0, 12).tolist()
    assert 0.4 < (pipeline.draw_half(0, 5000) ^ pipeline.draw_half(1, 5000)).mean() < 0.6


def test_order_of_an_epoch_never_changes():
    """A run of an older version resumes with the batches that come next."""
    assert pipeline.shuffle_examples(12, 0, 0).tolist() == [5, 7, 6, 0, 11, 1, 9, 2, 10, 4, 3, 8]
    assert pipeline.shuffle_examples(12, 7, 3).tolist() == [4, 1, 9, 6, 3, 11, 5, 8, 2, 7, 10, 0]


def test_device_gets_small_integers_instead_of_images():
    block = make_batches(on_device=True).make_block(3, 4)
    shapes = {name: (array.shape, array.dtype.name) for name, array in block.items()}
    draws = dict.fromkeys(("rows", "down", "right", "labels"), ((4, 10), "int32"))
    assert shapes == draws | {"flips": ((4, 10), "bool")}


def test_mixed_images_have_soft_labels():
    block = make_batches(MIX).make_block(0, 3)
    assert block["images"].shape == (3, 10, 4, 4, 3)
    assert block["labels"].shape == (3, 10, 103)
    assert block["labels"].dtype == np.float32
    assert np.allclose(block["labels"].sum(axis=2), 1, atol=1e-6)
    assert ((block["labels"] > 0).sum(axis=2) > 1).any()


def test_another_seed_gives_another_order_and_another_augmentation():
    assert not same(list_batches(augmentation=NONE), list_batches(augmentation=NONE, seed=1))
    data = [list_batches(count=1, size=103, steps=1, seed=seed)[0] for seed in (0, 1)]
    assert not np.array_equal(*(images[np.argsort(labels)] for images, labels in data))


def test_no_example_comes_twice_in_an_epoch_and_the_left_out_differ():
    labels = np.concatenate([labels for _, labels in list_batches(count=20, augmentation=NONE)])
    first, second = set(labels[:100]), set(labels[100:])
    assert len(first) == len(second) == 100
    assert first != second


def test_images_keep_their_labels_and_their_type():
    data = make_examples()
    for images, labels in list_batches(augmentation=NONE):
        assert images.dtype == np.uint8
        assert labels.dtype == np.int32
        assert np.array_equal(images, data.images[labels])


def test_every_epoch_is_shuffled_evenly():
    places = np.zeros(103)
    for epoch in range(200):
        places[pipeline.shuffle_examples(103, 3, epoch)] += np.arange(103)
    # The mean place of each example is 51 +- 30 / sqrt(200): six standard errors are 13.
    assert abs(places / 200 - 51).max() < 13


@pytest.mark.parametrize("on_device", [False, True])
def test_features_of_frozen_layers_stand_for_images(on_device):
    features = np.random.default_rng(0).random((103, 5), np.float32)
    numbered = Examples(features, np.arange(103, dtype=np.int32))
    for found, labels in list_batches(augmentation=NONE, examples=numbered, on_device=on_device):
        assert found.dtype == np.float32
        assert np.array_equal(found, features[labels])


def test_threads_may_make_blocks_at_once():
    batches = make_batches()
    with ThreadPoolExecutor(4) as pool:
        blocks = list(pool.map(lambda first: batches.make_block(first, 5), range(0, 100, 5)))
    for first, block in zip(range(0, 100, 5), blocks, strict=True):
        alone = make_batches().make_block(first, 5)
        assert all(np.array_equal(block[name], alone[name]) for name in alone)


@pytest.mark.parametrize("on_device", [False, True])
def test_what_an_augmentation_refuses_it_refuses_at_once(on_device):
    with pytest.raises(SpecError, match="the size of cutout is 5"):
        make_batches(build("cutout", size=5, fill=0), on_device=on_device)


class Decoded:
    """A store that is no array."""

    shape = (103, 4, 4, 3)


class Cropped(Decoded):
    def draw_crops(self, rows, random):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("store", "augmentation", "why"),
    [
        (make_examples().store, CROP, None),
        (make_examples().store, NOISE, "augmentation=noise, as it is set, has no form"),
        (Decoded(), CROP, "decoded for each batch"),
        (Cropped(), CROP, "cropped at random"),
    ],
)
def test_why_batches_are_made_on_the_host(store, augmentation, why):
    found = pipeline.explain_host_only(Examples(store, np.zeros(103, np.int32)), augmentation)
    assert found is None if why is None else why in found


def test_images_in_a_file_stay_there(tmp_path):
    np.save(tmp_path / "images.npy", make_examples().store)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    found = pipeline.explain_host_only(Examples(mapped, np.zeros(103, np.int32)), CROP)
    assert found == "the images are in a file on disk"
