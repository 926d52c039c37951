"""A network as steps, each of which makes one array: what demo_network.js runs."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Shape = tuple[int, ...]


class ArrayRef(NamedTuple):
    """An array of a program: its number, and its shape without the batch axis."""

    number: int
    shape: Shape


class Program:
    """Steps, each of which makes one array of others, and the weights that they refer to.

    Array 0 is the image (H, W, C), and step i makes array i + 1.
    """

    def __init__(self, image_shape: Shape) -> None:
        self.image = ArrayRef(0, image_shape)
        self.steps: list[dict[str, Any]] = []
        self.weights: list[np.ndarray] = []

    def add_step(
        self,
        operation: str,
        inputs: Sequence[ArrayRef],
        shape: Shape,
        weights: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> ArrayRef:
        """Add a step with its weights, arrays by name, and return the array that it makes."""
        numbers = [ref.number for ref in inputs]
        places = {name: self.store_weights(array) for name, array in (weights or {}).items()}
        step = {"operation": operation, "inputs": numbers, "shape": shape, "weights": places}
        self.steps.append(step | settings)
        return ArrayRef(len(self.steps), tuple(shape))

    def store_weights(self, array: Any) -> tuple[int, int]:
        """Add an array of any shape to the weights; return where it begins, and its length."""
        begin = sum(map(len, self.weights))
        self.weights.append(np.asarray(array, np.float32).ravel())
        return begin, len(self.weights[-1])

    def encode_weights(self) -> str:
        """Return all weights, in the order of their steps, as base64 of little-endian float32."""
        numbers = np.concatenate([*self.weights, np.empty(0, np.float32)])
        return base64.b64encode(numbers.astype("<f4").tobytes()).decode()
