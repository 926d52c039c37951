"""Progressive image sizes: the size of the training images in each part of a run, and resizing.

Smaller images take less time, and a network that ends in global pooling takes images of any size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from cnntrain.data.photos.lazy_images import RandomCrops
from cnntrain.data.source import Examples, Images, allocate_images
from cnntrain.errors import SpecError
from cnntrain.spec.knobs import count_steps
from cnntrain.spec.spec import Spec

REMEDIES = "image_sizes=null; or fewer images: dataset.limit"


@dataclass(frozen=True)
class SizeSpan:
    """The epochs of a run in which training images have one size (height, width) in pixels.

    `end` is the number of epochs after which the next size begins; the last size has None.
    """

    size: tuple[int, int]
    end: int | None


@dataclass(frozen=True)
class ResizedImages:
    """The images of a store (N, H, W, C), each resized whenever it is asked for."""

    store: Images
    size: tuple[int, int]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.store.shape[0], *self.size, self.store.shape[3]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return resize_images(self.store[rows], self.size)


def plan_image_sizes(
    spec: Spec, train: Examples, steps_per_epoch: int, planned_steps: int
) -> tuple[SizeSpan, ...]:
    """Return the spans of the sizes that `image_sizes` asks for; the last one has the full size.

    Each end is rounded to the nearest end of an epoch of a run of `planned_steps`, and each span
    has one epoch at least. Raises SpecError for a side that is not below that of the images, for
    ends that do not rise, and if no epoch is left for the full size.
    """
    full = train.store.shape[1:3]
    epochs = math.ceil(planned_steps / steps_per_epoch)
    spans, end, last_step = list[SizeSpan](), 0, 0
    for side, until in spec.image_sizes or ():
        if side >= min(full):
            raise SpecError(
                f"image_sizes has images of {side} pixels and the images are {full[0]}x{full[1]}",
                f"sides below {min(full)}",
                "image_sizes=null",
            )
        step = count_steps(until, steps_per_epoch, planned_steps)
        if step <= last_step:
            raise SpecError(
                f"image_sizes has images of {side} pixels until {until}, which is step {step}",
                f"an end after step {last_step}",
                "image_sizes=null",
            )
        end, last_step = max(end + 1, round(step / steps_per_epoch)), step
        height, width = (round(side * length / min(full)) for length in full)
        spans.append(SizeSpan((height, width), end))
    if end >= epochs:
        raise SpecError(
            f"image_sizes has smaller images for {end} of {epochs} epochs",
            f"an epoch or more of images of their full size, {full[0]}x{full[1]}",
            "image_sizes=null" if spec.max_steps else f"epochs={end + 1}",
        )
    return *spans, SizeSpan((full[0], full[1]), None)


def describe_image_sizes(spans: Sequence[SizeSpan]) -> str | None:
    """Return which sizes images are of, and for how many epochs; None if all have one size."""
    if len(spans) == 1:
        return None
    parts, began = list[str](), 0
    for span in spans[:-1]:
        assert span.end is not None
        count, began = span.end - began, span.end
        epochs = "1 epoch" if count == 1 else f"{count} epochs"
        parts.append(f"of {span.size[0]}x{span.size[1]} pixels for {epochs}")
    return f"{', '.join(parts)}, then of {spans[-1].size[0]}x{spans[-1].size[1]}"


def compute_pixel_share(spans: Sequence[SizeSpan], epochs: int) -> float:
    """Return the pixels that a run of so many epochs trains on, as a share of those of full size.

    The time and the multiply-adds of a convolutional network grow about as its pixels do.
    """
    ends = [min(epochs, span.end or epochs) for span in spans]
    pixels = [math.prod(span.size) for span in spans]
    counts = np.diff([0, *ends])
    return float(counts @ np.array(pixels) / (epochs * pixels[-1]))


def resize_examples(examples: Examples, size: tuple[int, int]) -> Examples:
    """Return examples with their images resized to `size` (height, width), in the same order.

    Images in memory are resized at once, others whenever they are asked for, to the same bytes.
    Random crops of photos are decoded into `size`. Raises SpecError for too little memory.
    """
    store = examples.store
    if store.shape[1:3] == size:
        return examples
    if isinstance(store, RandomCrops):
        return replace(examples, store=store.reframe(replace(store.frame, size=size)))
    if isinstance(store, np.memmap) or not isinstance(store, np.ndarray):
        return replace(examples, store=ResizedImages(store, size))
    images = allocate_images(len(examples), size, store.shape[3], REMEDIES)
    start = 0
    for chunk in examples.iterate_images():
        images[start : start + len(chunk)] = resize_images(chunk, size)
        start += len(chunk)
    return replace(examples, store=images, rows=None)


def resize_images(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return images (N, H, W, C) uint8 resized to `size`: the bytes of `reframe_image` for each.

    Pillow's antialiased filter resizes each row of a picture by itself, with integers, first across
    and then down. So the channels of all images can be rows of one picture.
    """
    height, width = size
    narrow = resize_across(images.transpose(0, 3, 1, 2), width)  # (N, C, H, width)
    small = resize_across(narrow.swapaxes(2, 3), height)  # (N, C, width, height)
    return np.ascontiguousarray(small.transpose(0, 3, 2, 1))


def resize_across(values: np.ndarray, width: int) -> np.ndarray:
    """Return values (..., W) uint8 with their last axis resized to `width`."""
    picture = Image.fromarray(values.reshape(-1, values.shape[-1]))
    resized = picture.resize((width, picture.height), Image.Resampling.BILINEAR)
    return np.asarray(resized).reshape(*values.shape[:-1], width)
