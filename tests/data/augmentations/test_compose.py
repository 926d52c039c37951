"""compose applies augmentations in order, each with its own knobs and random numbers."""

import numpy as np

from cnntrain.data.augmentations.compose import compose, spawn_generators
from cnntrain.data.augmentations.ops.batch_generator import BatchGenerator
from cnntrain.spec.signatures import build_component

IMAGES = np.random.default_rng(0).integers(0, 256, (32, 12, 10, 3), np.uint8)
LABELS = np.random.default_rng(1).integers(0, 5, 32).astype(np.int32)
CROP = {"name": "flip_crop", "pad": 2, "flip": 0.5, "alternate": False, "border": "black"}
CUT = {"name": "cutout", "size": 4, "fill": 0}
ERASE = {
    "name": "random_erasing", "probability": 0.5, "area": [0.1, 0.3], "aspect": [0.5, 2],
    "fill": "noise", "value": 0,
}  # fmt: skip
MIX = {"name": "mixup", "alpha": 1.0}
PASTE = {"name": "cutmix", "alpha": 1.0, "probability": 1.0}


def random(seed=3):
    return np.random.default_rng(seed)


def composed(*ops):
    augment = build_component("augmentation", {"name": "compose", "ops": list(ops)})
    return augment(IMAGES, LABELS, 5, random())


def recorded(numbers):
    """Return an augmentation that only records what its generator draws."""

    def augment(images, labels, num_classes, random):
        numbers.append(random.random(4).tolist())
        return images, labels

    return augment


def test_each_is_applied_to_the_result_of_the_one_before():
    images, labels = IMAGES, LABELS
    ops = (CROP, CUT, MIX, PASTE)
    for op, own in zip(ops, spawn_generators(4, random()), strict=True):
        images, labels = build_component("augmentation", op)(images, labels, 5, own)
    out, shares = composed(*ops)
    assert np.array_equal(out, images)
    assert np.array_equal(shares, labels)


def test_augmentations_draw_different_numbers():
    first, second, third = [], [], []
    compose(IMAGES, LABELS, 5, random(), ops=[recorded(n) for n in (first, second, third)])
    drawn = [number for numbers in (first, second, third) for number in numbers[0]]
    assert len(set(drawn)) == 12


def test_draws_of_one_do_not_change_those_of_others():
    alone, crowded = [], []
    greedy = build_component("augmentation", ERASE)
    ours = [recorded(alone), recorded([]), recorded(alone)]
    theirs = [recorded(crowded), greedy, recorded(crowded), greedy]
    compose(IMAGES, LABELS, 5, random(), ops=ours)
    compose(IMAGES, LABELS, 5, random(), ops=theirs)
    assert alone == crowded


def test_alternating_flip_within_a_list_mirrors_the_half_of_the_epoch():
    half = LABELS < 2
    alternating = CROP | {"pad": 0, "alternate": True}
    inner = {"name": "compose", "ops": [alternating]}
    augment = build_component("augmentation", {"name": "compose", "ops": [inner]})
    out, _ = augment(IMAGES, LABELS, 5, BatchGenerator(np.random.Philox(3), half))
    assert np.array_equal(out[half], IMAGES[half][:, :, ::-1])
    assert np.array_equal(out[~half], IMAGES[~half])


def test_no_augmentation_changes_nothing():
    images, labels = composed()
    assert np.array_equal(images, IMAGES)
    assert np.array_equal(labels, LABELS)


def test_compose_within_compose_works_and_draws_anew():
    first, second, inner = [], [], []

    def group(images, labels, num_classes, random):
        ops = [recorded(inner), recorded(inner)]
        return compose(images, labels, num_classes, random, ops=ops)

    compose(IMAGES, LABELS, 5, random(), ops=[recorded(first), group, recorded(second)])
    drawn = [number for numbers in (first, inner, second) for four in numbers for number in four]
    assert len(set(drawn)) == 16
    nested = composed({"name": "compose", "ops": [CROP, CUT]}, MIX)
    assert nested[0].shape == IMAGES.shape
