"""From the levels of a policy, whole numbers from 0 on, to what its operations do."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class MagnitudeRange(NamedTuple):
    """The magnitudes of an operation at level 0 and at the highest, and linearly between.

    `whole`: what the level adds is cut to whole degrees, pixels, bits or grey levels. `signed`: it
    is added or, as likely, taken away.
    """

    low: float = 0
    high: float = 0
    whole: bool = False
    signed: bool = False


NO_MAGNITUDE = MagnitudeRange()  # of operations that are always the same


def compute_magnitudes(
    scales: Mapping[str, MagnitudeRange],
    names: np.ndarray,
    levels: np.ndarray | int,
    highest: int,
    random: np.random.Generator,
) -> np.ndarray:
    """Return the magnitudes of the operations `names` at their `levels` of 0 to `highest`.

    All three have the same shape, or there is one level for all.
    """
    drawn, which = np.unique(names, return_inverse=True)
    low, high, whole, signed = np.array([scales[name] for name in drawn]).T[:, which]
    change = levels * (high - low) / highest
    change = np.where(whole, np.trunc(change), change)
    return low + change * np.where(signed, random.choice([-1, 1], names.shape), 1)
