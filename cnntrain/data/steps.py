"""Count the steps of an epoch and of a run, and fit the batch, once the data is known."""

from dataclasses import dataclass, replace

from cnntrain.data.source import Examples
from cnntrain.errors import SpecError
from cnntrain.spec.spec import Spec


@dataclass(frozen=True)
class Steps:
    """The steps of an epoch, those planned when the run began, and those that it ends with."""

    per_epoch: int
    planned: int
    total: int


def plan_steps(spec: Spec, train: Examples) -> tuple[int, int]:
    """Return the steps of an epoch and the steps of the run.

    `shrink_batch_size` has already made the batch fit. Raises SpecError if `steps_per_epoch` asks
    for more whole batches than the training images make.
    """
    batches = len(train) // spec.batch_size
    if spec.steps_per_epoch is not None and spec.steps_per_epoch > batches:
        raise SpecError(
            f"steps_per_epoch is {spec.steps_per_epoch} and {len(train)} training images make "
            f"{batches} batches of {spec.batch_size}",
            f"a whole number from 1 to {batches}",
            "more epochs",
        )
    steps_per_epoch = spec.steps_per_epoch or batches
    total_steps = spec.epochs * steps_per_epoch
    return steps_per_epoch, min(total_steps, spec.max_steps or total_steps)


def shrink_batch_size(spec: Spec, images: int, replicas: int) -> tuple[Spec, str | None]:
    """Return a spec whose batch has at most `images` images, and a note on the change or None.

    The batch stays divisible by the replicas times the micro-batches. Raises SpecError if there are
    fewer images than that.
    """
    parts = replicas * spec.accumulate
    if images >= spec.batch_size:
        return spec, None
    if images < parts:
        raise SpecError(
            f"there are {images} training images, and each batch is cut into {parts} parts, one "
            "or more (`accumulate`) for each device",
            f"{parts} images or more",
            "accumulate=1" if replicas <= images else "fewer devices, or more images",
        )
    batch_size = images // parts * parts
    note = (
        f"batch_size is {spec.batch_size} and there are {images} training images: "
        f"{batch_size} a batch"
    )
    return replace(spec, batch_size=batch_size), note
