"""How many images a step takes and how many steps a run makes, where the data is known."""

from dataclasses import replace

from cnntrain.data.source import Examples
from cnntrain.errors import SpecError
from cnntrain.spec.spec import Spec


def plan_steps(spec: Spec, train: Examples) -> tuple[int, int]:
    """Return the steps of an epoch and of the run; `shrunk` has made the batch fit."""
    whole = len(train) // spec.batch_size
    if spec.steps_per_epoch is not None and spec.steps_per_epoch > whole:
        raise SpecError(
            f"steps_per_epoch is {spec.steps_per_epoch} and {len(train)} training images make "
            f"{whole} batches of {spec.batch_size}",
            f"a whole number from 1 to {whole}",
            "more epochs",
        )
    steps_per_epoch = spec.steps_per_epoch or whole
    total_steps = spec.epochs * steps_per_epoch
    return steps_per_epoch, min(total_steps, spec.max_steps or total_steps)


def shrink_batch_size(asked: Spec, images: int, replicas: int) -> tuple[Spec, str | None]:
    """Return a spec whose batch is no larger than its training images, and what to say of that.

    Devices and pieces share it in equal parts. Raises SpecError where there are fewer images than
    parts.
    """
    whole = replicas * asked.accumulate
    if images >= asked.batch_size:
        return asked, None
    if images < whole:
        raise SpecError(
            f"there are {images} training images, and {whole} pieces or devices share each batch",
            f"{whole} images or more",
            "accumulate=1" if replicas <= images else "fewer devices, or more images",
        )
    number = images // whole * whole
    note = (
        f"batch_size is {asked.batch_size} and there are {images} training images: {number} a batch"
    )
    return replace(asked, batch_size=number), note
