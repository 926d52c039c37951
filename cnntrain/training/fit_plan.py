"""What a fit plans before its first step: steps, rates, block lengths, where batches are made."""

import math
from collections.abc import Sequence

import numpy as np

from cnntrain.data.image_sizes import SizeSpan, plan_image_sizes
from cnntrain.data.pipeline import TrainingBatches, explain_host_only
from cnntrain.data.source import Examples
from cnntrain.data.steps import plan_steps
from cnntrain.errors import SpecError
from cnntrain.runs.checkpoint import Checkpoint
from cnntrain.spec.spec import Spec
from cnntrain.terminal.units import format_size
from cnntrain.training.decisions import Replay
from cnntrain.training.devices.one_device import Devices
from cnntrain.training.finetune import Phase
from cnntrain.training.loop import Steps
from cnntrain.training.phases import (
    MAX_BLOCK_BYTES,
    MAX_BLOCK_STEPS,
    build_rate,
    count_phase_steps,
)
from cnntrain.training.schedules import Rate

MAX_RESIDENT_BYTES = 2**31  # of images that live on a GPU unless `pipeline` says otherwise


def count_steps(
    spec: Spec, train: Examples, checkpoint: Checkpoint | None, replay: Replay | None
) -> Steps:
    """Return the steps of a fit; those planned are what it, or the fit it repeats, began with."""
    per_epoch, total = plan_steps(spec, train)
    planned = total
    if replay is not None:
        planned = replay.planned_epochs * per_epoch
    elif checkpoint is not None:
        planned = checkpoint.facts["loop"]["planned_steps"]
    return Steps(per_epoch, planned, total)


def plan_rates(spec: Spec, phases: Sequence[Phase], steps: Steps) -> list[Rate | None]:
    """Return the rate of each phase that has steps, planned when the run began.

    It is planned anew if `replan` wants it, or if the run had no steps for the phase when it began.
    Raises SpecError for what a schedule refuses.
    """
    lengths = count_phase_steps(phases, steps.per_epoch, steps.total)
    planned = count_phase_steps(phases, steps.per_epoch, steps.planned)
    rates: list[Rate | None] = []
    for phase, length, before in zip(phases, lengths, planned, strict=True):
        count = length if spec.replan or not before else before
        rates.append(build_rate(spec, phase, steps.per_epoch, count) if length else None)
    return rates


def plan_sizes(
    spec: Spec, train: Examples, steps: Steps, replay: Replay | None
) -> tuple[SizeSpan, ...]:
    """Return the sizes of the training images, planned when the run began, as its rates are.

    A fit that repeats another one has its sizes.
    """
    if replay is not None and replay.sizes:
        return replay.sizes
    planned = steps.total if spec.replan else steps.planned
    return plan_image_sizes(spec, train, steps.per_epoch, planned)


def compute_chance_loss(labels: np.ndarray) -> float:
    """Return the loss, in nats, of guessing by the frequency of classes; ln(classes) if equal."""
    share = np.bincount(labels) / len(labels)
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())


def choose_pipeline(spec: Spec, train: Examples, devices: Devices) -> tuple[str, str]:
    """Return where batches are made, `host` or `device`, and why.

    Raises SpecError if `pipeline` wants the device and it is impossible.
    """
    obstacle = explain_host_only(train, spec.augmentation)
    if devices.replicas > 1 or spec.distribution.name != "single":
        obstacle = "several devices share each batch"
    if spec.pipeline == "device" and obstacle is not None:
        raise SpecError(f"pipeline is device and {obstacle}", ("auto", "host"), "pipeline=auto")
    if spec.pipeline != "auto":
        return spec.pipeline, "as asked for"
    if obstacle is not None:
        return "host", obstacle
    if not devices.is_gpu:
        return "host", "on a CPU that is faster"
    if math.prod(train.store.shape) > MAX_RESIDENT_BYTES:
        return "host", f"the images take more than {format_size(MAX_RESIDENT_BYTES)}"
    return "device", "the images fit on the GPU"


def count_longest_block(spec: Spec, batches: TrainingBatches) -> int:
    """Return how many steps a block may have: no more than fit into MAX_BLOCK_BYTES."""
    array_bytes = sum(array.nbytes for array in batches.make_block(0, 1).values())
    limit = MAX_BLOCK_STEPS if spec.steps_per_block == "auto" else spec.steps_per_block
    return max(1, min(limit, MAX_BLOCK_BYTES // array_bytes, spec.log_every))
