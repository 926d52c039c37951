"""The phases of a fit: how long each is, and a phase made ready to be trained."""

import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from cnntrain.data import pipeline
from cnntrain.data.device_memory import FEATURES_SHARE, check_memory
from cnntrain.data.image_sizes import SizeSpan, plan_image_sizes
from cnntrain.data.pipeline import TrainingBatches
from cnntrain.data.source import Examples
from cnntrain.data.steps import Steps, plan_steps
from cnntrain.errors import SpecError
from cnntrain.runs.checkpoint import Checkpoint
from cnntrain.spec.knobs import round_number_to_float32
from cnntrain.spec.spec import Spec
from cnntrain.training.checkpointing import Groups
from cnntrain.training.decisions import Replay
from cnntrain.training.evaluation import predict_outputs
from cnntrain.training.finetune import Phase
from cnntrain.training.networks.build import is_bias
from cnntrain.training.schedules import Rate

MAX_BLOCK_STEPS, MAX_BLOCK_BYTES = 32, 2**26


@dataclass(frozen=True)
class Block:
    """The arrays of `count` steps, from step `first` (counted from 0) on, on the device."""

    first: int
    count: int
    arrays: Any

    @property
    def last(self) -> int:
        """The number of steps that are done after this block."""
        return self.first + self.count


@dataclass(frozen=True, kw_only=True)
class PhaseRun:
    """A phase as it is trained: its steps, what is validated, and the step it ends with.

    Of a phase whose images grow it is the part until the step `until`, with images of one size.
    `network` is what is left to compute for the examples of `valid`, which are images or, above
    frozen layers, their features.
    """

    step: Any  # a TrainStep or a JaxTrainStep
    batches: TrainingBatches
    network: keras.Model
    valid: Examples | None
    rate: Rate
    end: int
    until: int
    longest_block: int

    @property
    def variables(self) -> Groups:
        """What belongs to a phase: the optimizer's state, and the factor of the rate."""
        return {"optimizer": self.step.parts.optimizer.variables, "rate": [self.rate.factor]}

    def read_last_weights(self) -> list[np.ndarray]:
        """Return the last two variables that train: usually kernel and bias of the head."""
        self.step.settle()
        return [v.numpy() for v in self.step.parts.network.trainable_variables[-2:]]

    def stream_blocks(self, spans: Iterable[tuple[int, int]]) -> Generator[Block, None, None]:
        """Yield the block of each span (first step, count), made ahead."""

        def make(first: int, count: int) -> Block:
            arrays = self.batches.make_block(first, count)
            return Block(first, count, self.step.place(arrays))

        return pipeline.stream_blocks(make, spans)


def count_phase_steps(phases: Sequence[Phase], steps_per_epoch: int, total_steps: int) -> list[int]:
    """Return the steps of each phase of a run; the last one has all that are left."""
    lengths: list[int] = []
    for phase in phases:
        left = total_steps - sum(lengths)
        lengths.append(min(left, (phase.epochs or left) * steps_per_epoch))
    return lengths


def plan_fit_steps(
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


def build_rate(spec: Spec, phase: Phase, steps_per_epoch: int, steps: int) -> Rate:
    """Return the learning rate of a phase of so many steps; SpecError if its schedule refuses."""
    base = phase.learning_rate or spec.optimizer["learning_rate"]
    rate: Rate = (phase.schedule or spec.schedule)(base, steps_per_epoch, steps)
    return rate


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


def check_rates(phases: Sequence[Phase], learning_rate: float, bias_rate: float) -> None:
    """Raise SpecError for rates that are 0 in float32: what has them would learn nothing."""
    for phase in phases:
        base, lowest = phase.learning_rate or learning_rate, min(phase.rates.values(), default=1)
        for what, factor, hint in (
            ("the lowest layer", lowest, "a larger finetune.decay"),
            ("biases", lowest * bias_rate, "a larger optimizer.bias_rate"),
        ):
            if round_number_to_float32(base * factor) == 0:
                raise SpecError(
                    f"{what} would have a learning rate of {base * factor:.3g}",
                    "rates that are not 0 in float32",
                    hint,
                )


def list_own_rates(
    model: keras.Model, rates: Mapping[str, float], bias_rate: float
) -> list[tuple[keras.Variable, float]]:
    """Return the variables with a learning rate of their own, each with its factor of the run's.

    `rates` are the factors of single layers, by name; in all layers, biases have `bias_rate` times
    the rate of the others.
    """
    factors = [
        (variable, rates.get(layer.name, 1.0) * (bias_rate if is_bias(variable) else 1.0))
        for layer in model.layers
        for variable in layer.trainable_variables
    ]
    return [(variable, factor) for variable, factor in factors if factor != 1.0]


def compute_features(
    below: keras.Model, examples: Examples, batch_size: int, xla: bool
) -> Examples:
    """Return what frozen layers make of images, float32, in place of the images."""
    needed = 4 * len(examples) * math.prod(below.output_shape[1:])
    what = f"the features of {len(examples):,} images"
    check_memory(
        what, needed, FEATURES_SHARE, "features that fit in memory", "finetune.cache=false"
    )
    found = predict_outputs(below, examples, batch_size, xla)
    return replace(examples, store=found.astype(np.float32), rows=None)


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


def count_longest_block(spec: Spec, batches: TrainingBatches) -> int:
    """Return how many steps a block may have: no more than fit into MAX_BLOCK_BYTES."""
    array_bytes = sum(array.nbytes for array in batches.make_block(0, 1).values())
    limit = MAX_BLOCK_STEPS if spec.steps_per_block == "auto" else spec.steps_per_block
    return max(1, min(limit, MAX_BLOCK_BYTES // array_bytes, spec.log_every))
