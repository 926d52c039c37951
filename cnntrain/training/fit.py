"""One fit of a network to a training split: phase after phase, from the last checkpoint on."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cnntrain.data.image_sizes import SizeSpan, resize_examples
from cnntrain.data.photos.lazy_images import ListedImages
from cnntrain.data.pipeline import TrainingBatches
from cnntrain.data.source import Splits
from cnntrain.data.steps import plan_steps
from cnntrain.errors import OutOfMemory
from cnntrain.runs.checkpoint import Checkpoint, load_checkpoint
from cnntrain.runs.directory import Run
from cnntrain.signals import Signals
from cnntrain.spec.spec import Spec
from cnntrain.training.checkpointing import (
    Checkpoints,
    check_resumable,
    read_normalisation,
    restore_variables,
)
from cnntrain.training.decisions import Replay, Replaying, Watching
from cnntrain.training.devices.one_device import Devices
from cnntrain.training.devices.setup import choose_pipeline, set_up_one_device
from cnntrain.training.finetune import Phase
from cnntrain.training.journal import TABLES, Journal, Position
from cnntrain.training.labels.kind import get_label_kind
from cnntrain.training.loop import Loop, Progress
from cnntrain.training.losses import LossFunction
from cnntrain.training.networks.build import (
    BuiltNetwork,
    build_network,
    count_activations,
    find_freeze_boundary,
    freeze_layers_except,
    split_network,
)
from cnntrain.training.networks.normalisation import tile_normalisation
from cnntrain.training.networks.smaller_images import allow_smaller_images
from cnntrain.training.networks.warm_start import SourceWeights
from cnntrain.training.phases import (
    PhaseRun,
    check_rates,
    compute_features,
    count_longest_block,
    count_phase_steps,
    list_own_rates,
    plan_fit_steps,
    plan_rates,
    plan_sizes,
)
from cnntrain.training.schedules import Rate
from cnntrain.training.train_step import Batch, StepParts, TrainStep
from cnntrain.training.weight_average import WeightAverage


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A network that is built, with the weights, EMA and counters of the last checkpoint.

    `prepare_phase` restores what belongs to a phase alone.
    """

    spec: Spec
    splits: Splits
    devices: Devices
    built: BuiltNetwork
    phases: list[Phase]
    fixed_layers: frozenset[str]  # those that the architecture does not train
    rates: list[Rate | None]  # of each phase; None for one that has no step
    sizes: tuple[SizeSpan, ...]  # of the training images, one after another
    loss: LossFunction
    pipeline: tuple[str, str]  # where batches are made, and why
    loop: Loop
    checkpoint: Checkpoint | None

    def train(self) -> None:
        """Train through the phases that are left."""
        loop, network = self.loop, self.built.network
        self.devices.agree(loop.position.step)
        with (
            loop.journal.spend("train"),
            loop.signals,
            loop.checkpoints.write_in_background(),
            explain_lack_of_memory(self.spec, network),
        ):
            for number, length in enumerate(self.count_phase_steps(loop.steps.total)):
                if number < loop.position.phase or not length:
                    continue
                rate = self.rates[number]
                assert rate is not None
                if number > loop.position.phase:
                    loop.position.begin_phase(number)
                    loop.decisions.begin_phase(loop.position.epochs, rate.plateau)
                end = loop.decisions.find_phase_end(
                    number, loop.position.phase_began + length, loop.steps.per_epoch
                )
                if loop.position.step < end and not loop.position.stopped_early:
                    for phase_run in self.prepare_phase(number, end):
                        loop.train_phase(phase_run)
                        if loop.position.stopped_early:
                            break
            loop.checkpoints.wait()
            if self.devices.any_of(loop.signals.received is not None):
                loop.signals.leave(asked=True)  # for one that came when no step was left

    def count_phase_steps(self, total_steps: int) -> list[int]:
        return count_phase_steps(self.phases, self.loop.steps.per_epoch, total_steps)

    def starts_learnt(self) -> bool:
        """Return whether the layers that are frozen at first, if any, have learnt weights."""
        learnt = set(getattr(self.built.model, "pretrained", ()))
        frozen = self.find_frozen_layers(self.phases[0])
        return self.built.warm_start_report is not None or frozen <= learnt

    def find_frozen_layers(self, phase: Phase) -> set[str]:
        """Return the names of the layers that would learn but for this phase."""
        weighted = {layer.name for layer in self.built.model.layers if layer.weights}
        return weighted - phase.layers - self.fixed_layers

    def prepare_phase(self, number: int, end: int) -> Iterator[PhaseRun]:
        """Yield a phase as it is trained, with the checkpoint's variables if it was made in it.

        It is one or, where images grow, a part for each size that is left, once the parts before
        it are trained; all parts have the same optimizer. Where one tensor divides what trains from
        what is frozen, only the part above is trained; without augmentation the features below are
        computed once.
        """
        spec, phase, rate = self.spec, self.phases[number], self.rates[number]
        model, network = self.built.model, self.built.network
        assert rate is not None
        self.loop.checkpoints.wait()
        freeze_layers_except(model, phase.layers)
        optimizer = spec.optimizer(model, rate)
        train, valid, validated = self.splits.train, self.splits.valid, network
        layer, where = network.get_layer("normalisation"), self.pipeline[0]
        trained, below = model, tile_normalisation(layer)
        if self.find_frozen_layers(phase) and (tensor := find_freeze_boundary(model)) is not None:
            frozen, trained = split_network(self.built, tensor)
            below = functools.partial(frozen, training=False)
            if phase.cache and spec.augmentation.name == "none":
                count = len(train) + (len(valid) if valid else 0)
                self.loop.features_once = True
                self.loop.progress.note(
                    f"computing the features of {count:,} images once; images/s are of what is "
                    "trained above them"
                )
                size, xla = spec.batch_size, self.devices.xla
                train = compute_features(frozen, train, size, xla)
                valid = compute_features(frozen, valid, size, xla) if valid else None
                validated, where, below = trained, "host", lambda features: features
        if spec.precision == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            optimizer.build(trained.trainable_variables)
        checkpoint, per_epoch = self.checkpoint, self.loop.steps.per_epoch
        for smaller, until in self.list_sizes_left(end):
            batches = TrainingBatches(
                train if smaller is None else resize_examples(train, smaller),
                len(self.splits.class_names), spec.batch_size, per_epoch,
                spec.augmentation, spec.seed, where == "device", spec.dataset["sampling"],
            )  # fmt: skip
            longest = count_longest_block(spec, batches)
            run = PhaseRun(
                step=self.build_step(trained, optimizer, rate, phase, batches, below, longest),
                batches=batches, network=validated, valid=valid, rate=rate, end=end, until=until,
                longest_block=longest,
            )  # fmt: skip
            if checkpoint is not None and number == checkpoint.facts["loop"]["phase"]:
                restore_variables(checkpoint, run.variables)
                checkpoint = None
            yield run

    def list_sizes_left(self, end: int) -> Iterator[tuple[tuple[int, int] | None, int]]:
        """Yield the smaller sizes of images that are left until the step `end`, then None.

        Each has the step until which images have it; None is their full size.
        """
        for span in self.sizes:
            until = end if span.end is None else min(end, span.end * self.loop.steps.per_epoch)
            if self.loop.position.step < until:
                yield None if span.end is None else span.size, until

    def build_step(
        self,
        trained: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        rate: Rate,
        phase: Phase,
        batches: TrainingBatches,
        below: Callable[[Any], Any],
        longest: int,
    ) -> Any:
        """Return the training step of the backend, for what a phase trains."""
        backend = keras.backend.backend()

        def make_inputs(batch: Batch) -> Any:
            return below(batches.make_images(batch.get("store"), batch))

        parts = StepParts(
            network=trained,
            optimizer=optimizer,
            rate=rate,
            loss=self.loss,
            make_inputs=make_inputs,
            resident={} if batches.form is None else {"store": batches.store},
            auxiliary=getattr(self.built.model, "auxiliary", ()),
            micro_batches=self.spec.accumulate,
            own_rates=list_own_rates(
                self.built.model, phase.rates, self.spec.optimizer["bias_rate"]
            ),
            average=self.loop.average,
            fused_norm=self.spec.fused_norm and backend == "tensorflow",
            masked_pools=self.devices.is_gpu and self.devices.xla and self.spec.deterministic,
            labels=get_label_kind(self.splits.train.labels),
        )
        if backend == "jax":
            from cnntrain.training.train_step_jax import JaxTrainStep

            return JaxTrainStep(parts, longest)
        return TrainStep(parts, self.devices)


def prepare_fit(
    spec: Spec,
    run: Run,
    splits: Splits,
    progress: Progress,
    *,
    source: SourceWeights | None = None,
    replay: Replay | None = None,
    devices: Devices | None = None,
) -> Fit:
    """Build what `spec` trains, and bring it to the last checkpoint of `run`.

    With `replay` the fit repeats another one's decisions, and has no validation. Raises SpecError,
    before the first step, for a checkpoint of another spec and for what only the data or the
    network can show to be wrong.
    """
    devices = devices or set_up_one_device(spec)
    checkpoint = load_checkpoint(run.state)
    if checkpoint is not None:
        check_resumable(spec, run, splits, checkpoint, plan_steps(spec, splits.train)[1])
        for name in checkpoint.damaged_files:
            progress.note(f"{run.state / name} is damaged and is not used")
    steps = plan_fit_steps(spec, splits.train, checkpoint, replay)
    constants = read_normalisation(checkpoint)
    built = build_network(spec, splits, steps.planned, source, constants)
    model = built.model
    if (whitening := getattr(model, "whitening", None)) is not None:
        kernel = model.get_layer(whitening).kernel  # which workers may have rounded otherwise
        numbers = devices.from_chief(kernel.numpy().ravel().tolist())
        kernel.assign(np.reshape(numbers, kernel.shape).astype(np.float32))
    sizes = plan_sizes(spec, splits.train, steps, replay)
    allow_smaller_images(built.network, model, sizes, spec.batch_size)
    fixed_layers = frozenset(layer.name for layer in model.layers if not layer.trainable)
    phases = spec.finetune(model)
    check_rates(phases, spec.optimizer["learning_rate"], spec.optimizer["bias_rate"])
    freeze_layers_except(model, phases[-1].layers)
    labels = splits.train.labels
    kind = get_label_kind(labels)
    is_balanced = spec.dataset["sampling"] == "balanced"
    chance_loss, chance_accuracy = kind.compute_chance(np.unique(labels) if is_balanced else labels)
    loop = Loop(
        spec=spec,
        run=run,
        network=built.network,
        variables=built.variables,
        average=WeightAverage(built.network, spec.ema_decay) if spec.ema_decay else None,
        steps=steps,
        chance_loss=chance_loss,
        chance_accuracy=chance_accuracy,
        position=Position(),
        journal=Journal(run, spec.batch_size, kind.hit_metric),
        decisions=Watching(spec) if replay is None else Replaying(spec, replay),
        checkpoints=Checkpoints(run, spec.checkpoint, progress.note, writes=devices.is_chief),
        devices=devices,
        progress=progress,
        signals=Signals(),
        photos=store if isinstance(store := splits.train.store, ListedImages) else None,
    )
    fit = Fit(
        spec=spec,
        splits=splits,
        devices=devices,
        built=built,
        phases=phases,
        fixed_layers=fixed_layers,
        rates=plan_rates(spec, phases, steps),
        sizes=sizes,
        loss=kind.build_loss(spec.loss, labels, model),
        pipeline=choose_pipeline(spec, splits.train, devices),
        loop=loop,
        checkpoint=checkpoint,
    )
    resume_loop(loop, checkpoint)
    if loop.position.stopped_early and loop.position.phase == len(phases) - 1:
        epochs = loop.position.epochs
        progress.note(f"stopped early after epoch {epochs}: more epochs change nothing")
    return fit


def resume_loop(loop: Loop, checkpoint: Checkpoint | None) -> None:
    """Let a loop take over a checkpoint, and cut the run's tables to the rows it knows."""
    if checkpoint is not None:
        loop.restore(checkpoint)
    for table in TABLES:
        length = checkpoint.facts["tables"][table] if checkpoint else 0
        if not loop.run.truncate_table(table, length):
            loop.progress.note(
                f"Warning: {loop.run.folder / table} lacks rows that it had when the state was "
                "written; they are not made again"
            )


@contextlib.contextmanager
def explain_lack_of_memory(spec: Spec, network: keras.Model) -> Iterator[None]:
    """Turn a lack of memory, TensorFlow's or JAX's, into OutOfMemory, which says what helps."""
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        size = 4 if spec.precision == "float32" else 2
        raise OutOfMemory(
            spec.batch_size, spec.accumulate, size * count_activations(network)
        ) from error
