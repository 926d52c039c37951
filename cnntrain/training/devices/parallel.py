"""Training on several devices: each computes its part of a batch, and the parts make one step.

Weights, slots, statistics and metrics are ordinary variables, of which every process has its own:
the devices read them, and what they find (gradients, statistics of batch norm, sums of the metrics)
is added up before anything is changed. So clipping, scaling for float16, averages, states and saved
files are those of one device. (Keras' own `fit` clips before it adds up, keeps the statistics of
the first device only, and fails with more than one worker.)

Batch norm sees the parts, and its moving statistics are the mean of theirs. Dropout draws for each
part on its own.
"""

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from cnntrain.data import pipeline
from cnntrain.errors import SpecError, WorkerLost
from cnntrain.training import losses
from cnntrain.training.devices.cluster import Cluster
from cnntrain.training.loop import Loop
from cnntrain.training.trainee import Trainee, as_list

LINGER = 15  # seconds that the chief waits, at the most, for the others to leave
APART = 7919  # between the seeds of dropout of two devices
GONE = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
TASK = re.compile(r"task:(\d+)")


class Parallel:
    """The devices of a run; `cluster` is None if they are all in this process."""

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster | None):
        self.strategy, self.cluster = strategy, cluster
        self.replicas: int = strategy.num_replicas_in_sync

    @property
    def is_chief(self) -> bool:
        """Whether this process validates, and writes the run."""
        return self.cluster is None or self.cluster.is_chief

    def summed(self, parts: list[Any]) -> list[tf.Tensor]:
        """The sums, over all devices of all workers, of what each has returned."""
        sums = self.strategy.extended.batch_reduce_to("SUM", [(part, part) for part in parts])
        return [self.strategy.experimental_local_results(total)[0] for total in sums]

    def from_chief(self, numbers: list[float]) -> list[float]:
        """The numbers that the chief has, in all workers; waits for all of them."""
        if self.cluster is None:
            return numbers

        def part() -> list[tf.Tensor]:
            device = tf.distribute.get_replica_context().replica_id_in_sync_group
            return [tf.where(device == 0, numbers, tf.zeros_like(numbers))]

        numbers = tf.constant(numbers, tf.float64)
        total = tf.function(lambda: self.summed(self.strategy.run(part)))()
        return total[0].numpy().tolist()

    def agree(self, facts: Any) -> None:
        """Refuse, in all workers but the chief, to train something else than it does."""
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        own = [float(int(digest[:12], 16))]  # 48 bits: a float64 holds them
        if self.from_chief(own) != own:
            raise SpecError(
                "worker 0 trains another spec, has other images, or goes on from another step",
                "the same command, data and run for every worker; only distribution.index differs",
            )

    def batches(self, whole: tf.data.Dataset) -> Iterator[Any]:
        """Whole batches, as each device's part of them."""

        def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            own = self.replicas // context.num_input_pipelines
            first = own * context.input_pipeline_id
            return pipeline.split_batches(whole, self.replicas, range(first, first + own))

        return iter(self.strategy.distribute_datasets_from_function(of_worker))

    def fit(self, trainee: Trainee, whole: tf.data.Dataset, loop: Loop) -> None:
        """Do what Keras' `fit` does with `loop` as its callback, until it stops."""
        step = Step(self, trainee)
        batches = self.batches(whole)
        loop.set_model(trainee)
        loop.signals.is_shared = self.cluster is not None
        trainee.stop_training = False
        while not trainee.stop_training:
            trainee.reset_metrics()
            loop.on_epoch_begin(loop.epochs)
            while not trainee.stop_training:
                logs = step(batches, loop.signals.received is not None)
                if logs.pop("leaving"):
                    loop.signals.agree_to_leave()
                loop.on_train_batch_end(loop.step, logs)
            loop.on_epoch_end(loop.epochs, logs)

    @contextlib.contextmanager
    def watched(self, run: str) -> Iterator[None]:
        """Answer the loss of a worker by naming it; see that all have heard before one leaves."""
        cluster = self.cluster
        if cluster is None:
            yield
            return
        try:
            yield
        except GONE as error:
            named = {int(number) for number in TASK.findall(str(error))}
            lost = [cluster.describe_worker(number) for number in cluster.others if number in named]
            raise WorkerLost(
                lost or cluster.find_silent_workers() or ["another worker"],
                f"all of them again with: cnntrain resume {run} distribution.index={cluster.index}"
                " (each with its own)",
            ) from error
        except BaseException:
            stay(cluster)
            raise
        stay(cluster)


def stay(cluster: Cluster) -> None:
    """Wait until what was last added up has reached the others; the chief until they are gone."""
    ends = time.monotonic() + (LINGER if cluster.is_chief else 1)
    while time.monotonic() < ends:
        if cluster.is_chief and len(cluster.find_silent_workers()) == len(cluster.others):
            break
        time.sleep(0.2)


class Step:
    """A step of training on all devices."""

    def __init__(self, parallel: Parallel, trainee: Trainee):
        self.parallel, self.trainee = parallel, trainee
        trainee.replicas = parallel.replicas
        changed = changing(trainee)
        self.statistics = [v for v in changed if v.dtype.startswith("float")]
        self.seeds = [v for v in changed if not v.dtype.startswith("float")]
        self.metrics = means(trainee)
        self.make = tf.function(self.step)

    def __call__(self, batches: Iterator[Any], leaving: bool) -> dict[str, float]:
        """Make a step; return the means of the epoch so far, and how many want to leave."""
        logs = self.make(batches, tf.constant(float(leaving)))
        return {name: float(value) for name, value in logs.items()}

    @tf.autograph.experimental.do_not_convert
    def step(self, batches: Iterator[Any], leaving: tf.Tensor) -> dict[str, tf.Tensor]:
        """What is found for the parts is added up, and then changes the variables."""
        strategy = self.parallel.strategy
        found, seeds = strategy.run(self.part, args=(*next(batches), leaving))
        gradients, statistics, sums = cut(
            self.parallel.summed(found), len(self.trainee.trainable_weights), len(self.statistics)
        )
        drawn = [strategy.experimental_local_results(seed)[0] for seed in seeds]
        for variable, value in zip(self.statistics + self.seeds, statistics + drawn, strict=True):
            variable.assign(value)
        self.trainee.update(gradients)
        *totals, count, leaving = sums
        for metric, total in zip(self.metrics, totals, strict=True):
            metric.total.assign_add(total)
            metric.count.assign_add(count)
        return self.trainee.get_metrics_result() | {"leaving": leaving}

    def part(self, images: tf.Tensor, labels: tf.Tensor, leaving: tf.Tensor) -> Any:
        """What one device finds: its share of gradients and statistics, sums, and the seeds."""
        device = tf.distribute.get_replica_context().replica_id_in_sync_group
        apart = [tf.stack([tf.cast(device * APART, v.dtype), 0]) for v in self.seeds]
        statistics = [v.value for v in self.statistics]
        seeds = [v.value + own for v, own in zip(self.seeds, apart, strict=True)]
        images = self.trainee.features(images)
        gradients, values, sums = self.in_pieces(images, labels, statistics + seeds)
        statistics, seeds, _ = cut(values, len(statistics), len(seeds))
        shares = [value / self.parallel.replicas for value in statistics]
        seeds = [value - own for value, own in zip(seeds, apart, strict=True)]
        count = tf.cast(tf.shape(labels)[0], "float32")
        found = [*gradients, *shares, *sums, count, leaving]
        return [tf.identity(value) for value in found], seeds  # placed on this device

    def in_pieces(self, images: tf.Tensor, labels: tf.Tensor, values: list[tf.Tensor]) -> Any:
        """The mean gradients, the changed values and the sums of a part's pieces, one by one."""
        pieces, size = self.trainee.pieces, images.shape[0] // self.trainee.pieces
        if pieces == 1:
            return self.found(images, labels, values)

        def add(number: tf.Tensor, totals: list[Any], values: list[Any]) -> Any:
            rows = slice(number * size, (number + 1) * size)
            gradients, values, sums = self.found(images[rows], labels[rows], values)
            found = [g / pieces for g in gradients] + sums
            totals = [total + one for total, one in zip(totals, found, strict=True)]
            return number + 1, totals, values

        weights = self.trainee.trainable_weights
        zeros = [tf.zeros(w.shape, w.dtype) for w in weights]
        zeros += [tf.zeros(())] * len(self.metrics)
        _, totals, values = tf.while_loop(
            lambda number, *_: number < pieces,
            add,
            (tf.constant(0), zeros, values),
            parallel_iterations=1,  # else all pieces would be in memory at once
        )
        gradients, sums, _ = cut(totals, len(weights), len(self.metrics))
        return gradients, values, sums

    def found(self, images: tf.Tensor, labels: tf.Tensor, values: list[tf.Tensor]) -> Any:
        """The gradients of the loss, the new `values` of what changes, the sums of the metrics."""
        trainee, changed = self.trainee, self.statistics + self.seeds
        weights = trainee.trainable_weights
        with tf.GradientTape() as tape:
            # weights too: within the scope, Keras' penalties know no others
            known = [(weight, weight.value) for weight in weights]
            with keras.StatelessScope([*known, *zip(changed, values, strict=True)]) as scope:
                logits = trainee(images, training=True)
                loss = trainee.compute_loss(x=images, y=labels, y_pred=logits, training=True)
            values = [scope.get_current_value(v) for v in changed]
            scaled = trainee.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, weights, unconnected_gradients="zero")
        first = as_list(logits)[0]
        size = tf.cast(tf.shape(labels)[0], "float32")
        objective = loss * self.parallel.replicas * size  # the loss is the device's share
        shown = [
            tf.reduce_sum(kind(labels, first))
            for kind in (losses.compute_cross_entropy, losses.compute_accuracy)
        ]
        return gradients, values, [objective, *shown]


def changing(trainee: Trainee) -> list[keras.Variable]:
    """What a pass in training changes beside the weights: statistics of batch norm, seeds."""
    shape = trainee.inputs[0].shape[1:]
    with keras.StatelessScope() as scope:
        trainee(tf.zeros((1, *shape), trainee.inputs[0].dtype), training=True)
    own = trainee.non_trainable_variables
    return [v for v in own if scope.get_current_value(v) is not None]


def means(trainee: Trainee) -> list[keras.metrics.Mean]:
    """The means that are shown: of the objective, the cross-entropy and the accuracy."""
    objective, others = trainee.metrics
    return [objective, *others.metrics]


def cut(values: list[Any], first: int, second: int) -> tuple[list[Any], list[Any], list[Any]]:
    """A list in three."""
    return values[:first], values[first : first + second], values[first + second :]
