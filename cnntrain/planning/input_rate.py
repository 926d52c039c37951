"""Measure how fast the photos of a run are read and decoded, beside how fast it trains on them."""

import time
from dataclasses import dataclass, replace

import numpy as np

from cnntrain.data.decoders import choose_decoders
from cnntrain.data.photos.decoding_processes import find_pool
from cnntrain.data.photos.lazy_images import LazyImages
from cnntrain.planning.plan import Plan
from cnntrain.terminal.units import format_duration, format_size

MEASURED_PHOTOS, WARM_UP_PHOTOS = 1024, 64


@dataclass(frozen=True)
class InputRate:
    """The `photos` of a run, how many are decoded in a second, and by how many `workers`.

    `each_time` says whether a photo is decoded each time it is needed, and not only before the
    first step. `decoded_bytes` is what all of them take when they are kept decoded.
    """

    photos: int
    photos_per_second: float
    workers: int
    each_time: bool
    decoded_bytes: int


def measure_input(plan: Plan) -> InputRate | None:
    """Return how fast the photos of a plan are decoded; None if there are none here to decode.

    Broken ones are passed over.
    """
    photos, frame = plan.outline.photos, plan.outline.frame
    if photos is None or frame is None:
        return None
    from cnntrain.data.pipeline import stream_blocks

    choose_decoders(plan.spec)
    train = plan.outline.splits.train
    some = np.linspace(0, len(train) - 1, min(MEASURED_PHOTOS, len(train))).astype(int)
    rows = train.locate_rows(some)
    settled = None if frame.value_range == "auto" else frame.value_range
    images = LazyImages(photos, replace(frame, value_range=settled))

    def decode(first: int, count: int) -> None:
        own = rows[first : first + count]
        images.decode_once(own, [None] * len(own))

    batch = min(plan.spec.batch_size, len(rows))
    decode(0, WARM_UP_PHOTOS)  # the processes start
    began = time.perf_counter()
    for _ in stream_blocks(decode, [(n, batch) for n in range(0, len(rows), batch)]):
        pass
    rate = len(rows) / (time.perf_counter() - began)
    each_time = plan.outline.are_listed or plan.spec.dataset["cache"] == "none"
    size = len(photos) * int(np.prod(frame.shape))
    return InputRate(len(photos), rate, find_pool(photos)[1], each_time, size)


def format_input_rate(rate: InputRate, trained: float) -> list[str]:
    """Return lines on the input of a run whose steps take `trained` images a second."""
    workers = f"{rate.workers} core{'s' * (rate.workers != 1)}"
    told = f"photos: {rate.photos_per_second:,.0f} a second are read and decoded on {workers}"
    if not rate.each_time:
        seconds = rate.photos / rate.photos_per_second
        return [
            f"{told}; all of them once before the first step, in about {format_duration(seconds)}"
            f"; kept decoded they take {format_size(rate.decoded_bytes)}"
        ]
    bound = rate.photos_per_second < trained
    return [
        f"{told}, each time they are needed; the steps take {trained:,.0f}: "
        + ("the run waits for its photos" if bound else "the photos keep up"),
        f"kept decoded they would take {format_size(rate.decoded_bytes)} "
        "(dataset.scan=all dataset.cache=disk)",
    ]
