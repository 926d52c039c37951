"""Several devices that make one step together: each computes a part of the batch.

Each process has ordinary variables, read by its devices: what the devices find is added up, and
then changes the variables once. So a step, its clipping, micro-batches, averages and states are
those of one device. (Keras' own `fit` clips before it adds up, keeps the statistics of the first
device only, and fails with more than one worker.)
"""

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from cnntrain.errors import SpecError, WorkerLost
from cnntrain.training.devices.cluster import Cluster
from cnntrain.training.devices.one_device import Batch, Devices

LINGER = 15  # seconds that the chief waits, at the most, for the others to leave
LOST_ERRORS = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
TASK_PATTERN = re.compile(r"task:(\d+)")


class Parallel(Devices):
    """The devices of a run; `cluster` is None if they are all in this process."""

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster | None):
        super().__init__(strategy.num_replicas_in_sync)
        self.strategy, self.cluster = strategy, cluster
        self.is_chief = cluster is None or cluster.is_chief

    def run(self, part: Callable[[Batch, Any], Any], batch: Batch) -> Any:
        """Return what `part` finds on every device: per-replica values, and plain seeds."""

        def run_part(batch: Batch) -> Any:
            device = tf.distribute.get_replica_context().replica_id_in_sync_group
            found, seeds = part(batch, device)
            return [tf.identity(value) for value in found], seeds  # placed on this device

        found, seeds = self.strategy.run(run_part, args=(batch,))
        return found, [self.strategy.experimental_local_results(seed)[0] for seed in seeds]

    def add_up(self, found: list[Any]) -> list[tf.Tensor]:
        """Return the sums, over all devices of all workers, of what each has found."""
        sums = self.strategy.extended.batch_reduce_to("SUM", [(part, part) for part in found])
        return [self.strategy.experimental_local_results(total)[0] for total in sums]

    def place(self, arrays: Mapping[str, np.ndarray]) -> list[Any]:
        """Return the K steps of a block, each with the devices' parts of its batch.

        Every worker has made the whole batches, because augmentation may mix examples across parts.
        """
        count = len(next(iter(arrays.values()), []))

        def cut_part(step: int, context: Any) -> Batch:
            place = context.replica_id_in_sync_group
            return {
                name: tf.convert_to_tensor(np.split(array[step], self.replicas)[place])
                for name, array in arrays.items()
            }

        return [
            self.strategy.experimental_distribute_values_from_function(
                lambda context, step=step: cut_part(step, context)
            )
            for step in range(count)
        ]

    def compile_block(
        self, step: Callable[[Batch], tf.Tensor], resident: Any
    ) -> Callable[[Any], tf.Tensor]:
        """Return a function that makes the steps of a placed block, one call each."""
        return lambda batches: tf.stack([step(batch) for batch in batches])

    def from_chief(self, numbers: Sequence[float]) -> list[float]:
        """Return the numbers that the chief has, in all workers; wait for all of them."""
        if self.cluster is None:
            return [*numbers]
        own = tf.constant(numbers, tf.float64)
        return self.add_over_devices(lambda n: tf.where(n == 0, own, tf.zeros_like(own))).tolist()

    def any_of(self, own: bool) -> bool:
        """Return whether it is true in any worker."""
        if self.cluster is None:
            return own
        return bool(self.add_over_devices(lambda _: tf.constant(float(own))))

    def add_over_devices(self, make: Callable[[Any], tf.Tensor]) -> np.ndarray:
        """Return the sum, over all devices of all workers, of what each makes of its number."""

        def part() -> list[tf.Tensor]:
            return [make(tf.distribute.get_replica_context().replica_id_in_sync_group)]

        return tf.function(lambda: self.add_up(self.strategy.run(part)))()[0].numpy()

    def agree(self, facts: Any) -> None:
        """Raise SpecError in a worker that trains something else than the chief does."""
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        own = [float(int(digest[:12], 16))]  # 48 bits: a float64 holds them
        if self.from_chief(own) != own:
            raise SpecError(
                "worker 0 trains another spec, has other images, or goes on from another step",
                "the same command, data and run for every worker; only distribution.index differs",
            )

    @contextlib.contextmanager
    def watch(self, run: str) -> Iterator[None]:
        """Turn a lost worker into `WorkerLost`; leave only after the last sums have arrived."""
        cluster = self.cluster
        if cluster is None:
            yield
            return
        try:
            yield
        except LOST_ERRORS as error:
            named = {int(number) for number in TASK_PATTERN.findall(str(error))}
            lost = [cluster.describe_worker(number) for number in cluster.others if number in named]
            raise WorkerLost(
                lost or cluster.find_silent_workers() or ["another worker"],
                f"all of them again with: cnntrain resume {run} distribution.index={cluster.index}"
                " (each with its own)",
            ) from error
        except BaseException:
            wait_for_others(cluster)
            raise
        wait_for_others(cluster)


def wait_for_others(cluster: Cluster) -> None:
    """Wait until what was last added up has reached the others; the chief until they are gone."""
    ends = time.monotonic() + (LINGER if cluster.is_chief else 1)
    while time.monotonic() < ends:
        if cluster.is_chief and len(cluster.find_silent_workers()) == len(cluster.others):
            break
        time.sleep(0.2)
