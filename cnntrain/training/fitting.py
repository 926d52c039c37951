"""One fit of a network to a training split: phase after phase, from wherever a state left it."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cnntrain.data import pipeline
from cnntrain.data.device_memory import FEATURES_SHARE, check_memory
from cnntrain.data.fingerprint import compute_fingerprint
from cnntrain.data.source import Examples, Splits
from cnntrain.data.steps import plan_steps
from cnntrain.errors import OutOfMemory, SpecError
from cnntrain.runs import checkpoint
from cnntrain.runs.checkpoint import Checkpoint
from cnntrain.runs.directory import Run
from cnntrain.runs.strangers import check_required_keys, check_types, read_record
from cnntrain.spec.knobs import Count, Natural, round_number_to_float32
from cnntrain.spec.renames import rename_keys
from cnntrain.spec.spec import MAY_CHANGE, Spec
from cnntrain.training import losses
from cnntrain.training.devices.parallel import Parallel
from cnntrain.training.evaluation import predict_outputs
from cnntrain.training.finetune import Phase
from cnntrain.training.loop import Loop, Progress, Script, Stage
from cnntrain.training.network import (
    attach_auxiliary_heads,
    build_network,
    count_activations,
    find_freeze_boundary,
    freeze_layers_except,
    split_network,
)
from cnntrain.training.schedules import Rate
from cnntrain.training.trainee import Average, Trainee, compiled
from cnntrain.training.warm_start import SourceWeights

# What a state must say, beside arrays.
FACTS = {
    "decides": dict, "loop": dict, "best": dict, "patience": dict, "plateau": dict,
    "tables": dict[str, Natural], "loop.step": Natural, "loop.planned_steps": Count,
}  # fmt: skip


class Fitting:
    """A network on its way: built, and brought to where the run's last state was.

    Raises SpecError, before the first step, for a state of another spec and for what only the data
    or the network can show to be wrong. A `script` makes it repeat another fit's decisions; then
    there is no validation.
    """

    def __init__(
        self,
        spec: Spec,
        run: Run,
        splits: Splits,
        progress: Progress,
        source: SourceWeights | None = None,
        script: Script | None = None,
        parallel: Parallel | None = None,
    ):
        self.spec, self.splits, self.progress = spec, splits, progress
        self.parallel = parallel
        self.steps_per_epoch, self.total_steps = plan_steps(spec, splits.train)
        resumed = checkpoint.load_checkpoint(run.state)
        if resumed is not None:
            check_resumable(spec, run, splits, resumed, self.total_steps)
            for name in resumed.damaged_files:
                progress.note(f"{run.state / name} is damaged and is not used")
        if script is not None:
            self.planned_steps = script.planned_epochs * self.steps_per_epoch
        elif resumed is not None:
            self.planned_steps = resumed.facts["loop"]["planned_steps"]
        else:
            self.planned_steps = self.total_steps
        self.built = build_network(spec, splits, self.planned_steps, source, constants(resumed))
        self.network, self.body = self.built.network, self.built.model
        self.fixed = {layer.name for layer in self.body.layers if not layer.trainable}
        self.phases: list[Phase] = spec.finetune(self.body)
        check_rates(self.phases, spec.optimizer["learning_rate"])
        freeze_layers_except(self.body, self.phases[-1].layers)
        for number, length in enumerate(self.lengths()):
            if length:
                self.rate(number)  # what a schedule refuses, it refuses now
        self.average = Average(self.network, spec.ema_decay) if spec.ema_decay else None
        weights = losses.compute_class_weights(
            spec.loss.class_weights, splits.train.labels, len(splits.class_names)
        )
        rejection = spec.loss.rejection
        if rejection == "auto":
            rejection = getattr(self.body, "rejection", None)
        self.loss = losses.build_loss(
            spec.loss.label_smoothing, spec.loss.focal_gamma, weights, rejection
        )
        self.loop = Loop(
            spec, run, self.network, self.built.variables, self.average, self.steps_per_epoch,
            self.planned_steps, entropy(splits.train.labels), progress, script,
            parallel,
        )  # fmt: skip
        self.loop.resume(resumed)
        self.loop.total_steps = (
            self.total_steps if script is None else script.epochs * self.steps_per_epoch
        )
        if self.loop.stopped_early and self.loop.phase == len(self.phases) - 1:
            epochs = self.loop.epochs
            progress.note(f"stopped early after epoch {epochs}: more epochs change nothing")

    def fit(self) -> None:
        """Train through the phases that are left."""
        loop = self.loop
        if self.parallel is not None:
            self.parallel.agree(loop.step)
        with loop.signals, answered(self.spec, self.network):
            for number, (phase, length) in enumerate(zip(self.phases, self.lengths(), strict=True)):
                if number < loop.phase or not length or not loop.turn_to(number, length):
                    continue
                freeze_layers_except(self.body, phase.layers)
                stage, train = self.staged(number, phase)
                loop.enter(stage)
                batches = pipeline.make_training_batches(
                    train, len(self.splits.class_names), self.spec.batch_size,
                    self.steps_per_epoch, self.spec.augmentation, self.spec.seed, loop.step,
                )  # fmt: skip
                if self.parallel is not None:
                    self.parallel.fit(stage.trainee, batches, loop)
                    continue
                stage.trainee.fit(
                    batches,
                    initial_epoch=loop.epochs,
                    epochs=loop.epochs + length,  # the loop ends it
                    steps_per_epoch=self.steps_per_epoch,
                    callbacks=[loop],
                    shuffle=False,
                    verbose=0,
                )
            loop.signals.leave()  # one that came when no step was left

    def starts_learnt(self) -> bool:
        """Whether the layers that are frozen at first, if any, have learnt weights."""
        weighted = {layer.name for layer in self.body.layers if layer.weights}
        frozen = weighted - self.phases[0].layers - self.fixed
        return self.built.warm_start_report is not None or frozen <= set(
            getattr(self.body, "pretrained", ())
        )

    def lengths(self) -> list[int]:
        """The steps of each phase."""
        return in_steps(self.phases, self.steps_per_epoch, self.total_steps)

    def rate(self, number: int) -> Rate:
        """The rate of a phase, planned when the run began, or anew if `replan` wants it.

        A phase that the run had no steps for when it began is planned now.
        """
        planned = in_steps(self.phases, self.steps_per_epoch, self.planned_steps)[number]
        if self.spec.replan or not planned:
            planned = self.lengths()[number]
        return self.spec.schedule(self.steps_per_epoch, planned)

    def staged(self, number: int, phase: Phase) -> tuple[Stage, Examples]:
        """Return a phase as it is trained, and its training examples.

        Where one tensor divides what trains from what is frozen, only the part above is trained;
        without augmentation the features below are computed once.
        """
        spec = self.spec
        rate = self.rate(number)
        optimizer = spec.optimizer(self.body, rate, phase.learning_rate)
        train, valid, network, below = self.splits.train, self.splits.valid, self.network, None
        trained = attach_auxiliary_heads(self.built)
        if (tensor := find_freeze_boundary(self.body)) is not None:
            below, trained = split_network(self.built, tensor)
            if phase.cache and spec.augmentation.name == "none":
                count = len(train) + (len(valid) if valid else 0)
                self.loop.features_once = True
                self.progress.note(
                    f"computing the features of {count:,} images once; images/s are of what is "
                    "trained above them"
                )
                train = features(below, train, spec.batch_size)
                valid = features(below, valid, spec.batch_size) if valid else None
                network, below = trained, None
        rates = {
            v.path: phase.rates[layer.name]
            for layer in self.body.layers
            if layer.name in phase.rates
            for v in layer.variables
        }
        trainee = kind_of_trainee()(
            trained,
            getattr(self.body, "auxiliary", ()),
            spec.accumulate,
            rates,
            self.average,
            below,
        )
        if keras.backend.backend() == "jax":  # what a step reads must be in its state
            rate.factor = optimizer.add_variable((), "ones", "float32", name="plateau_factor")
        return Stage(compiled(trainee, optimizer, self.loss), network, rate, valid), train


def kind_of_trainee() -> type[Trainee]:
    """The training step of the backend."""
    if keras.backend.backend() == "tensorflow":
        return Trainee
    from cnntrain.training.trainee_jax import JaxTrainee

    return JaxTrainee


def constants(resumed: Checkpoint | None) -> dict[str, Any] | None:
    """The normalisation's constants that a state holds."""
    if resumed is None:
        return None
    return {key: resumed.arrays[f"normalisation/{key}"].tolist() for key in ("scale", "offset")}


def check_rates(phases: Sequence[Phase], learning_rate: float) -> None:
    """Refuse rates of single layers that are 0 in float32: these would learn nothing, unsaid."""
    for phase in phases:
        base, lowest = phase.learning_rate or learning_rate, min(phase.rates.values(), default=1)
        if round_number_to_float32(base * lowest) == 0:
            raise SpecError(
                f"the lowest layer would have a learning rate of {base * lowest:.3g}",
                "rates that are not 0 in float32",
                "a larger finetune.decay",
            )


def in_steps(phases: Sequence[Phase], steps_per_epoch: int, total_steps: int) -> list[int]:
    """The steps of each phase of a run."""
    lengths: list[int] = []
    for phase in phases:
        left = total_steps - sum(lengths)
        lengths.append(min(left, (phase.epochs or left) * steps_per_epoch))
    return lengths


def check_resumable(
    spec: Spec, run: Run, splits: Splits, resumed: Checkpoint, total_steps: int
) -> None:
    """Refuse a state that is not of this spec and these images."""
    if not resumed.arrays:
        raise SpecError(f"no state in {run.state} is whole", "one that is", "a new run")
    facts = check_types(run.state, resumed.facts, FACTS)
    check_required_keys(run.state, facts, [key for key in FACTS if "." not in key])
    check_required_keys(run.state, facts["loop"], ("step", "planned_steps"))
    check_required_keys(run.state, resumed.arrays, ("normalisation/scale", "normalisation/offset"))
    before, now = rename_keys(facts["decides"]), spec.deciding_values
    differ = [
        key
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and key not in MAY_CHANGE
    ]
    if differ:
        raise SpecError(
            f"the state in {run.state} is of another spec: {', '.join(differ)}",
            "the spec.yaml that the run began with",
        )
    if facts["loop"]["step"] > total_steps:
        raise SpecError(
            f"the run has made {facts['loop']['step']} steps and is to end after {total_steps}",
            "more epochs than it has made",
        )
    known = read_record(run) if run.record.exists() else {}  # a refit has no record
    begun = known.get("data", {}).get("fingerprint")
    if begun and begun != compute_fingerprint(splits):
        place = "dataset.folder" if "folder" in spec.dataset.knobs else "data_dir"
        raise SpecError(
            "the images are not those that the run began with",
            f"the fingerprint {begun[:12]}…",
            f"cnntrain resume {run.folder} {place}=/where/those/are",
        )


def features(below: keras.Model, examples: Examples, batch_size: int) -> Examples:
    """What frozen layers make of images, float32, in place of the images."""
    needed = 4 * len(examples) * math.prod(below.output_shape[1:])
    what = f"the features of {len(examples):,} images"
    check_memory(
        what, needed, FEATURES_SHARE, "features that fit in memory", "finetune.cache=false"
    )
    found = predict_outputs(below, examples, batch_size)
    return Examples(found.astype(np.float32), examples.labels)


def entropy(labels: np.ndarray) -> float:
    """The loss, in nats, of guessing by the frequency of the classes: ln(classes) if balanced."""
    share = np.bincount(labels) / len(labels)
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())


@contextlib.contextmanager
def answered(spec: Spec, network: keras.Model) -> Iterator[None]:
    """Answer a lack of memory, TensorFlow's or JAX's, with what would help."""
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        size = 4 if spec.precision == "float32" else 2
        raise OutOfMemory(
            spec.batch_size, spec.accumulate, size * count_activations(network)
        ) from error
