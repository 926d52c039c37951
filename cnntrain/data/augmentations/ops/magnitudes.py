"""Compute the magnitudes of operations from the levels of a policy, whole numbers from 0."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class MagnitudeRange(NamedTuple):
    """The magnitudes of an operation at level 0 and at the highest level, linear between them.

    With `whole` the change from `low` is truncated to whole degrees, pixels, bits or grey levels.
    With `signed` the change is added or subtracted with equal probability.
    """

    low: float = 0
    high: float = 0
    whole: bool = False
    signed: bool = False


NO_MAGNITUDE = MagnitudeRange()  # for operations that have no strength


def compute_magnitudes(
    ranges: Mapping[str, MagnitudeRange],
    names: np.ndarray,
    levels: np.ndarray | int,
    highest: int,
    random: np.random.Generator,
) -> np.ndarray:
    """Return the magnitudes of the operations `names` at `levels` of 0 to `highest`.

    `ranges` has the range of each operation. The result has the shape of `names`; `levels` has the
    same shape, or is one number for all.
    """
    drawn, which = np.unique(names, return_inverse=True)
    low, high, whole, signed = np.array([ranges[name] for name in drawn]).T[:, which]
    change = levels * (high - low) / highest
    change = np.where(whole, np.trunc(change), change)
    return low + change * np.where(signed, random.choice([-1, 1], names.shape), 1)
