"""One device, and what all kinds of devices have in common."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

Batch = Mapping[str, Any]


def is_compiled_by_xla() -> bool:
    """Return whether XLA compiles what TensorFlow predicts, unless that is forbidden: on GPUs."""
    return bool(tf.config.list_logical_devices("GPU"))


class Devices:
    """One device of this process; `Parallel` has several, of one or of many processes."""

    is_chief = True  # whether this process validates, and writes the run

    def __init__(self, replicas: int = 1, is_gpu: bool = False, xla: bool = False):
        """`replicas` devices share a batch; `xla` says whether XLA compiles the step."""
        self.replicas, self.is_gpu, self.xla = replicas, is_gpu, xla

    def from_chief(self, numbers: Sequence[float]) -> list[float]:
        """Return the numbers that the chief has, in all processes; wait for all of them."""
        return [*numbers]

    def any_of(self, own: bool) -> bool:
        """Return whether it is true in any process."""
        return own

    def agree(self, facts: Any) -> None:
        """Raise SpecError in a process whose facts are not those of the chief."""

    @contextlib.contextmanager
    def watch(self, run: str) -> Iterator[None]:
        """Do nothing: one process can lose no other."""
        yield

    def run(self, part: Callable[[Batch, Any], Any], batch: Batch) -> Any:
        """Return what `part`, given a device's part of a batch and its number, finds."""
        return part(batch, 0)

    def add_up(self, found: list[Any]) -> list[Any]:
        """Return the sums, over all devices, of what each has found."""
        return found

    def place(self, arrays: Mapping[str, np.ndarray]) -> Any:
        """Return the arrays (K, B, …) of a block where the devices can read them."""
        return {name: tf.convert_to_tensor(array) for name, array in arrays.items()}

    def compile_block(
        self, step: Callable[[Batch], tf.Tensor], resident: Batch
    ) -> Callable[[Any], tf.Tensor]:
        """Return a function that makes the K steps of a placed block, and returns their losses.

        Each step gets its batch with the `resident` arrays. The losses are (K, 3), as `step`
        returns them. On a GPU they come later than the call.
        """
        compiled: list[Any] = []

        def run_steps(arrays: Batch) -> tf.Tensor:
            count = tf.shape(arrays["labels"])[0]

            def body(number: tf.Tensor, rows: tf.TensorArray) -> Any:
                batch = {name: array[number] for name, array in arrays.items()}
                return number + 1, rows.write(number, step({**batch, **resident}))

            rows = tf.TensorArray(tf.float32, count, element_shape=(3,))
            start = (tf.constant(0), rows)
            _, rows = tf.while_loop(lambda n, _: n < count, body, start, parallel_iterations=1)
            return rows.stack()

        def run_block(arrays: Batch) -> tf.Tensor:
            if not compiled:  # one graph for blocks of all lengths
                signature = {
                    name: tf.TensorSpec((None, *array.shape[1:]), array.dtype)
                    for name, array in arrays.items()
                }
                compiled.append(tf.function(run_steps, [signature], autograph=False))
            return compiled[0](arrays)

        return run_block
