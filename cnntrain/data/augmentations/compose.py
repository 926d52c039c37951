"""Several augmentations, one after another."""

from collections.abc import Mapping

import numpy as np

from cnntrain.data.augmentations import Arrays, Augmentation, DeviceForm, find_device_form
from cnntrain.data.augmentations.ops.batch_generator import BatchGenerator
from cnntrain.data.augmentations.ops.device import Tensor
from cnntrain.spec.signatures import Component


def compose(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    random: np.random.Generator,
    *,
    ops: list[Augmentation],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the batch after all of `ops`, each applied to the result of the one before."""
    for op, own in zip(ops, spawn_generators(len(ops), random), strict=True):
        images, labels = op(images, labels, num_classes, own)
    return images, labels


def spawn_generators(count: int, random: np.random.Generator) -> list[np.random.Generator]:
    """Return `count` generators, one for each place in the list.

    Each is independent of what the others draw and of how many follow it. All of them have the
    same half of the images.
    """
    keys = random.integers(2**64, size=(count, 2), dtype=np.uint64)
    bits = [np.random.Philox(key=key) for key in keys]
    if isinstance(random, BatchGenerator):
        return [BatchGenerator(own, random.half) for own in bits]
    return [np.random.Generator(own) for own in bits]


def on_device(*, ops: list[Component]) -> DeviceForm | None:
    """Return the form that does all of `ops` on the device; None if one of them has none.

    The names of what an operation draws begin with its place in the list: `0.flips`.
    """
    forms = [form for op in ops if (form := find_device_form(op)) is not None]
    if len(forms) < len(ops):
        return None

    def draw_all(
        shape: tuple[int, ...], labels: np.ndarray, num_classes: int, random: np.random.Generator
    ) -> tuple[Arrays, np.ndarray]:
        drawn: Arrays = {}
        for place, own in enumerate(spawn_generators(len(forms), random)):
            arrays, labels = forms[place].draw(shape, labels, num_classes, own)
            drawn |= {f"{place}.{name}": array for name, array in arrays.items()}
        return drawn, labels

    def apply_all(images: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
        for place, form in enumerate(forms):
            mark = f"{place}."
            own = {name: drawn[name] for name in drawn if name.startswith(mark)}
            images = form.apply(images, {name.removeprefix(mark): own[name] for name in own})
        return images

    return DeviceForm(draw_all, apply_all)
