"""Batch k is a function of (spec, k), and every example is seen as often as promised."""

import dataclasses
import gc
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cnntrain.data import pipeline
from cnntrain.data.source import Examples
from cnntrain.errors import SpecError
from cnntrain.spec.signatures import build_component

STEPS = 10  # an epoch of 103 examples in batches of 10


def build(name, **knobs):
    return build_component("augmentation", {"name": name, **knobs})


NONE = build("none")
CROP = build("flip_crop", pad=1, flip=0.5, alternate=False, border="black")
TURNS = build("flip_crop", pad=0, flip=0.5, alternate=True, border="reflect")
MIX, NOISE = build("mixup", alpha=1.0), build("noise", std=20)


def make_examples(count=103):
    images = np.arange(count * 4 * 4 * 3, dtype=np.uint32).astype(np.uint8)
    return Examples(images.reshape(count, 4, 4, 3), np.arange(count, dtype=np.int32))


def make_batches(
    augmentation=CROP, seed=0, on_device=False, examples=None, size=10, steps=STEPS,
    sampling="shuffled",
):  # fmt: skip
    examples = examples or make_examples()
    return pipeline.TrainingBatches(
        examples, 103, size, steps, augmentation, seed, on_device, sampling
    )


def list_batches(start=0, count=25, block=1, **options):
    """Return the images and labels of each step from `start` on, made in blocks of `block`."""
    batches, found = make_batches(**options), []
    for first in range(start, start + count, block):
        arrays = batches.make_block(first, min(block, start + count - first))
        for place in range(len(arrays["labels"])):
            batch = {name: array[place] for name, array in arrays.items()}
            images = batches.make_images(batches.store, batch)
            found.append((np.asarray(images), batch["labels"]))
    return found


def same(ours, theirs):
    return all(
        np.array_equal(x[i], y[i]) and x[i].dtype == y[i].dtype
        for x, y in zip(ours, theirs, strict=True)
        for i in (0, 1)
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


@pytest.fixture
def weighed():
    """Return 103 examples with weights from 0.5 to 2.5, whose mean is not 1."""
    weights = np.random.default_rng(0).uniform(0.5, 2.5, 103).astype(np.float32)
    return dataclasses.replace(make_examples(), weights=weights)


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("augmentation", [NONE, CROP], ids=["none", "crop"])
def test_weights_go_with_their_images_and_have_a_mean_of_1(weighed, augmentation, on_device):
    options = {"augmentation": augmentation, "on_device": on_device}
    block = make_batches(examples=weighed, **options).make_block(7, 4)
    expected = weighed.weights / weighed.weights.mean()
    assert block["weights"].shape == (4, 10)
    assert block["weights"].dtype == np.float32
    assert np.allclose(block["weights"], expected[block["labels"]], rtol=1e-6)
    plain = make_batches(**options).make_block(7, 4)
    assert plain.keys() == block.keys() - {"weights"}
    assert all(np.array_equal(plain[name], block[name]) for name in plain)


def test_weights_that_are_all_alike_are_1(weighed):
    alike = dataclasses.replace(weighed, weights=np.full(103, 7, np.float32))
    assert (make_batches(examples=alike).make_block(0, 2)["weights"] == 1).all()


@pytest.mark.parametrize("on_device", [False, True])
def test_the_parts_of_a_mixed_image_weigh_as_their_images_do(weighed, on_device):
    """The weighted loss of a mixed image is the mean of the weighted losses of both by shares."""
    options = {"augmentation": MIX, "on_device": on_device}
    plain = make_batches(**options).make_block(0, 3)
    block = make_batches(examples=weighed, **options).make_block(0, 3)
    weights = weighed.weights / weighed.weights.mean()
    shares = plain["labels"]  # each example is a class: the shares of its soft label are of images
    assert np.allclose(block["weights"], shares @ weights, rtol=1e-5)
    assert np.allclose(block["labels"].sum(axis=2), 1, atol=1e-6)
    losses = np.random.default_rng(1).random(103)
    found = block["weights"] * (block["labels"] @ losses)
    assert np.allclose(found, shares @ (weights * losses), rtol=1e-5)
    assert set(plain) == set(block) - {"weights"}
    for name in set(plain) - {"labels"}:
        assert np.array_equal(plain[name], block[name])


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


def list_spans(asked, count=20):
    for number in range(count):
        asked.append(number)
        yield 10 * number, 10


def count_threads():
    return sum(thread.name.startswith("blocks") for thread in threading.enumerate())


def test_blocks_come_in_order_whichever_is_made_first():
    def make(first, count):
        time.sleep(0.002 if first % 20 else 0)
        return first, count

    assert list(pipeline.stream_blocks(make, list_spans([]))) == list(list_spans([]))
    assert list(pipeline.stream_blocks(make, [])) == []


@pytest.mark.parametrize("ahead", [1, 2, 4])
def test_no_span_is_asked_for_before_its_block_can_be_begun(ahead):
    asked = []
    stream = pipeline.stream_blocks(lambda first, count: first, list_spans(asked), ahead)
    assert asked == []
    for taken in range(1, 6):
        next(stream)
        assert len(asked) == taken + ahead


def test_blocks_are_made_while_nobody_waits():
    made = threading.Semaphore(0)
    stream = pipeline.stream_blocks(lambda first, count: made.release(), list_spans([]))
    next(stream)
    for _ in range(3):  # the one taken, and two ahead
        assert made.acquire(timeout=5)
    assert not made.acquire(timeout=0.01)


def test_error_of_a_block_is_raised_in_its_place_and_ends_the_threads():
    def make(first, count):
        if first == 30:
            raise OSError("no image any more")
        return first

    stream = pipeline.stream_blocks(make, list_spans([]))
    assert list(itertools.islice(stream, 3)) == [0, 10, 20]
    with pytest.raises(OSError, match="no image any more"):
        next(stream)
    assert count_threads() == 0


@pytest.mark.parametrize("end", ["close", "drop"])
def test_threads_end_with_the_iterator(end):
    stream = pipeline.stream_blocks(lambda first, count: first, list_spans([]))
    next(stream)
    assert count_threads() > 0
    if end == "close":
        stream.close()
    else:
        del stream
        gc.collect()
    assert count_threads() == 0


def play_decks(labels, count, epochs):
    """Return how often each example may be drawn in each epoch: classes in turn, decks played out.

    It is a second implementation, of counts alone: the least and the most draws (epochs, n).
    """
    classes = [*np.unique(labels)]
    least, most = np.zeros((2, epochs, len(labels)), int)
    for label in classes:
        size = int((labels == label).sum())
        for epoch in range(epochs):
            begins, ends = (draws // len(classes) for draws in (epoch * count, (epoch + 1) * count))
            # A class has begun its turn or not: one draw more or less at either end.
            full = max(0, ends // size - -(-(begins + 1) // size))
            over = -(-(ends + 1) // size) - begins // size
            least[epoch, labels == label], most[epoch, labels == label] = full, over
    return least, most


@pytest.mark.parametrize("sizes", [[90, 10, 3], [1, 1, 40], [7], [5] * 8, [2, 300]])
def test_balanced_epochs_have_each_class_equally_often(sizes):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    count, epochs = 64, 9
    least, most = play_decks(labels, count, epochs)
    total = np.zeros(len(labels), int)
    for epoch in range(epochs):
        order = pipeline.balance_examples(labels, count, 5, epoch)
        assert (order.shape, order.dtype) == ((count,), np.int32)
        drawn = np.bincount(labels[order], minlength=len(sizes))
        assert drawn.max() - drawn.min() <= 1
        times = np.bincount(order, minlength=len(labels))
        assert (least[epoch] <= times).all()
        assert (times <= most[epoch]).all()
        total += times
        classes = np.bincount(labels, total, minlength=len(sizes))
        assert classes.max() - classes.min() <= 1  # also over the whole run
    for label in range(len(sizes)):
        assert np.ptp(total[labels == label]) <= 1


def test_each_image_of_a_class_is_drawn_before_one_is_drawn_again():
    labels = np.repeat([0, 1, 2], [5, 40, 1])
    run = np.concatenate([pipeline.balance_examples(labels, 30, 3, epoch) for epoch in range(20)])
    for label, size in ((0, 5), (1, 40), (2, 1)):
        drawn = run[labels[run] == label]
        passes = drawn[: len(drawn) // size * size].reshape(-1, size)
        assert np.array_equal(
            np.sort(passes), np.tile(np.flatnonzero(labels == label), (len(passes), 1))
        )
    first, second = run[labels[run] == 1][:40], run[labels[run] == 1][40:80]
    assert not np.array_equal(first, second)


def test_balanced_order_never_changes():
    """A run of an older version resumes with the batches that come next."""
    labels = np.repeat([0, 1], [9, 3])
    assert pipeline.balance_examples(labels, 12, 0, 0).tolist() == [
        1,
        11,
        9,
        10,
        9,
        0,
        5,
        3,
        2,
        7,
        11,
        10,
    ]
    assert pipeline.balance_examples(labels, 12, 7, 3).tolist() == [
        10,
        7,
        0,
        9,
        11,
        3,
        10,
        2,
        11,
        8,
        9,
        5,
    ]


@pytest.mark.parametrize("augmentation", [NONE, CROP], ids=["none", "crop"])
@pytest.mark.parametrize("on_device", [False, True])
def test_balanced_batches_are_the_same_wherever_training_starts(on_device, augmentation):
    labels = np.repeat([0, 1, 2], [80, 20, 3]).astype(np.int32)
    examples = Examples(make_examples().store, labels)
    options = {"augmentation": augmentation, "examples": examples, "on_device": on_device}
    whole = list_batches(sampling="balanced", **options)
    assert same(list_batches(13, 12, 5, sampling="balanced", **options), whole[13:])
    host = list_batches(sampling="balanced", **options | {"on_device": False})
    assert same(host, whole)
    epoch = np.concatenate([labels for _, labels in whole[:STEPS]])
    assert sorted(np.bincount(epoch)) == [33, 33, 34]
